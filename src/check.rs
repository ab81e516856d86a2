//! Whether this kernel and this process can do what weir needs: asked before anything is touched.

use anyhow::ensure;
use weir_sockmap::probe::probe;

/// Fails with one line per thing that is missing, of those that are named; if none is, of all.
pub fn check(features: &[&str]) -> anyhow::Result<()> {
    let asked = probe().into_iter().filter(|c| features.is_empty() || features.contains(&c.feature.as_str()));
    let (present, missing): (Vec<_>, Vec<_>) = asked.partition(|check| check.present);
    for check in present {
        tracing::debug!(feature = check.feature, "present");
    }
    let lines = missing.iter().map(|c| format!("missing {}, to {}: {}", c.feature, c.need, c.otherwise));
    let lines: Vec<String> = lines.collect();
    ensure!(lines.is_empty(), lines.join("\nweir: "));
    Ok(())
}
