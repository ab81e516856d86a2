//! What policies mean: the reference evaluator, and the engine held against it. Without privileges.

mod policy_table;
#[path = "../control/support.rs"]
mod support;
