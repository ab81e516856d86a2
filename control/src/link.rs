//! The agent's end of the unix socket to the proxy: snapshots out, flow records in.
//!
//! One proxy is served at a time; a newer connection takes the place of the older one, as a newer proxy takes over its
//! listeners.

use std::{io, sync::Arc, time::Duration};

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
    snapshot::Snapshot,
};

use crate::flows::Flows;

/// How often the proxy is asked for records while somebody follows.
const PULL: Duration = Duration::from_millis(50);

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
    snapshot: watch::Sender<Arc<Snapshot>>,
    proxy: watch::Sender<ProxyState>,
    flows: Arc<Flows>,
    /// Somebody wants the proxy's records now.
    wanted: Notify,
    /// Counts the answers, so that who asked can wait for one.
    pulls: watch::Sender<u64>,
}

impl Link {
    /// Records that come over the link go to `flows`.
    pub fn new(flows: Arc<Flows>) -> Self {
        Self {
            snapshot: watch::Sender::default(),
            proxy: watch::Sender::default(),
            flows,
            wanted: Notify::new(),
            pulls: watch::Sender::new(0),
        }
    }

    /// Gives the proxy a new snapshot, and waits until it judges by it, or no longer than `patience`. True if it does.
    pub async fn publish(&self, snapshot: Arc<Snapshot>, patience: Duration) -> bool {
        let revision = snapshot.revision;
        self.snapshot.send_replace(snapshot);
        let mut proxy = self.proxy.subscribe();
        if !proxy.borrow().connected {
            return false;
        }
        let in_force = proxy.wait_for(|proxy| proxy.in_force >= revision || !proxy.connected);
        matches!(tokio::time::timeout(patience, in_force).await, Ok(Ok(proxy)) if proxy.in_force >= revision)
    }

    /// What the proxy last said.
    pub fn proxy(&self) -> ProxyState {
        self.proxy.borrow().clone()
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
            let _ = tokio::time::timeout(PULL * 4, pulls.changed()).await;
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
        let mut snapshot = self.snapshot.subscribe();
        // The first one is for whoever connects; revision 0 is nothing.
        snapshot.mark_changed();
        let mut answered = position.subscribe();
        let mut tick = interval(PULL);
        // One question at a time, or its records would come twice.
        let (mut want, mut asked) = (false, false);
        loop {
            tokio::select! {
                changed = snapshot.changed() => {
                    changed.map_err(io::Error::other)?;
                    let current = Arc::clone(&snapshot.borrow_and_update());
                    if current.revision > 0 {
                        write_frame(&mut writer, &ToProxy::Snapshot(Box::new((*current).clone()))).await?;
                    }
                }
                _ = answered.changed() => asked = false,
                () = self.wanted.notified() => want = true,
                _ = tick.tick() => want |= self.flows.is_followed(),
            }
            if want && !asked {
                (want, asked) = (false, true);
                let after = position.borrow().clone();
                write_frame(&mut writer, &ToProxy::ReadFlows { after }).await?;
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

async fn write_frame(writer: &mut OwnedWriteHalf, message: &ToProxy) -> io::Result<()> {
    let frame = serde_json::to_vec(message)?;
    writer.write_u32(u32::try_from(frame.len()).map_err(io::Error::other)?).await?;
    writer.write_all(&frame).await
}
