//! Map keys and values as bytes, and addresses as the kernel side keeps them.

use std::{io, net::IpAddr};

use aya::maps::MapError;
use weir_abi::Addr;

/// A `repr(C)` struct of `weir-abi` as a map's key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Raw<T>(pub T);

// SAFETY: used with the structs of `weir-abi` only: `repr(C)`, integers and arrays of integers, no padding, every bit
// pattern valid.
#[expect(unsafe_code, reason = "aya's marker trait for bytes")]
unsafe impl<T: Copy + 'static> aya::Pod for Raw<T> {}

/// The 16 bytes of an address; IPv4 is v4-mapped.
pub(crate) fn addr(ip: IpAddr) -> Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Back from [`addr`].
pub(crate) fn ip(addr: Addr) -> IpAddr {
    IpAddr::from(addr).to_canonical()
}

/// To remove what is not there is no failure.
pub(crate) fn unless_absent(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
