//! The server's direction: what it answers is followed and passed on.

use std::{
    mem,
    task::{Context, Poll},
};

use weir_filters::{connection::ServerStep, http::Eof};

use super::{End, Relay, SCRATCH, Upstream, splice::Spliced, wire::poll_read};

impl Relay {
    /// Moves bytes from the upstream to the client.
    pub(super) fn pump_upstream(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Result<(), End> {
        let before = self.to_client.len();
        match self.to_client.poll_flush(&self.client, cx) {
            Poll::Pending => self.armed.client_write = true,
            Poll::Ready(flushed) => flushed.map_err(|_| End::ClientReset)?,
        }
        self.flags.moved |= self.to_client.len() < before;
        if self.to_client.is_empty() && mem::take(&mut self.flags.retry_upstream) {
            let input = mem::take(&mut self.upstream_in);
            self.take_from_upstream(&input)?;
        }
        while self.reads_upstream() {
            match self.splice_upstream(cx)? {
                Spliced::Nothing => {}
                Spliced::Some => continue,
                Spliced::Pending => break,
            }
            let Upstream::Open(stream) = &self.upstream else { break };
            if self.turn.rests(cx) {
                break;
            }
            let data = match poll_read(stream, &mut self.armed.upstream_read, cx, scratch) {
                Poll::Pending => {
                    self.turn.rests |= !self.armed.upstream_read;
                    break;
                }
                // The client has its last byte already.
                Poll::Ready(Err(_)) if self.flags.closing => &[],
                Poll::Ready(Err(_)) => return Err(End::UpstreamReset),
                Poll::Ready(Ok(n)) => &scratch[..n],
            };
            self.flags.upstream_is_bulky = data.len() == SCRATCH;
            if data.is_empty() {
                self.upstream_ended()?;
            } else if self.upstream_in.is_empty() {
                self.take_from_upstream(data)?;
            } else {
                let mut input = mem::take(&mut self.upstream_in);
                input.extend_from_slice(data);
                self.take_from_upstream(&input)?;
            }
            self.flags.moved = true;
        }
        Ok(())
    }

    pub(super) fn reads_upstream(&self) -> bool {
        let held = self.flags.holding || self.flags.retry_upstream;
        !self.flags.upstream_eof && !held && self.to_client.is_empty() && matches!(self.upstream, Upstream::Open(_))
    }

    fn take_from_upstream(&mut self, input: &[u8]) -> Result<(), End> {
        if self.tap.is_some() && self.tap_upstream(input)? {
            return Ok(());
        }
        self.stop_waiting();
        let mut at = 0;
        // What follows the last byte for the client, nobody will hear.
        while at < input.len() && !self.flags.closing {
            if self.flags.opaque {
                return self.send_client(&input[at..]);
            }
            match self.inspector.server(&input[at..], &mut self.session) {
                ServerStep::Forward(n) => {
                    self.send_client(&input[at..at + n])?;
                    at += n;
                }
                ServerStep::NeedMore => {
                    self.upstream_in = input[at..].to_vec();
                    return Ok(());
                }
                ServerStep::Replace(n) => {
                    let bytes = self.inspector.take_replacement();
                    self.send_client(&bytes)?;
                    at += n;
                }
                // Replies were sent after the last step, so this one has something to send.
                ServerStep::Wait => {}
                ServerStep::Hold => {
                    self.flags.holding = true;
                    self.upstream_in = input[at..].to_vec();
                    return Ok(());
                }
                ServerStep::Opaque => self.flags.opaque = true,
                ServerStep::Abort(reason) => {
                    tracing::debug!(ends = ?self.session.ends(), %reason, "the server's answer cannot be relayed");
                    self.session.failed("malformed response");
                    return Err(End::Aborted);
                }
            }
            self.send_replies()?;
        }
        Ok(())
    }

    fn upstream_ended(&mut self) -> Result<(), End> {
        self.flags.upstream_eof = true;
        if self.flags.closing {
            return Ok(());
        }
        if self.flags.upstream_was_reset {
            return Err(End::UpstreamReset);
        }
        if self.tap.is_some() || self.flags.opaque {
            return Ok(());
        }
        self.stop_waiting();
        match self.inspector.server_eof() {
            Ok(Eof::Close) => self.flags.closing = true,
            Ok(_) => {}
            // Without weir the client would see the end where it is not expected, and so it does with it.
            Err(reason) => {
                tracing::debug!(ends = ?self.session.ends(), %reason, "the server closed");
                self.flags.closing = true;
            }
        }
        self.send_replies()
    }
}
