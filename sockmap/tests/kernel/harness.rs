//! Runs the loaded programs on packets by `BPF_PROG_TEST_RUN`, with maps that are filled by the crate itself.
//!
//! The packets come in by the loopback device, which the programs are told is a bridge port: what goes to the proxy is
//! then seen by the action, whether a proxy listens or not.

use std::{
    collections::BTreeSet,
    net::{IpAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use aya::{
    maps::{Array, HashMap, Map, MapData, RingBuf},
    programs::{TestRun, TestRunOptions},
};
use ipnet::IpNet;
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    wanted::{AddressOwner, KernelPolicy, PolicyChange, PolicyId, WantedChange, WantedEndpoint},
};
use weir_sockmap::{
    Error,
    enforce::Enforcer,
    flows::Flows,
    kernel::{Kernel, Sizes},
    listeners::Listeners,
    pins::Pins,
    plan::Hook,
};

use super::packet::Packet;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Pass,
    /// The proxy gets it.
    Redirect,
    /// Dropped, for this reason of `weir_abi::drop`.
    Drop(u8),
}

/// The event that a packet caused: `EVENT_*`, `drop::*`, direction, rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: u8,
    pub reason: u8,
    pub direction: u8,
    pub cookie: u32,
}

/// A kernel of one's own: programs loaded, attached nowhere.
pub struct Harness {
    pub enforcer: Enforcer,
    pub flows: Flows,
    pub pins: Pins,
    ifaces: HashMap<MapData, u32, [u32; 2]>,
    events: RingBuf<MapData>,
    installed: (BTreeSet<EndpointId>, BTreeSet<IpNet>),
    listening: Vec<TcpListener>,
}

/// The loopback device has the first index in every namespace.
const LOOPBACK: u32 = 1;
const TC_ACT_SHOT: u32 = 2;
const TC_ACT_REDIRECT: u32 = 7;

impl Harness {
    /// `None`, loudly, where the tests of the kernel cannot run.
    pub fn start() -> Option<Self> {
        Self::with(Sizes::default())
    }

