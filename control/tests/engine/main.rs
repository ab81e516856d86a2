//! What policies mean: the reference evaluator, and the engine held against it. Without privileges.

mod explain;
mod fixtures;
mod life;
mod mirror;
mod policy_table;
mod properties;
#[path = "../control/support.rs"]
mod support;
mod worlds;
