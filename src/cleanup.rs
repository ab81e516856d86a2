//! `weir cleanup`: removes everything that weir has in the kernel and on disk.

use std::{fs, io::ErrorKind};

use anyhow::Context as _;
use weir_sockmap::{cleanup::remove_all, pins::Pins};

use crate::{cli::NodeOptions, lock::lock};

/// Removes it all; what is not there is not missed. Refused while an agent runs, which would go on without its programs.
pub async fn cleanup(node: &NodeOptions) -> anyhow::Result<()> {
    let mut locks = Vec::new();
    for directory in [&node.run_dir, &node.bpf_dir] {
        if directory.exists() {
            locks.push(lock(directory)?);
        }
    }
    remove_all(&Pins::new(&node.bpf_dir)).await?;
    for file in [node.api_socket(), node.link_socket(), node.state_file()] {
        if let Err(error) = fs::remove_file(&file)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("remove {}", file.display()));
        }
    }
    // Only if nobody else keeps something in it.
    let _ = fs::remove_dir(&node.run_dir);
    Ok(())
}
