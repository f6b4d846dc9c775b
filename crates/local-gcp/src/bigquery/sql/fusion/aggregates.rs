//! Aggregate functions inside DataFusion's plans, on our own accumulators.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType as ArrowType, FieldRef};
use datafusion::common::{DataFusionError, Result as FusionResult, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::super::aggregate::{Accumulator as Own, Aggregate, Kind};
use super::super::error::SqlError;
use super::super::expression::{Bound, Node, Row};
use super::super::grouping::aggregate_of;
use super::super::operators::no_signature;
use super::super::types::DataType;
use super::template::failure;
use super::types::{Values, array, arrow_field, data_type};
use crate::bigquery::value::Value;

/// What a call of an aggregate function asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) function: Function,
    /// Its name in the query, for errors.
    pub(super) name: String,
    pub(super) distinct: bool,
    pub(super) ignore_nulls: bool,
    /// Most values it takes in.
    pub(super) limit: Option<usize>,
    /// How its last arguments order its values.
    pub(super) order: Vec<SortOrder>,
}

/// The direction of one sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SortOrder {
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
}

/// The functions: those our own engine has, and two more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Own(Kind),
    StringAgg,
    ArrayConcatAgg,
}

impl Function {
    /// The function of a name in upper case.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "STRING_AGG" => Some(Self::StringAgg),
            "ARRAY_CONCAT_AGG" => Some(Self::ArrayConcatAgg),
            other => Kind::named(other).map(Self::Own),
        }
    }
}

/// One aggregate function of one query.
#[derive(Debug)]
pub(super) struct Aggregation {
    name: String,
    spec: Spec,
    signature: Signature,
}

// Within a query a name stands for one specification.
impl PartialEq for Aggregation {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Aggregation {}

impl Hash for Aggregation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Aggregation {
    pub(super) fn new(name: String, spec: Spec) -> Self {
        Self { name, spec, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// The aggregate on an argument of a type.
    fn aggregate(&self, argument: &DataType) -> Result<Aggregate, SqlError> {
        if let (Function::ArrayConcatAgg, DataType::Array(item)) = (self.spec.function, argument) {
            let bound = Bound::new(Node::Column(0), item.as_ref().clone());
            return aggregate_of(&self.spec.name, Kind::ArrayAgg, bound, false);
        }
        let bound = Bound::new(Node::Column(0), argument.clone());
        let kind = match self.spec.function {
            Function::Own(kind) => kind,
            Function::StringAgg if *argument == DataType::String => Kind::ArrayAgg,
            Function::StringAgg | Function::ArrayConcatAgg => {
                let name = format!("aggregate function {}", self.spec.name);
                return Err(no_signature(&name, [&bound].into_iter()));
            }
        };
        aggregate_of(&self.spec.name, kind, bound, self.spec.distinct)
    }

    fn result_type(&self, argument: &DataType) -> Result<DataType, SqlError> {
        let aggregate = self.aggregate(argument)?;
        Ok(match self.spec.function {
            Function::StringAgg => DataType::String,
            Function::Own(_) | Function::ArrayConcatAgg => aggregate.result_type,
        })
    }

    fn gathering(&self, args: &AccumulatorArgs<'_>, sliding: bool) -> FusionResult<Gathering> {
        let types = args.expr_fields.iter().map(|field| data_type(field));
        let types = types.collect::<Result<Vec<_>, _>>().map_err(failure)?;
        let argument = types.first().ok_or_else(|| self.no_argument())?;
        let aggregate = self.aggregate(argument).map_err(failure)?;
        let result_type = self.result_type(argument).map_err(failure)?;
        Ok(Gathering {
            own: aggregate.start(),
            spec: self.spec.clone(),
            aggregate,
            types,
            result_type,
            taken: 0,
            separator: ",".to_owned(),
            kept: (sliding || !self.spec.order.is_empty()).then(VecDeque::new),
            sliding,
        })
    }

    fn no_argument(&self) -> DataFusionError {
        failure(SqlError::query(format!("{} needs an argument", self.spec.name)))
    }
}

impl AggregateUDFImpl for Aggregation {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[ArrowType]) -> FusionResult<Vec<ArrowType>> {
        Ok(given.to_vec())
    }

    fn return_type(&self, given: &[ArrowType]) -> FusionResult<ArrowType> {
        let argument = given.first().ok_or_else(|| self.no_argument())?;
        let field = arrow_schema::Field::new("", argument.clone(), true);
        let result = data_type(&field).and_then(|argument| self.result_type(&argument));
        Ok(arrow_field("", &result.map_err(failure)?).data_type().clone())
    }

    fn return_field(&self, fields: &[FieldRef]) -> FusionResult<FieldRef> {
        let argument = fields.first().ok_or_else(|| self.no_argument())?;
        let result = data_type(argument).and_then(|argument| self.result_type(&argument));
        Ok(Arc::new(arrow_field(&self.name, &result.map_err(failure)?)))
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> FusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(self.gathering(&args, false)?))
    }

    fn create_sliding_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> FusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(self.gathering(&args, true)?))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> FusionResult<Vec<FieldRef>> {
        // The state is never taken apart: plans have one partition and do not spill.
        Ok(vec![args.return_field])
    }

    fn supports_null_handling_clause(&self) -> bool {
        true
    }
}

