//! What a change of the policy does to terminated connections.

use weir_model::{policy::PortRange, resolved::L4Rule};

use super::*;
use crate::world::tests::{allow, closed, world_of};

impl Rig {
    /// The policy becomes this one.
    fn enforce(&self, rules: Vec<L4Rule>) {
        self.world.store(Arc::new(world_of(2, closed(rules))));
        self.common.drain.wake(|_| true);
    }
}

fn allowing(rules: Vec<HttpRule>) -> L4Rule {
    allow(PortRange::ALL, Some(rules))
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    stream.read_to_end(&mut Vec::new()).await.is_err()
}

async fn until(stream: &mut TcpStream, end: &[u8]) {
    let mut got = Vec::new();
    while !got.ends_with(end) {
        got.push(stream.read_u8().await.expect("more"));
    }
}

#[test]
fn a_peer_that_is_denied_altogether_is_cut_off() {
    run(async {
        let mut rig = Rig::new().await;
        rig.send("GET /ok HTTP/1.1\r\nHost: web\r\n\r\n").await;
        let mut server = rig.accept().await;
        until(&mut server, b"\r\n\r\n").await;
        rig.enforce(vec![allowing(editing()), L4Rule { deny: true, ..allow(PortRange::ALL, None) }]);
        assert!(is_reset(&mut server).await && is_reset(&mut rig.client).await);
        assert_eq!(rig.flows()[0].0, Verdict::Dropped);
        assert_eq!(rig.ended().await, End::Cut);
    });
}

#[test]
fn a_tunnel_stays_for_as_long_as_its_request_is_allowed() {
    let other = HttpRule { path: Some("/other".into()), ..HttpRule::default() };
    for (rules, stays) in [(vec![allowing(plain())], true), (vec![allowing(vec![other])], false)] {
        run(async {
            let mut rig = Rig::new().await;
            rig.send("GET /ok HTTP/1.1\r\nHost: web\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
            let mut server = rig.accept().await;
            until(&mut server, b"\r\n\r\n").await;
            let granted = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi";
            server.write_all(granted.as_bytes()).await.expect("answer");
            until(&mut rig.client, b"\r\n\r\nhi").await;
            rig.enforce(rules);
            if stays {
                rig.send("x").await;
                assert_eq!(server.read_u8().await.expect("a byte"), b'x');
            } else {
                assert!(is_reset(&mut server).await && is_reset(&mut rig.client).await);
                assert_eq!(rig.ended().await, End::Cut);
            }
        });
    }
}

#[test]
fn a_connection_without_a_request_is_cut_off_too() {
    run(async {
        let mut rig = Rig::new().await;
        rig.enforce(vec![]);
        assert!(is_reset(&mut rig.client).await);
        assert_eq!(rig.ended().await, End::Cut);
    });
}
