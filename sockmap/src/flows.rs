//! What connection tracking holds: exchanges that pass without the proxy.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
};

use aya::maps::{HashMap, Map, MapData};
use weir_abi::{FlowKey, FlowState};

use crate::{
    Error,
    pins::Pins,
    raw::{self, Raw},
};

const FLOWS: &str = "FLOWS";
/// Entries per system call.
const BATCH: usize = 16_384;
/// `BPF_MAP_LOOKUP_BATCH` (linux/bpf.h).
const LOOKUP_BATCH: libc::c_long = 24;

/// An exchange, as its opener started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its key in the map.
    pub key: FlowKey,
    /// Who opened it; the identifier of ICMP in place of a port.
    pub source: SocketAddr,
    /// Whom.
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Nanoseconds since the kernel's start (`CLOCK_MONOTONIC`) of its last packet, to about a second.
    pub seen_ns: u64,
    /// Whether FIN or RST was seen.
    pub closing: bool,
}

/// The pinned map.
pub struct Flows {
    data: MapData,
    map: HashMap<MapData, Raw<FlowKey>, Raw<FlowState>>,
}

impl Flows {
    /// Opens the map that an agent pinned.
    ///
    /// # Errors
    /// If there is none yet, or it may not be opened.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        let open = || MapData::from_pin(pins.maps().join(FLOWS)).map_err(|e| Error::map("open", FLOWS, e));
        let map = Map::from_map_data(open()?).map_err(|e| Error::map("open", FLOWS, e))?;
        Ok(Self { data: open()?, map: HashMap::try_from(map).map_err(|e| Error::map("open", FLOWS, e))? })
    }

    /// All exchanges. What comes and goes meanwhile may be missing.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn read(&self) -> Result<Vec<Exchange>, Error> {
        self.read_if(|_| true)
    }

    /// The exchanges between two ends that `wanted` wants, many per system call.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn read_if(&self, wanted: impl Fn(&FlowKey) -> bool) -> Result<Vec<Exchange>, Error> {
        let mut all = Vec::new();
        let (mut position, mut started) = (0_u64, false);
        let mut keys = vec![FlowKey::default(); BATCH];
        let mut values = vec![FlowState::default(); BATCH];
        loop {
            let mut next = 0_u64;
            let mut request = Batch {
                in_batch: if started { (&raw const position) as u64 } else { 0 },
                out_batch: (&raw mut next) as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
                map_fd: u32::try_from(self.data.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX),
                elem_flags: 0,
                flags: 0,
            };
            let length = size_of::<Batch>();
            // SAFETY: the request lives through the call, and points to buffers of `count` keys and values, and to two
            // positions, of which a hash map uses four bytes.
            #[expect(unsafe_code, reason = "no crate wraps this command")]
            let result = unsafe { libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut request, length) };
            let error = if result < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 };
            match error {
                // One bucket holds more than there was room for.
                libc::ENOSPC => {
                    keys.resize(keys.len() * 2, FlowKey::default());
                    values.resize(keys.len(), FlowState::default());
                    continue;
                }
                0 | libc::ENOENT => {}
                _ => return Err(Error::map("read", FLOWS, io::Error::from_raw_os_error(error))),
            }
            let count = usize::try_from(request.count).unwrap_or(0);
            let read = keys.iter().zip(&values).take(count).filter(|(key, _)| wanted(key));
            all.extend(read.map(|(key, state)| exchange(*key, *state)));
            if error == libc::ENOENT {
                return Ok(all);
            }
            (position, started) = (next, true);
        }
    }

    /// Forgets an exchange; that there is none is no failure.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn remove(&mut self, key: &FlowKey) -> Result<(), Error> {
        raw::unless_absent(self.map.remove(&Raw(*key))).map_err(|e| Error::map("remove from", FLOWS, e))
    }
}

/// `struct { … } batch` of `union bpf_attr` (linux/bpf.h).
#[repr(C)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

fn exchange(key: FlowKey, state: FlowState) -> Exchange {
    let low = SocketAddr::new(raw::ip(key.low), key.low_port.get());
    let high = SocketAddr::new(raw::ip(key.high), key.high_port.get());
    let (source, destination) = if state.opened_by_high == 1 { (high, low) } else { (low, high) };
    Exchange { key, source, destination, protocol: key.protocol, seen_ns: state.seen_ns, closing: state.closing != 0 }
}
