//! Wants root and real peers: what HTTP/2 and gRPC implementations do with each other directly, they do through weir, and
//! what a policy denies is denied as the protocol says it. `scripts/setup test` installs the peers; each test starts those it
//! needs in pods of its own (`peers`), and a test without its peers says so; in CI that is a failure.

mod clients;
mod differential;
mod grpc;
mod h2spec;
mod peers;
mod stage;
// Nodes with weir are built as the netns tests build them, which use more of it.
#[expect(dead_code, reason = "the netns tests use the rest")]
#[path = "../netns/site.rs"]
mod site;
