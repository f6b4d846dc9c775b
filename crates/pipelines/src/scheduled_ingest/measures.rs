//! [`MeasureFn`]: the configured aggregates of a group as one `CombineFn`, and [`GroupKey`], what is grouped by.

use std::sync::Arc;

use millstream::combine::CombineFn;
use serde::{Deserialize, Serialize};

use super::config::Aggregate;
use super::row::Cell;

/// The value of a field that is grouped by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyCell {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
}

/// The values of the fields that are grouped by.
pub type GroupKey = Vec<KeyCell>;

impl KeyCell {
    /// The value as a key; floating point numbers, which are none, count as no value.
    pub(super) fn of(cell: &Cell) -> Self {
        match cell {
            Cell::Null | Cell::Float(_) => Self::Null,
            Cell::Bool(value) => Self::Bool(*value),
            Cell::Int(value) => Self::Int(*value),
            Cell::Text(value) => Self::Text(value.clone()),
        }
    }
}

impl From<KeyCell> for Cell {
    fn from(key: KeyCell) -> Self {
        match key {
            KeyCell::Null => Self::Null,
            KeyCell::Bool(value) => Self::Bool(value),
            KeyCell::Int(value) => Self::Int(value),
            KeyCell::Text(value) => Self::Text(value),
        }
    }
}

/// Computes the configured aggregates; an input holds one cell for each of them.
#[derive(Clone, Debug)]
pub struct MeasureFn {
    aggregates: Arc<[Aggregate]>,
}

impl MeasureFn {
    /// Computes `aggregates`.
    #[must_use]
    pub fn new(aggregates: impl IntoIterator<Item = Aggregate>) -> Self {
        Self { aggregates: aggregates.into_iter().collect() }
    }
}

/// What is kept for one aggregate.
///
/// Sums of whole numbers are exact, so that their sum and mean do not depend on the order in which messages come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Partial {
    /// Messages counted.
    Count(u64),
    /// Known values and their sum, whole and fractional numbers apart.
    Total {
        /// Known values.
        count: u64,
        /// Sum of the whole numbers.
        ints: i128,
        /// Sum of the others; `None` while there is none.
        floats: Option<f64>,
    },
    /// The least or greatest value so far.
    Extreme(Cell),
}

impl Partial {
    fn new(aggregate: Aggregate) -> Self {
        match aggregate {
            Aggregate::Count | Aggregate::CountKnown | Aggregate::CountNull => Self::Count(0),
            Aggregate::Sum | Aggregate::Mean => Self::Total { count: 0, ints: 0, floats: None },
            Aggregate::Min | Aggregate::Max => Self::Extreme(Cell::Null),
        }
    }

    fn add(&mut self, aggregate: Aggregate, cell: Cell) {
        match self {
            Self::Count(count) => {
                let counts = match aggregate {
                    Aggregate::CountKnown => !cell.is_null(),
                    Aggregate::CountNull => cell.is_null(),
                    _ => true,
                };
                *count += u64::from(counts);
            }
            Self::Total { count, ints, floats } => match cell {
                Cell::Int(value) => {
                    *ints += i128::from(value);
                    *count += 1;
                }
                Cell::Float(value) => {
                    *floats = Some(floats.unwrap_or(0.0) + value);
                    *count += 1;
                }
                Cell::Null | Cell::Bool(_) | Cell::Text(_) => {}
            },
            Self::Extreme(best) => {
                if is_better(aggregate, &cell, best) {
                    *best = cell;
                }
            }
        }
    }

    fn merge(&mut self, aggregate: Aggregate, other: Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (
                Self::Total { count, ints, floats },
                Self::Total { count: more, ints: more_ints, floats: more_floats },
            ) => {
                *count += more;
                *ints += more_ints;
                if let Some(value) = more_floats {
                    *floats = Some(floats.unwrap_or(0.0) + value);
                }
            }
            (Self::Extreme(best), Self::Extreme(cell)) => {
                if is_better(aggregate, &cell, best) {
                    *best = cell;
                }
            }
            // Both were made by the same configuration.
            (own, other) => debug_assert!(false, "{own:?} cannot take {other:?}"),
        }
    }

    fn output(&self, aggregate: Aggregate) -> Cell {
        match self {
            Self::Count(count) => Cell::Int(i64::try_from(*count).unwrap_or(i64::MAX)),
            Self::Total { count: 0, .. } => Cell::Null,
            Self::Total { ints, floats: None, .. } if aggregate == Aggregate::Sum => {
                let bounds = (i128::from(i64::MIN), i128::from(i64::MAX));
                Cell::Int(i64::try_from((*ints).clamp(bounds.0, bounds.1)).unwrap_or(i64::MAX))
            }
            #[allow(clippy::cast_precision_loss, reason = "means and mixed sums are FLOAT64")]
            Self::Total { count, ints, floats } => {
                let sum = *ints as f64 + floats.unwrap_or(0.0);
                Cell::Float(if aggregate == Aggregate::Mean { sum / *count as f64 } else { sum })
            }
            Self::Extreme(best) => best.clone(),
        }
    }
}

