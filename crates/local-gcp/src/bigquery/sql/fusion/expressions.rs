//! Rewrites expressions: what our evaluator knows becomes templates; columns, aggregates, window functions and subqueries
//! stay with DataFusion.

use sqlparser::ast::{
    AccessExpr, BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, NullTreatment,
    ObjectName, OrderByExpr, UnaryOperator, Value as Literal, WindowSpec, WindowType,
};

use super::super::error::SqlError;
use super::aggregates::{Function as AggregateFunction, SortOrder, Spec};
use super::children::{argument_mut, children_mut};
use super::elements::subquery_mut;
use super::rewrite::{Result, Rewriter};
use super::template::hole;

/// Aggregate functions that are DataFusion's, by the name it has for them.
const FOREIGN_AGGREGATES: &[(&str, &str)] = &[
    ("STDDEV", "stddev"),
    ("STDDEV_SAMP", "stddev"),
    ("STDDEV_POP", "stddev_pop"),
    ("VARIANCE", "var"),
    ("VAR_SAMP", "var"),
    ("VAR_POP", "var_pop"),
    ("CORR", "corr"),
    ("COVAR_SAMP", "covar_samp"),
    ("COVAR_POP", "covar_pop"),
    ("BIT_AND", "bit_and"),
    ("BIT_OR", "bit_or"),
    ("BIT_XOR", "bit_xor"),
    ("GROUPING", "grouping"),
];

/// Where a condition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joining {
    /// Several tables meet: DataFusion must see which columns are equal.
    Several,
    /// One table: the condition may be one template.
    One,
}

