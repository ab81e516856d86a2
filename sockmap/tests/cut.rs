//! What is open and denied now is cut, at both ends, and nothing else. Needs root.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use aya::maps::MapData;
use weir_lab::{Lab, Pod, PodSpec, Wiring, in_netns};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    resolved::{Direction, RuleId},
    wanted::{
        AddressOwner, Decided, DirectionFlags, EntryKey, EntryVerdict, KernelPolicy, KernelVerdict, PolicyChange,
        PolicyId, WantedChange, WantedEndpoint,
    },
};
use weir_sockmap::{
    Error,
    kernel::{Kernel, Sizes},
    netlink::Netlink,
    pins::Pins,
    reconcile::Reconciler,
};

const SOON: Duration = Duration::from_millis(100);

/// Ingress to these ports, TCP and UDP, from everybody.
fn allows(ports: &[u16]) -> Arc<KernelPolicy> {
    let allow = Decided { verdict: KernelVerdict::Allow, rule: RuleId(1) };
    let key = |protocol, port| EntryKey {
        direction: Direction::Ingress,
        peer: Identity::UNKNOWN,
        protocol,
        port,
        port_bits: 16,
    };
    let keys = ports.iter().flat_map(|port| [key(6, *port), key(17, *port)]);
    let verdict = EntryVerdict { enforced: allow, audited: allow, observe: false };
    let ingress = DirectionFlags { default_deny: true, audit_default_deny: true, has_entries: true };
    let entries = keys.map(|key| (key, verdict)).collect::<BTreeMap<_, _>>();
    Arc::new(KernelPolicy { ingress, entries, ..KernelPolicy::default() })
}

fn everything(pods: &[(&Pod, u32)]) -> WantedChange {
    let mut change = WantedChange::default();
    for (pod, number) in pods {
        let addresses: Vec<IpAddr> = pod.v4.map(Into::into).into_iter().chain(pod.v6.map(Into::into)).collect();
        let (id, identity) = (EndpointId(*number), Identity(1000 + number));
        for address in &addresses {
            let owner = AddressOwner { identity, endpoint: Some(id) };
            change.addresses.insert((*address).into(), Some(owner));
        }
        let endpoint = WantedEndpoint {
            name: PodName { namespace: "default".into(), name: format!("pod{number}") },
            identity,
            addresses: addresses.into_iter().collect(),
            policy: PolicyId(*number),
        };
        change.endpoints.insert(id, Some(endpoint));
        change.policies.insert(PolicyId(*number), PolicyChange::Set(Arc::default()));
    }
    change
}

struct Tcp {
    client: TcpStream,
    server: TcpStream,
}

impl Tcp {
    fn open(client: &Pod, server: &Pod, to: SocketAddr) -> Self {
        let listener = in_netns(&server.netns, || TcpListener::bind(to)).expect("listen");
        let stream = in_netns(&client.netns, || TcpStream::connect_timeout(&to, SOON * 20)).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        let mut pair = Self { client: stream, server };
        pair.talk();
        // It goes on listening: an end to the connection must not be an end to the listener.
        std::mem::forget(listener);
        pair
    }

    fn talk(&mut self) {
        self.client.write_all(b"ping").expect("write");
        let mut bytes = [0; 4];
        self.server.read_exact(&mut bytes).expect("read");
        self.server.write_all(&bytes).expect("write");
        self.client.read_exact(&mut bytes).expect("read");
    }

    fn is_cut(&mut self) -> bool {
        [&mut self.client, &mut self.server].into_iter().all(|stream| {
            stream.set_read_timeout(Some(SOON)).expect("set a timeout");
            let error = stream.read(&mut [0; 4]).expect_err("nothing to read").kind();
            error == ErrorKind::ConnectionAborted || error == ErrorKind::ConnectionReset
        })
    }
}

/// A connected client, and a server that takes datagrams from anybody.
struct Udp {
    client: UdpSocket,
    server: UdpSocket,
}

