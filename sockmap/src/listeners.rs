//! The map that the proxy puts its listening sockets into.

use std::{net::TcpListener, os::fd::AsRawFd};

use aya::maps::{Map, MapData, SockMap};
use weir_abi::LISTENER_SLOTS;

use crate::{Error, pins::Pins};

const LISTENERS: &str = "LISTENERS";

/// The pinned listener map. A socket leaves it when it is closed, so a dead proxy leaves its ports closed.
pub struct Listeners {
    map: SockMap<MapData>,
}

impl Listeners {
    /// Opens the map that an agent pinned.
    ///
    /// # Errors
    /// If there is none yet (no agent has run), or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        let path = pins.maps().join(LISTENERS);
        let data = MapData::from_pin(&path).map_err(|e| Error::map("open", LISTENERS, e))?;
        let map = Map::from_map_data(data).map_err(|e| Error::map("open", LISTENERS, e))?;
        Ok(Self { map: SockMap::try_from(map).map_err(|e| Error::map("open", LISTENERS, e))? })
    }

    /// Fills every slot of both families, the sockets taking turns. Sockets of an older proxy are replaced one by one;
    /// at no time is a slot empty.
    ///
    /// # Errors
    /// If the kernel refuses a socket.
    pub fn fill(&mut self, v4: &[TcpListener], v6: &[TcpListener]) -> Result<(), Error> {
        for (sockets, base) in [(v4, 0), (v6, LISTENER_SLOTS)] {
            for (slot, socket) in (0..LISTENER_SLOTS).zip(sockets.iter().cycle()) {
                self.map
                    .set(base + slot, &socket.as_raw_fd(), 0)
                    .map_err(|e| Error::map("put a listener into", LISTENERS, e))?;
            }
        }
        Ok(())
    }
}
