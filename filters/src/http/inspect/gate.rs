//! The client's direction of HTTP/1 in front of another parser, which reads and writes each message anew.
//!
//! What that parser takes more leniently (bare LF, two lengths, folded lines …) never reaches it: bytes pass as far as this
//! crate has read them, and it reads as strictly as [`super::Inspector`]. Judging is left to the caller, who sees each
//! request when the other parser has read it.
//!
//! ```text
//!   ┌──▶ Head ──▶ Message ──┬─────────────────────────────────────────┐
//!   │      │ refused        │ asks for an upgrade, or CONNECT         │
//!   │      ▼                ▼                                         │
//!   │   Stopped ◀─close── Held ── answered(true) ──▶ Opaque           │
//!   │                       └──── answered(false) ──┐                 │
//!   └───────────────────────────────────────────────┴─────────────────┘
//! ```

use super::client::{Found, find_head};
use crate::http::{
    Limits, Refusal, RequestHead,
    framing::Body,
    head::{Scanner, Upgrade, slots},
    path::Scratch,
};

/// What to do with the client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// A request begins: say so to whoever is asked next, then ask again. Nothing was consumed.
    Request(Asks),
    /// Pass the first `n` bytes of the input; `n` is not 0.
    Pass(usize),
    /// Drop the first `n` bytes of the input; `n` is not 0.
    Discard(usize),
    /// Read more.
    NeedMore,
    /// Neither read nor ask before [`Gate::answered`] was called.
    Held,
    /// A request that must not pass, the connection's last. Nothing was consumed, and nothing will be.
    Refused(Refusal),
    /// The connection is lost within a body.
    Broken(Refusal),
    /// Nothing is wanted any more.
    Stopped,
}

/// What a request asks for beside an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// An upgrade to a protocol that the rules do not speak of. Other upgrades must not be passed on.
    pub upgrade: bool,
    /// `100 Continue`, before a body.
    pub interim: bool,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    state: State,
    scratch: Scratch,
}

#[derive(Debug)]
enum State {
    Head(Scanner),
    Message { head: usize, body: Body, then: Then },
    Held,
    Opaque,
    Stopped,
}

/// What follows a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Hold,
    Stop,
}

