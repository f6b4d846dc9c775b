//! UNNEST in FROM: plans it, and turns joins with it into the unnesting of a column.
//!
//! DataFusion plans `t, UNNEST(t.items)` as a join with a subquery that refers to `t`, which it cannot run. Here the
//! subquery has a form of our own making, and [`flatten`] replaces the join by an unnested column of `t`.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    Column, DFSchema, NullHandling, Result as FusionResult, UnnestOptions, plan_err,
};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::logical_plan::{Join, JoinType, Subquery, SubqueryAlias};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use sqlparser::ast::{Expr as SqlExpr, Ident, TableAlias, TableFactor};

use super::super::error::SqlError;
use super::super::types::DataType;
use super::from::UNNAMED;
use super::numbered::numbered;
use super::scope::ELEMENT;
use super::template::{Registry, failure, hole};
use super::types::data_type;

/// The column that holds the elements with their numbers.
const ITEMS: &str = "__items";

/// Plans UNNEST.
#[derive(Debug)]
pub(super) struct Unnesting(pub(super) Arc<Registry>);

impl RelationPlanner for Unnesting {
    fn plan_relation(
        &self,
        relation: TableFactor,
        ctx: &mut dyn RelationPlannerContext,
    ) -> FusionResult<RelationPlanning> {
        let TableFactor::UNNEST { alias, mut array_exprs, with_offset_alias, .. } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(array) = array_exprs.pop() else { return plan_err!("UNNEST needs an array") };
        let nothing = DFSchema::empty();
        let array = ctx.sql_expr_to_logical_expr(array, &nothing)?;
        let field = array.to_field(&nothing)?.1;
        let DataType::Array(item) = data_type(&field).map_err(failure)? else {
            let message = "Values referenced in UNNEST must be arrays";
            return Err(failure(SqlError::query(message)));
        };
        let input = LogicalPlanBuilder::empty(true).build()?;
        let items = unnested(input, array, NullHandling::Drop)?;
        let named = alias.as_ref().filter(|alias| !alias.name.value.starts_with(UNNAMED));
        let outputs = self.outputs(&item, named, with_offset_alias.as_ref());
        let plan = LogicalPlanBuilder::from(items).project(outputs)?.build()?;
        let alias = alias.map(|alias| TableAlias { columns: Vec::new(), ..alias });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

impl Unnesting {
    /// The columns of an UNNEST: the element or its fields, the offset if wanted, and the element once more for those
    /// who name it.
    fn outputs(
        &self,
        item: &DataType,
        alias: Option<&TableAlias>,
        offset: Option<&Ident>,
    ) -> Vec<Expr> {
        let mut outputs = Vec::new();
        match item {
            DataType::Struct(fields) => {
                for field in fields.iter().filter(|field| !field.name.is_empty()) {
                    let name = self.0.spell(&field.name);
                    outputs.push(self.part(&["element", &field.name]).alias(name));
                }
            }
            _ => {
                let name = alias.map_or("f0_", |alias| &alias.name.value);
                outputs.push(self.part(&["element"]).alias(name));
            }
        }
        if let Some(offset) = offset {
            outputs.push(self.part(&["number"]).alias(offset.value.as_str()));
        }
        if alias.is_some() {
            outputs.push(self.part(&["element"]).alias(ELEMENT));
        }
        outputs
    }

    fn part(&self, path: &[&str]) -> Expr {
        let path = path.iter().map(|name| Ident::with_quote('`', *name));
        let path = std::iter::once(hole(0)).chain(path).collect();
        let template = self.0.template(SqlExpr::CompoundIdentifier(path));
        template.call(vec![Expr::Column(Column::new_unqualified(ITEMS))])
    }
}

/// The rows of a plan, each once for every element of an array.
fn unnested(
    input: LogicalPlan,
    array: Expr,
    null_handling: NullHandling,
) -> FusionResult<LogicalPlan> {
    let columns = input.schema().columns().into_iter().map(Expr::Column);
    let columns: Vec<_> = columns.chain([numbered().call(vec![array]).alias(ITEMS)]).collect();
    let options = UnnestOptions { null_handling, recursions: Vec::new() };
    LogicalPlanBuilder::from(input)
        .project(columns)?
        .unnest_column_with_options(Column::new_unqualified(ITEMS), options)?
        .build()
}

/// Replaces all joins with an UNNEST that refers to the other side.
pub(super) fn flatten(plan: LogicalPlan) -> FusionResult<LogicalPlan> {
    let flat = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) => match referring(&join.right)? {
            Some((array, outputs)) => Ok(Transformed::yes(flat_join(join, array, outputs)?)),
            None => Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(flat.data)
}

/// The array and the outputs of a subquery that [`Unnesting`] made.
fn referring(plan: &LogicalPlan) -> FusionResult<Option<(Expr, Vec<Expr>)>> {
    let mut plan = plan;
    while let LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) = plan {
        plan = input;
    }
    let LogicalPlan::Subquery(Subquery { subquery, .. }) = plan else { return Ok(None) };
    let mut inner = subquery.as_ref();
    while let LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) = inner {
        inner = input;
    }
    let LogicalPlan::Projection(outputs) = inner else { return Ok(None) };
    let LogicalPlan::Unnest(unnest) = outputs.input.as_ref() else { return Ok(None) };
    let LogicalPlan::Projection(items) = unnest.input.as_ref() else { return Ok(None) };
    let [Expr::Alias(Alias { expr: items, .. })] = items.expr.as_slice() else { return Ok(None) };
    let Expr::ScalarFunction(call) = items.as_ref() else { return Ok(None) };
    let [array] = call.args.as_slice() else { return Ok(None) };
    let array = array.clone().transform_up(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    })?;
    Ok(Some((array.data, outputs.expr.clone())))
}

/// A join with an UNNEST of one of its columns, without the join.
fn flat_join(join: Join, array: Expr, outputs: Vec<Expr>) -> FusionResult<LogicalPlan> {
    let (outer, condition) = match join.join_type {
        JoinType::Inner => (false, join.filter),
        JoinType::Left
            if join.filter.is_none_or(|filter| filter == lit(true)) && join.on.is_empty() =>
        {
            (true, None)
        }
        _ => {
            let message = "LEFT JOIN UNNEST with a condition";
            return Err(failure(SqlError::unsupported(message)));
        }
    };
    let conditions = join.on.into_iter().map(|(left, right)| left.eq(right)).chain(condition);
    let handling = if outer { NullHandling::PreserveAndExpandEmpty } else { NullHandling::Drop };
    let left_width = join.left.schema().fields().len();
    let items = unnested(Arc::unwrap_or_clone(join.left), array, handling)?;
    let kept: Vec<_> = items.schema().columns().into_iter().take(left_width).collect();
    let kept = kept.into_iter().map(Expr::Column);
    let made = join.schema.iter().skip(left_width).zip(outputs);
    let made = made.map(|((qualifier, field), output)| {
        output.unalias().alias_qualified(qualifier.cloned(), field.name())
    });
    let plan = LogicalPlanBuilder::from(items).project(kept.chain(made).collect::<Vec<_>>())?;
    conditions.into_iter().try_fold(plan, LogicalPlanBuilder::filter)?.build()
}
