//! The time limits of a pair, all on one timer.
//!
//! The timer is not moved with every byte: it fires at the nearest limit as of when it was set, and is then set anew. So
//! activity costs a look at the clock, and no more.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::coop,
    time::{Instant, Sleep, sleep_until},
};

/// After a reply that ends the connection the client's rest is read and dropped for so long, so that a reset does not
/// overtake the reply (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// A server that neither answers nor says `100 Continue` gets the body after so long, as from curl.
const EXPECT_PATIENCE: Duration = Duration::from_secs(1);

/// A limit of 0 shall not make the timer fire all the time.
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// Time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From a request head's first byte to its last.
    pub head: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        // Cilium's Envoy gives a stream 300 s without activity; between requests Envoy's default is an hour.
        Self { head: Duration::from_secs(60), idle: Duration::from_secs(3600) }
    }
}

impl Timeouts {
    /// How often the timer fires at least. No limit is shorter but those that set the timer themselves.
    fn tick(&self) -> Duration {
        self.head.min(self.idle).max(SHORTEST_TICK)
    }
}

/// What the timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A limit is reached: the connection has to end.
    End,
    /// The body of a request with `Expect` may go.
    Release,
    /// Time to look whether a client that is not read from is still there.
    Look,
}

/// When what has to happen.
pub(super) struct Clock {
    timer: Pin<Box<Sleep>>,
    /// Whether the timer will wake the task.
    armed: bool,
    active: Instant,
    head_since: Option<Instant>,
    release_at: Option<Instant>,
    linger_until: Option<Instant>,
}

impl Clock {
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let now = Instant::now();
        Self {
            timer: Box::pin(sleep_until(now + timeouts.tick())),
            armed: false,
            active: now,
            head_since: None,
            release_at: None,
            linger_until: None,
        }
    }

    /// A byte has moved, just when somebody has looked at the clock, if anybody has.
    pub(super) fn touch(&mut self, looked: Option<Instant>) {
        self.active = looked.unwrap_or_else(Instant::now);
    }

    /// Whether a part of a request's head is there.
    pub(super) fn in_head(&mut self, in_head: bool) {
        if !in_head {
            self.head_since = None;
        } else if self.head_since.is_none() {
            self.head_since = Some(Instant::now());
        }
    }

    /// Whether a body waits for the server's word.
    pub(super) fn awaits_continue(&mut self, waits: bool) {
        if !waits {
            self.release_at = None;
        } else if self.release_at.is_none() {
            let at = Instant::now() + EXPECT_PATIENCE;
            self.release_at = Some(at);
            self.no_later_than(at);
        }
    }

    /// The last byte for the client is on its way.
    pub(super) fn linger(&mut self) {
        let until = Instant::now() + LINGER;
        self.linger_until = Some(until);
        self.no_later_than(until);
    }

    fn no_later_than(&mut self, at: Instant) {
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
            self.armed = false;
        }
    }

    /// Pending when the timer will wake the task.
    pub(super) fn poll(&mut self, timeouts: &Timeouts, cx: &mut Context<'_>) -> Poll<Due> {
        if self.armed && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            // Without budget it was not armed, but the task is woken at once.
            self.armed = coop::has_budget_remaining();
            return Poll::Pending;
        }
        let now = Instant::now();
        self.armed = false;
        let due = self.due(timeouts, now);
        let next = self.next(timeouts, now);
        self.timer.as_mut().reset(next);
        Poll::Ready(due)
    }

    fn due(&mut self, timeouts: &Timeouts, now: Instant) -> Due {
        let limits =
            [Some(self.active + timeouts.idle), self.head_since.map(|since| since + timeouts.head), self.linger_until];
        if limits.into_iter().flatten().any(|at| at <= now) {
            Due::End
        } else if self.release_at.take_if(|at| *at <= now).is_some() {
            Due::Release
        } else {
            Due::Look
        }
    }

    /// The nearest limit; all are later than `now`.
    fn next(&self, timeouts: &Timeouts, now: Instant) -> Instant {
        let limits = [
            Some(self.active + timeouts.idle),
            self.head_since.map(|since| since + timeouts.head),
            self.linger_until,
            self.release_at,
        ];
        limits.into_iter().flatten().fold(now + timeouts.tick(), Instant::min)
    }
}
