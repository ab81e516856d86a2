//! The client's direction: what it sends is judged and passed on.

use std::{
    io, mem,
    task::{Context, Poll},
};

use weir_filters::connection::ClientStep;

use super::{End, Outbox, Relay, SCRATCH, Upstream, splice::Spliced, wire::poll_read};

/// A client that pipelines requests and does not read the answers is not read from any more beyond this. It is more than
/// the server's bytes alone can come to (a head that was held back, and one read): those do not keep a client from sending.
const REPLY_BACKLOG: usize = 4 * SCRATCH;

/// Beyond this the rest of a read waits until the upstream has taken what came before. More than a read's own bytes.
const REWRITE_BACKLOG: usize = 2 * SCRATCH;

impl Relay {
    /// Moves bytes from the client to the upstream.
    pub(super) fn pump_client(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Result<(), End> {
        if self.tap.is_some() {
            self.dial()?;
        }
        self.poll_connect(cx)?;
        if self.flush_upstream(cx) && mem::take(&mut self.flags.retry) {
            self.take_held()?;
        }
        while self.reads_client() {
            match self.splice_client(cx)? {
                Spliced::Nothing => {}
                Spliced::Some => continue,
                Spliced::Pending => break,
            }
            if self.turn.rests(cx) {
                break;
            }
            let data = match poll_read(&self.client, &mut self.armed.client_read, cx, scratch) {
                Poll::Pending => {
                    self.turn.rests |= !self.armed.client_read;
                    break;
                }
                Poll::Ready(Err(_)) => return Err(End::ClientReset),
                Poll::Ready(Ok(n)) => &scratch[..n],
            };
            self.flags.client_is_bulky = data.len() == SCRATCH;
            if data.is_empty() {
                self.flags.client_eof = true;
            } else if self.flags.closing || self.flags.stopped {
                // Not activity, lest a client hold the connection open with it.
                continue;
            } else if self.client_in.is_empty() {
                let taken = self.take_from_client(data)?;
                self.client_in.extend_from_slice(&data[taken..]);
            } else {
                self.client_in.extend_from_slice(data);
                self.take_held()?;
            }
            self.flags.moved = true;
        }
        Ok(())
    }

    pub(super) fn reads_client(&self) -> bool {
        let flags = &self.flags;
        let wanted = !flags.waiting && self.to_upstream.is_empty() && self.to_client.len() < REPLY_BACKLOG;
        !flags.client_eof && (wanted || flags.stopped || flags.closing)
    }

    /// Tries what is held of the client's bytes again.
    fn take_held(&mut self) -> Result<(), End> {
        let mut held = mem::take(&mut self.client_in);
        let taken = self.take_from_client(&held)?;
        held.drain(..taken);
        if !held.is_empty() {
            self.client_in = held;
        }
        Ok(())
    }

    /// Lets the inspector judge `input`, and says how many bytes of it are dealt with.
    fn take_from_client(&mut self, input: &[u8]) -> Result<usize, End> {
        if self.tap.is_some() && self.tap_client(input)? {
            return Ok(input.len());
        }
        let mut at = 0;
        while at < input.len() && !self.flags.closing && !self.flags.stopped {
            if self.flags.opaque {
                self.send_upstream(&input[at..])?;
                at = input.len();
                break;
            }
            // What is written anew can be much longer than it came.
            if self.to_upstream.len() > REWRITE_BACKLOG {
                self.flags.retry = true;
                break;
            }
            match self.inspector.client(&input[at..], &mut self.session) {
                ClientStep::Forward(n) => {
                    self.send_upstream(&input[at..at + n])?;
                    at += n;
                }
                ClientStep::Replace(n) => {
                    let bytes = self.inspector.take_replacement();
                    self.send_upstream(&bytes)?;
                    at += n;
                }
                ClientStep::Discard(n) => at += n,
                ClientStep::NeedMore => break,
                ClientStep::Wait => {
                    self.flags.waiting = true;
                    // A reply whose turn it is ends the waiting at once.
                    self.send_replies()?;
                    break;
                }
                ClientStep::Opaque => self.flags.opaque = true,
                ClientStep::Stop => self.flags.stopped = true,
                ClientStep::Abort(reason) => {
                    tracing::debug!(ends = ?self.session.ends(), %reason, "the connection broke off");
                    return Err(End::Aborted);
                }
            }
            self.flags.retry_upstream |= mem::take(&mut self.flags.holding);
            self.send_replies()?;
        }
        self.clock.awaits_continue(self.flags.waiting && self.inspector.awaits_continue());
        self.clock.in_head(self.inspector.in_head());
        let over = self.flags.closing || self.flags.stopped;
        Ok(if over { input.len() } else { at })
    }

    /// Calls the server, if it was not called yet.
    fn dial(&mut self) -> Result<(), End> {
        if matches!(self.upstream, Upstream::None) {
            match (self.common.call)(self.session.ends(), self.session.recorder().metrics()) {
                Ok(stream) => self.upstream = Upstream::Connecting(stream),
                Err(error) => return Err(self.refused_by_upstream(&error)),
            }
        }
        Ok(())
    }

    pub(super) fn send_upstream(&mut self, data: &[u8]) -> Result<(), End> {
        self.dial()?;
        if self.flags.upstream_deaf {
            return Ok(());
        }
        if let Err(error) = self.to_upstream.send(self.upstream.open(), data) {
            self.upstream_is_deaf(&error);
        }
        Ok(())
    }

    /// The server has closed or reset the connection, maybe after an answer that is still to be read.
    pub(super) fn upstream_is_deaf(&mut self, error: &io::Error) {
        self.flags.upstream_deaf = true;
        self.flags.upstream_was_reset = error.kind() == io::ErrorKind::ConnectionReset;
        self.to_upstream = Outbox::default();
    }

    fn poll_connect(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        let Upstream::Connecting(stream) = &self.upstream else { return Ok(()) };
        if stream.poll_write_ready(cx).is_pending() {
            self.armed.upstream_write = true;
            return Ok(());
        }
        if let Ok(Some(error)) | Err(error) = stream.take_error() {
            return Err(self.refused_by_upstream(&error));
        }
        if let Upstream::Connecting(stream) = mem::replace(&mut self.upstream, Upstream::None) {
            self.upstream = Upstream::Open(stream);
        }
        Ok(())
    }

    /// True if nothing waits for the upstream.
    fn flush_upstream(&mut self, cx: &mut Context<'_>) -> bool {
        let Upstream::Open(stream) = &self.upstream else { return self.to_upstream.is_empty() };
        let before = self.to_upstream.len();
        match self.to_upstream.poll_flush(stream, cx) {
            Poll::Pending => self.armed.upstream_write = true,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.upstream_is_deaf(&error),
        }
        self.flags.moved |= self.to_upstream.len() < before;
        self.to_upstream.is_empty()
    }
}
