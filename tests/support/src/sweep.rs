//! Removes what labs left behind when their owner was killed.
//!
//! Every unique lab carries its owner's process id in its name, as `wt-<pid>-<n>`; an owner that is gone, or a zombie, can
//! no longer clean up. Names of any other shape are never touched.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::ip;
use crate::netns::{FOLDER, Netns};

/// What the names of all labs begin with whose name says who owns them: `<prefix><pid>-<n>`.
pub(crate) const PREFIXES: [&str; 2] = ["wt-", "weir-demo-"];

/// Where labs may have pinned BPF objects, each below its own name.
const BPF: &str = "/sys/fs/bpf";

/// Removes the namespaces (with all links and processes in them), folders and BPF pins of labs whose owner is dead, and returns
/// the names of those namespaces.
pub fn sweep() -> Result<Vec<String>> {
    let dead = |name: &String| owner(name).is_some_and(|pid| !alive(pid));
    let names: Vec<String> = entries(Path::new(FOLDER)).into_iter().filter(dead).collect();
    remove(&names.iter().map(Netns::named).collect::<Vec<_>>());
    for folder in [std::env::temp_dir(), BPF.into()] {
        for name in entries(&folder).into_iter().filter(dead) {
            // Another sweeper may have been quicker.
            let _ = fs::remove_dir_all(folder.join(name));
        }
    }
    Ok(names)
}

/// The folder for a lab's BPF pins.
pub(crate) fn bpf_dir(name: &str) -> std::path::PathBuf {
    Path::new(BPF).join(name)
}

/// Ends the processes of these namespaces and removes them; what is already gone is fine. A namespace's links go with
/// it.
pub(crate) fn remove(namespaces: &[Netns]) {
    let inodes: HashSet<u64> =
        namespaces.iter().filter_map(|n| fs::metadata(n.path()).ok()).map(|meta| meta.ino()).collect();
    if inodes.is_empty() {
        return;
    }
    for name in entries(Path::new("/proc")) {
        let Some(pid) = name.parse().ok().and_then(Pid::from_raw) else { continue };
        let inside = fs::metadata(format!("/proc/{name}/ns/net")).is_ok_and(|meta| inodes.contains(&meta.ino()));
        if inside && pid != rustix::process::getpid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    for netns in namespaces {
        let _ = ip::run(&["netns", "del", netns.name()]);
    }
}

/// The process id in a name `wt-<pid>-…`.
fn owner(name: &str) -> Option<u32> {
    PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix))?.split_once('-')?.0.parse().ok()
}

fn alive(pid: u32) -> bool {
    // The state is the first field after the command in parentheses, which may itself contain any character.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

fn entries(folder: &Path) -> Vec<String> {
    let listed = fs::read_dir(folder).into_iter().flatten().flatten();
    listed.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
