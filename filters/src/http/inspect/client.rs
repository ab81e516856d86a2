//! The client's direction.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use weir_model::flow::HttpVersion;

use super::{Asked, Client, ClientStep, Decision, Inspector, Judge, Message, Server, Slot, Then};
use crate::http::{
    Refusal, RequestHead,
    deny::{self, Reason, Reply},
    framing::Body,
    head::{Fields, Scanner, Upgrade, slots},
};

/// A step of one message, before equal steps are joined.
enum Part {
    /// Nothing was consumed, but the state has changed.
    Again,
    Forward(usize),
    Other(ClientStep),
}

impl Inspector {
    /// What to do with the client's bytes. `input` is all that was not consumed yet.
    pub fn client(&mut self, input: &[u8], judge: &mut impl Judge) -> ClientStep {
        let mut forward = 0;
        loop {
            let rest = &input[forward..];
            if forward > 0 && (rest.is_empty() || self.would_discard(rest)) {
                return ClientStep::Forward(forward);
            }
            let part = self.client_part(rest, judge);
            self.check_invariants();
            match part {
                Part::Again => {}
                Part::Forward(n) => forward += n,
                // It consumes nothing, so it comes again with the next call.
                Part::Other(_) if forward > 0 => return ClientStep::Forward(forward),
                Part::Other(step) => return step,
            }
        }
    }

    /// Whether the next step is `Discard`, which must not happen before what is to be forwarded is gone.
    fn would_discard(&self, rest: &[u8]) -> bool {
        match &self.client {
            Client::Head(_) => rest.starts_with(b"\r"),
            Client::Message(message) => !message.pass,
            Client::Stopped | Client::Aborted(_) => false,
        }
    }

    fn client_part(&mut self, input: &[u8], judge: &mut impl Judge) -> Part {
        let blocked = self.is_blocked();
        match &mut self.client {
            _ if self.http2 => Part::Other(ClientStep::Http2),
            _ if self.opaque => Part::Other(ClientStep::Opaque),
            Client::Stopped => Part::Other(ClientStep::Stop),
            Client::Aborted(refusal) => Part::Other(ClientStep::Abort(*refusal)),
            Client::Message(_) => self.client_message(input, judge),
            Client::Head(_) if self.ended => Part::Other(ClientStep::Stop),
            Client::Head(_) if blocked => Part::Other(ClientStep::Wait),
            Client::Head(scanner) => match find_head(scanner, input, self.limits.head_bytes) {
                Ok(Found::Head(length)) => self.client_head(&input[..length], judge),
                Ok(Found::EmptyLines(length)) => Part::Other(ClientStep::Discard(length)),
                Ok(Found::Nothing) => Part::Other(ClientStep::NeedMore),
                Err(refusal) => {
                    judge.refused(refusal, None);
                    self.refuse(refusal)
                }
            },
        }
    }

    /// Judges a complete head.
    fn client_head(&mut self, head: &[u8], judge: &mut impl Judge) -> Part {
        let mut slots = slots();
        let allowed = self.limits.headers.min(slots.len());
        let mut request = match RequestHead::parse(head, &mut slots[..allowed]) {
            Ok(request) => request,
            Err(refusal) => {
                judge.refused(refusal, None);
                return self.refuse(refusal);
            }
        };
        let mut fields = match request.resolve(&mut self.scratch) {
            Ok(fields) => fields,
            Err(refusal) => {
                judge.refused(refusal, Some(&request));
                return self.refuse(refusal);
            }
        };
        if fields.upgrade == Upgrade::Http
            && let Some(settings) = http2_settings(&request)
        {
            fields.upgrade = Upgrade::Http2;
            self.http2_settings = settings;
        }
        let (slot, message) = match judge.judge(&request) {
            Decision::Allow => {
                if fields.upgrade == Upgrade::Opaque || request.method == "CONNECT" {
                    judge.leaves(&request);
                }
                allowed_message(&request, &fields, head.len())
            }
            Decision::Deny => denied_message(&request, &fields, head.len(), judge.reason()),
        };
        self.queue.push_back(slot);
        self.client = Client::Message(message);
        Part::Again
    }

