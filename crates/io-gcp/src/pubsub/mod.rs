//! Pub/Sub: a source that acknowledges behind the checkpoint, a sink, and helpers for feeders and tests.
