//! The proxy's end of the agent's unix socket: snapshots in, flow records out.

use std::{
    io,
    path::Path,
    pin::{Pin, pin},
    sync::PoisonError,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::{JoinHandle, spawn_blocking},
    time::{sleep, timeout},
};
use weir_model::link::{FRAME_LIMIT, ToAgent, ToProxy};
use weir_sockmap::pins::Pins;

use crate::{record::Read, worker::Proxy};

const FIRST_RETRY: Duration = Duration::from_millis(20);
/// A new agent has new rules soon after its start.
const LAST_RETRY: Duration = Duration::from_millis(250);
/// An agent that does not read for so long is taken for gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Stays connected to the agent until `stop`; without one the proxy goes on with what it has. Then the proxy drains, and
/// its last records are handed over.
pub async fn run(proxy: &mut Proxy, socket: &Path, pins: &Pins, stop: impl Future<Output = ()>) {
    let mut end = End { stop: pin!(stop), drained: None };
    let mut retry = FIRST_RETRY;
    while let Some(connected) = end.meanwhile(proxy, UnixStream::connect(socket)).await {
        match connected {
            Ok(stream) => {
                tracing::info!("connected to the agent");
                retry = FIRST_RETRY;
                match serve(proxy, stream, pins, &mut end).await {
                    Ok(()) => return,
                    Err(error) => tracing::warn!(%error, "the agent is gone; going on with the last snapshot"),
                }
            }
            Err(error) => tracing::debug!(%error, "no agent at {}", socket.display()),
        }
        if end.meanwhile(proxy, sleep(retry)).await.is_none() {
            return;
        }
        retry = (retry * 2).min(LAST_RETRY);
    }
}

/// The two steps of the proxy's end: it is told to, and it has drained.
struct End<'a, F> {
    stop: Pin<&'a mut F>,
    drained: Option<JoinHandle<()>>,
}

impl<F: Future<Output = ()>> End<'_, F> {
    /// Does `work`, and drains the proxy beside it when it is time; `None` once it has drained.
    async fn meanwhile<T>(&mut self, proxy: &mut Proxy, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                drained = self.step(proxy) => if drained { return None },
            }
        }
    }

    /// Waits for the next step; true at the last one. May be dropped and called again.
    async fn step(&mut self, proxy: &mut Proxy) -> bool {
        if let Some(drained) = &mut self.drained {
            let _ = drained.await;
            return true;
        }
        self.stop.as_mut().await;
        tracing::info!("draining");
        self.drained = Some(spawn_blocking(proxy.drain()));
        false
    }
}

/// Serves one agent; `Ok` once the proxy has drained and the agent has its last records.
async fn serve<F: Future<Output = ()>>(
    proxy: &mut Proxy,
    mut stream: UnixStream,
    pins: &Pins,
    end: &mut End<'_, F>,
) -> io::Result<()> {
    let mut position = Vec::new();
    while let Some(message) = end.meanwhile(proxy, read_frame(&mut stream)).await {
        match message? {
            ToProxy::Snapshot(snapshot) => {
                let problems = proxy.apply(&snapshot);
                // The agent may be a new one with new maps, so the listeners are put there each time.
                if let Err(error) = proxy.listen(pins) {
                    tracing::error!(%error, "L7 ports stay closed");
                }
                write_frame(&mut stream, &ToAgent::InForce { revision: snapshot.revision, problems }).await?;
            }
            ToProxy::Change(change) => {
                let problems = proxy.change(&change);
                write_frame(&mut stream, &ToAgent::InForce { revision: change.revision, problems }).await?;
            }
            ToProxy::ReadFlows { after } => {
                let (next, answer) = read_flows(proxy, &after);
                position = next;
                write_frame(&mut stream, &answer).await?;
            }
        }
    }
    // Whoever asks for them later finds no proxy any more.
    write_frame(&mut stream, &read_flows(proxy, &position).1).await
}

/// The records after a position, and the position after them.
fn read_flows(proxy: &Proxy, after: &[u64]) -> (Vec<u64>, ToAgent) {
    let mut flows = Vec::new();
    let mut next = Vec::new();
    let mut lost = 0;
    for (number, ring) in proxy.rings().iter().enumerate() {
        let position = after.get(number).copied().unwrap_or(0);
        let Read { flows: read, next: end, lost: missed } =
            ring.lock().unwrap_or_else(PoisonError::into_inner).read_after(position);
        flows.extend(read);
        next.push(end);
        lost += missed;
    }
    proxy.metrics().lost(lost);
    flows.sort_by_key(|flow| flow.time_ns);
    (next.clone(), ToAgent::Flows { next, flows, lost })
}

async fn read_frame(stream: &mut UnixStream) -> io::Result<ToProxy> {
    let length = stream.read_u32().await?;
    if length > FRAME_LIMIT {
        return Err(io::Error::other(format!("the agent sent a frame of {length} bytes")));
    }
    let mut frame = vec![0; length as usize];
    stream.read_exact(&mut frame).await?;
    Ok(serde_json::from_slice(&frame)?)
}

async fn write_frame(stream: &mut UnixStream, message: &ToAgent) -> io::Result<()> {
    let frame = serde_json::to_vec(message)?;
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let write = async {
        stream.write_u32(length).await?;
        stream.write_all(&frame).await
    };
    timeout(PATIENCE, write).await?
}
