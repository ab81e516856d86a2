//! The proxy's end of the agent's unix socket: snapshots in, flow records out.

use std::{io, path::Path, sync::PoisonError, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use weir_model::link::{FRAME_LIMIT, ToAgent, ToProxy};
use weir_sockmap::pins::Pins;

use crate::{record::Read, worker::Proxy};

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// Stays connected to the agent for ever; without one the proxy goes on with what it has.
pub async fn run(proxy: &mut Proxy, socket: &Path, pins: &Pins) {
    let mut retry = FIRST_RETRY;
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => {
                tracing::info!("connected to the agent");
                retry = FIRST_RETRY;
                let error = serve(proxy, stream, pins).await.err();
                tracing::warn!(
                    error = error.map(|e| e.to_string()),
                    "the agent is gone; going on with the last snapshot"
                );
            }
            Err(error) => tracing::debug!(%error, "no agent at {}", socket.display()),
        }
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(LAST_RETRY);
    }
}

async fn serve(proxy: &mut Proxy, mut stream: UnixStream, pins: &Pins) -> io::Result<()> {
    loop {
        match read_frame(&mut stream).await? {
            ToProxy::Snapshot(snapshot) => {
                let problems = proxy.apply(&snapshot);
                // The agent may be a new one with new maps, so the listeners are put there each time.
                if let Err(error) = proxy.listen(pins) {
                    tracing::error!(%error, "L7 ports stay closed");
                }
                write_frame(&mut stream, &ToAgent::InForce { revision: snapshot.revision, problems }).await?;
            }
            ToProxy::ReadFlows { after } => write_frame(&mut stream, &read_flows(proxy, &after)).await?,
        }
    }
}

fn read_flows(proxy: &Proxy, after: &[u64]) -> ToAgent {
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
    ToAgent::Flows { next, flows, lost }
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
    stream.write_u32(length).await?;
    stream.write_all(&frame).await
}
