//! The agent's end of the unix socket to the proxy: snapshots out, flow records in.
//!
//! The whole snapshot is kept here, for a proxy that connects; one that is connected gets what changes, in order.
//!
//! One proxy is served at a time; a newer connection takes the place of the older one, as a newer proxy takes over its
//! listeners.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    time::interval,
};
use weir_model::{
    link::{FRAME_LIMIT, ToAgent, ToProxy},
    snapshot::{Snapshot, SnapshotChange},
};

use crate::flows::Flows;

/// How often the proxy is asked for records while somebody follows.
const PULL: Duration = Duration::from_millis(50);

/// How long a reader of records waits for the proxy's.
const PATIENCE: Duration = Duration::from_secs(1);

/// Changes that wait for a proxy that does not read; beyond it gets the whole snapshot instead.
const BACKLOG: usize = 1024;

/// What the proxy last said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyState {
    /// Whether one is connected.
    pub connected: bool,
    /// The revision by which it judges.
    pub in_force: u64,
    /// What it could not compile.
    pub problems: Vec<String>,
}

/// The agent's side of the link.
#[derive(Debug)]
pub struct Link {
    outgoing: Mutex<Outgoing>,
    /// There is more in it.
    changed: Notify,
    proxy: watch::Sender<ProxyState>,
    flows: Arc<Flows>,
    /// Somebody wants the proxy's records now.
    wanted: Notify,
    /// Counts the answers, so that who asked can wait for one.
    pulls: watch::Sender<u64>,
}

/// What the proxy is to be told.
#[derive(Debug)]
struct Outgoing {
    snapshot: Snapshot,
    /// The proxy has none yet.
    whole: bool,
    /// Else these frames come next.
    changes: VecDeque<Vec<u8>>,
}

impl Outgoing {
    /// For a proxy that connects.
    fn start_again(&mut self) {
        self.whole = true;
        self.changes.clear();
    }

    /// The next frame; revision 0 is nothing.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.whole && self.snapshot.revision > 0 {
            self.whole = false;
            return encode(&Told::Snapshot(&self.snapshot)).map(Some);
        }
        Ok(self.changes.pop_front())
    }
}

