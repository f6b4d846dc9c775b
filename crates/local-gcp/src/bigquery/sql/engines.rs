//! Which engine answers a query: ours if it can plan it, DataFusion (cargo feature `sql`) for the rest.

use super::error::SqlError;
use super::query::{Catalog, QueryOptions, QueryResult, run};

/// What errors say of queries that need the other engine.
#[cfg(not(feature = "sql"))]
const BUILD_HINT: &str = "this server was built without the cargo feature `sql`, which adds joins, subqueries, window functions and DML: build it with `--features millstream-pipelines/sql`";

/// Answers a query.
///
/// # Errors
/// When the query is wrong, or neither engine knows a construct of it.
#[cfg(not(feature = "sql"))]
pub(crate) async fn answer(
    sql: &str,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult, SqlError> {
    run(sql, options, catalog).map_err(|error| match error.unsupported {
        true => SqlError { message: format!("{} ({BUILD_HINT})", error.message), ..error },
        false => error,
    })
}

/// Answers a query.
///
/// # Errors
/// When the query is wrong, or neither engine knows a construct of it.
#[cfg(feature = "sql")]
pub(crate) async fn answer(
    sql: &str,
    options: &QueryOptions,
    catalog: &(dyn Catalog + Sync),
) -> Result<QueryResult, SqlError> {
    match run(sql, options, catalog) {
        Err(error) if error.unsupported => super::fusion::answer(sql, options, catalog).await,
        answered => answered,
    }
}

#[cfg(all(test, not(feature = "sql")))]
mod tests {
    use super::*;
    use crate::bigquery::names::TableName;
    use crate::bigquery::sql::parameters::Parameters;
    use crate::bigquery::sql::query::TableSnapshot;

    struct Nothing;

    impl Catalog for Nothing {
        fn snapshot(&self, _: &TableName) -> Option<TableSnapshot> {
            None
        }
    }

    #[tokio::test]
    async fn a_join_says_how_to_build_the_server() {
        let options = QueryOptions {
            project: "p".to_owned(),
            default_dataset: None,
            parameters: Parameters::default(),
            now: 0,
            dry_run: false,
        };
        let join = answer("SELECT 1 FROM d.a JOIN d.b ON TRUE", &options, &Nothing).await;
        let message = join.unwrap_err().message;
        assert!(message.starts_with("JOIN is not supported"), "{message}");
        assert!(message.contains("--features millstream-pipelines/sql"), "{message}");
        let wrong = answer("SELECT nope", &options, &Nothing).await.unwrap_err().message;
        assert!(!wrong.contains("cargo feature"), "{wrong}");
    }
}
