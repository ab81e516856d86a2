//! SIGINT and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};

/// A future that ends with either. Both are caught from this call on, not only once the future is polled: what is half
/// built by then is removed in order.
pub fn terminated() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
