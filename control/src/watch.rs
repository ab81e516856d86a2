//! Watches one directory of manifests, not its subdirectories, and reports what settled.
//!
//! A file is read when its writer is done with it: on close after writing, on a rename into place, on a new symlink. What is
//! still open for writing is not read. Everything that a list of names cannot tell (a lost event, the `..data` symlink of a
//! ConfigMap mount, a directory that went and came back) is answered by reading the whole directory again.
//!
//! A directory that is gone keeps what it said last: an empty directory would open what its policies close. Its parent is
//! watched for its return.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::StreamExt;
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::time::Instant;

use crate::{error::Error, manifests};

/// Silence after which a batch is settled.
const QUIET: Duration = Duration::from_millis(3);
/// The longest that a batch waits for silence; an edit shall be in force within 100 ms.
const LONGEST: Duration = Duration::from_millis(10);
/// How often a directory that is gone is looked for, besides its parent's events.
const RETRY: Duration = Duration::from_secs(1);
/// A larger file is not read; etcd takes no object above 1.5 MiB, and a file has several.
const MAX_FILE: u64 = 32 << 20;

/// What settled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Whether `files` are all there are: what is not among them is gone.
    pub complete: bool,
    /// Manifests by name.
    pub files: BTreeMap<String, Contents>,
    /// Why nothing can be read at present; what was read before stays in force.
    pub unavailable: Option<String>,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It is no longer there.
    Gone,
    /// It is there and cannot be read; the reason.
    Unreadable(String),
}

/// A watched directory.
pub struct Directory {
    path: PathBuf,
    events: EventStream<Vec<u8>>,
    watches: Watches,
    own: Option<WatchDescriptor>,
    parent: Option<WatchDescriptor>,
    pending: Pending,
    unreadable: BTreeSet<String>,
}

/// What is to be reported next.
#[derive(Default)]
struct Pending {
    rescan: bool,
    lost: bool,
    names: BTreeSet<String>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        !self.rescan && !self.lost && self.names.is_empty()
    }
}