    fn client_message(&mut self, input: &[u8], judge: &mut impl Judge) -> Part {
        let Client::Message(message) = &mut self.client else { return Part::Again };
        let head = message.head.min(input.len());
        let body = if message.held { Ok(0) } else { message.body.take(&input[head..], &self.limits) };
        message.head -= head;
        let taken = match body {
            Ok(body) => head + body,
            // It comes again when the head is gone.
            Err(_) if head > 0 => head,
            Err(refusal) => {
                judge.refused(refusal, None);
                return self.refuse_body(refusal);
            }
        };
        let (pass, waits) = (message.pass, message.held);
        if message.head == 0 && message.body.is_done() {
            self.client = if message.last { Client::Stopped } else { Client::Head(Scanner::default()) };
        }
        match (taken, pass) {
            (0, _) if waits => Part::Other(ClientStep::Wait),
            (0, _) => Part::Other(ClientStep::NeedMore),
            (taken, true) => Part::Forward(taken),
            (taken, false) => Part::Other(ClientStep::Discard(taken)),
        }
    }

    /// The connection ends with a reply, in its turn.
    fn refuse(&mut self, refusal: Refusal) -> Part {
        self.client = Client::Stopped;
        self.queue.push_back(Slot::Local(deny::refused(refusal)));
        Part::Other(ClientStep::Stop)
    }

    /// The framing of a body is lost. What the upstream has of the request stays incomplete.
    fn refuse_body(&mut self, refusal: Refusal) -> Part {
        let passed = matches!(&self.client, Client::Message(message) if message.pass);
        if !passed && !self.ended {
            return self.refuse(refusal);
        }
        // No request follows this one, so the last slot is its own, unless it is answered already.
        let answering =
            self.queue.len() == 1 && matches!(self.server, Server::Message { then: Then::Next | Then::End, .. });
        match self.queue.back_mut() {
            Some(slot) if !answering => {
                self.client = Client::Stopped;
                *slot = Slot::Local(deny::refused(refusal));
                Part::Other(ClientStep::Stop)
            }
            _ => {
                self.client = Client::Aborted(refusal);
                Part::Other(ClientStep::Abort(refusal))
            }
        }
    }
}

/// The settings of a request that offers HTTP/2 and nothing else (RFC 7540 section 3.2.1).
fn http2_settings(request: &RequestHead<'_>) -> Option<Vec<u8>> {
    let only = |name| {
        let mut lines = request.header(name);
        lines.next().filter(|_| lines.next().is_none())
    };
    if request.method == "CONNECT" || !only("upgrade")?.eq_ignore_ascii_case(b"h2c") {
        return None;
    }
    let settings = BASE64_URL_SAFE_NO_PAD.decode(only("http2-settings").filter(|value| value.len() <= 1024)?).ok()?;
    settings.len().is_multiple_of(6).then_some(settings)
}

/// What stands at the beginning of the input between messages.
pub(super) enum Found {
    Head(usize),
    /// Empty lines before a request line, which are to be ignored (RFC 9112 section 2.2).
    EmptyLines(usize),
    Nothing,
}

pub(super) fn find_head(scanner: &mut Scanner, input: &[u8], limit: usize) -> Result<Found, Refusal> {
    if !scanner.has_begun() {
        let lines = input.chunks_exact(2).take_while(|pair| pair == b"\r\n").count();
        if lines > 0 {
            return Ok(Found::EmptyLines(lines * 2));
        }
        match input {
            [] | [b'\r'] => return Ok(Found::Nothing),
            [b'\r' | b'\n', ..] => return Err(Refusal::LineEnding),
            [first, ..] if !first.is_ascii_graphic() => return Err(Refusal::NotHttp),
            _ => {}
        }
    }
    Ok(scanner.scan(input, limit)?.map_or(Found::Nothing, Found::Head))
}

fn allowed_message(request: &RequestHead<'_>, fields: &Fields<'_>, head: usize) -> (Slot, Message) {
    let body = fields.body(Body::Done);
    // A server of HTTP/1.0 must ignore the expectation (RFC 9110 section 10.1.1).
    let expects = fields.expects && !body.is_done() && request.version == HttpVersion::Http11;
    let asked = Asked { head: request.method == "HEAD", connect: request.method == "CONNECT", upgrade: fields.upgrade };
    let message = Message { head, body, pass: true, expects, held: expects, last: fields.close };
    (Slot::Upstream(asked), message)
}

fn denied_message(
    request: &RequestHead<'_>,
    fields: &Fields<'_>,
    head: usize,
    reason: Option<Reason>,
) -> (Slot, Message) {
    let body = fields.body(Body::Done);
    // Whether a client that expects `100` still sends the body after a `403` is its choice, so the framing is lost.
    let ambiguous = fields.expects && !body.is_done();
    let reply: Reply = deny::denied(request, fields.close || ambiguous, reason);
    // Its body is not waited for, so no part of it is read, whenever it comes.
    let body = if reply.close { Body::Done } else { body };
    let message = Message { head, body, pass: false, expects: false, held: false, last: reply.close };
    (Slot::Local(reply), message)
}
