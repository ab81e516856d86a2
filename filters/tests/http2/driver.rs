//! Both ends of a connection around an inspector: feeds bytes, obeys the steps, keeps what comes out.

use std::time::{Duration, Instant};

use weir_filters::{
    connection::{self, ClientStep, ServerStep},
    http::{self, Decision, Eof, Reason, RequestHead, ResponseHead},
    http2::{self, Limits, Refusal, Reply},
};

/// A field: name, value, and whether it was never indexed.
pub(crate) type Field = (Vec<u8>, Vec<u8>, bool);

/// Denies the paths and tunnels that begin with `/no` and `no`, and writes down what it is told.
#[derive(Debug)]
pub(crate) struct Witness {
    pub(crate) told: Vec<String>,
    /// The requests that were allowed: stream and header list.
    pub(crate) allowed: Vec<(u32, Vec<Field>)>,
    pub(crate) now: Instant,
    /// Denies nothing.
    pub(crate) allows_all: bool,
    /// Why it denies, if it says so.
    pub(crate) reason: Option<Reason>,
}

impl Witness {
    fn decide(&mut self, stream: u32, head: &RequestHead<'_>) -> Decision {
        let denied = !self.allows_all && (head.path().starts_with("/no") || head.target().starts_with("no"));
        let word = if denied { "deny" } else { "allow" };
        self.told.push(format!("{word} {stream} {} {}", head.method(), head.target()));
        if denied {
            return Decision::Deny;
        }
        let pseudo = [(":method", head.method()), (":path", head.path())].map(|(name, value)| (name, value.as_bytes()));
        // A tunnel has no path.
        let pseudo = pseudo.into_iter().filter(|(_, value)| !value.is_empty());
        let fields = pseudo.chain(head.headers()).map(|(name, value)| (name.into(), value.into(), false)).collect();
        self.allowed.push((stream, fields));
        Decision::Allow
    }
}

impl http2::Judge for Witness {
    fn judge_stream(&mut self, stream: u32, head: &RequestHead<'_>, _: bool) -> Decision {
        self.decide(stream, head)
    }

    fn stream_reason(&self) -> Option<Reason> {
        self.reason
    }

    fn stream_answered(&mut self, stream: u32, status: u16, grpc_status: Option<u16>) {
        let grpc = grpc_status.map(|status| format!(" grpc {status}")).unwrap_or_default();
        self.told.push(format!("answered {stream} {status}{grpc}"));
    }

    fn stream_answering(&mut self, stream: u32) {
        self.told.push(format!("answering {stream}"));
    }

    fn stream_reset(&mut self, stream: u32) {
        self.told.push(format!("reset {stream}"));
    }

    fn stream_refused(&mut self, refusal: Refusal, head: Option<&RequestHead<'_>>) {
        let head = head.map(|head| format!(" ({} {})", head.method(), head.path())).unwrap_or_default();
        self.told.push(format!("refused {refusal}{head}"));
    }

    fn now(&mut self) -> Instant {
        self.now
    }
}

impl http::Judge for Witness {
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision {
        self.decide(0, head)
    }

    fn responded(&mut self, head: &ResponseHead<'_>) {
        self.told.push(format!("answered 0 {}", head.status()));
    }

    fn refused(&mut self, refusal: http::Refusal, _: Option<&RequestHead<'_>>) {
        self.told.push(format!("refused {refusal}"));
    }
}

impl connection::Judge for Witness {
    fn upgraded(&mut self) {
        self.told.push("upgraded".into());
    }
}

/// What is driven.
pub(crate) trait Subject {
    fn client(&mut self, input: &[u8], judge: &mut Witness) -> ClientStep;
    fn server(&mut self, input: &[u8], judge: &mut Witness) -> ServerStep;
    fn take_replacement(&mut self) -> Vec<u8>;
    fn take_reply(&mut self) -> Option<Reply>;
    fn leave(&mut self);
    fn server_eof(&mut self) -> Result<Eof, connection::Abort>;
    fn is_idle(&self) -> bool;
    fn in_head(&self) -> bool;
}

macro_rules! subject {
    ($type:ty) => {
        impl Subject for $type {
            fn client(&mut self, input: &[u8], judge: &mut Witness) -> ClientStep {
                <$type>::client(self, input, judge).into()
            }
            fn server(&mut self, input: &[u8], judge: &mut Witness) -> ServerStep {
                <$type>::server(self, input, judge).into()
            }
            fn take_replacement(&mut self) -> Vec<u8> {
                <$type>::take_replacement(self)
            }
            fn take_reply(&mut self) -> Option<Reply> {
                <$type>::take_reply(self)
            }
            fn leave(&mut self) {
                <$type>::leave(self)
            }
            fn server_eof(&mut self) -> Result<Eof, connection::Abort> {
                <$type>::server_eof(self).map(|_| Eof::Close).map_err(Into::into)
            }
            fn is_idle(&self) -> bool {
                <$type>::is_idle(self)
            }
            fn in_head(&self) -> bool {
                <$type>::in_head(self)
            }
        }
    };
}

