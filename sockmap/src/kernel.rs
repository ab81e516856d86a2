//! The loaded programs and the open maps: the only place that writes to them.

use std::{fs, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, MapError, PerCpuArray, RingBuf},
    programs::{
        LinkOrder, ProgramError, SchedClassifier, SkLookup, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{SchedClassifierLink, TcAttachOptions},
    },
};
use weir_abi::{Config, Counter};

use crate::{
    Error, counters::Counters, events::Events, pins::Pins, plan::Hook, raw::Raw, state::State, tables::Tables,
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weir-ebpf"));

/// The programs, in `ebpf/src/main.rs`.
const PROGRAMS: [&str; 4] = ["from_pod", "to_pod", "from_net", "from_port"];

/// The program that TCP asks for listeners.
const LOOKUP: &str = "reopen";

/// Capacities of the maps whose size depends on the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Addresses that weir knows (`ADDRS`); about 100 bytes each.
    pub addresses: u32,
    /// Policy entries (`POLICY`), of all endpoints together; during a policy change old and new ones both count.
    pub policy_entries: u32,
    /// Connections that pass without the proxy (`FLOWS`); the least recently used makes room.
    pub flows: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { addresses: 131_072, policy_entries: 131_072, flows: 262_144 }
    }
}

/// Fill of one map.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fill {
    /// The map's name.
    pub map: String,
    /// Entries in it.
    pub entries: u32,
    /// Entries that fit.
    pub capacity: u32,
}

/// Handles on everything that weir has in the kernel.
pub struct Kernel {
    pins: Pins,
    ebpf: Ebpf,
    sizes: Sizes,
    tables: Tables,
    config: Array<MapData, Raw<Config>>,
}

impl Kernel {
    /// Loads the programs. Maps that are pinned already, with what is in them, are taken over.
    ///
    /// # Errors
    /// If the object, a program or a map is refused.
    pub fn load(pins: &Pins, sizes: Sizes) -> Result<Self, Error> {
        if OBJECT.is_empty() {
            return Err(Error::NoObject);
        }
        pins.prepare()?;
        let mut ebpf = EbpfLoader::new()
            .default_map_pin_directory(pins.maps())
            .map_max_entries("ADDRS", sizes.addresses)
            .map_max_entries("POLICY", sizes.policy_entries)
            .map_max_entries("FLOWS", sizes.flows)
            .load(OBJECT)
            .map_err(|source| Error::Object { source: Box::new(source) })?;
        for name in PROGRAMS {
            classifier(&mut ebpf, name)?.load().map_err(|e| Error::program("load", name, e))?;
        }
        lookup(&mut ebpf)?.load().map_err(|e| Error::program("load", LOOKUP, e))?;
        Ok(Self {
            pins: pins.clone(),
            tables: Tables::open(|name| take_map(&mut ebpf, name))?,
            config: take(&mut ebpf, "CONFIG")?,
            ebpf,
            sizes,
        })
    }

    /// Takes the ring buffer's consumer end; to be called once, inside a tokio runtime.
    ///
    /// # Errors
    /// If it was taken before.
    pub fn events(&mut self) -> Result<Events, Error> {
        let ring: RingBuf<MapData> = take(&mut self.ebpf, "EVENTS")?;
        Events::new(ring).map_err(|e| Error::map("poll", "EVENTS", e))
    }

    /// Takes the counters; to be called once.
    ///
    /// # Errors
    /// If they were taken before.
    pub fn counters(&mut self) -> Result<Counters, Error> {
        let map: PerCpuArray<MapData, Raw<Counter>> = take(&mut self.ebpf, "COUNTERS")?;
        Ok(Counters { map })
    }

    /// A program, as it is loaded; to run it on packets of one's own, for example.
    ///
    /// # Errors
    /// If the object has none of this name.
    pub fn program(&mut self, hook: Hook) -> Result<&SchedClassifier, Error> {
        classifier(&mut self.ebpf, hook.program()).map(|program| &*program)
    }