impl Udp {
    fn open(client: &Pod, server: &Pod, to: SocketAddr) -> Self {
        let any = SocketAddr::new(if to.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) }, 0);
        let server = in_netns(&server.netns, || UdpSocket::bind(to)).expect("bind");
        let client = in_netns(&client.netns, || UdpSocket::bind(any)).expect("bind");
        client.connect(to).expect("connect");
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(SOON)).expect("set a timeout");
        }
        let pair = Self { client, server };
        pair.talk();
        pair
    }

    fn talk(&self) {
        self.client.send(b"ping").expect("send");
        let (_, from) = self.server.recv_from(&mut [0; 4]).expect("receive");
        self.server.send_to(b"pong", from).expect("send");
        self.client.recv(&mut [0; 4]).expect("receive");
    }

    fn is_cut(&self) -> bool {
        let client = self.client.recv(&mut [0; 4]).expect_err("nothing to receive").kind();
        let server = self.server.recv_from(&mut [0; 4]).expect_err("nothing to receive").kind();
        client == ErrorKind::ConnectionAborted && server == ErrorKind::WouldBlock
    }
}

#[test]
fn what_is_denied_now_is_cut_at_both_ends() {
    if !weir_lab::runs_as_root() {
        return;
    }
    let lab = Lab::unique().expect("a lab");
    let pod = |name, net: u8, wiring| {
        let (v4, v6) = ([198, 18, net, 10].into(), [0x2001, 0xdb8, net.into(), 0, 0, 0, 0, 10].into());
        lab.pod(PodSpec { name, v4: Some(v4), v6: Some(v6), wiring }).expect("a pod")
    };
    let (client, web) = (pod("client", 7, Wiring::Routed), pod("web", 8, Wiring::Bridge("br0")));
    let pins = Pins::new(lab.bpf_dir());
    let kernel = match Kernel::load(&pins, Sizes::default()) {
        Err(error @ Error::NoObject) => return eprintln!("SKIPPED: {error}"),
        loaded => loaded.expect("load the programs"),
    };
    // Of another version, which had another layout.
    let other = lab.bpf_dir().join("v1");
    fs::create_dir_all(other.join("maps")).expect("create a directory");
    let old = MapData::from_pin(pins.maps().join("EPOCH")).expect("open a map");
    old.pin(other.join("maps/EPOCH")).expect("pin it");
    in_netns(lab.node(), || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let netlink = Netlink::connect().expect("netlink");
            let mut reconciler = Reconciler::start(kernel, netlink).await.expect("start");
            let report = reconciler.change(&everything(&[(&client, 1), (&web, 2)])).await.expect("change");
            assert_eq!(report.problems, [""; 0]);
            assert!(!other.exists(), "what another version has pinned");
            reconciler.tend().await.expect("tend");
            for address in [IpAddr::from(web.v4.expect("v4")), IpAddr::from(web.v6.expect("v6"))] {
                let to = |port| SocketAddr::new(address, port);
                let (mut denied, mut allowed) = (Tcp::open(&client, &web, to(80)), Tcp::open(&client, &web, to(81)));
                let (denied_udp, allowed_udp) = (Udp::open(&client, &web, to(80)), Udp::open(&client, &web, to(81)));
                let mut change = WantedChange::default();
                change.policies.insert(PolicyId(2), PolicyChange::Set(allows(&[81])));
                let begin = Instant::now();
                reconciler.change(&change).await.expect("change");
                let due = reconciler.due().expect("something is to be cut");
                tokio::time::sleep_until(due.into()).await;
                let report = reconciler.tend().await.expect("tend");
                let took = begin.elapsed();
                println!("cut after {took:?}");
                assert_eq!(report.problems, [""; 0]);
                assert!(denied.is_cut(), "the TCP connection that is denied");
                assert!(denied_udp.is_cut(), "the connected socket that is denied, and no other");
                allowed.talk();
                allowed_udp.talk();
                assert!(took < SOON, "it took {took:?}");
                change.policies.insert(PolicyId(2), PolicyChange::Set(Arc::default()));
                reconciler.change(&change).await.expect("change");
                reconciler.tend().await.expect("tend");
                // The listener and the unconnected socket are as they were.
                in_netns(&client.netns, || TcpStream::connect_timeout(&to(80), SOON * 20)).expect("connect again");
            }
            // Two of TCP and one of UDP, twice; and the last connection over IPv4, which nobody has accepted.
            assert_eq!(reconciler.cuts().sockets, 8);
            assert_eq!(reconciler.cuts().lost, 0);
        });
    });
    pins.remove().expect("remove the pins");
}
