//! One agent per run directory and per BPF directory: a second one would take over the sockets and the maps of the first.

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context as _, bail};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// Held while it lives; the kernel releases it with the process, however that ends.
pub struct Lock(#[expect(dead_code, reason = "the lock is the open descriptor's")] File);

/// Locks a directory, which is made if it is not there.
pub fn lock(directory: &Path) -> anyhow::Result<Lock> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let file = File::open(directory).with_context(|| format!("open {}", directory.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(Errno::WOULDBLOCK) => {
            bail!(
                "{} belongs to an agent that runs; stop that one, or give this one a directory of its own",
                directory.display()
            )
        }
        Err(error) => Err(error).with_context(|| format!("lock {}", directory.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("run");
        let first = lock(&directory).expect("nobody has it");
        let refused = lock(&directory).err().expect("somebody has it").to_string();
        assert!(refused.contains("belongs to an agent that runs"), "{refused}");
        drop(first);
        assert!(lock(&directory).is_ok(), "it was given back");
    }
}
