//! MERGE: each WHEN clause is a query on the same rows, and all their changes are one.

use sqlparser::ast::{
    Expr, Merge, MergeAction, MergeClause, MergeClauseKind, MergeInsertExpr, MergeInsertKind,
    Query, TableFactor, TableWithJoins,
};

use super::super::super::effect::Effect;
use super::super::super::error::SqlError;
use super::super::super::query::{Catalog, QueryOptions, QueryResult};
use super::build;
use super::dml::{is_default, placed, queried, updated};
use super::target::{Changes, Result, Target};

/// A MERGE being run.
struct Merging<'a> {
    target: Target<'a>,
    alias: String,
    source: TableFactor,
    source_alias: String,
    on: Expr,
}

/// Runs a MERGE.
pub(super) async fn merge(
    merge: Merge,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult> {
    let (name, alias) = build::named(&merge.table)?;
    let target = Target::new(&name, options, catalog)?;
    let source_alias = source_alias(&merge.source)?;
    let (source, on) = (merge.source, *merge.on);
    let merging = Merging { target, alias, source, source_alias, on };
    let mut changes = Changes::default();
    let (mut inserted, mut updated, mut deleted) = (0, 0, 0);
    for (at, clause) in merge.clauses.iter().enumerate() {
        let before = (changes.removed.len(), changes.added.len());
        merging.clause(clause, &merge.clauses[..at], &mut changes).await?;
        let (removed, added) = (changes.removed.len() - before.0, changes.added.len() - before.1);
        match clause.action {
            MergeAction::Insert(_) => inserted += added,
            MergeAction::Update(_) => updated += added,
            MergeAction::Delete { .. } => deleted += removed,
        }
    }
    let effect = Effect::rows("MERGE", inserted, updated, deleted);
    merging.target.write(changes, effect)
}

impl Merging<'_> {
    async fn clause(
        &self,
        clause: &MergeClause,
        earlier: &[MergeClause],
        changes: &mut Changes,
    ) -> Result<()> {
        let kind = kind(clause.clause_kind);
        // A row goes to the first clause of its kind whose condition holds.
        let taken = earlier.iter().filter(|other| self::kind(other.clause_kind) == kind);
        let mut conditions: Vec<Expr> = taken.map(not_taken).collect();
        conditions.extend(clause.predicate.clone());
        let from = self.from(kind, &mut conditions)?;
        let condition = build::all(conditions);
        match (&clause.action, kind) {
            (MergeAction::Insert(insert), Kind::NotMatched) => {
                let (columns, query) = self.insert(insert, from, condition)?;
                changes.added.extend(queried(&self.target, &columns, &query).await?);
            }
            (MergeAction::Update(update), Kind::Matched | Kind::NotMatchedBySource) => {
                let assignments = &update.assignments;
                let made = updated(&self.target, &self.alias, assignments, from, condition).await?;
                changes.removed.extend(made.removed);
                changes.added.extend(made.added);
            }
            (MergeAction::Delete { .. }, Kind::Matched | Kind::NotMatchedBySource) => {
                let removed = placed(&self.target, &self.alias, from, condition).await?;
                changes.removed.extend(removed);
            }
            (action, _) => {
                return Err(SqlError::query(format!("{action} is not allowed in this clause")));
            }
        }
        Ok(())
    }

    /// The rows that clauses of a kind see. Those without a match see one side only, and its columns without its name.
    fn from(&self, kind: Kind, conditions: &mut Vec<Expr>) -> Result<Vec<TableWithJoins>> {
        let target = build::target(&self.alias)?;
        let (seen, other) = match kind {
            Kind::Matched => {
                let join = (self.source.clone(), self.on.clone());
                return Ok(vec![build::from(target, Some(join))]);
            }
            Kind::NotMatched => (self.source.clone(), target),
            Kind::NotMatchedBySource => (target, self.source.clone()),
        };
        let one = Expr::Value(sqlparser::ast::Value::Boolean(true).into());
        let matches = vec![build::from(other, None)];
        let matches = build::select(vec![build::item(one, 0)], matches, Some(self.on.clone()))?;
        conditions.push(Expr::Exists { subquery: Box::new(matches), negated: true });
        Ok(vec![build::from(seen, None)])
    }

    /// The columns an INSERT fills, and the query for their values.
    fn insert(
        &self,
        insert: &MergeInsertExpr,
        from: Vec<TableWithJoins>,
        condition: Option<Expr>,
    ) -> Result<(Vec<usize>, Query)> {
        let mut columns = self.target.columns(&insert.columns)?;
        let values: Vec<Expr> = match &insert.kind {
            MergeInsertKind::Row => {
                let fields = columns.iter().map(|column| &self.target.schema.fields[*column]);
                fields.map(|field| build::column(&self.source_alias, &field.name)).collect()
            }
            MergeInsertKind::Values(values) => match values.rows.as_slice() {
                [row] => row.content.clone(),
                _ => return Err(SqlError::query("INSERT of MERGE takes one row of VALUES")),
            },
        };
        if values.len() != columns.len() {
            return Err(SqlError::query(format!(
                "Inserted row has wrong column count; Has {}, expected {}",
                values.len(),
                columns.len()
            )));
        }
        // A column left out gets its default.
        let given: Vec<bool> = values.iter().map(|value| !is_default(value)).collect();
        let mut kept = given.iter();
        columns.retain(|_| kept.next().copied().unwrap_or(true));
        let values = values.into_iter().filter(|value| !is_default(value)).enumerate();
        let items = values.map(|(at, value)| build::item(value, at)).collect();
        Ok((columns, build::select(items, from, condition)?))
    }
}

/// Which rows a WHEN clause is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Matched,
    NotMatched,
    NotMatchedBySource,
}

fn kind(kind: MergeClauseKind) -> Kind {
    match kind {
        MergeClauseKind::Matched => Kind::Matched,
        MergeClauseKind::NotMatched | MergeClauseKind::NotMatchedByTarget => Kind::NotMatched,
        MergeClauseKind::NotMatchedBySource => Kind::NotMatchedBySource,
    }
}

/// The condition that an earlier clause did not take a row.
fn not_taken(clause: &MergeClause) -> Expr {
    match &clause.predicate {
        Some(condition) => Expr::IsNotTrue(Box::new(Expr::Nested(Box::new(condition.clone())))),
        None => Expr::Value(sqlparser::ast::Value::Boolean(false).into()),
    }
}

/// What a MERGE calls its source.
fn source_alias(source: &TableFactor) -> Result<String> {
    match source {
        TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Ok(alias.name.value.clone()),
        TableFactor::Derived { .. } | TableFactor::UNNEST { .. } => {
            Err(SqlError::query("The source of MERGE needs an alias"))
        }
        table => Ok(build::named(table)?.1),
    }
}