/// [`ToProxy`], without owning what is told.
#[derive(Serialize)]
enum Told<'a> {
    Snapshot(&'a Snapshot),
    Change(&'a SnapshotChange),
}

impl Link {
    /// Records that come over the link go to `flows`. The snapshot is that of `node`, and empty at first.
    pub fn new(flows: Arc<Flows>, node: impl Into<String>) -> Self {
        let snapshot = Snapshot { node: node.into(), ..Snapshot::default() };
        Self {
            outgoing: Mutex::new(Outgoing { snapshot, whole: true, changes: VecDeque::new() }),
            changed: Notify::new(),
            proxy: watch::Sender::default(),
            flows,
            wanted: Notify::new(),
            pulls: watch::Sender::new(0),
        }
    }

    /// Makes the snapshot the next revision, and waits until the proxy judges by it, or no longer than `patience`. True if
    /// it does. A revision that was published before is not sent again.
    pub async fn publish(&self, change: &SnapshotChange, patience: Duration) -> bool {
        self.queue(change);
        let revision = change.revision;
        let mut proxy = self.proxy.subscribe();
        if !proxy.borrow().connected {
            return false;
        }
        let in_force = proxy.wait_for(|proxy| proxy.in_force >= revision || !proxy.connected);
        matches!(tokio::time::timeout(patience, in_force).await, Ok(Ok(proxy)) if proxy.in_force >= revision)
    }

    fn queue(&self, change: &SnapshotChange) {
        let mut outgoing = self.outgoing();
        if outgoing.snapshot.revision == change.revision {
            return;
        }
        outgoing.snapshot.apply(change);
        if !outgoing.whole {
            match encode(&Told::Change(change)) {
                Ok(frame) if outgoing.changes.len() < BACKLOG => outgoing.changes.push_back(frame),
                _ => outgoing.start_again(),
            }
        }
        self.changed.notify_one();
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the proxy last said.
    pub fn proxy(&self) -> ProxyState {
        self.proxy.borrow().clone()
    }

    /// Waits until no proxy is connected, and all that it said is taken in.
    pub async fn gone(&self) {
        // The sender is this very link, so the wait does not fail.
        let _ = self.proxy.subscribe().wait_for(|proxy| !proxy.connected).await;
    }

    /// Fetches the proxy's records up to now, if one is connected.
    pub async fn pull(&self) {
        if !self.proxy.borrow().connected {
            return;
        }
        let mut pulls = self.pulls.subscribe();
        // The first answer may be to a question that was asked before this call; the second is not.
        for _ in 0..2 {
            pulls.mark_unchanged();
            self.wanted.notify_one();
            if tokio::time::timeout(PATIENCE, pulls.changed()).await.is_err() {
                tracing::warn!("the proxy does not answer; its last records are missing");
                return;
            }
        }
    }

    /// Serves proxies for ever.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(&self, listener: &UnixListener) -> io::Result<()> {
        let (mut stream, _) = listener.accept().await?;
        loop {
            let next = tokio::select! {
                result = self.serve_one(stream) => {
                    tracing::info!(error = result.err().map(|e| e.to_string()), "the proxy is gone");
                    self.proxy.send_modify(|proxy| proxy.connected = false);
                    listener.accept().await?
                }
                newer = listener.accept() => newer?,
            };
            stream = next.0;
        }
    }

    async fn serve_one(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, writer) = stream.into_split();
        self.proxy.send_replace(ProxyState { connected: true, ..ProxyState::default() });
        let position = watch::Sender::new(Vec::new());
        tokio::select! {
            result = self.receive(reader, &position) => result,
            result = self.send(writer, &position) => result,
        }
    }

    async fn receive(&self, mut reader: OwnedReadHalf, position: &watch::Sender<Vec<u64>>) -> io::Result<()> {
        loop {
            match read_frame(&mut reader).await? {
                ToAgent::InForce { revision, problems } => {
                    self.proxy.send_replace(ProxyState { connected: true, in_force: revision, problems });
                }
                ToAgent::Flows { next, flows, lost } => {
                    if lost > 0 {
                        tracing::warn!(lost, "flow records were overwritten before they were read");
                    }
                    flows.into_iter().for_each(|flow| self.flows.push(flow));
                    position.send_replace(next);
                    self.pulls.send_modify(|pulls| *pulls += 1);
                }
            }
        }
    }

    async fn send(&self, mut writer: OwnedWriteHalf, position: &watch::Sender<Vec<u64>>) -> io::Result<()> {
        self.outgoing().start_again();
        self.changed.notify_one();
        let mut answered = position.subscribe();
        let mut tick = interval(PULL);
        // One question at a time, or its records would come twice.
        let (mut want, mut asked) = (false, false);
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = answered.changed() => asked = false,
                () = self.wanted.notified() => want = true,
                _ = tick.tick() => want |= self.flows.is_followed(),
            }
            loop {
                let next = self.outgoing().next()?;
                let Some(frame) = next else { break };
                write_frame(&mut writer, &frame).await?;
            }
            if want && !asked {
                (want, asked) = (false, true);
                let after = position.borrow().clone();
                write_frame(&mut writer, &encode(&ToProxy::ReadFlows { after })?).await?;
            }
        }
    }
}

async fn read_frame(reader: &mut OwnedReadHalf) -> io::Result<ToAgent> {
    let length = reader.read_u32().await?;
    if length > FRAME_LIMIT {
        return Err(io::Error::other(format!("the proxy sent a frame of {length} bytes")));
    }
    let mut frame = vec![0; length as usize];
    reader.read_exact(&mut frame).await?;
    Ok(serde_json::from_slice(&frame)?)
}

/// A message as its frame has it, without the length.
fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let frame = serde_json::to_vec(message)?;
    if frame.len() > FRAME_LIMIT as usize {
        return Err(io::Error::other(format!("a message to the proxy has {} bytes, over {FRAME_LIMIT}", frame.len())));
    }
    Ok(frame)
}

