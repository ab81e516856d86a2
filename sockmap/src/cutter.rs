//! Cuts what is open and denied now, at both ends that are on this node.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
};

use weir_model::identity::Identity;

use crate::{
    Error,
    cut::{Concerned, is_denied},
    flows::{Exchange, Flows},
    namespaces,
    netlink::{Link, Netlink},
    pins::Pins,
    plan::Device,
    raw,
    sockets::{Sockets, Transport},
    state::State,
};

/// What was cut since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Sockets that were ended.
    pub sockets: u64,
    /// Ends of exchanges whose namespace was not found, or whose socket could not be ended; their packets are dropped.
    pub lost: u64,
}

/// Where a pod's sockets are.
struct Place {
    ifindex: u32,
    netns: i32,
    sockets: Sockets,
}

/// Ends sockets, and remembers the way to them.
pub struct Cutter {
    flows: Flows,
    here: Option<Sockets>,
    pods: BTreeMap<u32, Place>,
    cuts: Cuts,
    problem: Option<String>,
}

impl Cutter {
    /// Opens the pinned map of what is open.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        Ok(Self { flows: Flows::open(pins)?, here: None, pods: BTreeMap::new(), cuts: Cuts::default(), problem: None })
    }

    /// Ends the exchanges of those concerned that `state` denies. `links` and `devices` tell each pod's veth.
    ///
    /// # Errors
    /// If the exchanges cannot be read.
    pub async fn cut(
        &mut self,
        netlink: &Netlink,
        state: &State,
        links: &BTreeMap<u32, Link>,
        devices: &BTreeMap<u32, Device>,
        concerned: &Concerned,
    ) -> Result<(), Error> {
        self.problem = None;
        self.pods.retain(|endpoint, place| veth(*endpoint, links, devices) == Some((place.ifindex, place.netns)));
        let exchanges = self.flows.read_if(|key| concerned.holds(key))?;
        for exchange in exchanges.iter().filter(|exchange| is_denied(state, exchange)) {
            let ends = [(exchange.source, exchange.destination), (exchange.destination, exchange.source)];
            for (local, remote) in ends {
                let who = state.who((128, raw::addr(local.ip())));
                let ended = if who.endpoint != 0 {
                    self.end_of_pod(netlink, veth(who.endpoint, links, devices), who.endpoint, exchange, local, remote)
                        .await
                } else if who.identity == Identity::HOST.0 {
                    self.end_here(exchange, local, remote)
                } else {
                    continue;
                };
                match ended {
                    Ok(ended) => self.cuts.sockets += u64::from(ended),
                    Err(reason) => {
                        self.cuts.lost += 1;
                        self.problem = Some(format!(
                            "{local} to {remote} is denied now and could not be cut: {reason}; its packets are dropped"
                        ));
                    }
                }
            }
            // The entry stays until its time: without it a late answer of a socket that is not connected would pass as the
            // opening of an exchange of its own.
        }
        Ok(())
    }

    async fn end_of_pod(
        &mut self,
        netlink: &Netlink,
        veth: Option<(u32, i32)>,
        endpoint: u32,
        exchange: &Exchange,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<bool, String> {
        let place = match self.pods.entry(endpoint) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let (ifindex, netns) = veth.ok_or("its pod has no veth")?;
                let found = namespaces::find(netlink, netns).await;
                let file = found.ok_or("no file of /run/netns or /proc/<id>/ns/net is the namespace of its pod")?;
                let sockets = Sockets::of(&file).map_err(|error| format!("enter its pod's namespace: {error}"))?;
                unknown.insert(Place { ifindex, netns, sockets })
            }
        };
        end(&place.sockets, exchange, local, remote)
    }

    fn end_here(&mut self, exchange: &Exchange, local: SocketAddr, remote: SocketAddr) -> Result<bool, String> {
        if self.here.is_none() {
            self.here = Some(Sockets::here().map_err(|error| error.to_string())?);
        }
        let sockets = self.here.as_ref().ok_or("no socket")?;
        end(sockets, exchange, local, remote)
    }

    /// What was cut since the start.
    pub fn cuts(&self) -> Cuts {
        self.cuts
    }

    /// What could not be cut the last time.
    pub fn problem(&self) -> Option<&String> {
        self.problem.as_ref()
    }
}

fn end(sockets: &Sockets, exchange: &Exchange, local: SocketAddr, remote: SocketAddr) -> Result<bool, String> {
    let Some(transport) = Transport::from_number(exchange.protocol) else { return Ok(false) };
    sockets.end(transport, local, remote).map_err(|error| error.to_string())
}

/// Index of an endpoint's veth, and what this namespace calls the one at its other end.
fn veth(endpoint: u32, links: &BTreeMap<u32, Link>, devices: &BTreeMap<u32, Device>) -> Option<(u32, i32)> {
    let (ifindex, _) = devices.iter().find(|(_, device)| device.endpoint == endpoint)?;
    Some((*ifindex, links.get(ifindex)?.peer_netns?))
}
