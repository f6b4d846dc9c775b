//! GROUP BY while binding: which expressions are keys, and which aggregates have been asked for.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
};

use super::aggregate::{Aggregate, Kind};
use super::bind::{Binder, Result};
use super::error::{SqlError, name_place};
use super::expression::{Bound, Node};
use super::operators::{coerce, no_signature};
use super::types::DataType;

/// The keys and aggregates of a grouped SELECT. A group's row has the keys first, then the aggregates.
#[derive(Clone, Debug, Default)]
pub(super) struct Grouping<'a> {
    /// As written, and as bound to the input row.
    keys: Vec<(&'a Expr, Bound)>,
    pub(super) aggregates: Vec<Aggregate>,
}

impl<'a> Grouping<'a> {
    pub(super) fn new(keys: Vec<(&'a Expr, Bound)>) -> Self {
        Self { keys, aggregates: Vec::new() }
    }

    /// What the keys are on an input row.
    pub(super) fn key_nodes(&self) -> Vec<Node> {
        self.keys.iter().map(|(_, bound)| bound.node.clone()).collect()
    }

    /// The key that is written like this expression, on a group's row.
    pub(super) fn key_of(&self, expr: &Expr) -> Option<Bound> {
        let at = self.keys.iter().position(|(key, _)| *key == expr)?;
        Some(self.key(at))
    }

    /// The key that is the same column or field as this node, on a group's row.
    pub(super) fn key_like(&self, node: &Node) -> Option<Bound> {
        let wanted = path(node)?;
        let at =
            self.keys.iter().position(|(_, bound)| path(&bound.node).as_ref() == Some(&wanted))?;
        Some(self.key(at))
    }

    fn key(&self, at: usize) -> Bound {
        Bound::new(Node::Column(at), self.keys[at].1.data_type.clone())
    }

    fn add(&mut self, aggregate: Aggregate) -> Bound {
        let data_type = aggregate.result_type.clone();
        self.aggregates.push(aggregate);
        Bound::new(Node::Column(self.keys.len() + self.aggregates.len() - 1), data_type)
    }
}

/// A column and the fields followed from it; `None` for other nodes.
fn path(node: &Node) -> Option<Vec<usize>> {
    match node {
        Node::Column(index) => Some(vec![*index]),
        Node::Field(record, index) => {
            let mut path = path(record)?;
            path.push(*index);
            Some(path)
        }
        _ => None,
    }
}

/// Whether a function aggregates.
pub(super) fn is_aggregate(name: &str) -> bool {
    Kind::named(name).is_some()
}

impl Binder<'_> {
    /// Binds an aggregate function: its argument sees rows, its result belongs to the group.
    pub(super) fn bind_aggregate(&mut self, name: &str, function: &Function) -> Result<Bound> {
        let Some(mut grouping) = self.grouping.take() else {
            self.saw_aggregate = true;
            return Err(SqlError::at(
                format!("Aggregate function {name} not allowed here"),
                name_place(&function.name),
            ));
        };
        // Aliases of the SELECT list are not visible inside an aggregate.
        let aliases = std::mem::take(&mut self.aliases);
        let aggregate = self.make_aggregate(name, function);
        self.aliases = aliases;
        let bound = aggregate.map(|aggregate| grouping.add(aggregate));
        self.grouping = Some(grouping);
        bound
    }

    fn make_aggregate(&mut self, name: &str, function: &Function) -> Result<Aggregate> {
        if function.filter.is_some() || !function.within_group.is_empty() {
            return Err(SqlError::unsupported(format!("FILTER or WITHIN GROUP of {name}")));
        }
        let FunctionArguments::List(list) = &function.args else {
            return Err(SqlError::query(format!("{name} needs an argument")));
        };
        if !list.clauses.is_empty() || function.null_treatment.is_some() {
            return Err(SqlError::unsupported(format!("A modifier in the arguments of {name}")));
        }
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let kind = Kind::named(name).ok_or_else(|| SqlError::unsupported(name))?;
        match (list.args.as_slice(), kind) {
            ([FunctionArg::Unnamed(FunctionArgExpr::Wildcard)], Kind::Count) if !distinct => {
                Ok(Aggregate { kind, argument: None, distinct, result_type: DataType::Int64 })
            }
            ([FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))], _) => {
                let bound = self.bind(expr).map_err(|error| match self.saw_aggregate {
                    true => SqlError::at(
                        "Aggregations of aggregations are not allowed",
                        name_place(&function.name),
                    ),
                    false => error,
                })?;
                aggregate_of(name, kind, bound, distinct)
                    .map_err(|error| error.located(name_place(&function.name)))
            }
            _ => {
                Err(SqlError::at(format!("{name} takes one argument"), name_place(&function.name)))
            }
        }
    }
}

/// An aggregate of an argument, if the function takes its type.
pub(super) fn aggregate_of(
    name: &str,
    kind: Kind,
    bound: Bound,
    distinct: bool,
) -> Result<Aggregate> {
    let mismatch =
        |bound: &Bound| no_signature(&format!("aggregate function {name}"), [bound].into_iter());
    let (bound, result_type) = match kind {
        Kind::Count | Kind::AnyValue | Kind::ArrayAgg | Kind::CountDistinct => {
            let result = match kind {
                Kind::AnyValue => bound.data_type.clone(),
                Kind::ArrayAgg if !matches!(bound.data_type, DataType::Array(_)) => {
                    DataType::Array(bound.data_type.clone().into())
                }
                Kind::ArrayAgg => return Err(mismatch(&bound)),
                _ => DataType::Int64,
            };
            (bound, result)
        }
        Kind::CountIf | Kind::LogicalAnd | Kind::LogicalOr => {
            if bound.data_type != DataType::Bool && !bound.is_null_literal() {
                return Err(mismatch(&bound));
            }
            let result = if kind == Kind::CountIf { DataType::Int64 } else { DataType::Bool };
            (bound, result)
        }
        Kind::Min | Kind::Max => {
            if !bound.data_type.is_orderable() {
                return Err(mismatch(&bound));
            }
            let result = bound.data_type.clone();
            (bound, result)
        }
        Kind::Sum => {
            if !bound.data_type.is_numeric() {
                return Err(mismatch(&bound));
            }
            let result = bound.data_type.clone();
            (bound, result)
        }
        Kind::Average => match bound.data_type.clone() {
            DataType::Int64 => (coerce(bound, &DataType::Float64)?, DataType::Float64),
            numeric if numeric.is_numeric() => (bound, numeric),
            _ => return Err(mismatch(&bound)),
        },
    };
    let distinct = distinct || kind == Kind::CountDistinct;
    if distinct && !bound.data_type.is_groupable() {
        return Err(SqlError::query(format!(
            "Aggregate functions with DISTINCT cannot be used with arguments of type {}",
            bound.data_type
        )));
    }
    Ok(Aggregate { kind, argument: Some(bound.node), distinct, result_type })
}
