//! Both directions: when a run of bytes is long enough to be spliced, and what follows from it.

use std::task::{Context, Poll};

use super::{End, Outbox, Relay, SCRATCH, Upstream, outbox::Broken, pipe, wire::is_armed};

/// A splice that brings less than this came upon the end of a burst; the next bytes are copied.
const BULK: usize = SCRATCH / 4;

/// What came of an attempt.
pub(super) enum Spliced {
    /// It is not the time: read and look.
    Nothing,
    /// Bytes were moved: go on.
    Some,
    /// The socket has nothing; it will wake the task.
    Pending,
}

impl Relay {
    /// Moves a part of a long request body, if one is on its way.
    pub(super) fn splice_client(&mut self, cx: &mut Context<'_>) -> Result<Spliced, End> {
        let run = self.client_run();
        let wanted = is_worth_it(run, self.flags.client_is_bulky, &self.to_upstream)
            && self.client_in.is_empty()
            && !(self.flags.closing || self.flags.stopped || self.flags.upstream_deaf);
        let Upstream::Open(upstream) = &self.upstream else { return Ok(Spliced::Nothing) };
        if !wanted {
            self.to_upstream.end_splice(&self.common.pipes);
            return Ok(Spliced::Nothing);
        }
        match self.to_upstream.poll_splice(&self.client, upstream, run, &self.common.pipes, cx) {
            Poll::Pending => {
                self.armed.client_read = is_armed();
                self.turn.rests |= !self.armed.client_read;
                Ok(Spliced::Pending)
            }
            Poll::Ready(Ok(moved)) => {
                self.armed.client_read = false;
                self.flags.client_is_bulky = moved >= BULK;
                self.inspector.client_ran(moved as u64);
                self.flags.moved = true;
                // The end of the stream is read once more, by who knows what to do about it.
                Ok(if moved == 0 { Spliced::Nothing } else { Spliced::Some })
            }
            Poll::Ready(Err(Broken::From)) => Err(End::ClientReset),
            Poll::Ready(Err(Broken::To(error))) => {
                self.upstream_is_deaf(&error);
                Ok(Spliced::Some)
            }
            Poll::Ready(Err(Broken::Pipe(error))) => Ok(self.copies(&error)),
        }
    }

    /// As [`Self::splice_client`], for a response.
    pub(super) fn splice_upstream(&mut self, cx: &mut Context<'_>) -> Result<Spliced, End> {
        let run = self.server_run();
        let wanted = is_worth_it(run, self.flags.upstream_is_bulky, &self.to_client)
            && self.upstream_in.is_empty()
            && !self.flags.closing;
        let Upstream::Open(upstream) = &self.upstream else { return Ok(Spliced::Nothing) };
        if !wanted {
            self.to_client.end_splice(&self.common.pipes);
            return Ok(Spliced::Nothing);
        }
        match self.to_client.poll_splice(upstream, &self.client, run, &self.common.pipes, cx) {
            Poll::Pending => {
                self.armed.upstream_read = is_armed();
                self.turn.rests |= !self.armed.upstream_read;
                Ok(Spliced::Pending)
            }
            Poll::Ready(Ok(moved)) => {
                self.armed.upstream_read = false;
                self.flags.upstream_is_bulky = moved >= BULK;
                self.inspector.server_ran(moved as u64);
                self.flags.moved = true;
                self.stop_waiting();
                Ok(if moved == 0 { Spliced::Nothing } else { Spliced::Some })
            }
            Poll::Ready(Err(Broken::From)) => Err(End::UpstreamReset),
            Poll::Ready(Err(Broken::To(_))) => Err(End::ClientReset),
            Poll::Ready(Err(Broken::Pipe(error))) => Ok(self.copies(&error)),
        }
    }

    /// Without a pipe the bytes are copied.
    fn copies(&mut self, error: &std::io::Error) -> Spliced {
        tracing::debug!(%error, "no pipe");
        (self.flags.client_is_bulky, self.flags.upstream_is_bulky) = (false, false);
        Spliced::Nothing
    }
}

fn is_worth_it(run: u64, is_bulky: bool, outbox: &Outbox) -> bool {
    run >= pipe::SHORTEST && is_bulky && outbox.is_empty()
}