impl Rewriter<'_> {
    /// An expression that yields a value.
    pub(super) fn scalar(&mut self, expr: &Expr) -> Result<Expr> {
        if let Expr::Value(literal) = expr
            && literal.value == Literal::Null
        {
            // A bare NULL takes any type.
            return Ok(expr.clone());
        }
        let mut leaves = Vec::new();
        let mut template = expr.clone();
        self.cut(&mut template, &mut leaves)?;
        match (without_parentheses(&template), leaves.as_slice()) {
            // A window function's integers are unsigned in DataFusion: the template makes them INT64.
            (Expr::Identifier(name), [leaf]) if *name == hole(0) && !is_window(leaf) => {
                Ok(leaf.clone())
            }
            _ => Ok(self.call_of(template, leaves)),
        }
    }

    fn call_of(&self, template: Expr, leaves: Vec<Expr>) -> Expr {
        let function = self.registry.template(template);
        call(function.name(), leaves)
    }

    /// Cuts all that is DataFusion's out of an expression and leaves holes.
    pub(super) fn cut(&mut self, expr: &mut Expr, leaves: &mut Vec<Expr>) -> Result<()> {
        self.descend()?;
        // Chains of conditions may be long: down their left side goes a loop.
        let mut rest = expr;
        while self.keys.is_empty() && is_connection(rest) {
            let Expr::BinaryOp { left, right, .. } = rest else { break };
            self.cut(right, leaves)?;
            rest = left;
        }
        self.cut_here(rest, leaves)?;
        self.ascend();
        Ok(())
    }

    fn cut_here(&mut self, expr: &mut Expr, leaves: &mut Vec<Expr>) -> Result<()> {
        name_fields(expr);
        if let Some(query) = subquery_mut(expr)
            && self.is_over_elements(query)
        {
            return self.cut_elements(query, leaves);
        }
        if let Some(leaf) = self.leaf(expr)? {
            *expr = Expr::Identifier(hole(place_of(leaf, leaves)));
            return Ok(());
        }
        if let Expr::Identifier(_) | Expr::CompoundIdentifier(_) = expr {
            self.cut_path(expr, leaves);
            return Ok(());
        }
        if let Expr::CompoundFieldAccess { root, access_chain } = expr
            && let Expr::Identifier(first) = root.as_ref()
            && !is_parameter(first)
        {
            let dots = access_chain.iter().map_while(|access| match access {
                AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
                _ => None,
            });
            let path: Vec<_> = std::iter::once(first.clone()).chain(dots).collect();
            if let Some((leaf, fields)) = self.scopes.column(&path) {
                access_chain.drain(..path.len() - 1 - fields.len());
                **root = Expr::Identifier(hole(place_of(leaf, leaves)));
            }
            let mut indexes = children_mut(expr)?.into_iter().skip(1);
            return indexes.try_for_each(|index| self.cut(index, leaves));
        }
        children_mut(expr)?.into_iter().try_for_each(|child| self.cut(child, leaves))
    }

    /// A column, perhaps with fields.
    fn cut_path(&self, expr: &mut Expr, leaves: &mut Vec<Expr>) {
        let path = match expr {
            Expr::Identifier(name) => std::slice::from_ref(name),
            Expr::CompoundIdentifier(path) => path.as_slice(),
            _ => return,
        };
        if path.first().is_none_or(is_parameter) {
            return;
        }
        let Some((leaf, fields)) = self.scopes.column(path) else { return };
        let name = hole(place_of(leaf, leaves));
        *expr = match fields {
            [] => Expr::Identifier(name),
            fields => {
                Expr::CompoundIdentifier(std::iter::once(name).chain(fields.to_vec()).collect())
            }
        };
    }

    /// The expression as DataFusion computes it, if it does as a whole.
    fn leaf(&mut self, expr: &Expr) -> Result<Option<Expr>> {
        if self.scopes.is_inner() {
            return Ok(None);
        }
        if let Some((_, key)) = self.keys.iter().find(|(key, _)| key == expr) {
            return Ok(Some(key.clone()));
        }
        Ok(match expr {
            Expr::Function(function) if function.over.is_some() => {
                Some(self.window_function(function)?)
            }
            Expr::Function(function) => self.aggregate(function, false)?.map(Expr::Function),
            Expr::Subquery(query) => Some(Expr::Subquery(Box::new(self.subquery(query)?))),
            Expr::Exists { subquery, negated } => Some(Expr::Exists {
                subquery: Box::new(self.subquery(subquery)?),
                negated: *negated,
            }),
            Expr::InSubquery { expr, subquery, negated } => Some(Expr::InSubquery {
                expr: Box::new(self.scalar(expr)?),
                subquery: Box::new(self.subquery(subquery)?),
                negated: *negated,
            }),
            _ => None,
        })
    }

    /// A condition of WHERE, ON, HAVING or QUALIFY.
    pub(super) fn condition(&mut self, expr: &Expr, joining: Joining) -> Result<Expr> {
        if joining == Joining::One && !has_predicate_subquery(expr) {
            return self.scalar(expr);
        }
        let terms = self.terms(expr, joining)?;
        Ok(terms.into_iter().reduce(|left, right| binary(left, BinaryOperator::And, right)))
            .and_then(|all| all.ok_or_else(|| SqlError::query("Empty condition")))
    }

    /// The terms of a chain of ANDs.
    fn terms(&mut self, expr: &Expr, joining: Joining) -> Result<Vec<Expr>> {
        let mut found = Vec::new();
        let mut rest = vec![expr];
        while let Some(term) = rest.pop() {
            match term {
                Expr::Nested(inner) => rest.push(inner),
                Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                    rest.extend([right.as_ref(), left.as_ref()]);
                }
                other => found.push(self.term(other, joining)?),
            }
        }
        Ok(found)
    }

    fn term(&mut self, expr: &Expr, joining: Joining) -> Result<Expr> {
        match expr {
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right }
                if joining == Joining::Several && !(is_constant(left) || is_constant(right)) =>
            {
                let (left, right) = (self.scalar(left)?, self.scalar(right)?);
                Ok(binary(left, BinaryOperator::Eq, right))
            }
            Expr::BinaryOp { left, op: BinaryOperator::Or, right }
                if has_predicate_subquery(expr) =>
            {
                let (left, right) =
                    (self.condition(left, joining)?, self.condition(right, joining)?);
                Ok(Expr::Nested(Box::new(binary(left, BinaryOperator::Or, right))))
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr: inner }
                if has_predicate_subquery(expr) =>
            {
                let inner = Expr::Nested(Box::new(self.condition(inner, joining)?));
                Ok(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(inner) })
            }
            other => self.scalar(other),
        }
    }

    /// A call of an aggregate function; `None` for other functions. Over a window, it may aggregate keys of groups.
    fn aggregate(&mut self, function: &Function, windowed: bool) -> Result<Option<Function>> {
        let name = function.name.to_string().to_ascii_uppercase();
        let own = AggregateFunction::named(&name);
        let foreign = FOREIGN_AGGREGATES.iter().find(|(known, _)| *known == name);
        if own.is_none() && foreign.is_none() {
            return Ok(None);
        }
        if function.filter.is_some() || !function.within_group.is_empty() {
            return Err(SqlError::unsupported(format!("FILTER or WITHIN GROUP of {name}")));
        }
        let FunctionArguments::List(list) = &function.args else {
            return Err(SqlError::query(format!("{name} needs an argument")));
        };
        let keys = self.keys.clone();
        if !windowed {
            // Inside an aggregate there are rows, not groups.
            self.keys.clear();
        }
        let list = self.aggregate_arguments(list);
        self.keys = keys;
        let mut list = list?;
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let stars =
            matches!(list.args.as_slice(), [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] | []);
        let target = match (own, foreign) {
            (_, Some((_, foreign))) => (*foreign).to_owned(),
            _ if stars || (name == "COUNT" && !distinct) => "count".to_owned(),
            (Some(own), None) => {
                list.duplicate_treatment = None;
                let spec = spec(name, own, distinct, &mut list, function.null_treatment)?;
                self.registry.aggregate(spec).name().to_owned()
            }
            (None, None) => return Ok(None),
        };
        let name = ObjectName::from(vec![Ident::new(target)]);
        let args = FunctionArguments::List(list);
        Ok(Some(Function { name, args, null_treatment: None, ..function.clone() }))
    }

    fn aggregate_arguments(&mut self, list: &FunctionArgumentList) -> Result<FunctionArgumentList> {
        let mut list = list.clone();
        for value in list.args.iter_mut().filter_map(argument_mut) {
            *value = self.scalar(value)?;
        }
        for clause in &mut list.clauses {
            match clause {
                FunctionArgumentClause::OrderBy(keys) => self.sort_keys(keys)?,
                FunctionArgumentClause::Having(_) => {
                    return Err(SqlError::unsupported("HAVING in the arguments of an aggregate"));
                }
                _ => {}
            }
        }
        Ok(list)
    }

    /// The sort keys of a window or an aggregate.
    pub(super) fn sort_keys(&mut self, keys: &mut [OrderByExpr]) -> Result<()> {
        keys.iter_mut().try_for_each(|key| {
            key.expr = self.scalar(&key.expr)?;
            Ok(())
        })
    }

    fn window_function(&mut self, function: &Function) -> Result<Expr> {
        let plain = Function { over: None, ..function.clone() };
        let mut rewritten = match self.aggregate(&plain, true)? {
            Some(aggregate) => aggregate,
            None => self.ranking(plain)?,
        };
        rewritten.over = match &function.over {
            Some(WindowType::WindowSpec(window)) => {
                Some(WindowType::WindowSpec(self.window(window)?))
            }
            Some(WindowType::NamedWindow(name)) => {
                Some(WindowType::NamedWindow(super::scope::quoted(&name.value)))
            }
            None => None,
        };
        Ok(Expr::Function(rewritten))
    }

    /// A window function that does not aggregate.
    fn ranking(&mut self, mut function: Function) -> Result<Function> {
        let name = function.name.to_string().to_ascii_lowercase();
        function.name = ObjectName::from(vec![Ident::new(name)]);
        if let FunctionArguments::List(list) = &mut function.args {
            for value in list.args.iter_mut().filter_map(argument_mut) {
                // Offsets and numbers of tiles must be literals.
                if matches!(value, Expr::Value(_)) {
                    continue;
                }
                *value =
                    if is_constant(value) { self.literal(value)? } else { self.scalar(value)? };
            }
        }
        Ok(function)
    }

    /// A window: what it is partitioned and ordered by.
    pub(super) fn window(&mut self, window: &WindowSpec) -> Result<WindowSpec> {
        let mut window = window.clone();
        if let Some(name) = &mut window.window_name {
            *name = super::scope::quoted(&name.value);
        }
        for expr in &mut window.partition_by {
            *expr = self.scalar(expr)?;
        }
        self.sort_keys(&mut window.order_by)?;
        Ok(window)
    }
}

