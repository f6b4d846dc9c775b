//! Checks the values of a canonical batch against what Arrow cannot say: REQUIRED fields, ranges, lengths, precision,
//! JSON syntax. Faults are told by row.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, types};
use arrow_buffer::i256;

use super::convert::is_json;
use crate::bigquery::civil::{DATE_MAX, DATE_MIN, DAY, is_instant};
use crate::bigquery::decimal::{self, BIGNUMERIC_SCALE, NUMERIC_SCALE};
use crate::bigquery::error::RowError;
use crate::bigquery::schema::{Field, FieldType, Mode, TableSchema};

/// At most this many faulty rows are told; Google's list is cut too.
const ROW_ERRORS_MAX: usize = 1_000;

/// The faulty rows of a batch in the canonical Arrow schema of `schema`, the first fault of each.
pub(crate) fn check_rows(schema: &TableSchema, batch: &RecordBatch) -> Vec<RowError> {
    let mut faults = Faults::default();
    for (field, array) in schema.fields.iter().zip(batch.columns()) {
        faults.check_field(field, array.as_ref(), &field.name, &|row| Some(row));
    }
    let errors = faults.0.into_iter().take(ROW_ERRORS_MAX);
    errors.map(|(index, message)| RowError { index, message }).collect()
}

#[derive(Default)]
struct Faults(BTreeMap<usize, String>);

/// From an element's position to its row; `None` if the element is not part of any value.
type RowOf<'a> = &'a dyn Fn(usize) -> Option<usize>;

impl Faults {
    fn add(&mut self, row: usize, message: impl FnOnce() -> String) {
        self.0.entry(row).or_insert_with(message);
    }

    fn check_field(&mut self, field: &Field, array: &dyn Array, path: &str, row_of: RowOf<'_>) {
        match field.mode {
            Mode::Required => {
                self.check_present(array, row_of, || {
                    format!("Field {path}: REQUIRED field has no value")
                });
                self.check_values(field, array, path, row_of);
            }
            Mode::Nullable => self.check_values(field, array, path, row_of),
            Mode::Repeated => {
                let list = array.as_list::<i32>();
                let rows = element_rows(list, row_of);
                let row_of = |at: usize| rows.get(at).copied().flatten();
                let values = list.values().as_ref();
                self.check_present(values, &row_of, || {
                    format!("Field {path}: REPEATED field has a NULL element")
                });
                self.check_values(field, values, path, &row_of);
            }
        }
    }

    fn check_present(
        &mut self,
        array: &dyn Array,
        row_of: RowOf<'_>,
        message: impl Fn() -> String,
    ) {
        if array.null_count() == 0 {
            return;
        }
        for at in (0..array.len()).filter(|at| array.is_null(*at)) {
            if let Some(row) = row_of(at) {
                self.add(row, &message);
            }
        }
    }

    fn check_values(&mut self, field: &Field, array: &dyn Array, path: &str, row_of: RowOf<'_>) {
        match &field.field_type {
            FieldType::Struct(fields) => {
                let record = array.as_struct();
                let present = |at: usize| if record.is_null(at) { None } else { row_of(at) };
                for (field, array) in fields.iter().zip(record.columns()) {
                    let path = format!("{path}.{}", field.name);
                    self.check_field(field, array.as_ref(), &path, &present);
                }
            }
            FieldType::Date => {
                let dates = array.as_primitive::<types::Date32Type>();
                let bad = |at: usize| !(DATE_MIN..=DATE_MAX).contains(&dates.value(at));
                self.check_each(array, row_of, bad, |_| out_of_range(path, "DATE"));
            }
            FieldType::Time => {
                let times = array.as_primitive::<types::Time64MicrosecondType>();
                let bad = |at: usize| !(0..DAY).contains(&times.value(at));
                self.check_each(array, row_of, bad, |_| out_of_range(path, "TIME"));
            }
            FieldType::DateTime | FieldType::Timestamp => {
                let instants = array.as_primitive::<types::TimestampMicrosecondType>();
                let name = field.field_type.rest_name();
                let bad = |at: usize| !is_instant(instants.value(at));
                self.check_each(array, row_of, bad, |_| out_of_range(path, name));
            }
            FieldType::Numeric => {
                let numbers = array.as_primitive::<types::Decimal128Type>();
                self.check_decimals(field, array, path, row_of, NUMERIC_SCALE, |at| {
                    i256::from_i128(numbers.value(at))
                });
            }
            FieldType::BigNumeric => {
                let numbers = array.as_primitive::<types::Decimal256Type>();
                self.check_decimals(field, array, path, row_of, BIGNUMERIC_SCALE, |at| {
                    numbers.value(at)
                });
            }
            FieldType::Json => {
                let texts = array.as_string::<i32>();
                let bad = |at: usize| !is_json(texts.value(at));
                self.check_each(array, row_of, bad, |_| format!("Field {path}: invalid JSON"));
            }
            FieldType::String => {
                let texts = array.as_string::<i32>();
                self.check_lengths(field, array, path, row_of, |at| {
                    texts.value(at).chars().count()
                });
            }
            FieldType::Bytes => {
                let values = array.as_binary::<i32>();
                self.check_lengths(field, array, path, row_of, |at| values.value(at).len());
            }
            FieldType::Int64 | FieldType::Float64 | FieldType::Bool | FieldType::Geography => {}
        }
    }

    fn check_each(
        &mut self,
        array: &dyn Array,
        row_of: RowOf<'_>,
        bad: impl Fn(usize) -> bool,
        message: impl Fn(usize) -> String,
    ) {
        for at in 0..array.len() {
            if !array.is_null(at)
                && bad(at)
                && let Some(row) = row_of(at)
            {
                self.add(row, || message(at));
            }
        }
    }

