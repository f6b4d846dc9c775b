//! Rewrites FROM clauses: tables by number, UNNEST of paths, joins.

use sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableAlias,
    TableFactor, TableWithJoins,
};

use super::super::error::{SqlError, name_place};
use super::super::plan::table_name;
use super::expressions::Joining;
use super::rewrite::{Result, Rewriter};
use super::scope::{Kind, quoted};
use crate::bigquery::names::TableName;

/// First part of the names DataFusion has for tables; what follows is their place.
const TABLE: &str = "table_";

/// What queries of ours call the table that a statement changes.
pub(super) const TARGET: &str = "__target";

/// The column that has the places of the target's rows.
pub(super) const PLACE: &str = "__place";

/// First part of the aliases of what has none in the query.
pub(super) const UNNAMED: &str = "__unnamed_";

/// The place of a table by the name DataFusion has for it.
pub(super) fn table_place(name: &str) -> Option<usize> {
    name.strip_prefix(TABLE)?.parse().ok()
}

impl Rewriter<'_> {
    /// One entry of a FROM clause with its joins.
    pub(super) fn from(&mut self, from: &mut TableWithJoins) -> Result<()> {
        self.relation(&mut from.relation)?;
        for join in &mut from.joins {
            self.join(join)?;
        }
        Ok(())
    }

    fn join(&mut self, join: &mut Join) -> Result<()> {
        self.relation(&mut join.relation)?;
        let outer =
            matches!(join.join_operator, JoinOperator::Left(_) | JoinOperator::LeftOuter(_));
        let constraint = match &mut join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint) => constraint,
            _ => return Err(SqlError::unsupported(format!("The join {join}"))),
        };
        match constraint {
            JoinConstraint::On(condition) => {
                *condition = self.condition(condition, Joining::Several)?;
            }
            JoinConstraint::Using(names) => {
                for name in names {
                    *name = ObjectName::from(vec![quoted(&name.to_string().replace('`', ""))]);
                }
            }
            JoinConstraint::Natural => return Err(SqlError::unsupported("NATURAL JOIN")),
            // LEFT JOIN UNNEST(...) needs none, but DataFusion wants one.
            JoinConstraint::None if outer => *constraint = JoinConstraint::On(truth()),
            JoinConstraint::None => {}
        }
        Ok(())
    }

    fn relation(&mut self, factor: &mut TableFactor) -> Result<()> {
        match factor {
            TableFactor::Table { .. } => self.table(factor),
            TableFactor::Derived { subquery, alias, sample: None, .. } => {
                // It sees the names of outer queries, but not those beside it.
                self.scopes.enter();
                let query = self.subquery(subquery);
                self.scopes.leave();
                **subquery = query?;
                match alias {
                    Some(alias) => {
                        self.alias(alias);
                        self.scopes.add(alias.name.value.clone(), Kind::Rows);
                    }
                    None => *alias = Some(self.unnamed()),
                }
                Ok(())
            }
            TableFactor::UNNEST { alias, array_exprs, with_offset, with_offset_alias, .. } => {
                let [array] = array_exprs.as_mut_slice() else {
                    return Err(SqlError::unsupported("UNNEST of several arrays"));
                };
                *array = self.scalar(array)?;
                if *with_offset && with_offset_alias.is_none() {
                    *with_offset_alias = Some(Ident::new("offset"));
                }
                if let Some(name) = with_offset_alias {
                    *name = quoted(&self.registry.spell(&name.value));
                }
                match alias {
                    Some(alias) => {
                        self.alias(alias);
                        self.scopes.add(alias.name.value.clone(), Kind::Element);
                    }
                    None => *alias = Some(self.unnamed()),
                }
                Ok(())
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.from(table_with_joins)
            }
            other => Err(SqlError::unsupported(format!("In FROM, {other}"))),
        }
    }

    /// An alias for what has none: DataFusion mixes up columns of unnamed tables.
    fn unnamed(&mut self) -> TableAlias {
        let name = format!("{UNNAMED}{}", self.next_number());
        self.scopes.add(name.clone(), Kind::Rows);
        TableAlias { explicit: true, name: quoted(&name), columns: Vec::new(), at: None }
    }

    fn alias(&self, alias: &mut TableAlias) {
        alias.name = quoted(&self.registry.spell(&alias.name.value));
        for column in &mut alias.columns {
            column.name = quoted(&self.registry.spell(&column.name.value));
        }
    }

    /// A table, a named query, or the path to an array.
    fn table(&mut self, factor: &mut TableFactor) -> Result<()> {
        let TableFactor::Table { name, alias, args, version, sample, .. } = factor else {
            return Ok(());
        };
        let refused = [
            (args.is_some(), "A table function"),
            (version.is_some(), "FOR SYSTEM_TIME AS OF"),
            (sample.is_some(), "TABLESAMPLE"),
        ];
        if let Some((_, clause)) = refused.iter().find(|(used, _)| *used) {
            return Err(SqlError::unsupported(clause));
        }
        let idents: Vec<Ident> =
            name.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
        if let [first, _, ..] = idents.as_slice()
            && self.scopes.variable(&first.value).is_some()
        {
            *factor = unnest_of(idents, alias.take());
            return self.relation(factor);
        }
        let named = match idents.as_slice() {
            [only] => Some(only.value.to_lowercase()).filter(|it| self.named_queries.contains(it)),
            _ => None,
        };
        let target = match (named, &self.target) {
            (Some(named), _) => named,
            (None, Some(target)) if name.to_string() == TARGET => self.number(target.clone(), true),
            _ => {
                let parts: Vec<String> = idents
                    .iter()
                    .flat_map(|ident| ident.value.split('.').map(str::to_owned))
                    .collect();
                let options = self.options;
                let table = table_name(&parts, &options.project, options.default_dataset.as_ref())
                    .map_err(|message| SqlError::at(message, name_place(name)))?;
                self.number(table, false)
            }
        };
        let implied = idents.last().and_then(|ident| ident.value.rsplit('.').next());
        let mut alias_of = alias.take().unwrap_or_else(|| TableAlias {
            explicit: true,
            name: Ident::new(implied.unwrap_or_default()),
            columns: Vec::new(),
            at: None,
        });
        self.alias(&mut alias_of);
        self.scopes.add(alias_of.name.value.clone(), Kind::Rows);
        *alias = Some(alias_of);
        *name = ObjectName::from(vec![quoted(&target)]);
        Ok(())
    }

    /// The name DataFusion has for a table.
    fn number(&mut self, table: TableName, placed: bool) -> String {
        let reference = (table, placed);
        let known = self.tables.iter().position(|known| *known == reference);
        let at = known.unwrap_or_else(|| {
            self.tables.push(reference);
            self.tables.len() - 1
        });
        format!("{TABLE}{at}")
    }
}

fn truth() -> Expr {
    Expr::Value(sqlparser::ast::Value::Boolean(true).into())
}

/// `FROM t, t.items AS item` is `FROM t, UNNEST(t.items) AS item`.
pub(super) fn unnest_of(path: Vec<Ident>, alias: Option<TableAlias>) -> TableFactor {
    let implied = path.last().cloned();
    let alias = alias.or_else(|| {
        let name = implied?;
        Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None })
    });
    TableFactor::UNNEST {
        alias,
        array_exprs: vec![Expr::CompoundIdentifier(path)],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
}
