//! What can fail here as a whole. A bad object is not an error but a [`crate::problem::Problem`].

use std::{io, path::PathBuf};

/// A call of this crate that could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest directory cannot be watched.
    #[error("watch {path}: {source}; weir needs an existing directory that it may read and search")]
    Watch {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel has no inotify instance left.
    #[error("inotify: {source}; raise the sysctl fs.inotify.max_user_instances or stop other watchers")]
    Inotify {
        /// What the kernel said.
        source: io::Error,
    },
    /// The state file cannot be written.
    #[error("save {path}: {source}; identities would be numbered anew after a restart, make the directory writable")]
    SaveState {
        /// The state file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}
