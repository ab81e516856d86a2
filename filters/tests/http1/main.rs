//! The HTTP/1 inspector through its public interface: tables of messages, and properties of streams.

mod driver;
mod pipeline;
mod properties;
mod requests;
mod responses;
