//! Who spent how much CPU time, read from `/proc`.
//!
//! All figures are in clock ticks of 10 ms, so a window should last seconds. The kernel does much of a proxy's work
//! outside of its process (softirqs, kernel threads): that shows up in the whole machine's figure only.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// User and system time of all living processes of the process group `group`. Every [`weir_lab::Process`] leads a group
/// of its own, so this is a server with its workers.
pub(crate) fn of_group(group: u32) -> Result<Duration> {
    let ticks = members(group)?.iter().filter_map(|(_, stat)| Some(stat.get(UTIME)? + stat.get(UTIME + 1)?)).sum();
    Ok(duration(ticks))
}

/// The ids of all living processes of the process group `group`.
pub(crate) fn group(group: u32) -> Result<Vec<u32>> {
    Ok(members(group)?.into_iter().map(|(pid, _)| pid).collect())
}

fn members(group: u32) -> Result<Vec<(u32, Vec<u64>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("list /proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end between the listing and the look.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        found.extend(fields(&stat).filter(|f| f.get(PGRP) == Some(&group.into())).map(|f| (pid, f)));
    }
    Ok(found)
}

/// User and system time of all children that this process has waited for.
pub(crate) fn of_ended_children() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let ticks = fields(&stat).and_then(|f| Some(f.get(CUTIME)? + f.get(CUTIME + 1)?));
    ticks.map(duration).context("/proc/self/stat: not as proc(5) says")
}

/// Time that the CPUs of this machine were not idle, interrupts and kernel threads included.
pub(crate) fn of_machine() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    busy_ticks(&stat).map(duration).context("/proc/stat: not as proc(5) says")
}

// Places in /proc/<pid>/stat, counted from the field after the state (proc(5) numbers that one 4).
const PGRP: usize = 5 - 4;
const UTIME: usize = 14 - 4;
const CUTIME: usize = 16 - 4;

/// The numbers after the state. The command before it is in parentheses and may itself contain any character.
fn fields(stat: &str) -> Option<Vec<u64>> {
    let (_, rest) = stat.rsplit_once(") ")?;
    // Some fields (priority, exit signals) can be negative; none of those is asked for.
    Some(rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or_default()).collect())
}

/// user + nice + system + irq + softirq; time stolen by the host is nobody's here, guest time is counted in user already.
fn busy_ticks(stat: &str) -> Option<u64> {
    let mut values = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u64>);
    let mut next = || values.next()?.ok();
    let [user, nice, system, _idle, _iowait, irq, softirq, _steal] =
        [next()?, next()?, next()?, next()?, next()?, next()?, next()?, next()?];
    Some(user + nice + system + irq + softirq)
}

fn duration(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name_is_read_right() {
        let stat = "7 (a) S (b) R 1 6 6 0 -1 4194304 1 2 3 4 50 60 700 800 20 0 1 0 99";
        let fields = fields(stat).expect("well-formed");
        assert_eq!(fields[PGRP], 6);
        assert_eq!((fields[UTIME], fields[UTIME + 1]), (50, 60));
        assert_eq!((fields[CUTIME], fields[CUTIME + 1]), (700, 800));
    }

    #[test]
    fn idle_and_stolen_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 1000 1 0\ncpu0 1 1"), Some(31));
        assert_eq!(busy_ticks("intr 5"), None);
    }

    #[test]
    fn time_spent_here_is_seen() {
        let start = of_machine().expect("Linux");
        let until = std::time::Instant::now() + Duration::from_millis(100);
        while std::time::Instant::now() < until {}
        assert!(of_machine().expect("Linux") > start);
    }
}
