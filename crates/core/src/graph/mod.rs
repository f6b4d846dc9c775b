//! The untyped pipeline graph: steps, edges, checks, and its rendering.
//!
//! The typed builder only appends to it; engines plan from it. Building it is deterministic and without side effects.

mod node;
mod render;
mod validate;

pub use node::{Body, Graph, Node, NodeId, OutputRef, OutputSpec, Reading};
pub use render::render;
pub use validate::validate;
