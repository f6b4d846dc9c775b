//! Two functions on columns as a whole: elements with their numbers, and the sort keys of doubles.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Int64Array, ListArray, StructArray};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, FieldRef};
use datafusion::arrow::compute::cast;
use datafusion::common::{Result as FusionResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// The elements of an array as records of `element` and `number`, counted from 0.
pub(super) fn numbered() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Whole::new(Kind::Numbered))));
    Arc::clone(&FUNCTION)
}

/// An integer in whose order doubles are sorted: NaN before all numbers, the zeros equal.
pub(super) fn sort_key() -> Arc<ScalarUDF> {
    static FUNCTION: LazyLock<Arc<ScalarUDF>> =
        LazyLock::new(|| Arc::new(ScalarUDF::new_from_impl(Whole::new(Kind::SortKey))));
    Arc::clone(&FUNCTION)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Numbered,
    SortKey,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Whole {
    kind: Kind,
    signature: Signature,
}

impl Whole {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn result_type(&self, argument: &ArrowField) -> FusionResult<ArrowType> {
        match (self.kind, argument.data_type()) {
            (Kind::SortKey, _) => Ok(ArrowType::Int64),
            (Kind::Numbered, ArrowType::List(item)) => {
                Ok(ArrowType::List(Arc::new(numbered_field(item))))
            }
            (Kind::Numbered, other) => plan_err!("UNNEST needs an array, not {other}"),
        }
    }
}

fn numbered_field(item: &FieldRef) -> ArrowField {
    let element = item.as_ref().clone().with_name("element");
    let number = ArrowField::new("number", ArrowType::Int64, true);
    ArrowField::new("item", ArrowType::Struct(vec![element, number].into()), true)
}

impl ScalarUDFImpl for Whole {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Numbered => "numbered",
            Kind::SortKey => "sort_key",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[ArrowType]) -> FusionResult<Vec<ArrowType>> {
        Ok(given.to_vec())
    }

    fn return_type(&self, given: &[ArrowType]) -> FusionResult<ArrowType> {
        match given {
            [argument] => self.result_type(&ArrowField::new("", argument.clone(), true)),
            _ => plan_err!("{} takes one argument", self.name()),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> FusionResult<FieldRef> {
        match args.arg_fields {
            [argument] => {
                Ok(Arc::new(ArrowField::new(self.name(), self.result_type(argument)?, true)))
            }
            _ => plan_err!("{} takes one argument", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> FusionResult<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(match self.kind {
            Kind::Numbered => number(&array)?,
            Kind::SortKey => sort_keys(&array)?,
        }))
    }
}

fn number(array: &ArrayRef) -> FusionResult<ArrayRef> {
    let list = array.as_list::<i32>();
    let ArrowType::List(item) = list.data_type() else { return plan_err!("UNNEST needs an array") };
    let field = numbered_field(item);
    let mut numbers = vec![0; list.values().len()];
    for bounds in list.offsets().windows(2) {
        let elements = &mut numbers[bounds[0] as usize..bounds[1] as usize];
        elements.iter_mut().zip(0..).for_each(|(number, at)| *number = at);
    }
    let ArrowType::Struct(fields) = field.data_type().clone() else {
        return plan_err!("UNNEST needs an array");
    };
    let columns: Vec<ArrayRef> =
        vec![Arc::clone(list.values()), Arc::new(Int64Array::from(numbers))];
    let records = StructArray::try_new(fields, columns, None)?;
    let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(Arc::new(field), offsets, Arc::new(records), nulls)?))
}

fn sort_keys(array: &ArrayRef) -> FusionResult<ArrayRef> {
    let doubles = cast(array, &ArrowType::Float64)?;
    let keys = doubles.as_primitive::<Float64Type>().iter();
    Ok(Arc::new(keys.map(|value| value.map(key)).collect::<Int64Array>()))
}

fn key(value: f64) -> i64 {
    if value.is_nan() {
        return i64::MIN;
    }
    // Adding zero turns the negative zero into the positive one.
    let bits = (value + 0.0).to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_keys_have_the_order_of_doubles() {
        let sorted = [f64::NAN, f64::NEG_INFINITY, -2.0, -1e-300, 0.0, 1e-300, 1.5, f64::INFINITY];
        let keys: Vec<_> = sorted.into_iter().map(key).collect();
        assert!(keys.is_sorted_by(|left, right| left < right), "{keys:?}");
        assert_eq!(key(-0.0), key(0.0));
    }
}
