//! Where maps and links are pinned: `<bpf dir>/v2/maps/<map>` and `<bpf dir>/v2/links/<ifindex>-<device>-<hook>`, where
//! v2 is `weir_abi::LAYOUT`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::{
    fs::statfs,
    mount::{MountFlags, mount},
};

use crate::Error;

/// `BPF_FS_MAGIC` of `linux/magic.h`.
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// A directory of the BPF file system that belongs to one weir.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
}

impl Pins {
    /// Names the directory; nothing is touched yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the directories, and mounts the BPF file system on their parent if nobody has.
    ///
    /// # Errors
    /// If the mount or a directory is refused.
    pub fn prepare(&self) -> Result<(), Error> {
        let parent = self.root.parent().unwrap_or(&self.root);
        if !is_bpffs(parent) {
            fs::create_dir_all(parent).map_err(|e| Error::pin("create directory", parent, e))?;
            mount("bpf", parent, "bpf", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
                .map_err(|e| Error::pin("mount the BPF file system on", parent, e))?;
        }
        for directory in [self.maps(), self.links()] {
            fs::create_dir_all(&directory).map_err(|e| Error::pin("create directory", &directory, e))?;
        }
        Ok(())
    }

    /// The maps' directory.
    pub fn maps(&self) -> PathBuf {
        self.root.join(weir_abi::LAYOUT).join("maps")
    }

    /// The links' directory.
    pub fn links(&self) -> PathBuf {
        self.root.join(weir_abi::LAYOUT).join("links")
    }

    /// The pin of a program's link on a device.
    pub fn link(&self, ifindex: u32, device: &str, hook: &str) -> PathBuf {
        self.links().join(format!("{ifindex}-{}-{hook}", device.replace(['/', '.'], "_")))
    }

    /// The pin of the socket look-up's link on the namespace.
    pub fn lookup(&self) -> PathBuf {
        self.links().join("netns-lookup")
    }

    /// All pinned links.
    pub fn list_links(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.links()).into_iter().flatten();
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect()
    }

    /// Whether anything is pinned.
    pub fn exist(&self) -> bool {
        self.root.exists()
    }

    /// Removes every pin and the directories: links first, so that no program runs without its maps.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub fn remove(&self) -> Result<(), Error> {
        for layout in self.layouts() {
            remove_layout(&layout)?;
        }
        if self.root.exists() {
            fs::remove_dir_all(&self.root).map_err(|e| Error::pin("remove directory", &self.root, e))?;
        }
        Ok(())
    }

    /// Removes what a weir with another layout has pinned, and so its programs; to be called once there are new ones in
    /// their place.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub fn remove_other_layouts(&self) -> Result<(), Error> {
        let own = self.root.join(weir_abi::LAYOUT);
        self.layouts().iter().filter(|layout| **layout != own).try_for_each(|layout| remove_layout(layout))
    }

    fn layouts(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

fn remove_layout(layout: &Path) -> Result<(), Error> {
    for directory in [layout.join("links"), layout.join("maps")] {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.filter_map(Result::ok) {
            fs::remove_file(entry.path()).map_err(|e| Error::pin("remove pin", entry.path(), e))?;
        }
    }
    fs::remove_dir_all(layout).map_err(|e| Error::pin("remove directory", layout, e))
}

fn is_bpffs(path: &Path) -> bool {
    #[expect(clippy::unnecessary_cast, reason = "the field's type differs between C libraries")]
    statfs(path).is_ok_and(|stat| stat.f_type as i64 == BPF_FS_MAGIC)
}
