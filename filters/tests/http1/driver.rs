//! Both ends of a connection around an inspector: feeds bytes, obeys the steps, keeps what comes out.

use weir_filters::http::{
    ClientStep, Decision, Eof, Inspector, Judge, Limits, Refusal, RequestHead, ResponseHead, ServerStep,
};

/// What a judge was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Method, host, path, normalised path, decision.
    Judged(String, String, String, String, Decision),
    Responded(u16),
    Refused(Refusal),
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// The judge was told.
    Told(Event),
    /// So many of the client's bytes went to the upstream.
    Up(usize),
    /// So many of the client's bytes went nowhere.
    Dropped(usize),
    /// So many of the server's bytes went to the client.
    Down(usize),
    Reply(&'static [u8]),
}

/// Denies the paths that begin with `/no`.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    pub(crate) events: Vec<Event>,
}

impl Judge for Paths {
    fn judge(&mut self, head: &RequestHead<'_>) -> Decision {
        let decision = if head.path().starts_with("/no") { Decision::Deny } else { Decision::Allow };
        let [method, host, path, normal] =
            [head.method(), head.host(), head.path(), head.normal_path()].map(String::from);
        self.events.push(Event::Judged(method, host, path, normal, decision));
        decision
    }

    fn responded(&mut self, head: &ResponseHead<'_>) {
        self.events.push(Event::Responded(head.status()));
    }

    fn refused(&mut self, refusal: Refusal, _: Option<&RequestHead<'_>>) {
        self.events.push(Event::Refused(refusal));
    }
}

/// A connection.
pub(crate) struct Wire {
    pub(crate) inspector: Inspector,
    pub(crate) judge: Paths,
    client_input: Vec<u8>,
    server_input: Vec<u8>,
    /// What the upstream gets.
    pub(crate) upstream: Vec<u8>,
    pub(crate) discarded: Vec<u8>,
    /// What the client gets, local replies included.
    pub(crate) downstream: Vec<u8>,
    /// How much of it is the server's.
    pub(crate) from_server: usize,
    pub(crate) closed: bool,
    pub(crate) log: Vec<Move>,
    /// Whether bytes that may pass unseen do.
    pub(crate) splices: bool,
    pub(crate) client_step: ClientStep,
    pub(crate) server_step: ServerStep,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self {
            inspector: Inspector::new(limits),
            judge: Paths::default(),
            client_input: Vec::new(),
            server_input: Vec::new(),
            upstream: Vec::new(),
            discarded: Vec::new(),
            downstream: Vec::new(),
            from_server: 0,
            closed: false,
            log: Vec::new(),
            splices: false,
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

    /// As [`Self::server`], but byte by byte while the client waits: what it then sends depends on where the server paused.
    pub(crate) fn server_paused(&mut self, bytes: &[u8]) -> &mut Self {
        let waits = bytes.iter().take_while(|byte| {
            let waits = self.client_step == ClientStep::Wait;
            if waits {
                self.server(&[**byte]);
            }
            waits
        });
        let told = waits.count();
        self.server(&bytes[told..])
    }

    pub(crate) fn client_eof(&mut self) -> Eof {
        self.inspector.client_eof()
    }

    pub(crate) fn server_eof(&mut self) -> Eof {
        self.inspector.server_eof()
    }

    /// Client bytes that were neither forwarded nor discarded.
    pub(crate) fn left(&self) -> usize {
        self.client_input.len()
    }

    /// Server bytes that were not forwarded.
    pub(crate) fn server_left(&self) -> usize {
        self.server_input.len()
    }

    /// Steps until neither side moves.
    pub(crate) fn pump(&mut self) -> &mut Self {
        loop {
            let before = self.standing();
            if self.splices {
                self.splice();
            }
            let told = self.judge.events.len();
            self.client_step = self.inspector.client(&self.client_input, &mut self.judge);
            self.log_told(told);
            match self.client_step {
                ClientStep::Forward(n) => self.up(n),
                ClientStep::Opaque | ClientStep::Http2 if !self.client_input.is_empty() => {
                    self.up(self.client_input.len())
                }
                ClientStep::Discard(n) => {
                    assert_ne!(n, 0, "a step without bytes");
                    self.discarded.extend(self.client_input.drain(..n));
                    self.log.push(Move::Dropped(n));
                }
                _ => {}
            }
            self.take_replies();
            let told = self.judge.events.len();
            self.server_step = self.inspector.server(&self.server_input, &mut self.judge);
            self.log_told(told);
            match self.server_step {
                ServerStep::Forward(n) => self.down(n),
                ServerStep::Opaque | ServerStep::Http2 if !self.server_input.is_empty() => {
                    self.down(self.server_input.len())
                }
                _ => {}
            }
            self.take_replies();
            if before == self.standing() {
                return self;
            }
        }
    }

    /// What [`Inspector::client_run`] and [`Inspector::server_run`] are for.
    fn splice(&mut self) {
        let most = |run: u64, input: &[u8]| usize::try_from(run).unwrap_or(usize::MAX).min(input.len());
        let n = most(self.inspector.client_run(), &self.client_input);
        if n > 0 {
            self.inspector.client_ran(n as u64);
            self.up(n);
        }
        let n = most(self.inspector.server_run(), &self.server_input);
        if n > 0 {
            self.inspector.server_ran(n as u64);
            self.down(n);
        }
    }

    fn up(&mut self, n: usize) {
        assert_ne!(n, 0, "a step without bytes");
        self.upstream.extend(self.client_input.drain(..n));
        self.log.push(Move::Up(n));
    }

    fn down(&mut self, n: usize) {
        assert_ne!(n, 0, "a step without bytes");
        self.downstream.extend(self.server_input.drain(..n));
        self.from_server += n;
        self.log.push(Move::Down(n));
    }

    fn log_told(&mut self, since: usize) {
        self.log.extend(self.judge.events[since..].iter().cloned().map(Move::Told));
    }

    fn standing(&self) -> (usize, usize, usize, ClientStep, ServerStep) {
        (self.upstream.len(), self.discarded.len(), self.downstream.len(), self.client_step, self.server_step)
    }

    fn take_replies(&mut self) {
        while let Some(reply) = self.inspector.take_reply() {
            assert!(!self.closed, "a reply after the last one");
            self.downstream.extend_from_slice(reply.bytes);
            self.log.push(Move::Reply(reply.bytes));
            self.closed = reply.close;
        }
    }

    pub(crate) fn decisions(&self) -> Vec<Decision> {
        let decision = |event: &Event| match event {
            Event::Judged(.., decision) => Some(*decision),
            _ => None,
        };
        self.judge.events.iter().filter_map(decision).collect()
    }

    pub(crate) fn statuses(&self) -> Vec<u16> {
        let status = |event: &Event| match event {
            Event::Responded(status) => Some(*status),
            _ => None,
        };
        self.judge.events.iter().filter_map(status).collect()
    }
}

pub(crate) const DENIED: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\n\r\nAccess denied\r\n";
pub(crate) const DENIED_CLOSE: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 15\r\nconnection: close\r\n\r\nAccess denied\r\n";
pub(crate) const BAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
pub(crate) const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Bytes as text for messages.
pub(crate) fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
