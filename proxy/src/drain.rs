//! How the connections of one worker learn that the proxy ends, and how the worker learns that they are gone.
//!
//! A connection registers its waker once. While nothing ends, all that a request costs is a look at a flag.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

/// A worker's open connections.
#[derive(Default)]
pub struct Drain {
    on: Cell<bool>,
    next: Cell<u64>,
    open: RefCell<HashMap<u64, Waker>>,
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
        self.open.borrow().values().for_each(Waker::wake_by_ref);
    }

    /// Counts one more connection.
    pub fn join(self: &Rc<Self>) -> Member {
        let number = self.next.get();
        self.next.set(number + 1);
        self.open.borrow_mut().insert(number, Waker::noop().clone());
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
    /// Has the calling task polled when the drain begins; to be called once, in the task.
    pub async fn register(&self) {
        poll_fn(|cx| {
            self.drain.open.borrow_mut().insert(self.number, cx.waker().clone());
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
