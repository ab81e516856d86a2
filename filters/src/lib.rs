//! Judges bytes: rules compiled to matchers, and sans-io inspectors for HTTP/1, HTTP/2 + gRPC, Kafka and DNS.
//!
//! Every protocol has the same three parts: `rule` (what policy says, compiled), `inspect` (bytes in, steps out) and
//! `deny` (what a refused peer is told). Nothing here does I/O, waits, or knows the time. HTTP/1 and what
//! all of HTTP shares is in [`http`], HTTP/2 in [`http2`], its header blocks in [`hpack`]; [`connection`] tells the versions
//! apart, and [`tap`] watches without a say.

#![forbid(unsafe_code)]

pub mod connection;
pub mod hpack;
pub mod http;
pub mod http2;
pub mod tap;
