//! Who called whom, and which rules that makes: resolved when a connection comes, and again when the snapshot changes.

use std::{net::SocketAddr, sync::Arc};

use weir_filters::http::{Effect, Judgement, PeerRules, RequestHead, Standing};
use weir_model::{flow::Party, resolved::Direction};

use crate::{
    record::Parties,
    world::{Ports, World},
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
    /// The rules for the destination port about the peer; `None` denies.
    pub rules: Option<PeerRules>,
}

impl Side {
    fn effect(&self) -> Effect {
        self.rules.as_ref().map_or(Effect::None, PeerRules::effect)
    }

    /// What is enforced, before there is a request. Rules that did not compile deny each request, so that it is answered.
    pub fn enforced(&self) -> Standing {
        self.rules.as_ref().map_or(Standing::ByRequest, PeerRules::enforced)
    }

    fn inspects(&self) -> bool {
        self.rules.as_ref().is_none_or(PeerRules::inspects)
    }

    /// What this side says of a request.
    pub fn judge(&self, head: &RequestHead<'_>) -> Judgement<'_> {
        self.rules.as_ref().map_or(Judgement::Deny(None), |rules| rules.judge(head))
    }
}

/// A connection's origin under one snapshot.
#[derive(Clone)]
pub struct Origin {
    /// The snapshot.
    world: Arc<World>,
    /// Client and server.
    pub parties: Arc<Parties>,
    /// The client's egress rules, if it is a pod of this node.
    pub egress: Option<Side>,
    /// The server's ingress rules, if it is a pod of this node.
    pub ingress: Option<Side>,
    /// What the rules of both may do to requests, beside allowing them.
    pub effect: Effect,
    /// What both enforce, before there is a request.
    pub standing: Standing,
    /// Whether enforced rules of either side are about HTTP. If not, nothing may be refused for not being HTTP.
    pub inspects: bool,
}

impl Origin {
    /// Resolves a connection. `None` if neither end is a pod of this node: then no policy sent it here, and nobody can
    /// say what would allow it. What `before` knows is not asked again.
    pub fn resolve(world: &Arc<World>, ends: Ends, before: Option<&Self>) -> Option<Self> {
        let client = world.policy(ends.client.ip());
        let server = world.policy(ends.server.ip());
        if client.is_none() && server.is_none() {
            return None;
        }
        let party = |address: SocketAddr| Party { address, who: world.people().pod_or_world(address.ip()) };
        let (source, destination) = (party(ends.client), party(ends.server));
        let side = |direction, ports: &Ports, peer: &Party| {
            let selectors = world.people().selectors(peer.who.identity);
            let mut known = before.into_iter().flat_map(Self::sides).filter_map(|side| side.rules.as_ref());
            let rules = ports.rules(ends.server.port()).map(|rules| {
                let known = known.find(|known| known.is_of(rules, &selectors)).cloned();
                known.unwrap_or_else(|| PeerRules::new(rules, selectors))
            });
            Side { direction, rules }
        };
        let egress = client.map(|policy| side(Direction::Egress, &policy.egress, &destination));
        let ingress = server.map(|policy| side(Direction::Ingress, &policy.ingress, &source));
        let sides = || [&egress, &ingress].into_iter().flatten();
        let effect = sides().map(Side::effect).max().unwrap_or_default();
        let standing = sides().map(Side::enforced).fold(Standing::Allowed, |both, side| match (both, side) {
            (Standing::Denied, _) | (_, Standing::Denied) => Standing::Denied,
            (Standing::Allowed, side) => side,
            (Standing::ByRequest, _) => Standing::ByRequest,
        });
        let inspects = sides().any(Side::inspects);
        let parties = Arc::new(Parties { source, destination });
        Some(Self { world: Arc::clone(world), parties, egress, ingress, effect, standing, inspects })
    }

    /// Whether it was resolved under this very snapshot.
    pub fn is_of(&self, world: &Arc<World>) -> bool {
        Arc::ptr_eq(&self.world, world)
    }

    /// Both sides, in the order in which they are asked.
    pub fn sides(&self) -> impl Iterator<Item = &Side> {
        [&self.egress, &self.ingress].into_iter().flatten()
    }
}
