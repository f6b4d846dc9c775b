//! Tests of triggers: Beam's cases told anew, the description's promises, and laws over random triggers.

mod around_watermark;
mod composites;
mod description;
mod harness;
mod laws;
mod simple;
