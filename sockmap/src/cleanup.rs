//! Removes every trace: programs, links, maps, routing rule, own devices.

use crate::{Error, netlink::Netlink, pins::Pins, routing};

/// Removes what this weir, or one that died, left in the kernel. What is not there is not an error.
///
/// # Errors
/// If the kernel refuses to remove something.
pub async fn remove_all(pins: &Pins) -> Result<(), Error> {
    // The programs first: without the routing rule they would hand packets to nobody.
    pins.remove()?;
    routing::remove(&Netlink::connect()?).await
}
