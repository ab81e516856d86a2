//! Bodies on their way: a request's to the upstream, an answer's to the client.

use std::{
    error::Error,
    future::Future as _,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};
use weir_filters::http2;

use super::exchange::Exchange;

/// A server that neither answers nor says `100 Continue` gets the body after so long, as from curl.
const EXPECT_PATIENCE: Duration = Duration::from_secs(1);

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Whether the upstream wants a body that its client has announced with `Expect`.
#[derive(Debug, Default)]
pub(super) struct Interim {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

/// It has not said.
const WAITING: u8 = 0;
/// It does, or has been silent for long.
const OPEN: u8 = 1;
/// It has answered instead.
const CUT: u8 = 2;

impl Interim {
    /// The body may go.
    pub(super) fn open(&self) {
        self.decide(OPEN);
    }

    /// The body is not wanted any more; false if it goes already.
    pub(super) fn cut(&self) -> bool {
        self.decide(CUT) == CUT
    }

    /// The first decision stands.
    fn decide(&self, state: u8) -> u8 {
        let before = self.state.compare_exchange(WAITING, state, Ordering::Relaxed, Ordering::Relaxed);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
        before.map_or_else(|stands| stands, |_| state)
    }
}

/// A request's body. Until it is first asked for, hyper does not tell the client to continue.
pub(super) struct Outgoing {
    /// `None` once it is cut.
    body: Option<Incoming>,
    wait: Option<(Arc<Interim>, Pin<Box<Sleep>>)>,
}

impl Outgoing {
    /// `interim`: not before that is open.
    pub(super) fn new(body: Incoming, interim: Option<Arc<Interim>>) -> Self {
        Self { body: Some(body), wait: interim.map(|interim| (interim, Box::pin(sleep(EXPECT_PATIENCE)))) }
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((interim, patience)) = &mut self.wait else { return Poll::Ready(()) };
        *interim.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        if interim.state.load(Ordering::Relaxed) == WAITING {
            ready!(patience.as_mut().poll(cx));
            interim.open();
        }
        if interim.state.load(Ordering::Relaxed) == CUT {
            // What hyper then does with the client's side is to read no more of it. The server gets no body, nor an end of it.
            self.body = None;
            return Poll::Pending;
        }
        self.wait = None;
        Poll::Ready(())
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.poll_wait(cx));
        let Some(body) = &mut self.body else { return Poll::Pending };
        let frame = match ready!(Pin::new(body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        if let Some(trailers) = frame.trailers_ref() {
            http2::check_trailers(trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

/// An answer's body.
pub(super) enum Reply {
    /// Weir's own.
    Local(Option<Bytes>),
    /// The upstream's.
    Passed(Incoming, Exchange),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Local(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passed(body, exchange) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                match &frame {
                    Some(Ok(frame)) => {
                        if let Some(trailers) = frame.trailers_ref() {
                            exchange.finished(trailers);
                        }
                    }
                    Some(Err(_)) => exchange.failed(),
                    None => {}
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Local(bytes) => bytes.is_none(),
            Self::Passed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Local(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Passed(body, _) => body.size_hint(),
        }
    }
}
