//! The lab itself: pods reach each other over real sockets, and nothing is left behind.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use weir_lab::{Lab, NODE_V4, NODE_V6, Netns, Pod, PodSpec, Wiring, in_netns, runs_as_root, sweep, wait_until};

const SOON: Duration = Duration::from_secs(5);

fn v4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 7, host)
}

fn v6(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, host)
}

fn pod(lab: &Lab, name: &str, host: u8, wiring: Wiring<'_>) -> Result<Pod> {
    lab.pod(PodSpec { name, v4: Some(v4(host)), v6: Some(v6(host.into())), wiring })
}

/// Dials `addr` of `server` from `client`, exchanges bytes both ways, and returns the address that the server saw.
fn seen_by_server(client: &Netns, server: &Netns, addr: IpAddr) -> Result<IpAddr> {
    let listener = in_netns(server, || TcpListener::bind(SocketAddr::new(addr, 0)))?;
    let target = listener.local_addr()?;
    thread::scope(|scope| {
        let served = scope.spawn(move || -> Result<IpAddr> {
            let (mut stream, peer) = listener.accept()?;
            let mut request = [0; 4];
            stream.read_exact(&mut request)?;
            ensure!(&request == b"ping");
            stream.write_all(b"pong")?;
            Ok(peer.ip())
        });
        let mut stream = in_netns(client, || TcpStream::connect_timeout(&target, SOON))?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(b"ping")?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        ensure!(&answer == b"pong");
        served.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn everyone_reaches_everyone_with_its_own_address() -> Result<()> {
    if !runs_as_root() {
        return Ok(());
    }
    let lab = Lab::unique()?;
    // The bridge's subnet must not be that of the routed pods: it is on-link.
    let bridged = |name, host| {
        lab.pod(PodSpec {
            name,
            v4: Some(Ipv4Addr::new(198, 19, 1, host)),
            v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0xb, 0, 0, 0, 0, host.into())),
            wiring: Wiring::Bridge("br0"),
        })
    };
    let mut machines = Vec::new();
    for made in
        [pod(&lab, "ra", 2, Wiring::Routed)?, pod(&lab, "rb", 3, Wiring::Routed)?, bridged("ba", 2)?, bridged("bb", 3)?]
    {
        machines.push((made.netns.clone(), made.v4.expect("given"), made.v6.expect("given")));
    }
    let far = (Ipv4Addr::new(198, 19, 2, 2), Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 2));
    machines.push((lab.outside(Some(far.0), Some(far.1))?, far.0, far.1));

    for (client, client_v4, client_v6) in &machines {
        for (server, server_v4, server_v6) in &machines {
            assert_eq!(seen_by_server(client, server, (*server_v4).into())?, IpAddr::from(*client_v4));
            assert_eq!(seen_by_server(client, server, (*server_v6).into())?, IpAddr::from(*client_v6));
        }
        assert_eq!(seen_by_server(client, lab.node(), NODE_V4.into())?, IpAddr::from(*client_v4));
        assert_eq!(seen_by_server(client, lab.node(), NODE_V6.into())?, IpAddr::from(*client_v6));
    }
    for (server, server_v4, server_v6) in &machines {
        seen_by_server(lab.node(), server, (*server_v4).into())?;
        seen_by_server(lab.node(), server, (*server_v6).into())?;
    }
    assert_eq!(seen_by_server(lab.node(), &machines[0].0, machines[0].1.into())?, IpAddr::from(NODE_V4));
    assert_eq!(seen_by_server(lab.node(), &machines[0].0, machines[0].2.into())?, IpAddr::from(NODE_V6));
    Ok(())
}

#[test]
fn drop_removes_namespaces_processes_and_files() -> Result<()> {
    if !runs_as_root() {
        return Ok(());
    }
    let lab = Lab::unique()?;
    let made = pod(&lab, "gone", 2, Wiring::Routed)?;
    let spawned = lab.spawn("sleeper", sleeper(made.netns.path()))?;
    let mut unmanaged = sleeper(made.netns.path()).spawn()?;
    wait_until("nsenter", SOON, || is_inside(unmanaged.id(), made.netns.path()))?;
    let (dir, node) = (lab.dir().to_owned(), lab.node().clone());
    assert!(spawned.log_path().starts_with(&dir));
    drop(lab);
    assert!(spawned.exit_status().is_some());
    wait_until("the process that the lab did not start itself", SOON, || unmanaged.try_wait().map(|s| s.is_some()))?;
    assert!(!made.netns.path().exists() && !node.path().exists() && !dir.exists());
    Ok(())
}