/// What an aggregate's clauses and modifiers ask for; sort keys become arguments.
fn spec(
    name: String,
    function: AggregateFunction,
    distinct: bool,
    list: &mut FunctionArgumentList,
    after: Option<NullTreatment>,
) -> Result<Spec> {
    let mut ignore_nulls = after == Some(NullTreatment::IgnoreNulls);
    let (mut limit, mut order) = (None, Vec::new());
    for clause in &list.clauses {
        match clause {
            FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                ignore_nulls = *treatment == NullTreatment::IgnoreNulls;
            }
            FunctionArgumentClause::Limit(count) => {
                let count = count.to_string().parse();
                limit = Some(count.map_err(|_| SqlError::query("LIMIT needs an integer literal"))?);
            }
            FunctionArgumentClause::OrderBy(keys) => {
                for key in keys {
                    let descending = key.options.asc == Some(false);
                    let nulls_first = key.options.nulls_first.unwrap_or(!descending);
                    order.push(SortOrder { descending, nulls_first });
                    list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(key.expr.clone())));
                }
            }
            other => return Err(SqlError::unsupported(format!("{other} in {name}"))),
        }
    }
    list.clauses.clear();
    Ok(Spec { function, name, distinct, ignore_nulls, limit, order })
}

/// A call of a function of DataFusion.
pub(super) fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let args = arguments.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)));
    let list = FunctionArgumentList {
        duplicate_treatment: None,
        args: args.collect(),
        clauses: Vec::new(),
    };
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn is_connection(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// The place of a leaf among the arguments.
fn place_of(leaf: Expr, leaves: &mut Vec<Expr>) -> usize {
    let known = leaves.iter().position(|known| *known == leaf);
    known.unwrap_or_else(|| {
        leaves.push(leaf);
        leaves.len() - 1
    })
}

fn without_parentheses(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.over.is_some())
}

