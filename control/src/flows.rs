//! The agent's memory of flow records: those of the kernel as they come, those of the proxy when somebody wants them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;
use weir_model::flow::Flow;

/// Records that a slow reader may be behind before it loses some.
const BACKLOG: usize = 8192;

/// The last records, and a feed of new ones.
#[derive(Debug)]
pub struct Flows {
    memory: Mutex<Memory>,
    capacity: usize,
}

#[derive(Debug)]
struct Memory {
    recent: VecDeque<Arc<Flow>>,
    /// `None` once it is closed.
    feed: Option<broadcast::Sender<Arc<Flow>>>,
}

impl Flows {
    /// Remembers so many records.
    pub fn new(capacity: usize) -> Self {
        let (feed, _) = broadcast::channel(BACKLOG);
        Self { memory: Mutex::new(Memory { recent: VecDeque::new(), feed: Some(feed) }), capacity }
    }

    /// Adds a record.
    pub fn push(&self, flow: Flow) {
        let flow = Arc::new(flow);
        let Memory { recent, feed } = &mut *self.memory();
        if recent.len() == self.capacity {
            recent.pop_front();
        }
        recent.push_back(Arc::clone(&flow));
        // Nobody listening is no failure. Sent under the lock, so that a subscriber misses nothing and sees nothing twice.
        let _ = feed.as_ref().map(|feed| feed.send(flow));
    }

    /// What is remembered, in order of time, and the feed of all that comes after it.
    pub fn subscribe(&self) -> (Vec<Arc<Flow>>, broadcast::Receiver<Arc<Flow>>) {
        let (mut flows, feed): (Vec<_>, _) = {
            let memory = self.memory();
            let feed = memory.feed.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe);
            (memory.recent.iter().cloned().collect(), feed)
        };
        flows.sort_by_key(|flow| flow.time_ns);
        (flows, feed)
    }

    /// Whether anybody follows.
    pub fn is_followed(&self) -> bool {
        self.memory().feed.as_ref().is_some_and(|feed| feed.receiver_count() > 0)
    }

    /// Ends the feed: who follows gets what is left, and then the end.
    pub fn close(&self) {
        self.memory().feed = None;
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::broadcast::error::TryRecvError;
    use weir_model::{
        flow::{FlowKind, L4, Party, Verdict, Who},
        identity::Identity,
        resolved::{Direction, RuleId},
    };

    use super::*;

    /// A record of this time.
    pub(crate) fn flow(time_ns: u64) -> Flow {
        let who = Who { identity: Identity::HOST, labels: Arc::default(), pod: None, endpoint: 0 };
        let party = Party { address: (Ipv4Addr::LOCALHOST, 1).into(), who: Arc::new(who) };
        Flow {
            time_ns,
            verdict: Verdict::Forwarded,
            drop_reason: None,
            direction: Direction::Ingress,
            source: party.clone(),
            destination: party,
            kind: FlowKind::Connection(L4 { protocol: 6, tcp_flags: 2, icmp_type: 0 }),
            rule: None,
            rule_id: RuleId::default(),
            policy_log: None,
        }
    }

    fn times(flows: &[Arc<Flow>]) -> Vec<u64> {
        flows.iter().map(|flow| flow.time_ns).collect()
    }

    #[test]
    fn the_last_records_are_kept_and_shown_in_order_of_time() {
        let flows = Flows::new(3);
        [1, 4, 2, 3].into_iter().for_each(|time| flows.push(flow(time)));
        assert_eq!(times(&flows.subscribe().0), [2, 3, 4]);
    }

    #[test]
    fn a_subscriber_sees_each_record_once_whether_it_came_before_or_after() {
        let flows = Flows::new(10);
        flows.push(flow(1));
        assert!(!flows.is_followed());
        let (before, mut feed) = flows.subscribe();
        assert!(flows.is_followed());
        flows.push(flow(2));
        assert_eq!(times(&before), [1]);
        assert_eq!(feed.try_recv().map(|flow| flow.time_ns), Ok(2));
        assert_eq!(feed.try_recv().err(), Some(TryRecvError::Empty));
    }

    #[test]
    fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
        let flows = Flows::new(1);
        let (_, mut feed) = flows.subscribe();
        let pushed = BACKLOG as u64 + 10;
        (0..pushed).for_each(|time| flows.push(flow(time)));
        assert_eq!(feed.try_recv().err(), Some(TryRecvError::Lagged(10)));
        assert_eq!(feed.try_recv().map(|flow| flow.time_ns), Ok(10));
    }

    #[test]
    fn after_the_close_a_reader_gets_what_is_left_and_then_the_end() {
        let flows = Flows::new(10);
        let (_, mut feed) = flows.subscribe();
        flows.push(flow(1));
        flows.close();
        assert_eq!(feed.try_recv().map(|flow| flow.time_ns), Ok(1));
        assert_eq!(feed.try_recv().err(), Some(TryRecvError::Closed));
        flows.push(flow(2));
        let (late, mut feed) = flows.subscribe();
        assert_eq!(times(&late), [1, 2]);
        assert_eq!(feed.try_recv().err(), Some(TryRecvError::Closed));
    }
}
