//! Who called whom, and which rules that makes: resolved when a connection comes, and again when the snapshot changes.

use std::{net::SocketAddr, sync::Arc};

use weir_filters::http::{Effect, PortRules};
use weir_model::{flow::Party, identity::Identity, resolved::Direction};

use crate::{
    record::Parties,
    world::{Policy, World},
};

/// The two ends of a connection, as the application sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client's address and port.
    pub client: SocketAddr,
    /// The original destination.
    pub server: SocketAddr,
}

/// One side's say: the rules of an endpoint about its peer.
#[derive(Clone)]
pub struct Side {
    /// Whose side: the server's (ingress) or the client's (egress).
    pub direction: Direction,
    /// The compiled rules for the destination port; `None` denies.
    pub rules: Option<Arc<PortRules>>,
    /// Whom the rules are asked about.
    pub peer: Identity,
}

impl Side {
    fn effect(&self) -> Effect {
        self.rules.as_ref().map_or(Effect::None, |rules| rules.effect(self.peer))
    }
}

/// A connection's origin under one snapshot.
#[derive(Clone)]
pub struct Origin {
    /// The snapshot.
    world: Arc<World>,
    /// Client and server.
    pub parties: Arc<Parties>,
    /// The client's egress rules, if enforced here.
    pub egress: Option<Side>,
    /// The server's ingress rules, if enforced here.
    pub ingress: Option<Side>,
    /// What the rules of both may do to requests, beside allowing them.
    pub effect: Effect,
}

impl Origin {
    /// Resolves a connection. `None` if neither end is a pod of this node: then no policy sent it here, and nobody can
    /// say what would allow it.
    pub fn resolve(world: &Arc<World>, ends: Ends) -> Option<Self> {
        let client = world.policy(ends.client.ip());
        let server = world.policy(ends.server.ip());
        if client.is_none() && server.is_none() {
            return None;
        }
        let party = |address: SocketAddr| Party { address, who: world.people().pod_or_world(address.ip()) };
        let (source, destination) = (party(ends.client), party(ends.server));
        let port = ends.server.port();
        let side = |direction, policy: Option<&Policy>, peer| {
            let ports = match direction {
                Direction::Ingress => policy?.ingress.as_ref()?,
                Direction::Egress => policy?.egress.as_ref()?,
            };
            Some(Side { direction, rules: ports.rules(port).cloned(), peer })
        };
        let egress = side(Direction::Egress, client, destination.who.identity);
        let ingress = side(Direction::Ingress, server, source.who.identity);
        let effect = [&egress, &ingress].into_iter().flatten().map(Side::effect).max().unwrap_or_default();
        let parties = Arc::new(Parties { source, destination });
        Some(Self { world: Arc::clone(world), parties, egress, ingress, effect })
    }

    /// Whether it was resolved under this very snapshot.
    pub fn is_of(&self, world: &Arc<World>) -> bool {
        Arc::ptr_eq(&self.world, world)
    }
}