    /// With maps of these sizes.
    pub fn with(sizes: Sizes) -> Option<Self> {
        // Few, since all are looked through after each packet.
        let sizes = Sizes { flows: 1024, ..sizes };
        if !weir_lab::runs_as_root() {
            return None;
        }
        static NEXT: AtomicU32 = AtomicU32::new(1000);
        weir_lab::sweep().expect("sweep");
        let name = format!("wt-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let pins = Pins::new(std::path::Path::new("/sys/fs/bpf").join(name));
        let kernel = match Kernel::load(&pins, sizes) {
            Err(error @ Error::NoObject) => {
                eprintln!("SKIPPED: {error}");
                return None;
            }
            loaded => loaded.expect("load the programs"),
        };
        let open = |name: &str| {
            let data = MapData::from_pin(pins.maps().join(name)).expect("open a pinned map");
            Map::from_map_data(data).expect("a map")
        };
        // The MAC address and the index of a device to hand over to: nobody goes there.
        let mut config: Array<MapData, [u8; 12]> = Array::try_from(open("CONFIG")).expect("CONFIG");
        config.set(0, [1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0], 0).expect("write CONFIG");
        Some(Self {
            ifaces: HashMap::try_from(open("IFACES")).expect("IFACES"),
            events: RingBuf::try_from(open("EVENTS")).expect("EVENTS"),
            flows: Flows::open(&pins).expect("FLOWS"),
            enforcer: Enforcer::new(kernel).expect("read the maps"),
            pins,
            installed: Default::default(),
            listening: Vec::new(),
        })
    }

    /// Makes these the only policies and addresses. A pod's identity is that of its address.
    pub fn install(&mut self, policies: &[(EndpointId, KernelPolicy)], addresses: &[(IpNet, AddressOwner)]) {
        let mut change = WantedChange::default();
        let number = |id: &EndpointId| PolicyId(id.0);
        for id in &self.installed.0 {
            change.endpoints.insert(*id, None);
            change.policies.insert(number(id), PolicyChange::Gone);
        }
        change.addresses = self.installed.1.iter().map(|net| (*net, None)).collect();
        for (id, policy) in policies {
            let own = || addresses.iter().filter(|(_, owner)| owner.endpoint == Some(*id));
            let endpoint = WantedEndpoint {
                name: PodName { namespace: "default".into(), name: format!("pod{id}") },
                identity: own().next().map_or(Identity::UNKNOWN, |(_, owner)| owner.identity),
                addresses: own().map(|(net, _)| net.addr()).collect(),
                policy: number(id),
            };
            change.endpoints.insert(*id, Some(endpoint));
            change.policies.insert(number(id), PolicyChange::Set(Arc::new(policy.clone())));
        }
        change.addresses.extend(addresses.iter().map(|(net, owner)| (*net, Some(*owner))));
        self.installed =
            (policies.iter().map(|(id, _)| *id).collect(), addresses.iter().map(|(net, _)| *net).collect());
        self.change(&change);
    }

    /// Brings a change into force.
    pub fn change(&mut self, change: &WantedChange) {
        self.enforcer.change(change);
        self.enforcer.finish();
        assert_eq!(self.enforcer.problems(), [""; 0]);
    }

    /// Has a proxy listen, or not.
    pub fn listen(&mut self, listens: bool) {
        self.listening.clear();
        if listens {
            let socket = |address: &str| TcpListener::bind(address).expect("listen");
            self.listening = vec![socket("127.0.0.1:0"), socket("[::1]:0")];
            let mut map = Listeners::open(&self.pins).expect("LISTENERS");
            map.fill(&self.listening[..1], &self.listening[1..]).expect("fill LISTENERS");
        }
    }

    /// The verdict on a packet as the first of its exchange: nothing is remembered of it, but fragments.
    pub fn verdict(&mut self, packet: &Packet) -> Decision {
        self.look(packet).0
    }

    /// As [`Self::verdict`], with the event.
    pub fn look(&mut self, packet: &Packet) -> (Decision, Option<Seen>) {
        let seen = self.send(packet);
        self.forget();
        seen
    }

    /// Forgets all exchanges.
    pub fn forget(&mut self) {
        for exchange in self.flows.read().expect("read FLOWS") {
            self.flows.remove(&exchange.key).expect("write FLOWS");
        }
    }

    /// Sends a packet from its source's own device. What the programs remember of it stays.
    pub fn send(&mut self, packet: &Packet) -> (Decision, Option<Seen>) {
        self.send_from(packet, self.endpoint(packet.from))
    }

    /// Sends a packet from this pod's device; 0 is the node's own device.
    pub fn send_from(&mut self, packet: &Packet, endpoint: u32) -> (Decision, Option<Seen>) {
        self.ifaces.insert(LOOPBACK, [endpoint, weir_abi::IFACE_BRIDGE_PORT], 0).expect("write IFACES");
        let hook = if endpoint == 0 { Hook::FromNet } else { Hook::FromPod };
        let frame = packet.frame();
        let options = TestRunOptions { data_in: Some(&frame), ..TestRunOptions::default() };
        let program = self.enforcer.kernel().program(hook).expect("find the program");
        let result = program.test_run(options).expect("run the program");
        let mut seen = None;
        while let Some(item) = self.events.next() {
            let cookie = u32::from_ne_bytes(item[52..56].try_into().expect("four bytes"));
            seen = Some(Seen { kind: item[39], reason: item[40], direction: item[41], cookie });
        }
        let decision = match (result.return_value, seen) {
            (TC_ACT_SHOT, Some(seen)) => Decision::Drop(seen.reason),
            (TC_ACT_SHOT, None) => panic!("dropped without an event: {packet:?}"),
            (TC_ACT_REDIRECT, _) => Decision::Redirect,
            _ => Decision::Pass,
        };
        (decision, seen)
    }

    fn endpoint(&self, address: IpAddr) -> u32 {
        let v6 = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.enforcer.state().who((128, v6.octets())).endpoint
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        let _ = self.pins.remove();
    }
}

/// Prefix, identity and endpoint (0 for none) of each address.
pub fn addresses(rows: &[(&str, u32, u32)]) -> Vec<(IpNet, AddressOwner)> {
    let row = |&(net, identity, endpoint): &(&str, u32, u32)| {
        let endpoint = (endpoint != 0).then_some(EndpointId(endpoint));
        (net.parse().expect("a prefix"), AddressOwner { identity: Identity(identity), endpoint })
    };
    rows.iter().map(row).collect()
}