fn is_parameter(name: &Ident) -> bool {
    name.quote_style.is_none() && name.value.starts_with('@')
}

/// Whether an expression is a literal or parameter.
pub(super) fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::Identifier(name) => is_parameter(name),
        Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. } => is_constant(inner),
        _ => false,
    }
}

/// Whether a condition has an EXISTS or IN subquery, which DataFusion must see.
fn has_predicate_subquery(expr: &Expr) -> bool {
    match expr {
        Expr::Exists { .. } | Expr::InSubquery { .. } => true,
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => has_predicate_subquery(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            has_predicate_subquery(left) || has_predicate_subquery(right)
        }
        _ => false,
    }
}

/// Gives the fields of a STRUCT the names of their columns, which holes do not have.
fn name_fields(expr: &mut Expr) {
    let Expr::Struct { values, fields } = expr else { return };
    if !fields.is_empty() {
        return;
    }
    for value in values {
        let name = match value {
            Expr::Identifier(name) => name.clone(),
            Expr::CompoundIdentifier(path) => match path.last() {
                Some(name) => name.clone(),
                None => continue,
            },
            _ => continue,
        };
        let name = Ident::new(name.value.trim_start_matches('@'));
        *value = Expr::Named { expr: Box::new(value.clone()), name };
    }
}
