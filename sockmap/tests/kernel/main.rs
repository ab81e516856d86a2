//! The programs on the real kernel, packet by packet. Needs root.

mod harness;
mod limits;
mod packet;
mod rows;
