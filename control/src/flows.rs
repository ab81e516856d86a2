//! The agent's memory of flow records: those of the kernel as they come, those of the proxy when somebody wants them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::broadcast;
use weir_model::flow::Flow;

/// Records that a slow reader may be behind before it loses some.
const BACKLOG: usize = 8192;

/// The last records, and a feed of new ones.
#[derive(Debug)]
pub struct Flows {
    recent: Mutex<VecDeque<Arc<Flow>>>,
    capacity: usize,
    feed: broadcast::Sender<Arc<Flow>>,
}

impl Flows {
    /// Remembers so many records.
    pub fn new(capacity: usize) -> Self {
        let (feed, _) = broadcast::channel(BACKLOG);
        Self { recent: Mutex::new(VecDeque::new()), capacity, feed }
    }

    /// Adds a record.
    pub fn push(&self, flow: Flow) {
        let flow = Arc::new(flow);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == self.capacity {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&flow));
        // Nobody listening is no failure. Sent under the lock, so that a subscriber misses nothing and sees nothing twice.
        let _ = self.feed.send(flow);
    }

    /// What is remembered, in order of time, and the feed of all that comes after it.
    pub fn subscribe(&self) -> (Vec<Arc<Flow>>, broadcast::Receiver<Arc<Flow>>) {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = self.feed.subscribe();
        let mut flows: Vec<_> = recent.iter().cloned().collect();
        flows.sort_by_key(|flow| flow.time_ns);
        (flows, feed)
    }

    /// Whether anybody follows.
    pub fn is_followed(&self) -> bool {
        self.feed.receiver_count() > 0
    }
}
