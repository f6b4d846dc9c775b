//! Scalar expressions inside DataFusion's plans: evaluated by our own evaluator, so that both engines answer the same.
//!
//! A [`Template`] is an expression whose columns are numbered holes (`$1`, `$2`, ...). To DataFusion it is a function of
//! the holes; it is bound anew for the types of each call.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::{DataType as ArrowType, Field as ArrowField, FieldRef};
use datafusion::common::{DataFusionError, Result as FusionResult, ScalarValue};
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};
use rustc_hash::FxHashMap;
use sqlparser::ast::{Expr, Ident};

use super::super::bind::{Binder, Scope};
use super::super::error::SqlError;
use super::super::expression::{Bound, Row};
use super::super::parameters::Parameters;
use super::super::types::DataType;
use super::aggregates::{Aggregation, Spec};
use super::types::{Values, array, arrow_field, data_type};

/// First part of the names of templates; what follows is their number.
const TEMPLATE: &str = "expression_";

/// First part of the names of aggregate functions.
const AGGREGATE: &str = "aggregate_";

/// Everything that one query defines: its templates, aggregate functions and the spelling of its names.
#[derive(Debug)]
pub(super) struct Registry {
    environment: Arc<Environment>,
    defined: Mutex<Defined>,
}

/// What templates need besides their arguments.
#[derive(Debug)]
struct Environment {
    parameters: Parameters,
    now: i64,
}

#[derive(Debug, Default)]
struct Defined {
    templates: Vec<(Expr, Arc<ScalarUDF>)>,
    aggregates: Vec<(Spec, Arc<AggregateUDF>)>,
    /// Lower case to the spelling in the query.
    names: FxHashMap<String, String>,
}

impl Registry {
    pub(super) fn new(parameters: Parameters, now: i64) -> Self {
        let environment = Arc::new(Environment { parameters, now });
        Self { environment, defined: Mutex::default() }
    }

    fn defined(&self) -> MutexGuard<'_, Defined> {
        self.defined.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The function that computes an expression of holes; equal expressions are one function.
    pub(super) fn template(&self, expr: Expr) -> Arc<ScalarUDF> {
        let mut defined = self.defined();
        if let Some((_, known)) = defined.templates.iter().find(|(known, _)| *known == expr) {
            return Arc::clone(known);
        }
        let template = Template {
            name: format!("{TEMPLATE}{}", defined.templates.len()),
            expr: expr.clone(),
            environment: Arc::clone(&self.environment),
            signature: Signature::user_defined(Volatility::Immutable),
        };
        let function = Arc::new(ScalarUDF::new_from_impl(template));
        defined.templates.push((expr, Arc::clone(&function)));
        function
    }

    /// The aggregate function of a specification.
    pub(super) fn aggregate(&self, spec: Spec) -> Arc<AggregateUDF> {
        let mut defined = self.defined();
        if let Some((_, known)) = defined.aggregates.iter().find(|(known, _)| *known == spec) {
            return Arc::clone(known);
        }
        let name = format!("{AGGREGATE}{}", defined.aggregates.len());
        let function = Arc::new(AggregateUDF::new_from_impl(Aggregation::new(name, spec.clone())));
        defined.aggregates.push((spec, Arc::clone(&function)));
        function
    }

    /// The template of a name.
    pub(super) fn template_named(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let at: usize = name.strip_prefix(TEMPLATE)?.parse().ok()?;
        self.defined().templates.get(at).map(|(_, function)| Arc::clone(function))
    }

    /// The aggregate function of a name.
    pub(super) fn aggregate_named(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let at: usize = name.strip_prefix(AGGREGATE)?.parse().ok()?;
        self.defined().aggregates.get(at).map(|(_, function)| Arc::clone(function))
    }

    /// Remembers how a name is spelt; the lower-case name.
    pub(super) fn spell(&self, name: &str) -> String {
        let lower = name.to_lowercase();
        self.defined().names.entry(lower.clone()).or_insert_with(|| name.to_owned());
        lower
    }

    /// The spelling of a lower-case name.
    pub(super) fn spelling(&self, lower: &str) -> Option<String> {
        self.defined().names.get(lower).cloned()
    }

    /// The value of an expression without columns.
    pub(super) fn constant(&self, expr: &Expr) -> Result<Bound, SqlError> {
        self.environment.bind(expr, &Scope::default())
    }
}

impl Environment {
    fn bind(&self, expr: &Expr, scope: &Scope) -> Result<Bound, SqlError> {
        let mut binder = Binder {
            scope,
            parameters: &self.parameters,
            placeholders: &FxHashMap::default(),
            now: self.now,
            grouping: None,
            aliases: Vec::new(),
            saw_aggregate: false,
            depth: 0,
        };
        binder.bind(expr)
    }
}

/// The name of a hole, counted from 0.
pub(super) fn hole(at: usize) -> Ident {
    Ident::with_quote('`', format!("${}", at + 1))
}

/// An expression with holes as a function.
#[derive(Debug)]
struct Template {
    name: String,
    expr: Expr,
    environment: Arc<Environment>,
    signature: Signature,
}

// Within a query, which is all DataFusion compares, a name stands for one expression.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Template {}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Template {
    fn bind(&self, types: &[DataType]) -> Result<Bound, SqlError> {
        let columns = types.iter().enumerate();
        let columns = columns.map(|(at, of)| (hole(at).value, of.clone())).collect();
        self.environment.bind(&self.expr, &Scope { columns, qualifier: None, visible: None })
    }

    fn compute(&self, args: &ScalarFunctionArgs, rows: usize) -> Result<ColumnarValue, Failure> {
        let types = argument_types(&args.arg_fields)?;
        let bound = self.bind(&types)?;
        let values = args
            .args
            .iter()
            .zip(&types)
            .map(|(arg, of)| Ok(Values::new(&arg.to_array(rows)?, of)?))
            .collect::<Result<Vec<_>, Failure>>()?;
        let columns: Vec<_> = values.iter().map(Values::column).collect();
        let results = (0..rows).map(|row| bound.node.eval(Row::Batch(&columns, row)));
        let results = results.collect::<Result<Vec<_>, _>>()?;
        Ok(ColumnarValue::Array(array(results, &bound.data_type)?))
    }
}

fn argument_types(fields: &[FieldRef]) -> Result<Vec<DataType>, SqlError> {
    fields.iter().map(|field| data_type(field)).collect()
}

/// An error of either engine.
pub(super) struct Failure(DataFusionError);

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self(failure(error))
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self(error)
    }
}

/// One of our errors on its way through DataFusion.
pub(super) fn failure(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ScalarUDFImpl for Template {
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
        let fields: Vec<FieldRef> =
            given.iter().map(|of| Arc::new(ArrowField::new("", of.clone(), true))).collect();
        let bound = argument_types(&fields).and_then(|types| self.bind(&types));
        Ok(arrow_field("", &bound.map_err(failure)?.data_type).data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> FusionResult<FieldRef> {
        let bound = argument_types(args.arg_fields).and_then(|types| self.bind(&types));
        Ok(Arc::new(arrow_field(&self.name, &bound.map_err(failure)?.data_type)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> FusionResult<ColumnarValue> {
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        match self.compute(&args, rows) {
            Ok(ColumnarValue::Array(array)) if constant => {
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?))
            }
            Ok(computed) => Ok(computed),
            Err(Failure(error)) => Err(error),
        }
    }
}
