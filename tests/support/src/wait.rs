//! Waiting for a condition: polled, bounded, and named in the error.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The first pause between two looks; each next one is half as long again, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Short enough that a test does not notice, long enough that the subject gets the CPU.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// What one look found: the awaited value, or (perhaps) why it is not there yet.
pub trait Probe {
    /// What a successful wait returns.
    type Value;
    /// `Err` means look again; its text ends up in the error if time runs out.
    fn settle(self) -> Result<Self::Value, Option<String>>;
}

impl Probe for () {
    type Value = ();
    fn settle(self) -> Result<(), Option<String>> {
        Ok(())
    }
}

impl Probe for bool {
    type Value = ();
    fn settle(self) -> Result<(), Option<String>> {
        if self { Ok(()) } else { Err(None) }
    }
}

impl<T> Probe for Option<T> {
    type Value = T;
    fn settle(self) -> Result<T, Option<String>> {
        self.ok_or(None)
    }
}

/// `Result<()>`, `Result<bool>` and `Result<Option<T>>`: an error is a reason to look again, and is shown at the end.
impl<P: Probe, E: Display> Probe for Result<P, E> {
    type Value = P::Value;
    fn settle(self) -> Result<P::Value, Option<String>> {
        match self {
            Ok(probe) => probe.settle(),
            Err(e) => Err(Some(format!("{e:#}"))),
        }
    }
}

/// Looks again and again, with short pauses, until `probe` succeeds; after `timeout` the error names `what` and the last
/// reason. `probe` is tried at least once.
pub fn wait_until<P: Probe>(what: &str, timeout: Duration, mut probe: impl FnMut() -> P) -> Result<P::Value> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        match probe().settle() {
            Ok(value) => return Ok(value),
            Err(reason) if start.elapsed() >= timeout => {
                let reason = reason.map(|r| format!(": {r}")).unwrap_or_default();
                bail!("waited {timeout:?} for {what}{reason}");
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
