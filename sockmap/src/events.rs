//! New connections and drops, as the programs report them.

use std::{io, net::SocketAddr};

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;
use weir_abi::Event;

use crate::raw;

/// Events between two chances for the caller's other tasks.
const BATCH: usize = 256;

/// The consumer's end of the ring buffer. There must be one only.
pub struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Events {
    pub(crate) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        // SAFETY: the descriptor belongs to `ring`, which the `AsyncFd` owns from here on.
        #[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
        let ring = unsafe { AsyncFd::register(ring)? };
        Ok(Self { ring })
    }

    /// Waits until there are events and hands them to `each`, at most [`BATCH`] at a time.
    ///
    /// # Errors
    /// If the ring buffer cannot be polled.
    pub async fn drain(&mut self, mut each: impl FnMut(Event)) -> io::Result<()> {
        let mut guard = self.ring.readable_mut().await?;
        for _ in 0..BATCH {
            let Some(item) = guard.get_inner_mut().next() else {
                guard.clear_ready();
                break;
            };
            if let Some(event) = decode(&item) {
                each(event);
            }
        }
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Option<Event> {
    if bytes.len() < size_of::<Event>() {
        return None;
    }
    // SAFETY: long enough, and `Event` is integers and arrays of integers, valid in every bit pattern.
    #[expect(unsafe_code, reason = "a record of the ring buffer is the struct's bytes")]
    Some(unsafe { std::ptr::read_unaligned(bytes.as_ptr().cast::<Event>()) })
}

/// Source of an event.
pub fn source(event: &Event) -> SocketAddr {
    SocketAddr::new(raw::ip(event.source), event.source_port.get())
}

/// Destination of an event.
pub fn destination(event: &Event) -> SocketAddr {
    SocketAddr::new(raw::ip(event.destination), event.destination_port.get())
}
