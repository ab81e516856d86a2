//! The HTTP/2 inspector through its public interface: a table of frames, properties of streams, and real ends around it.

mod account;
mod between;
mod driver;
mod ends;
mod frames;
mod properties;
mod reason;
mod table;
mod tapped;
mod upgrade;
