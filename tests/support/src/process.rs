//! A process of the lab: its output goes to a file, and it is ended by its own id.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

use crate::wait::{Probe, wait_until};

/// How long a process may take to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
/// How much of a log is shown: the end, which has the cause.
const LOG_SHOWN: usize = 8 * 1024;

/// A process started by [`Lab::spawn`](crate::Lab::spawn). Dropping it ends it: SIGTERM, a bounded wait, SIGKILL; then
/// SIGKILL to whatever it left in its process group. If the thread is panicking by then, its output is shown.
#[derive(Debug)]
pub struct Process(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    label: String,
    pid: Pid,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Not reaped, so the id is still this process's own and may be signalled.
    Running(Child),
    Ended(ExitStatus),
}

impl Process {
    /// Starts `command`, with output to `log` and in a process group of its own, so that a terminal's Ctrl-C reaches
    /// the owner only, who then ends this in order.
    pub(crate) fn spawn(label: &str, log: PathBuf, mut command: Command) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("start {label} ({command:?})"))?;
        let pid = Pid::from_child(&child);
        Ok(Self(Arc::new(Inner { label: label.to_owned(), pid, log, state: Mutex::new(State::Running(child)) })))
    }

    pub(crate) fn share(&self) -> Arc<Inner> {
        Arc::clone(&self.0)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.pid.as_raw_pid().unsigned_abs()
    }

    /// The file that gets its standard output and error.
    pub fn log_path(&self) -> &Path {
        &self.0.log
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        self.0.text()
    }

    /// `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.0.poll()
    }

    /// Sends a signal; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// SIGKILL, as a crash would be, and waits for its end.
    pub fn kill(&self) {
        self.0.signal(Signal::KILL);
        self.0.end();
    }

    /// SIGTERM, then SIGKILL if it does not end in a few seconds. Says how it ended.
    pub fn stop(&self) -> ExitStatus {
        self.0.end()
    }

    /// Waits for it to end by itself.
    pub fn wait(&self, timeout: Duration) -> Result<ExitStatus> {
        wait_until(&format!("{} to end", self.0.label), timeout, || self.0.poll())
            .map_err(|e| anyhow!("{e}\n{}", self.0.tail()))
    }

    /// [`wait_until`], which gives up at once if the process ends, and shows its output in either case.
    pub fn wait_until<P: Probe>(
        &self,
        what: &str,
        timeout: Duration,
        mut probe: impl FnMut() -> P,
    ) -> Result<P::Value> {
        let label = &self.0.label;
        let found = wait_until(&format!("{what} ({label})"), timeout, || match probe().settle() {
            Ok(value) => Ok(Some(Ok(value))),
            Err(reason) => match self.0.poll() {
                Some(status) => Ok(Some(Err(anyhow!("{label} ended ({status}) before {what}")))),
                None => Err(reason.unwrap_or_else(|| "not yet".to_owned())),
            },
        });
        found.and_then(|inner| inner).map_err(|e| anyhow!("{e:#}\n{}", self.0.tail()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.end();
        if std::thread::panicking() {
            eprintln!("{}", self.0.tail());
        }
    }
}

impl Inner {
    /// Ends the process and everything in its group; returns at once if that is done.
    pub(crate) fn end(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        if let Ok(status) = wait_until("end after SIGTERM", GRACE, || self.poll()) {
            return status;
        }
        self.signal(Signal::KILL);
        match &mut *self.lock() {
            State::Ended(status) => *status,
            running @ State::Running(_) => self.reap(running),
        }
    }

    fn poll(&self) -> Option<ExitStatus> {
        let state = &mut *self.lock();
        if let State::Ended(status) = state {
            return Some(*status);
        }
        // NOWAIT leaves the zombie, so that the group's id cannot become another's before the group is killed.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.pid), options) {
            Ok(Some(_)) => Some(self.reap(state)),
            _ => None,
        }
    }

    /// Kills what is left of the group, collects the exit status, and remembers it.
    fn reap(&self, state: &mut State) -> ExitStatus {
        let status = match state {
            State::Ended(status) => *status,
            State::Running(child) => {
                let _ = kill_process_group(self.pid, Signal::KILL);
                // Only ECHILD is possible, and only if someone else in this process has collected our child.
                child.wait().unwrap_or_default()
            }
        };
        *state = State::Ended(status);
        status
    }

    fn signal(&self, signal: Signal) {
        if let State::Running(_) = &*self.lock() {
            let _ = kill_process(self.pid, signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let text = self.text();
        let start = text.ceil_char_boundary(text.len().saturating_sub(LOG_SHOWN));
        format!("--- {} (pid {}) printed:\n{}\n---", self.label, self.pid.as_raw_pid(), text[start..].trim_end())
    }
}