fn is_better(aggregate: Aggregate, cell: &Cell, best: &Cell) -> bool {
    let ordering = match (cell, best) {
        (Cell::Null, _) => return false,
        (_, Cell::Null) => return true,
        (Cell::Int(cell), Cell::Int(best)) => Some(cell.cmp(best)),
        (cell, best) => cell.as_float().partial_cmp(&best.as_float()),
    };
    let wanted = match aggregate {
        Aggregate::Min => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Greater,
    };
    ordering == Some(wanted)
}

impl CombineFn<Vec<Cell>> for MeasureFn {
    type Accumulator = Vec<Partial>;
    type Output = Vec<Cell>;

    fn create_accumulator(&self) -> Vec<Partial> {
        self.aggregates.iter().map(|aggregate| Partial::new(*aggregate)).collect()
    }

    fn add_input(&self, accumulator: &mut Vec<Partial>, input: Vec<Cell>) {
        for ((partial, aggregate), cell) in accumulator.iter_mut().zip(&*self.aggregates).zip(input)
        {
            partial.add(*aggregate, cell);
        }
    }

    fn merge(&self, accumulator: &mut Vec<Partial>, other: Vec<Partial>) {
        for ((partial, aggregate), other) in
            accumulator.iter_mut().zip(&*self.aggregates).zip(other)
        {
            partial.merge(*aggregate, other);
        }
    }

    fn extract_output(&self, accumulator: &Vec<Partial>) -> Vec<Cell> {
        let partials = accumulator.iter().zip(&*self.aggregates);
        partials.map(|(partial, aggregate)| partial.output(*aggregate)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Aggregate; 7] = [
        Aggregate::Count,
        Aggregate::CountKnown,
        Aggregate::CountNull,
        Aggregate::Sum,
        Aggregate::Mean,
        Aggregate::Min,
        Aggregate::Max,
    ];

    /// All aggregates of `cells`, which are spread over `parts` accumulators that are merged.
    fn aggregates(cells: &[Cell], parts: usize) -> Vec<Cell> {
        let combine = MeasureFn::new(ALL);
        let mut accumulators = vec![combine.create_accumulator(); parts];
        for (index, cell) in cells.iter().enumerate() {
            combine.add_input(&mut accumulators[index % parts], vec![cell.clone(); ALL.len()]);
        }
        let mut whole = combine.create_accumulator();
        for part in accumulators {
            let bytes = millstream::coder::encode(&part).unwrap();
            combine.merge(&mut whole, millstream::coder::decode(&bytes).unwrap());
        }
        combine.extract_output(&whole)
    }

    #[test]
    fn nulls_are_counted_and_left_out_of_the_rest() {
        let cells = [Cell::Int(2), Cell::Null, Cell::Int(-5), Cell::Int(6)];
        let expected = vec![
            Cell::Int(4),
            Cell::Int(3),
            Cell::Int(1),
            Cell::Int(3),
            Cell::Float(1.0),
            Cell::Int(-5),
            Cell::Int(6),
        ];
        for parts in 1..4 {
            assert_eq!(aggregates(&cells, parts), expected, "{parts} parts");
        }
    }

    #[test]
    fn what_has_no_known_value_is_null() {
        let nothing = [Cell::Null, Cell::Null, Cell::Null, Cell::Null];
        assert_eq!(aggregates(&[Cell::Null], 2)[3..], nothing);
        assert_eq!(aggregates(&[], 1)[..3], [Cell::Int(0), Cell::Int(0), Cell::Int(0)]);
    }

    #[test]
    fn sums_of_whole_numbers_are_exact_beyond_what_floats_hold() {
        let cells = [Cell::Int(i64::MAX), Cell::Int(1), Cell::Int(-2)];
        assert_eq!(aggregates(&cells, 2)[3], Cell::Int(i64::MAX - 1));
        assert_eq!(aggregates(&[Cell::Float(0.5), Cell::Float(1.0)], 1)[3], Cell::Float(1.5));
    }
}