    fn check_lengths(
        &mut self,
        field: &Field,
        array: &dyn Array,
        path: &str,
        row_of: RowOf<'_>,
        length: impl Fn(usize) -> usize,
    ) {
        let Some(max) = field.max_length else { return };
        let name = field.field_type.rest_name();
        let bad = |at: usize| i64::try_from(length(at)).unwrap_or(i64::MAX) > max;
        self.check_each(array, row_of, bad, |at| {
            format!(
                "Field {path}: {name}({max}) has maximum length {max} but got a value with length {}",
                length(at)
            )
        });
    }

    fn check_decimals(
        &mut self,
        field: &Field,
        array: &dyn Array,
        path: &str,
        row_of: RowOf<'_>,
        type_scale: u32,
        value: impl Fn(usize) -> i256,
    ) {
        let name = field.field_type.rest_name();
        if field.field_type == FieldType::Numeric {
            let bad = |at: usize| decimal::to_numeric(value(at)).is_none();
            self.check_each(array, row_of, bad, |_| out_of_range(path, name));
        }
        let Some(precision) = field.precision else { return };
        let scale = field.scale.unwrap_or(0);
        let digits = |digits: i64| u32::try_from(digits).ok().and_then(decimal::power_of_ten);
        let unit = digits(i64::from(type_scale) - scale);
        let bound = digits(precision - scale + i64::from(type_scale));
        let bad = |at: usize| {
            let value = value(at);
            let fine = unit.is_some_and(|unit| value.wrapping_rem(unit) == i256::ZERO);
            let small = bound.is_none_or(|bound| value.wrapping_abs() < bound);
            !(fine && small)
        };
        self.check_each(array, row_of, bad, |at| {
            let value = decimal::format(value(at), type_scale);
            format!("Field {path}: {name}({precision}, {scale}) cannot hold {value}")
        });
    }
}

fn out_of_range(path: &str, name: &str) -> String {
    format!("Field {path}: value is out of range for {name}")
}

/// The row of each element of a list column.
fn element_rows(list: &arrow_array::ListArray, row_of: RowOf<'_>) -> Vec<Option<usize>> {
    let mut rows = vec![None; list.values().len()];
    for (at, bounds) in list.value_offsets().windows(2).enumerate() {
        if list.is_null(at) {
            continue;
        }
        if let Some(elements) = rows.get_mut(bounds[0] as usize..bounds[1] as usize) {
            elements.fill(row_of(at));
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bigquery::rows::build_batch;
    use crate::bigquery::value::Value;

    fn faults(fields: Vec<Field>, rows: &[Vec<Value>]) -> Vec<(usize, String)> {
        let schema = TableSchema::new(fields);
        let batch = build_batch(&schema, rows).unwrap();
        check_rows(&schema, &batch).into_iter().map(|error| (error.index, error.message)).collect()
    }

    #[test]
    fn missing_required_values_are_told_by_row() {
        let fields = vec![Field::required("id", FieldType::String)];
        let rows = [vec![Value::string("a")], vec![Value::Null], vec![Value::Null]];
        let faults = faults(fields, &rows);
        assert_eq!(faults.iter().map(|fault| fault.0).collect::<Vec<_>>(), vec![1, 2]);
        assert!(faults[0].1.contains("Field id"), "{faults:?}");
    }

    #[test]
    fn nested_faults_find_their_row() {
        let record = FieldType::Struct(vec![Field::required("n", FieldType::Int64)]);
        let fields = vec![Field::repeated("r", record.clone()), Field::nullable("s", record)];
        let element = |value| Value::Struct(Arc::from([value]));
        let list = |values: Vec<Value>| Value::Array(values.into());
        let rows = [
            vec![list(vec![element(Value::Int64(1))]), Value::Null],
            vec![list(vec![element(Value::Int64(1)), element(Value::Null)]), Value::Null],
            vec![list(vec![Value::Null]), element(Value::Int64(2))],
            vec![list(vec![]), element(Value::Null)],
        ];
        let faults = faults(fields, &rows);
        assert_eq!(faults.iter().map(|fault| fault.0).collect::<Vec<_>>(), vec![1, 2, 3]);
        assert!(faults[0].1.contains("r.n") && faults[2].1.contains("s.n"), "{faults:?}");
    }

    #[test]
    fn ranges_lengths_precision_and_json_are_checked() {
        let mut text = Field::nullable("t", FieldType::String);
        text.max_length = Some(2);
        let mut money = Field::nullable("m", FieldType::Numeric);
        (money.precision, money.scale) = (Some(4), Some(2));
        let fields = vec![
            text,
            money,
            Field::nullable("at", FieldType::Timestamp),
            Field::nullable("j", FieldType::Json),
            Field::nullable("f", FieldType::Float64),
        ];
        let row = |text: &str, money: i128, at: i64, json: &str| {
            vec![
                Value::string(text),
                Value::Numeric(money * 1_000_000),
                Value::Timestamp(at),
                Value::Json(json.into()),
                Value::Float64(f64::NAN),
            ]
        };
        let rows = [
            row("éé", 99_990, 0, "[1]"),
            row("abc", 0, 0, "1"),
            row("", 99_995, 0, "1"),
            row("", 100_000, 0, "1"),
            row("", 0, i64::MAX, "1"),
            row("", 0, 0, "{"),
        ];
        let faults = faults(fields, &rows);
        assert_eq!(faults.iter().map(|fault| fault.0).collect::<Vec<_>>(), vec![1, 2, 3, 4, 5]);
        assert!(faults[0].1.contains("has maximum length 2 but got a value with length 3"));
        assert!(faults[1].1.contains("cannot hold 99.995"), "{faults:?}");
    }
}