async fn write_frame(writer: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    writer.write_u32(u32::try_from(frame.len()).map_err(io::Error::other)?).await?;
    writer.write_all(frame).await
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;
    use weir_model::{
        endpoint::{EndpointId, PodName},
        identity::Identity,
        snapshot::Pod,
    };

    use super::*;
    use crate::flows::tests::flow;

    /// An agent's end that is served, and a place where proxies can call it.
    struct Served {
        link: Arc<Link>,
        flows: Arc<Flows>,
        socket: PathBuf,
        _directory: TempDir,
    }

    impl Served {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a directory");
            let socket = directory.path().join("proxy.sock");
            let listener = UnixListener::bind(&socket).expect("listen");
            let flows = Arc::new(Flows::new(100));
            let link = Arc::new(Link::new(Arc::clone(&flows), "node-1"));
            let serve = Arc::clone(&link);
            tokio::spawn(async move { serve.serve(&listener).await });
            Self { link, flows, socket, _directory: directory }
        }

        /// A proxy that is connected.
        async fn proxy(&self) -> UnixStream {
            let stream = UnixStream::connect(&self.socket).await.expect("connect");
            let mut state = self.link.proxy.subscribe();
            state.wait_for(|proxy| proxy.connected).await.expect("the link lives");
            stream
        }

        fn times(&self) -> Vec<u64> {
            self.flows.subscribe().0.iter().map(|flow| flow.time_ns).collect()
        }
    }

    async fn hear(stream: &mut UnixStream) -> ToProxy {
        let length = stream.read_u32().await.expect("a frame");
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await.expect("all of it");
        serde_json::from_slice(&frame).expect("a message")
    }

    async fn say(stream: &mut UnixStream, message: &ToAgent) {
        let frame = serde_json::to_vec(message).expect("JSON");
        stream.write_u32(u32::try_from(frame.len()).expect("short")).await.expect("write");
        stream.write_all(&frame).await.expect("write");
    }

    /// Answers a question for records with those of these times; returns the position that it asked for.
    async fn answer(stream: &mut UnixStream, next: u64, times: &[u64]) -> Vec<u64> {
        let ToProxy::ReadFlows { after } = hear(stream).await else { panic!("not a question for records") };
        let flows = times.iter().map(|time| flow(*time)).collect();
        say(stream, &ToAgent::Flows { next: vec![next], flows, lost: 0 }).await;
        after
    }

    fn change(revision: u64) -> SnapshotChange {
        SnapshotChange { revision, ..SnapshotChange::default() }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn publish_waits_until_the_proxy_judges_by_it() {
        let served = Served::new();
        assert!(!served.link.publish(&change(1), LONG).await, "nobody to wait for");
        let mut proxy = served.proxy().await;
        let ToProxy::Snapshot(first) = hear(&mut proxy).await else { panic!("the snapshot comes first") };
        assert_eq!((first.revision, &*first.node), (1, "node-1"), "who connects gets the last one");
        let second = change(2);
        let published = served.link.publish(&second, LONG);
        let proxy = async {
            let ToProxy::Change(second) = hear(&mut proxy).await else { panic!("not a change") };
            let problems = vec!["port 80".into()];
            say(&mut proxy, &ToAgent::InForce { revision: second.revision, problems }).await;
            proxy
        };
        let (published, mut proxy) = tokio::join!(published, proxy);
        assert!(published);
        let state = ProxyState { connected: true, in_force: 2, problems: vec!["port 80".into()] };
        assert_eq!(served.link.proxy(), state);
        // The same again is not sent: the next frame is a question.
        assert!(served.link.publish(&change(2), LONG).await);
        let pulled = served.link.pull();
        let asked = async { matches!(hear(&mut proxy).await, ToProxy::ReadFlows { .. }) };
        tokio::select! { asked = asked => assert!(asked), () = pulled => panic!("nobody answered") }
    }

    #[tokio::test]
    async fn changes_come_in_order_and_who_connects_later_gets_what_they_make() {
        let served = Served::new();
        let pod = |number: u32| {
            let name = PodName { namespace: "n".into(), name: format!("pod-{number}") };
            Arc::new(Pod { name, identity: Identity(256), addresses: Vec::new(), policy: None })
        };
        let with = |revision: u64, number: u32, pod: Option<Arc<Pod>>| SnapshotChange {
            pods: [(EndpointId(number), pod)].into(),
            ..change(revision)
        };
        let publish = async |change: SnapshotChange| served.link.publish(&change, Duration::ZERO).await;
        publish(with(1, 1, Some(pod(1)))).await;
        let mut proxy = served.proxy().await;
        assert!(matches!(hear(&mut proxy).await, ToProxy::Snapshot(first) if first.pods.len() == 1));
        publish(with(2, 2, Some(pod(2)))).await;
        publish(with(3, 1, None)).await;
        for revision in [2, 3] {
            assert!(matches!(hear(&mut proxy).await, ToProxy::Change(change) if change.revision == revision));
        }
        let mut later = served.proxy().await;
        let ToProxy::Snapshot(whole) = hear(&mut later).await else { panic!("the snapshot comes first") };
        assert_eq!((whole.revision, whole.pods), (3, [(EndpointId(2), pod(2))].into()));
        // One that does not read is not waited for, nor is everything kept for it.
        for revision in 4..4 + 2 * BACKLOG as u64 {
            served.link.queue(&SnapshotChange { identities: [(Identity(1), None)].into(), ..change(revision) });
        }
        assert!(served.link.outgoing().whole && served.link.outgoing().changes.is_empty());
    }

    /// Prints what a change of one pod costs in a large world.
    #[test]
    fn a_change_costs_what_it_changes() {
        let link = Link::new(Arc::new(Flows::new(1)), "node-1");
        let pod = |number: u32| {
            let name = PodName { namespace: "n".into(), name: format!("pod-{number}") };
            let addresses = vec![std::net::Ipv4Addr::from(number).into()];
            (EndpointId(number), Some(Arc::new(Pod { name, identity: Identity(256), addresses, policy: None })))
        };
        link.queue(&SnapshotChange { pods: (0..100_000).map(pod).collect(), ..change(1) });
        let begun = std::time::Instant::now();
        let frame = link.outgoing().next().expect("it has a form").expect("a snapshot");
        let (whole, bytes) = (begun.elapsed(), frame.len());
        let begun = std::time::Instant::now();
        for number in 0..1_000 {
            link.queue(&SnapshotChange { pods: [pod(200_000 + number)].into(), ..change(u64::from(number) + 2) });
        }
        println!("100,000 pods: {bytes} bytes in {whole:?}, a pod more {:?}", begun.elapsed() / 1_000);
        assert_eq!(link.outgoing().changes.len(), 1_000);
    }

    #[tokio::test]
    async fn publish_and_pull_do_not_wait_for_ever_for_a_stuck_proxy() {
        let served = Served::new();
        let _stuck = served.proxy().await;
        assert!(!served.link.publish(&change(1), Duration::from_millis(50)).await);
        served.link.pull().await;
    }

    #[tokio::test]
    async fn a_pull_brings_each_record_once_up_to_the_time_of_the_call() {
        let served = Served::new();
        let mut proxy = served.proxy().await;
        // The second question is asked after the call in any case, so its answer has all from before the call.
        let ((), positions) = tokio::join!(served.link.pull(), async {
            [answer(&mut proxy, 2, &[1, 2]).await, answer(&mut proxy, 3, &[3]).await]
        });
        assert_eq!(positions, [vec![], vec![2]], "it asks for what came after");
        assert_eq!(served.times(), [1, 2, 3]);
        let ((), positions) = tokio::join!(served.link.pull(), async {
            [answer(&mut proxy, 3, &[]).await, answer(&mut proxy, 4, &[4]).await]
        });
        assert_eq!(positions, [[3], [3]]);
        assert_eq!(served.times(), [1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn while_somebody_follows_the_proxy_is_asked_without_a_pull() {
        let served = Served::new();
        let (_, mut feed) = served.flows.subscribe();
        let mut proxy = served.proxy().await;
        answer(&mut proxy, 1, &[7]).await;
        assert_eq!(feed.recv().await.map(|flow| flow.time_ns), Ok(7));
    }

    #[tokio::test]
    async fn a_newer_proxy_takes_the_place_of_the_older_one() {
        let served = Served::new();
        let mut old = served.proxy().await;
        let mut new = UnixStream::connect(&served.socket).await.expect("connect");
        assert_eq!(old.read(&mut [0]).await.ok(), Some(0), "the older one is hung up on");
        assert!(!served.link.publish(&change(1), Duration::ZERO).await);
        assert!(matches!(hear(&mut new).await, ToProxy::Snapshot(_)));
    }

    #[tokio::test]
    async fn a_proxy_that_is_gone_is_not_connected() {
        let served = Served::new();
        drop(served.proxy().await);
        let mut state = served.link.proxy.subscribe();
        state.wait_for(|proxy| !proxy.connected).await.expect("the link lives");
        served.link.pull().await;
    }
}
