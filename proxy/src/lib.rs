//! Moves the bytes: accepts redirected connections, asks `filters`, relays, records.
//!
//! The files in the order in which a connection passes them:
//!
//! | file | what happens |
//! |---|---|
//! | [`accept`](mod@accept) | a worker takes the connection from its listener |
//! | [`origin`] | who called whom; the rules of both sides, renewed when the snapshot changes |
//! | [`inspect`] | each request is judged by those rules |
//! | [`upstream`] | the server is called from the client's own address and port |
//! | [`relay`] | the bytes are passed on as they came; or, |
//! | [`terminate`] | if the rules edit headers, each message is read and written anew |
//! | [`record`] | one flow record per request |
//!
//! Around them: [`worker`] (a thread and a runtime per core), [`drain`] (its end), [`world`] (a snapshot, compiled),
//! [`socket`] (socket options), [`link`] (the agent's end of the unix socket), [`metrics`].
#![forbid(unsafe_code)]

pub mod accept;
pub mod drain;
mod error;
pub mod inspect;
pub mod link;
pub mod metrics;
pub mod origin;
pub mod record;
pub mod relay;
pub mod socket;
pub mod terminate;
pub mod upstream;
pub mod worker;
pub mod world;

pub use error::Error;
