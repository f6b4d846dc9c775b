//! Queries that our own engine does not plan, on DataFusion: joins, subqueries, set operations, window functions, UNNEST.
//!
//! DataFusion gets the relational part. Every scalar expression is cut out of the query and evaluated by our own
//! evaluator (`template`), aggregates by our own accumulators (`aggregates`): both engines give the same answers.

mod aggregates;
mod children;
mod elements;
mod expressions;
mod from;
mod lateral;
mod numbered;
mod planner;
mod rewrite;
mod run;
mod scope;
mod statements;
mod template;
mod types;

pub(super) use run::answer;

#[cfg(test)]
mod tests;
