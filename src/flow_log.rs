//! `--flow-log`: every flow record, appended to a file as Hubble JSON.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use tokio::{
    fs::OpenOptions,
    io::{AsyncWriteExt, BufWriter},
    sync::broadcast::error::{RecvError, TryRecvError},
};
use weir_control::{flows::Flows, hubble};
use weir_model::flow::Flow;

/// Writes for ever.
pub async fn write(path: &Path, flows: &Flows, node: &str) -> anyhow::Result<()> {
    let open = OpenOptions::new().create(true).append(true).open(path).await;
    let mut file = BufWriter::new(open.with_context(|| format!("open the flow log {}", path.display()))?);
    let (recent, mut feed) = flows.subscribe();
    for flow in recent {
        file.write_all(line(&flow, node).as_bytes()).await?;
    }
    loop {
        let flow: Result<Arc<Flow>, _> = match feed.try_recv() {
            Err(TryRecvError::Empty) => {
                file.flush().await.with_context(|| format!("write the flow log {}", path.display()))?;
                feed.recv().await
            }
            Err(TryRecvError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Ok(flow) => Ok(flow),
        };
        match flow {
            Ok(flow) => file.write_all(line(&flow, node).as_bytes()).await?,
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "the flow log is too slow"),
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn line(flow: &Flow, node: &str) -> String {
    format!("{}\n", hubble::to_json(flow, node))
}
