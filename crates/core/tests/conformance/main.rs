//! Conformance with the Beam model: cases that others wrote down, re-expressed by name and data as tests of this library.
//!
//! `figures` are those of the Dataflow paper and of "Streaming Systems"; `transcripts` Beam's trigger transcripts;
//! `streams` and `asserts` Beam's own tests of its `TestStream` and `PAssert`.

mod asserts;
mod figures;
mod streams;
mod transcripts;
