//! Streaming dataflow in the Apache Beam model, run by an embedded engine.