#[test]
fn a_removed_pod_leaves_no_link_and_its_name_is_free_again() -> Result<()> {
    if !runs_as_root() {
        return Ok(());
    }
    let lab = Lab::unique()?;
    for _ in 0..2 {
        let made = pod(&lab, "again", 2, Wiring::Bridge("br1"))?;
        let link = Path::new("/sys/class/net").join(&made.host_link);
        // A shell that has its own look at /sys: sysfs shows the links of the namespace it was mounted in.
        assert!(
            lab.node().command("ip").args(["link", "show", &made.host_link]).stdout(Stdio::null()).status()?.success()
        );
        assert!(!link.exists(), "the link is the node's, not ours");
        lab.remove(made)?;
    }
    assert!(!link_exists(&lab, "lxc-again")?);
    Ok(())
}

#[test]
fn sweep_removes_what_a_dead_owner_left_and_nothing_else() -> Result<()> {
    if !runs_as_root() {
        return Ok(());
    }
    let lab = Lab::unique()?;
    // The owner lives while its namespace is made, so that a sweep of another test cannot come between.
    let mut owner = sleeper(lab.node().path()).spawn()?;
    let name = format!("wt-{}-0-node", owner.id());
    let added = Command::new("ip").args(["netns", "add", &name]).output()?;
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let path = Path::new("/run/netns").join(&name);
    let mut inside = sleeper(&path).spawn()?;
    wait_until("nsenter", SOON, || is_inside(inside.id(), &path))?;
    sweep()?;
    assert!(path.exists(), "its owner lives");
    owner.kill()?;
    // Not waited for yet: a zombie is a dead owner too.
    wait_until("the sweep", SOON, || sweep().map(|_| !path.exists()))?;
    wait_until("the end of the process inside", SOON, || inside.try_wait().map(|s| s.is_some()))?;
    owner.wait()?;
    assert!(lab.node().path().exists());
    Ok(())
}

#[test]
fn a_process_that_ends_too_early_is_reported_with_its_output() -> Result<()> {
    if !runs_as_root() {
        return Ok(());
    }
    let lab = Lab::unique()?;
    let mut command = lab.node().command("sh");
    command.args(["-c", "echo the cause >&2; exit 3"]);
    let process = lab.spawn("broken", command)?;
    let error = process.wait_until("a miracle", SOON, || false).expect_err("it ended").to_string();
    assert!(error.contains("exit status: 3") && error.contains("the cause"), "{error}");
    assert_eq!(process.wait(SOON)?.code(), Some(3));
    Ok(())
}

#[test]
fn stop_ends_a_process_that_ignores_sigterm_and_its_children() -> Result<()> {
    if !runs_as_root() {
        return Ok(());
    }
    let lab = Lab::unique()?;
    let mut command = lab.node().command("sh");
    command.args(["-c", "trap '' TERM; sleep 60 & echo $!; wait; wait"]);
    let process = lab.spawn("stubborn", command)?;
    let child: u32 = process.wait_until("the child's id", SOON, || process.log().trim().parse().map(Some))?;
    process.stop();
    wait_until("the end of the child", SOON, || {
        !std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
    })
}

#[test]
fn real_addresses_are_refused() -> Result<()> {
    if !runs_as_root() {
        return Ok(());
    }
    let lab = Lab::unique()?;
    let spec = PodSpec { name: "real", v4: Some(Ipv4Addr::new(192, 0, 2, 1)), v6: None, wiring: Wiring::Routed };
    assert!(lab.pod(spec).is_err());
    assert!(lab.pod(PodSpec { v4: None, ..spec }).is_err());
    assert!(lab.pod(PodSpec { v4: Some(v4(2)), name: "much-too-long", ..spec }).is_err());
    Ok(())
}

#[test]
fn a_wait_names_what_it_waited_for() {
    let error = wait_until("the moon", Duration::ZERO, || Err::<(), _>("still day")).expect_err("never");
    assert_eq!(error.to_string(), "waited 0ns for the moon: still day");
    assert_eq!(wait_until("a value", Duration::ZERO, || Some(7)).expect("at once"), 7);
}

/// A fresh child is still the shell's or `nsenter`'s way into the namespace, and not found in it.
fn is_inside(pid: u32, netns: &Path) -> Result<bool> {
    let inode = |path: &Path| std::fs::metadata(path).map(|meta| meta.ino());
    Ok(inode(Path::new(&format!("/proc/{pid}/ns/net")))? == inode(netns)?)
}

fn link_exists(lab: &Lab, name: &str) -> Result<bool> {
    let mut command = lab.node().command("ip");
    command.args(["link", "show", name]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status()?.success())
}

fn sleeper(netns: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", netns.display())).arg("sleep");
    // Bounded, and without our output, which a test runner reads to the end: a failing test may leave it behind.
    command.arg("60").stdout(Stdio::null()).stderr(Stdio::null());
    command
}