impl Directory {
    /// Starts to watch `path`.
    ///
    /// # Errors
    /// The directory does not exist or may not be read, or the kernel has no inotify instance left.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // The path is made absolute so that it has a parent to watch.
        let failed = |source| Error::Watch { path: path.into(), source };
        let path = std::path::absolute(path).map_err(failed)?;
        let inotify = Inotify::init().map_err(|source| Error::Inotify { source })?;
        let watches = inotify.watches();
        let events = inotify.into_event_stream(vec![0; 64 << 10]).map_err(|source| Error::Inotify { source })?;
        let pending = Pending { rescan: true, ..Pending::default() };
        let mut directory =
            Self { path, events, watches, own: None, parent: None, pending, unreadable: BTreeSet::new() };
        directory.rewatch().map_err(|source| Error::Watch { path: directory.path.clone(), source })?;
        Ok(directory)
    }

    /// Waits for the next batch; the first is complete and comes at once. May be dropped and called again at any time.
    ///
    /// # Errors
    /// The inotify instance failed, which is not expected to happen.
    pub async fn next(&mut self) -> Result<Batch, Error> {
        while self.pending.is_empty() {
            if self.own.is_some() {
                self.receive().await?;
            } else {
                // The parent may be gone as well, and then nobody reports the return.
                let received = tokio::time::timeout(RETRY, self.receive()).await;
                received.unwrap_or(Ok(()))?;
                self.pending.lost |= self.path.is_dir();
            }
        }
        let latest = Instant::now() + LONGEST;
        loop {
            let until = latest.min(Instant::now() + QUIET);
            match tokio::time::timeout_at(until, self.receive()).await {
                Ok(received) => received?,
                Err(_) => return Ok(self.settle()),
            }
            if Instant::now() >= latest {
                return Ok(self.settle());
            }
        }
    }

    async fn receive(&mut self) -> Result<(), Error> {
        let event = match self.events.next().await {
            Some(Ok(event)) => event,
            Some(Err(source)) => return Err(Error::Inotify { source }),
            None => return Err(Error::Inotify { source: io::ErrorKind::UnexpectedEof.into() }),
        };
        self.note(&event);
        Ok(())
    }

    /// Decides what an event asks for.
    fn note(&mut self, event: &Event<OsString>) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            self.pending.rescan = true;
        } else if self.own.as_ref() == Some(&event.wd) {
            self.note_own(event);
        } else if self.parent.as_ref() == Some(&event.wd) && event.name.as_deref() == self.path.file_name() {
            self.pending.lost = true;
        }
    }

    fn note_own(&mut self, event: &Event<OsString>) {
        if event
            .mask
            .intersects(EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED | EventMask::UNMOUNT)
        {
            self.pending.lost = true;
            return;
        }
        let Some(name) = event.name.as_ref().and_then(|name| name.to_str()) else { return };
        // A ConfigMap mount swaps the symlink `..data`, which all its files lead through.
        if name.starts_with("..") {
            self.pending.rescan = true;
            return;
        }
        let settled = if event.mask.contains(EventMask::CREATE) {
            fs::symlink_metadata(self.path.join(name)).is_ok_and(|metadata| metadata.is_symlink())
        } else if event.mask.contains(EventMask::ATTRIB) {
            // A change of mode matters only to a file that could not be read.
            self.unreadable.contains(name)
        } else {
            true
        };
        if settled && manifests::is_manifest(name) {
            self.pending.names.insert(name.into());
        }
    }

    /// Turns what is pending into a batch.
    fn settle(&mut self) -> Batch {
        let pending = std::mem::take(&mut self.pending);
        if pending.lost
            && let Err(error) = self.rewatch()
        {
            return self.unavailable(&error);
        }
        if pending.rescan || pending.lost {
            return self.scan().unwrap_or_else(|error| self.unavailable(&error));
        }
        self.read(pending.names, false)
    }

    fn unavailable(&mut self, error: &io::Error) -> Batch {
        let path = self.path.display();
        let reason = format!("{path} cannot be read: {error}; what it said last stays in force until it is back");
        Batch { unavailable: Some(reason), ..Batch::default() }
    }

    /// Watches the parent and the directory that now has the path.
    fn rewatch(&mut self) -> io::Result<()> {
        let own = WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::CREATE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        if let Some(parent) = self.path.parent() {
            let mask = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
            // Without the parent, a directory that comes back is not noticed; that it is gone still is.
            self.parent = self.watches.add(parent, mask).ok();
        }
        // A directory that was moved away keeps its watch, and would go on to report under the wrong path.
        if let Some(old) = self.own.take() {
            drop(self.watches.remove(old));
        }
        self.own = Some(self.watches.add(&self.path, own)?);
        Ok(())
    }

    fn scan(&mut self) -> io::Result<Batch> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| manifests::is_manifest(name)));
        }
        Ok(self.read(names, true))
    }

    fn read(&mut self, names: BTreeSet<String>, complete: bool) -> Batch {
        let mut files = BTreeMap::new();
        for name in names {
            let contents = read_file(&self.path.join(&name));
            match contents {
                Contents::Unreadable(_) => drop(self.unreadable.insert(name.clone())),
                _ => drop(self.unreadable.remove(&name)),
            }
            files.insert(name, contents);
        }
        Batch { complete, files, unavailable: None }
    }
}

fn read_file(path: &Path) -> Contents {
    // A pipe would block the reader, a device never end.
    let read = fs::metadata(path).and_then(|metadata| {
        if !metadata.is_file() {
            return Ok(Contents::Unreadable("is not a regular file; put the manifest itself here".into()));
        }
        if metadata.len() > MAX_FILE {
            let reason = format!("is larger than {} MiB and is not read; split it", MAX_FILE >> 20);
            return Ok(Contents::Unreadable(reason));
        }
        fs::read(path).map(Contents::Bytes)
    });
    match read {
        Ok(contents) => contents,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::Gone,
        Err(error) => Contents::Unreadable(format!("cannot be read: {error}; make it readable for weir")),
    }
}
