//! Wants root: real programs in the real kernel, real sockets in network namespaces. Each test builds a node of its own
//! and removes it; without root a test says so, and in CI that is a failure.

mod redirect;
mod http1;
mod site;
mod traffic;
