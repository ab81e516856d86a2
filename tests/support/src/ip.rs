//! The `ip` command of iproute2, fed with whole batches: one process per namespace instead of one per address.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs `lines`, each an `ip` command without the word `ip`, in order, in the named namespace or the caller's own.
/// Stops at the first that fails; the error shows iproute2's words and the batch.
pub(crate) fn batch(netns: Option<&str>, lines: &[String]) -> Result<()> {
    let mut command = Command::new("ip");
    if let Some(name) = netns {
        command.args(["-n", name]);
    }
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("start ip: is iproute2 installed? `scripts/setup` installs it")?;
    let text = lines.join("\n") + "\n";
    // A batch that fails early closes the pipe before all is written; its own message says more than EPIPE would.
    let written = child.stdin.take().map(|mut pipe| pipe.write_all(text.as_bytes()));
    let output = child.wait_with_output().context("wait for ip")?;
    if !output.status.success() {
        bail!("ip -batch in {}: {}\n{text}", netns.unwrap_or("own namespace"), stderr(&output.stderr));
    }
    written.transpose().context("write to ip")?;
    Ok(())
}

/// Runs one `ip` command in the caller's namespace.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .context("start ip: is iproute2 installed? `scripts/setup` installs it")?;
    if !output.status.success() {
        bail!("ip {}: {}", args.join(" "), stderr(&output.stderr));
    }
    Ok(())
}

fn stderr(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