impl Gate {
    /// A new connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, state: State::Head(Scanner::default()), scratch: Scratch::default() }
    }

    /// What to do with `input`, which is all that was not consumed yet.
    pub fn next(&mut self, input: &[u8]) -> Passage {
        match &mut self.state {
            State::Head(scanner) => match find_head(scanner, input, self.limits.head_bytes) {
                Ok(Found::Head(length)) => self.head(&input[..length]),
                Ok(Found::EmptyLines(length)) => Passage::Discard(length),
                Ok(Found::Nothing) => Passage::NeedMore,
                Err(refusal) => self.refuse(refusal),
            },
            State::Message { head, body, then } => {
                let of_head = input.len().min(*head);
                let taken = match body.take(&input[of_head..], &self.limits) {
                    Ok(taken) => of_head + taken,
                    Err(_) if of_head > 0 => of_head,
                    Err(refusal) => {
                        self.state = State::Stopped;
                        return Passage::Broken(refusal);
                    }
                };
                *head -= of_head;
                if *head == 0 && body.is_done() {
                    self.state = match then {
                        Then::Next => State::Head(Scanner::default()),
                        Then::Hold => State::Held,
                        Then::Stop => State::Stopped,
                    };
                }
                if taken == 0 { Passage::NeedMore } else { Passage::Pass(taken) }
            }
            State::Held => Passage::Held,
            State::Opaque if input.is_empty() => Passage::NeedMore,
            State::Opaque => Passage::Pass(input.len()),
            State::Stopped => Passage::Stopped,
        }
    }

    /// The last request was answered; `opaque`: its upgrade was granted. Matters if it asked for one.
    pub fn answered(&mut self, opaque: bool) {
        match &mut self.state {
            State::Held => self.state = if opaque { State::Opaque } else { State::Head(Scanner::default()) },
            // Before its body was there. No upgrade then: what is left of the body is still to be framed.
            State::Message { then: then @ Then::Hold, .. } => *then = if opaque { Then::Stop } else { Then::Next },
            _ => {}
        }
    }

    /// Whether a part of a request's head is there. For head timeouts.
    pub fn in_head(&self) -> bool {
        matches!(&self.state, State::Head(scanner) if scanner.has_begun())
    }

    fn head(&mut self, head: &[u8]) -> Passage {
        let mut slots = slots();
        let allowed = self.limits.headers.min(slots.len());
        let parsed = RequestHead::parse(head, &mut slots[..allowed]);
        let resolved = parsed.and_then(|mut request| {
            let fields = request.resolve(&mut self.scratch)?;
            Ok((request, fields))
        });
        let (request, fields) = match resolved {
            Ok(resolved) => resolved,
            Err(refusal) => return self.refuse(refusal),
        };
        let body = fields.body(Body::Done);
        let asks = Asks { upgrade: fields.upgrade == Upgrade::Opaque, interim: fields.expects && !body.is_done() };
        let then = if asks.upgrade || request.method == "CONNECT" {
            Then::Hold
        } else if fields.close {
            Then::Stop
        } else {
            Then::Next
        };
        self.state = State::Message { head: head.len(), body, then };
        Passage::Request(asks)
    }

    fn refuse(&mut self, refusal: Refusal) -> Passage {
        self.state = State::Stopped;
        Passage::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of a stream that comes in pieces of `size`, and how it ends.
    fn run(stream: &str, size: usize) -> (String, Vec<Asks>, Passage) {
        let mut gate = Gate::new(Limits::default());
        let (mut passed, mut asked, mut input) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = stream.as_bytes().chunks(size);
        loop {
            match gate.next(&input) {
                Passage::Request(asks) => asked.push(asks),
                Passage::Pass(n) => passed.extend(input.drain(..n)),
                Passage::Discard(n) => drop(input.drain(..n)),
                Passage::NeedMore => match rest.next() {
                    Some(piece) => input.extend_from_slice(piece),
                    None => return (String::from_utf8(passed).expect("text"), asked, Passage::NeedMore),
                },
                end => return (String::from_utf8(passed).expect("text"), asked, end),
            }
        }
    }

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn what_the_inspector_refuses_does_not_pass() {
        let body = |fields: &str, body: &str| format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");
        let rows = [
            (body("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), Refusal::TransferEncoding),
            (body("Content-Length: 5\r\nContent-Length: 5\r\n", "12345"), Refusal::ContentLength),
            (body("Content_Length: 5\r\n", ""), Refusal::Header),
            (body("Host: a\r\n", ""), Refusal::Host),
            (body("X: a\n", ""), Refusal::LineEnding),
            (body("X: a\r\n b\r\n", ""), Refusal::Header),
            (body("X : a\r\n", ""), Refusal::Header),
            ("GET /a/..;/b HTTP/1.1\r\nHost: a\r\n\r\n".into(), Refusal::Path(crate::http::path::PathError::Ambiguous)),
            (format!("GET /{} HTTP/1.1\r\n", "a".repeat(70_000)), Refusal::HeadTooLarge),
            (body(&"X: a\r\n".repeat(130), ""), Refusal::TooManyHeaders),
            ("\x16\x03\x01".into(), Refusal::NotHttp),
        ];
        for (bytes, refusal) in rows {
            for size in [1, 7, usize::MAX] {
                let (passed, asked, end) = run(&format!("{GET}{bytes}"), size);
                assert_eq!((passed.as_str(), asked.len(), end), (GET, 1, Passage::Refused(refusal)), "{bytes:.80}");
            }
        }
    }

    #[test]
    fn messages_pass_one_after_the_other() {
        let stream = format!(
            "{GET}POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc\
             PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n{GET}"
        );
        for size in [1, 3, 64, usize::MAX] {
            let (passed, asked, end) = run(&stream, size);
            assert_eq!((passed, end), (stream.clone(), Passage::NeedMore));
            let interim: Vec<bool> = asked.iter().map(|asks| asks.interim).collect();
            assert_eq!(interim, [false, true, false, false]);
        }
    }

    #[test]
    fn nothing_follows_an_upgrade_before_its_answer() {
        let ask = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        for (opaque, then) in [(true, Passage::Pass(6)), (false, Passage::Refused(Refusal::LineEnding))] {
            let mut gate = Gate::new(Limits::default());
            assert_eq!(gate.next(ask.as_bytes()), Passage::Request(Asks { upgrade: true, interim: false }));
            assert_eq!(gate.next(ask.as_bytes()), Passage::Pass(ask.len()));
            assert_eq!(gate.next(b"opaque"), Passage::Held);
            gate.answered(opaque);
            assert_eq!(gate.next(if opaque { b"opaque" } else { b"a\n" }), then);
        }
        let last = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert_eq!(run(&format!("{last}{GET}"), usize::MAX).2, Passage::Stopped);
        let broken = "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd";
        assert_eq!(run(broken, usize::MAX).2, Passage::Broken(Refusal::Chunk));
    }
}
