//! `--flow-log`: every flow record, appended to a file as Hubble JSON, by a thread of its own: a disk that is slow or
//! full costs records, not policy.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use anyhow::Context as _;
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};
use weir_control::{flows::Flows, hubble};
use weir_model::flow::Flow;

/// The agent's records, and the thread that writes them down, if any.
pub struct FlowLog {
    flows: Arc<Flows>,
    thread: Option<JoinHandle<()>>,
}

impl FlowLog {
    /// Opens the file and starts to write; nothing is written without a `path`.
    pub fn start(path: Option<&Path>, flows: Arc<Flows>, node: String) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self { flows, thread: None }) };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("open the flow log {}", path.display()))?;
        let (_, feed) = flows.subscribe();
        let thread = thread::Builder::new().name("weir-flow-log".into()).spawn(move || write(file, feed, &node))?;
        Ok(Self { flows, thread: Some(thread) })
    }

    /// Ends the feed of records, with all who follow it, and waits until the last one is written.
    pub fn finish(self) {
        self.flows.close();
        if let Some(thread) = self.thread
            && thread.join().is_err()
        {
            tracing::error!("the flow log had panicked");
        }
    }
}

fn write(file: File, mut feed: Receiver<Arc<Flow>>, node: &str) {
    let mut file = BufWriter::new(file);
    let mut failing = false;
    loop {
        let flow = match feed.try_recv() {
            Err(TryRecvError::Empty) => {
                note(file.flush(), &mut failing);
                feed.blocking_recv()
            }
            Err(TryRecvError::Lagged(lost)) => Err(RecvError::Lagged(lost)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Ok(flow) => Ok(flow),
        };
        match flow {
            Ok(flow) => note(writeln!(file, "{}", hubble::to_json(&flow, node)), &mut failing),
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "the flow log is too slow"),
            Err(RecvError::Closed) => return note(file.flush(), &mut failing),
        }
    }
}

/// One line of log per failure, not per record.
fn note(written: io::Result<()>, failing: &mut bool) {
    if let Err(error) = &written
        && !*failing
    {
        tracing::error!(%error, "the flow log cannot be written; records are missing from it");
    }
    *failing = written.is_err();
}