subject!(http2::Inspector);
subject!(connection::Inspector);

/// A connection.
pub(crate) struct Wire {
    pub(crate) inspector: Box<dyn Subject>,
    pub(crate) judge: Witness,
    pub(crate) client_input: Vec<u8>,
    pub(crate) server_input: Vec<u8>,
    /// What the upstream gets.
    pub(crate) upstream: Vec<u8>,
    /// What the client gets, weir's own frames included.
    pub(crate) downstream: Vec<u8>,
    /// The last frame was written.
    pub(crate) closed: bool,
    pub(crate) client_step: ClientStep,
    pub(crate) server_step: ServerStep,
}

impl Wire {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::around(Box::new(http2::Inspector::new(limits)))
    }

    pub(crate) fn around(inspector: Box<dyn Subject>) -> Self {
        Self {
            inspector,
            judge: Witness {
                told: Vec::new(),
                allowed: Vec::new(),
                now: Instant::now(),
                allows_all: false,
                reason: None,
            },
            client_input: Vec::new(),
            server_input: Vec::new(),
            upstream: Vec::new(),
            downstream: Vec::new(),
            closed: false,
            client_step: ClientStep::NeedMore,
            server_step: ServerStep::NeedMore,
        }
    }

    pub(crate) fn client(&mut self, bytes: &[u8]) -> &mut Self {
        self.client_input.extend_from_slice(bytes);
        self.pump()
    }

    pub(crate) fn server(&mut self, bytes: &[u8]) -> &mut Self {
        self.server_input.extend_from_slice(bytes);
        self.pump()
    }

    pub(crate) fn pass_time(&mut self, time: Duration) {
        self.judge.now += time;
    }

    /// Steps until neither side moves. What waits is asked again more often than the contract demands: that must do no
    /// harm.
    pub(crate) fn pump(&mut self) -> &mut Self {
        while !self.closed {
            let before = self.standing();
            self.step_client();
            self.take_replies();
            if self.closed {
                break;
            }
            self.step_server();
            self.take_replies();
            if before == self.standing() {
                break;
            }
        }
        self
    }

    fn step_client(&mut self) {
        self.client_step = self.inspector.client(&self.client_input, &mut self.judge);
        match self.client_step {
            ClientStep::Forward(n) => {
                assert_ne!(n, 0, "a step without bytes");
                self.upstream.extend(self.client_input.drain(..n));
            }
            ClientStep::Replace(n) => {
                let bytes = self.inspector.take_replacement();
                assert!(n > 0 && !bytes.is_empty(), "a step without bytes");
                self.upstream.extend(bytes);
                self.client_input.drain(..n);
            }
            ClientStep::Discard(n) => {
                assert_ne!(n, 0, "a step without bytes");
                self.client_input.drain(..n);
            }
            _ => {}
        }
    }

    fn step_server(&mut self) {
        self.server_step = self.inspector.server(&self.server_input, &mut self.judge);
        match self.server_step {
            ServerStep::Forward(n) => {
                assert_ne!(n, 0, "a step without bytes");
                self.downstream.extend(self.server_input.drain(..n));
            }
            ServerStep::Replace(n) => {
                let bytes = self.inspector.take_replacement();
                assert!(n > 0 || !bytes.is_empty(), "a step that does nothing");
                self.downstream.extend(bytes);
                self.server_input.drain(..n);
            }
            ServerStep::Abort(abort) => {
                self.judge.told.push(format!("abort {abort}"));
                self.closed = true;
            }
            _ => {}
        }
    }

    pub(crate) fn take_replies(&mut self) {
        while let Some(reply) = self.inspector.take_reply() {
            assert!(!self.closed, "a reply after the last one");
            self.downstream.extend_from_slice(&reply.bytes);
            if reply.close {
                self.judge.told.push("closed".into());
                self.closed = true;
            }
        }
    }

    fn standing(&self) -> (usize, usize, usize, usize, ClientStep, ServerStep) {
        let Self { client_input, server_input, upstream, downstream, .. } = self;
        let [left, unread, up, down] = [client_input, server_input, upstream, downstream].map(Vec::len);
        (left, unread, up, down, self.client_step, self.server_step)
    }
}

/// Bytes as text for messages.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
