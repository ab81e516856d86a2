//! Wants root: real programs in the real kernel, real sockets in network namespaces. Each test builds a node of its own
//! and removes it; without root a test says so, and in CI that is a failure.

mod agree;
mod bypass;
mod churn;
mod cut;
mod demo;
mod edits;
mod explain;
mod http1;
mod lifecycle;
mod manifests;
mod modes;
mod observe;
mod policy;
mod redirect;
mod site;
mod traffic;
mod truth;
