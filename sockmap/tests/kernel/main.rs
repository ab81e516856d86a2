//! The programs on the real kernel, packet by packet. Needs root.

mod harness;
mod packet;
mod rows;