/// What an aggregate has gathered of one group or window.
#[derive(Debug)]
struct Gathering {
    spec: Spec,
    aggregate: Aggregate,
    own: Own,
    /// Of the arguments.
    types: Vec<DataType>,
    result_type: DataType,
    taken: usize,
    /// Between the texts of a STRING_AGG.
    separator: String,
    /// Values with their sort keys: of an ordered aggregate, or of a window that moves and lets old ones go.
    kept: Option<VecDeque<(Value, Vec<Value>)>>,
    sliding: bool,
}

impl Gathering {
    fn add(&mut self, value: Value) -> Result<(), SqlError> {
        let skips_null = self.spec.ignore_nulls || self.spec.function == Function::StringAgg;
        let full = self.spec.limit.is_some_and(|limit| self.taken >= limit);
        if full || (skips_null && value.is_null()) {
            return Ok(());
        }
        self.taken += 1;
        match (self.spec.function, value) {
            (Function::ArrayConcatAgg, Value::Array(items)) => {
                items.iter().try_for_each(|item| self.update(item))
            }
            (Function::ArrayConcatAgg, _) => Ok(()),
            (_, value) => self.update(&value),
        }
    }

    fn update(&mut self, value: &Value) -> Result<(), SqlError> {
        self.aggregate.update(&mut self.own, Row::Values(std::slice::from_ref(value)))
    }

    fn result(&self) -> Result<Value, SqlError> {
        if let Some(kept) = &self.kept {
            let mut sorted: Vec<_> = kept.iter().collect();
            sorted.sort_by(|(_, left), (_, right)| self.compare(left, right));
            let mut fresh = Self {
                own: self.aggregate.start(),
                kept: None,
                spec: self.spec.clone(),
                aggregate: self.aggregate.clone(),
                types: self.types.clone(),
                result_type: self.result_type.clone(),
                separator: self.separator.clone(),
                ..*self
            };
            sorted.into_iter().try_for_each(|(value, _)| fresh.add(value.clone()))?;
            return fresh.result();
        }
        let gathered = self.own.clone().finish()?;
        Ok(match (self.spec.function, gathered) {
            (Function::StringAgg, Value::Array(items)) => {
                let texts: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                texts.join(&self.separator).into()
            }
            (_, value) => value,
        })
    }

    fn compare(&self, left: &[Value], right: &[Value]) -> Ordering {
        let keys = self.spec.order.iter().zip(left.iter().zip(right));
        let orders = keys.map(|(key, (left, right))| match (left.is_null(), right.is_null()) {
            (true, true) => Ordering::Equal,
            (false, false) if key.descending => right.total_compare(left),
            (false, false) => left.total_compare(right),
            (left_null, _) if left_null == key.nulls_first => Ordering::Less,
            _ => Ordering::Greater,
        });
        orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The values of a batch with their sort keys.
    fn rows(&self, given: &[ArrayRef]) -> Result<Vec<(Value, Vec<Value>)>, SqlError> {
        let first_key = given.len().saturating_sub(self.spec.order.len());
        let keys = given[first_key..].iter().zip(&self.types[first_key..]);
        let keys = keys.map(|(array, of)| Values::new(array, of)).collect::<Result<Vec<_>, _>>()?;
        let mut keys: Vec<_> = keys.iter().map(Values::all).collect();
        let values = Values::new(&given[0], &self.types[0])?;
        let rows = values.all().map(|value| {
            (value, keys.iter_mut().map(|key| key.next().unwrap_or(Value::Null)).collect())
        });
        Ok(rows.collect())
    }
}

impl Accumulator for Gathering {
    fn update_batch(&mut self, given: &[ArrayRef]) -> FusionResult<()> {
        let arguments = given.len().saturating_sub(self.spec.order.len());
        if self.spec.function == Function::StringAgg && arguments > 1 && !given[1].is_empty() {
            let separators = Values::new(&given[1], &self.types[1]).map_err(failure)?;
            if let Some(Value::String(separator)) = separators.all().next() {
                self.separator = separator.to_string();
            }
        }
        for (value, keys) in self.rows(given).map_err(failure)? {
            match &mut self.kept {
                Some(kept) => kept.push_back((value, keys)),
                None => self.add(value).map_err(failure)?,
            }
        }
        Ok(())
    }

    fn retract_batch(&mut self, given: &[ArrayRef]) -> FusionResult<()> {
        if let Some(kept) = &mut self.kept {
            kept.drain(..given[0].len().min(kept.len()));
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        self.sliding
    }

    fn evaluate(&mut self) -> FusionResult<ScalarValue> {
        let value = self.result().map_err(failure)?;
        let array = array(vec![value], &self.result_type).map_err(failure)?;
        ScalarValue::try_from_array(&array, 0)
    }

    fn size(&self) -> usize {
        let kept = self.kept.as_ref().map_or(0, VecDeque::len) * (1 + self.spec.order.len());
        size_of_val(self) + self.own.size() + kept * size_of::<Value>()
    }

    fn state(&mut self) -> FusionResult<Vec<ScalarValue>> {
        Err(not_partial())
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> FusionResult<()> {
        Err(not_partial())
    }
}

fn not_partial() -> DataFusionError {
    DataFusionError::ResourcesExhausted("an aggregation of the query is too large".to_owned())
}
