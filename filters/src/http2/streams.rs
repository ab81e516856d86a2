//! The requests of one connection.

use std::collections::{BTreeMap, VecDeque};

/// How many streams linger at most.
const LINGERING: usize = 256;

/// A request that not both sides have ended yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stream {
    /// Whether the upstream knows of it.
    pub(super) passed: bool,
    /// The client has sent its last byte.
    pub(super) client_ended: bool,
    /// The client has its last byte.
    pub(super) server_ended: bool,
    /// Body bytes that `Content-Length` still promises.
    pub(super) left: Option<u64>,
    /// Bytes of the body that were dropped, while the client may go on to send them; `None` if it was asked to stop.
    pub(super) dropped: Option<u64>,
    /// Status of the final response, or 0.
    pub(super) status: u16,
    /// The judge was told of it.
    pub(super) answered: bool,
    /// The response is gRPC, whose status comes with the trailers.
    pub(super) is_grpc: bool,
}

/// The streams that are not over.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: BTreeMap<u32, Stream>,
    /// Those whose client has its last byte, and may still be sending. It may also never say that it has stopped, so the
    /// oldest are forgotten.
    lingering: VecDeque<(u32, Stream)>,
    /// The highest that the client has opened.
    pub(super) last: u32,
    /// The highest that it has left out.
    pub(super) skipped: u32,
}

impl Streams {
    /// The client opens a stream; `id` is above [`Self::last`].
    pub(super) fn open(&mut self, id: u32) {
        if id > self.last + 2 {
            self.skipped = id - 2;
        }
        self.last = id;
    }

    pub(super) fn insert(&mut self, id: u32, stream: Stream) {
        self.open.insert(id, stream);
        self.tidy(id);
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        match self.open.get_mut(&id) {
            None => self.lingering.iter_mut().find(|(lingering, _)| *lingering == id).map(|(_, stream)| stream),
            open => open,
        }
    }

    /// To be called when a side of the stream has ended.
    pub(super) fn tidy(&mut self, id: u32) {
        match self.open.get(&id).copied() {
            Some(stream) if stream.server_ended => {
                self.open.remove(&id);
                if !stream.client_ended {
                    if self.lingering.len() == LINGERING {
                        self.lingering.pop_front();
                    }
                    self.lingering.push_back((id, stream));
                }
            }
            Some(_) => {}
            None => self.lingering.retain(|(lingering, stream)| *lingering != id || !stream.client_ended),
        }
    }

    /// Whether a stream is not over.
    pub(super) fn contains(&self, id: u32) -> bool {
        self.open.contains_key(&id) || self.lingering.iter().any(|(lingering, _)| *lingering == id)
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Stream> {
        let lingering = self.lingering.iter().position(|(lingering, _)| *lingering == id);
        self.open.remove(&id).or_else(|| self.lingering.remove(lingering?).map(|(_, stream)| stream))
    }

    /// Requests without their complete response.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}
