//! Which open exchanges a change may concern, and which of these are denied now: pure.
//!
//! Packets of what is denied are dropped in any case, at the next packet of either side; this is about telling the two
//! ends, which would otherwise wait for a timeout.

use std::collections::{BTreeSet, HashSet};

use weir_abi::{Addr, FlowKey};

use crate::{
    book::Book,
    flows::Exchange,
    judge::{Outcome, Question},
    lpm::{self, Prefix},
    plan::Action,
    raw,
    sockets::Transport,
    state::State,
};

/// Prefixes beyond which it is quicker to look at everything.
const MANY: usize = 64;

/// Whose exchanges a change may have denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerned {
    addresses: HashSet<Addr>,
    prefixes: BTreeSet<Prefix>,
}

impl Concerned {
    /// Takes in the actions of a change. A pod that begins to exist with it has nothing open.
    pub fn add(&mut self, book: &Book, actions: &[Action]) {
        for action in actions {
            match action {
                Action::PutEndpoint(number, versions) if versions[0] != versions[1] => {
                    let endpoint = book.endpoints().get(&weir_model::endpoint::EndpointId(*number));
                    let addresses = endpoint.into_iter().flat_map(|endpoint| &endpoint.addresses);
                    self.addresses.extend(addresses.map(|ip| raw::addr(*ip)));
                }
                Action::PutAddress(key, versions) if versions[0] != versions[1] => {
                    if key.0 == 128 {
                        self.addresses.insert(key.1);
                    } else {
                        self.prefixes.insert(*key);
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.prefixes.is_empty()
    }

    /// Whether an end of this exchange is.
    pub fn holds(&self, key: &FlowKey) -> bool {
        self.prefixes.len() > MANY
            || [&key.low, &key.high].into_iter().any(|addr| {
                self.addresses.contains(addr)
                    || self.prefixes.iter().any(|(length, net)| lpm::masked(addr, *length) == *net)
            })
    }
}

/// Whether an exchange would not pass if it were opened now.
pub fn is_denied(state: &State, exchange: &Exchange) -> bool {
    // Of ICMP the port is an identifier, and there is no socket to end.
    if Transport::from_number(exchange.protocol).is_none() {
        return false;
    }
    let question = Question {
        source: raw::addr(exchange.source.ip()),
        destination: raw::addr(exchange.destination.ip()),
        protocol: exchange.protocol,
        port: Some(exchange.destination.port()),
    };
    matches!(state.judge(&question).outcome, Outcome::Drop(_))
}
