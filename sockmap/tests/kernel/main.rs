//! The programs on the real kernel, packet by packet. Needs root.

mod agree;
mod harness;
mod limits;
mod packet;
mod rows;