    /// Reads back what the maps hold, for a reconcile after a restart.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn read_state(&self) -> Result<State, Error> {
        self.tables.read()
    }

    /// Entries and capacity of the maps that can fill up.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn fill(&self, state: &State) -> Vec<Fill> {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        [
            ("IFACES", count(state.ifaces.len()), 4096),
            ("ADDRS", count(state.addresses.len()), self.sizes.addresses),
            ("ENDPOINTS", count(state.endpoints.len()), 4096),
            ("POLICY", count(state.policy_entries), self.sizes.policy_entries),
        ]
        .into_iter()
        .map(|(map, entries, capacity)| Fill { map: map.into(), entries, capacity })
        .collect()
    }

    /// How many policy entries fit.
    pub(crate) fn policy_capacity(&self) -> usize {
        usize::try_from(self.sizes.policy_entries).unwrap_or(usize::MAX)
    }

    /// The maps that say what is to be done with a packet.
    pub(crate) fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    pub(crate) fn set_config(&mut self, config: Config) -> Result<(), Error> {
        self.config.set(0, Raw(config), 0).map_err(|e| Error::map("write", "CONFIG", e))
    }

    /// Attaches a program to a device and pins the link; a link that is pinned already gets the new program in one
    /// step, so there is no moment without one.
    pub(crate) fn attach(&mut self, ifindex: u32, device: &str, hook: Hook) -> Result<(), Error> {
        let path = self.pins.link(ifindex, device, hook.name());
        let program = classifier(&mut self.ebpf, hook.program())?;
        if path.exists() {
            if renew(program, &path).is_ok() {
                return Ok(());
            }
            // The device was removed and came back under the same index: the old link leads nowhere.
            fs::remove_file(&path).map_err(|e| Error::pin("remove stale pin", &path, e))?;
        }
        let at = if hook.is_egress() { TcAttachType::Egress } else { TcAttachType::Ingress };
        // First of all programs: what weir drops, nobody else has to look at.
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id =
            program.attach_with_options(device, at, order).map_err(|e| Error::program("attach", hook.program(), e))?;
        let link = program.take_link(id).map_err(|e| Error::program("attach", hook.program(), e))?;
        let link = FdLink::try_from(link).map_err(|e| Error::program("attach", hook.program(), e))?;
        link.pin(&path).map_err(|e| Error::pin("pin link", &path, e))?;
        Ok(())
    }

    /// Attaches the socket look-up to the caller's network namespace. An older process's is replaced: for a moment both
    /// are there, and say the same.
    pub(crate) fn attach_lookup(&mut self) -> Result<(), Error> {
        let failed = |e: ProgramError| Error::program("attach", LOOKUP, e);
        let netns = fs::File::open("/proc/thread-self/ns/net")
            .map_err(|source| Error::System { call: "open /proc/thread-self/ns/net".into(), source })?;
        let program = lookup(&mut self.ebpf)?;
        let id = program.attach(netns).map_err(failed)?;
        let link = FdLink::from(program.take_link(id).map_err(failed)?);
        let path = self.pins.lookup();
        if path.exists() {
            fs::remove_file(&path).map_err(|e| Error::pin("remove old pin", &path, e))?;
        }
        link.pin(&path).map_err(|e| Error::pin("pin link", &path, e))?;
        Ok(())
    }

    /// Removes every pinned link that is not among `keep`; without its pin a link is gone.
    pub(crate) fn detach_all_but(&mut self, keep: &[std::path::PathBuf]) -> Result<(), Error> {
        for path in self.pins.list_links().into_iter().filter(|path| !keep.contains(path)) {
            fs::remove_file(&path).map_err(|e| Error::pin("remove link", &path, e))?;
        }
        Ok(())
    }

    pub(crate) fn pins(&self) -> &Pins {
        &self.pins
    }
}

fn renew(program: &mut SchedClassifier, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let link = SchedClassifierLink::try_from(FdLink::from(PinnedLink::from_pin(path)?))?;
    let id = program.attach_to_link(link)?;
    // The pin holds the link; the descriptor may close.
    drop(program.take_link(id)?);
    Ok(())
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, Error> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| Error::program("find", name, std::io::Error::other("not in the object")))?;
    program.try_into().map_err(|e: ProgramError| Error::program("find", name, e))
}

fn lookup(ebpf: &mut Ebpf) -> Result<&mut SkLookup, Error> {
    let program = ebpf
        .program_mut(LOOKUP)
        .ok_or_else(|| Error::program("find", LOOKUP, std::io::Error::other("not in the object")))?;
    program.try_into().map_err(|e: ProgramError| Error::program("find", LOOKUP, e))
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, Error>
where
    T: TryFrom<Map, Error = MapError>,
{
    T::try_from(take_map(ebpf, name)?).map_err(|e| Error::map("open", name, e))
}

fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, Error> {
    ebpf.take_map(name).ok_or_else(|| Error::map("find", name, std::io::Error::other("already taken")))
}
