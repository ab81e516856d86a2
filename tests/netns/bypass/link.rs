//! Below IP: what a pod on a bridge, or with frames of its own making, may try.

use weir_lab::{Wiring, runs_as_root, wait_until};

use crate::{
    redirect::{endpoints, get, one_way, port},
    site::{Member, SOON, Site},
    traffic::{connect, server},
};

/// Packets that were dropped for this reason, as `weir status` counts them.
fn count(site: &Site, reason: &str) -> u64 {
    let status = site.status().expect("a status");
    status.packets.iter().filter(|(name, _, _)| name == reason).map(|(_, _, packets)| packets).sum()
}

/// `web` on a bridge lets `friend` in on port 81, and nobody else.
fn site(wiring: Wiring<'_>) -> (Site, Member, Member, Member) {
    let mut site = Site::new();
    let other = site.pod("other", 12, wiring);
    let friend = site.pod("friend", 13, wiring);
    let web = site.pod("web", 10, wiring);
    let entry = format!("{{{}, {}}}", endpoints("fromEndpoints", "friend"), port(81, "TCP"));
    site.write("in.yaml", &one_way("in", "web", "ingress", &entry));
    site.run();
    (site, other, friend, web)
}

#[test]
fn a_vlan_tag_hides_nothing() {
    if !runs_as_root() {
        return;
    }
    for wiring in [Wiring::Routed, Wiring::Bridge("br0")] {
        let (site, other, _friend, web) = site(wiring);
        let _seen = server(web.netns(), web.at(false, 81));
        // One tag with the number 0, then two: the kernel takes both off and delivers what is inside.
        for depth in [1, 2] {
            let (lower, name) = if depth == 1 { ("eth0", "v1") } else { ("v1", "v2") };
            let netns = other.netns();
            let made = netns.ip([format!("link add link {lower} name {name} type vlan id 0")]);
            if let Err(error) = made {
                assert!(std::env::var_os("CI").is_none(), "this test needs VLAN devices: {error}");
                eprintln!("SKIPPED: this test needs VLAN devices: {error}");
                return;
            }
            netns.ip([format!("link set {name} up")]).expect("set it up");
            // To the MAC address that the untagged way has.
            assert!(connect(netns, web.at(false, 81)).is_err(), "not allowed without a tag either");
            let neighbour = match wiring {
                Wiring::Routed => "169.254.1.1".to_owned(),
                Wiring::Bridge(_) => web.v4.to_string(),
            };
            let output = netns.command("ip").args(["neigh", "show", &neighbour, "dev", "eth0"]).output().expect("ip");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let mac =
                text.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).expect("a neighbour").to_owned();
            netns
                .ip([
                    format!("route replace {}/32 dev {name} scope link src {}", web.v4, other.v4),
                    format!("neigh replace {} lladdr {mac} dev {name} nud permanent", web.v4),
                ])
                .expect("route by the tag");
            assert!(connect(netns, web.at(false, 81)).is_err(), "{depth} tags went past the policy, {wiring:?}");
            if depth == 2 {
                assert!(count(&site, "InvalidPacket") > 0, "not counted, {wiring:?}");
            }
            netns.ip([format!("route del {}/32 dev {name}", web.v4)]).expect("remove the route");
        }
    }
}

#[test]
fn a_pod_on_a_bridge_is_nobody_else_to_its_neighbours() {
    if !runs_as_root() {
        return;
    }
    let (site, other, friend, web) = site(Wiring::Bridge("br0"));
    let _seen = server(web.netns(), web.at(false, 81));
    // Port to port, without the node's IP: judged all the same.
    assert!(connect(other.netns(), web.at(false, 81)).is_err(), "connected against the policy");
    let mut stream = connect(friend.netns(), web.at(false, 81)).expect("connect");
    assert_eq!(get(&mut stream, "/"), 200);
    // `other` takes the server's address and shouts it, and answers for it.
    let before = count(&site, "InvalidSourceIp");
    other.netns().sysctl("net/ipv4/conf/eth0/arp_notify", "1").expect("sysctl");
    other.netns().ip([format!("addr add {}/24 dev eth0", web.v4)]).expect("take the address");
    let seen = server(other.netns(), web.at(false, 81));
    friend.netns().ip(["neigh flush dev eth0"]).expect("forget the neighbours");
    other.netns().ip(["link set eth0 down", "link set eth0 up"]).expect("announce it");
    wait_until("the claim to be dropped", SOON, || count(&site, "InvalidSourceIp") > before).expect("it is counted");
    let mut stream = connect(friend.netns(), web.at(false, 81)).expect("connect to the real one");
    assert_eq!(get(&mut stream, "/"), 200);
    assert_eq!(seen.try_iter().count(), 0, "the impostor was called");
}
