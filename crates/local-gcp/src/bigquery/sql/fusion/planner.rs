//! What DataFusion's planner asks of us: tables, functions, how to compare, what UNNEST is.

use std::sync::Arc;

use arrow_schema::DataType as ArrowType;
use datafusion::catalog::TableProvider;
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, Result as FusionResult, TableReference, plan_err};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionStateDefaults;
use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::functions_window::all_default_window_functions;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, PlannerResult, RawBinaryExpr, RelationPlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, BinaryExpr, Expr, ExprSchemable, HigherOrderUDF, Operator, ScalarUDF,
    TableSource, WindowUDF,
};
use sqlparser::ast::{BinaryOperator, CastKind, Expr as SqlExpr, Ident};

use super::super::types::DataType;
use super::expressions::binary;
use super::from::table_place;
use super::lateral::Unnesting;
use super::template::{Registry, failure, hole};
use super::types::data_type;

/// The surroundings of one query.
pub(super) struct Surroundings {
    registry: Arc<Registry>,
    tables: Vec<Arc<dyn TableProvider>>,
    options: ConfigOptions,
    expressions: Vec<Arc<dyn ExprPlanner>>,
    relations: Vec<Arc<dyn RelationPlanner>>,
    aggregates: Vec<Arc<AggregateUDF>>,
    windows: Vec<Arc<WindowUDF>>,
}

impl Surroundings {
    pub(super) fn new(
        registry: Arc<Registry>,
        tables: Vec<Arc<dyn TableProvider>>,
        options: ConfigOptions,
    ) -> Self {
        let equality: Arc<dyn ExprPlanner> = Arc::new(Equality(Arc::clone(&registry)));
        let defaults = SessionStateDefaults::default_expr_planners();
        Self {
            expressions: std::iter::once(equality).chain(defaults).collect(),
            relations: vec![Arc::new(Unnesting(Arc::clone(&registry)))],
            registry,
            tables,
            options,
            aggregates: all_default_aggregate_functions(),
            windows: all_default_window_functions(),
        }
    }
}

impl ContextProvider for Surroundings {
    fn get_table_source(&self, name: TableReference) -> FusionResult<Arc<dyn TableSource>> {
        match table_place(name.table()).and_then(|at| self.tables.get(at)) {
            Some(table) => Ok(provider_as_source(Arc::clone(table))),
            None => plan_err!("Unknown table {name}"),
        }
    }

    fn create_cte_work_table(
        &self,
        name: &str,
        schema: arrow_schema::SchemaRef,
    ) -> FusionResult<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expressions
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.registry.template_named(name)
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let own = self.registry.aggregate_named(name);
        own.or_else(|| self.aggregates.iter().find(|known| known.name() == name).cloned())
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.windows.iter().find(|known| known.name() == name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<ArrowType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.options
    }

    fn udf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.aggregates.iter().map(|known| known.name().to_owned()).collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.windows.iter().map(|known| known.name().to_owned()).collect()
    }
}

/// Leaves `=` to DataFusion where it means the same: its joins then hash. Other types are brought to one, or compared by
/// a template.
#[derive(Debug)]
struct Equality(Arc<Registry>);

impl ExprPlanner for Equality {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> FusionResult<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::Eq {
            return Ok(PlannerResult::Original(expr));
        }
        let of = |side: &Expr| data_type(&side.to_field(schema)?.1).map_err(failure);
        let (left, right) = (of(&expr.left)?, of(&expr.right)?);
        if left == right && is_bitwise(&left) {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { left: left_side, right: right_side, .. } = expr;
        let common = match (exact_rank(&left), exact_rank(&right)) {
            (Some(left_rank), Some(right_rank)) if left_rank < right_rank => Some(right),
            (Some(_), Some(_)) => Some(left),
            _ => None,
        };
        Ok(PlannerResult::Planned(match common {
            Some(common) => Expr::BinaryExpr(BinaryExpr::new(
                Box::new(self.cast(left_side, &common)),
                Operator::Eq,
                Box::new(self.cast(right_side, &common)),
            )),
            None => {
                let sides = [0, 1].map(|at| SqlExpr::Identifier(hole(at)));
                let [left, right] = sides;
                let equal = self.0.template(binary(left, BinaryOperator::Eq, right));
                equal.call(vec![left_side, right_side])
            }
        }))
    }
}

impl Equality {
    fn cast(&self, side: Expr, target: &DataType) -> Expr {
        let name = sqlparser::ast::ObjectName::from(vec![Ident::new(target.to_string())]);
        let cast = SqlExpr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(SqlExpr::Identifier(hole(0))),
            data_type: sqlparser::ast::DataType::Custom(name, Vec::new()),
            array: false,
            format: None,
        };
        self.0.template(cast).call(vec![side])
    }
}

/// Whether values of a type are equal in SQL just if they are in memory. Doubles are not: NaN, and two zeros.
fn is_bitwise(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Float64
            | DataType::Json
            | DataType::Geography
            | DataType::Struct(_)
            | DataType::Array(_)
    )
}

/// Place among the exact numbers, each of which holds the ones before it.
fn exact_rank(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int64 => Some(0),
        DataType::Numeric => Some(1),
        DataType::BigNumeric => Some(2),
        _ => None,
    }
}
