//! The HTTP/1 inspector through its public interface: a table of messages, properties of streams, a reference.

mod driver;
mod judged;
mod pipeline;
mod properties;
mod reference;
mod table;
mod tapped;
