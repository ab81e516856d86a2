//! How the connections of one worker learn that the proxy ends, or that the policy has changed, and how the worker learns
//! that they are gone.
//!
//! A connection registers its waker once. While nothing ends, all that a request costs is a look at a flag.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use crate::origin::Ends;

/// A worker's open connections.
#[derive(Default)]
pub struct Drain {
    on: Cell<bool>,
    next: Cell<u64>,
    open: RefCell<HashMap<u64, (Ends, Waker)>>,
    /// Woken when the last one is gone.
    waiting: Cell<Option<Waker>>,
}

/// A connection's membership, while it lives.
pub struct Member {
    drain: Rc<Drain>,
    number: u64,
}

impl Drain {
    /// Whether connections shall end as soon as nothing is outstanding.
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// From now on it is so.
    pub fn begin(&self) {
        self.on.set(true);
        self.wake(|_| true);
    }

    /// Has those connections polled that `concerned` names by their ends.
    pub fn wake(&self, concerned: impl Fn(Ends) -> bool) {
        self.open.borrow().values().filter(|(ends, _)| concerned(*ends)).for_each(|(_, waker)| waker.wake_by_ref());
    }

    /// Counts one more connection.
    pub fn join(self: &Rc<Self>, ends: Ends) -> Member {
        let number = self.next.get();
        self.next.set(number + 1);
        self.open.borrow_mut().insert(number, (ends, Waker::noop().clone()));
        Member { drain: Rc::clone(self), number }
    }

    /// Waits until no connection is open.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            if self.open.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.waiting.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Member {
    /// Has the calling task polled when the drain begins, or policy about it has changed; to be called once, in the task.
    pub async fn register(&self) {
        poll_fn(|cx| {
            if let Some((_, waker)) = self.drain.open.borrow_mut().get_mut(&self.number) {
                waker.clone_from(cx.waker());
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut open = self.drain.open.borrow_mut();
        open.remove(&self.number);
        if open.is_empty()
            && let Some(waker) = self.drain.waiting.take()
        {
            waker.wake();
        }
    }
}
