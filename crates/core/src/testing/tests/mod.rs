//! Tests of the test support, and of every operator through its harness.

mod element_wise;
mod groupings;
mod harness_fails;
