//! The server's direction.

use super::{Abort, Asked, Client, Inspector, Judge, Message, Server, ServerStep, Slot, Then};
use crate::http::{
    Refusal, ResponseHead,
    deny::Reply,
    framing::Body,
    head::{Fields, Scanner, Upgrade, slots},
};

/// A step of one message, before equal steps are joined.
enum Part {
    /// Nothing was consumed, but the state has changed.
    Again,
    Forward(usize),
    Other(ServerStep),
}

impl Inspector {
    /// What to do with the server's bytes. `input` is all that was not consumed yet.
    pub fn server(&mut self, input: &[u8], judge: &mut impl Judge) -> ServerStep {
        let mut forward = 0;
        loop {
            if forward > 0 && forward == input.len() {
                return ServerStep::Forward(forward);
            }
            let part = self.server_part(&input[forward..], judge);
            self.check_invariants();
            match part {
                Part::Again => {}
                Part::Forward(n) => forward += n,
                // It consumes nothing, so it comes again with the next call.
                Part::Other(_) if forward > 0 => return ServerStep::Forward(forward),
                Part::Other(step) => return step,
            }
        }
    }

    fn server_part(&mut self, input: &[u8], judge: &mut impl Judge) -> Part {
        let asked = self.queue.front().copied();
        match &mut self.server {
            _ if self.http2 => Part::Other(ServerStep::Http2),
            _ if self.opaque => Part::Other(ServerStep::Opaque),
            Server::Aborted(abort) => Part::Other(ServerStep::Abort(*abort)),
            Server::Message { .. } => self.server_message(input),
            Server::Head(_) if input.is_empty() => Part::Other(ServerStep::NeedMore),
            Server::Head(scanner) => match asked {
                None => self.abort(Abort::Unsolicited),
                Some(Slot::Local(_)) => Part::Other(ServerStep::Wait),
                Some(Slot::Upstream(asked)) => match scanner.scan(input, self.limits.head_bytes) {
                    Ok(Some(length)) => self.server_head(&input[..length], asked, judge),
                    Ok(None) => Part::Other(ServerStep::NeedMore),
                    Err(refusal) => self.abort(Abort::Malformed(refusal)),
                },
            },
        }
    }

    fn server_head(&mut self, head: &[u8], asked: Asked, judge: &mut impl Judge) -> Part {
        let mut slots = slots();
        let allowed = self.limits.headers.min(slots.len());
        let (response, fields) = match ResponseHead::parse(head, &mut slots[..allowed]) {
            Ok(parsed) => parsed,
            Err(refusal) => return self.abort(Abort::Malformed(refusal)),
        };
        let (body, then) = match plan(asked, response.status, &fields) {
            Ok(plan) => plan,
            Err(abort) => return self.abort(abort),
        };
        if matches!(then, Then::Tunnel | Then::Http2) && matches!(self.client, Client::Message(_)) {
            return self.abort(Abort::UnaskedUpgrade);
        }
        self.answer_expectation(response.status, then);
        if !matches!(then, Then::Another | Then::Http2) {
            judge.responded(&response);
        }
        self.server = Server::Message { head: head.len(), body, then };
        Part::Again
    }

    /// The body that waits for the upstream's word may go, or never will.
    fn answer_expectation(&mut self, status: u16, then: Then) {
        // The request that is being sent has the last slot.
        if self.queue.len() != 1 {
            return;
        }
        if let Client::Message(Message { pass: true, expects: true, held, .. }) = &mut self.client {
            if status == 100 {
                *held = false;
            } else if then != Then::Another {
                self.cut = true;
                self.client = Client::Stopped;
            }
        }
    }

    fn server_message(&mut self, input: &[u8]) -> Part {
        let Server::Message { head, body, then } = &mut self.server else { return Part::Again };
        let head_part = (*head).min(input.len());
        *head -= head_part;
        let taken = match body.take(&input[head_part..], &self.limits) {
            Ok(taken) => head_part + taken,
            // It comes again when the head is gone.
            Err(_) if head_part > 0 => head_part,
            Err(refusal) => return self.abort(Abort::Malformed(refusal)),
        };
        if *head == 0 && body.is_done() {
            let then = *then;
            self.server = Server::Head(Scanner::default());
            self.finish_response(then);
        }
        if taken == 0 { Part::Other(ServerStep::NeedMore) } else { Part::Forward(taken) }
    }

    fn finish_response(&mut self, then: Then) {
        if then == Then::Another {
            return;
        }
        self.queue.pop_front();
        match then {
            Then::Tunnel => self.opaque = true,
            Then::Http2 => self.http2 = true,
            Then::End => self.end(),
            _ if self.cut => self.queue.push_back(Slot::Local(Reply::CLOSE)),
            _ => {}
        }
    }

    fn abort(&mut self, abort: Abort) -> Part {
        self.server = Server::Aborted(abort);
        self.client = Client::Stopped;
        self.end();
        Part::Other(ServerStep::Abort(abort))
    }
}

/// The body of a response, and what follows it (RFC 9112 section 6.3).
fn plan(asked: Asked, status: u16, fields: &Fields<'_>) -> Result<(Body, Then), Abort> {
    let then = if fields.close { Then::End } else { Then::Next };
    let framed = fields.chunked || fields.length.is_some_and(|length| length > 0);
    match status {
        101 => match asked.upgrade {
            Upgrade::None => Err(Abort::UnaskedUpgrade),
            Upgrade::Http => Err(Abort::HttpUpgrade),
            Upgrade::Opaque => Ok((Body::Done, Then::Tunnel)),
            Upgrade::Http2 => Ok((Body::Done, Then::Http2)),
        },
        // They have no body; a client that believes their framing would read the next response as one.
        100..=199 | 204 if framed => Err(Abort::Malformed(Refusal::ContentLength)),
        100..=199 => Ok((Body::Done, Then::Another)),
        200..=299 if asked.connect => Ok((Body::Done, Then::Tunnel)),
        204 | 304 => Ok((Body::Done, then)),
        _ if asked.head => Ok((Body::Done, then)),
        _ => match fields.body(Body::UntilClose) {
            Body::UntilClose => Ok((Body::UntilClose, Then::End)),
            body => Ok((body, then)),
        },
    }
}
