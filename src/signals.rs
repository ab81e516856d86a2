//! SIGINT and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for either.
pub async fn terminated() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
