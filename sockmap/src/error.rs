//! What can go wrong between weir and the kernel.

use std::{io, path::PathBuf};

/// An error of this crate. The message names the call, the object and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary was built without the eBPF tool chain.
    #[error(
        "this binary holds no eBPF programs: it was built without the tool chain; run scripts/setup and build again"
    )]
    NoObject,
    /// The object could not be loaded.
    #[error(
        "load the eBPF object: {source}; weir needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and a kernel of 6.6 or newer"
    )]
    Object {
        /// What aya says.
        #[source]
        source: Box<aya::EbpfError>,
    },
    /// A program was refused or is missing.
    #[error("{call} program {program}: {source}")]
    Program {
        /// What was tried.
        call: &'static str,
        /// The program's name.
        program: &'static str,
        /// What the kernel or aya says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A map could not be opened, read or written.
    #[error("{call} map {map}: {source}")]
    Map {
        /// What was tried.
        call: &'static str,
        /// The map's name.
        map: &'static str,
        /// What the kernel or aya says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A pin or its directory.
    #[error("{call} {path}: {source}; the BPF file system must be mounted there and writable")]
    Pin {
        /// What was tried.
        call: &'static str,
        /// Where.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A netlink request.
    #[error("netlink {call}: {source}; weir needs CAP_NET_ADMIN in this network namespace")]
    Netlink {
        /// What was asked.
        call: String,
        /// What the kernel says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another system call.
    #[error("{call}: {source}")]
    System {
        /// What was tried.
        call: String,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn map(
        call: &'static str,
        map: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Map { call, map, source: Box::new(source) }
    }

    pub(crate) fn program(
        call: &'static str,
        program: &'static str,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Program { call, program, source: Box::new(source) }
    }

    pub(crate) fn pin(
        call: &'static str,
        path: impl Into<PathBuf>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::Pin { call, path: path.into(), source: Box::new(source) }
    }

    pub(crate) fn netlink(call: impl Into<String>, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Netlink { call: call.into(), source: Box::new(source) }
    }
}
