//! What tests of pipelines and operators need.
