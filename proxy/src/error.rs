//! What can end the proxy. What ends one connection is [`crate::relay::End`].

use std::io;

/// An error of the proxy as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listening socket could not be made.
    #[error("open the {family} listener: {source}; weir proxy needs CAP_NET_ADMIN for transparent sockets")]
    Listen {
        /// IPv4 or IPv6.
        family: &'static str,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// A worker's thread or runtime could not be started.
    #[error("start worker {number}: {source}")]
    Worker {
        /// Which.
        number: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The listeners could not be handed to the kernel.
    #[error(transparent)]
    Kernel(#[from] weir_sockmap::Error),
}
