//! Local BigQuery: storage, queries and the Storage Write API.
