//! What is known of an identity.

use std::sync::Arc;

use ipnet::IpNet;
use weir_model::{
    identity::Identity,
    labels::{LabelKey, LabelSet},
    resolved::SelectorId,
};

use super::matcher::{Whose, reserved_labels};

/// An identity and what matches it.
pub(super) struct Known {
    pub(super) what: What,
    /// Those that match it, in ascending order.
    pub(super) selectors: Vec<SelectorId>,
    /// Those of them that the proxy knows of; `None` if it does not know the identity.
    pub(super) shown: Option<Arc<[SelectorId]>>,
}

/// What an identity is the number of.
pub(super) enum What {
    Pods(Arc<LabelSet>),
    Prefix(IpNet),
    Reserved,
}

impl Known {
    /// What selectors see of it.
    pub(super) fn whose(&self, identity: Identity) -> Whose<'_> {
        match &self.what {
            What::Pods(labels) => Whose::Pods(labels),
            What::Prefix(prefix) => Whose::Prefix(*prefix),
            What::Reserved => Whose::Reserved(identity),
        }
    }

    /// What people see of it.
    pub(super) fn labels(&self, identity: Identity) -> Arc<LabelSet> {
        match &self.what {
            What::Pods(labels) => Arc::clone(labels),
            What::Prefix(prefix) if prefix.prefix_len() > 0 => Arc::new(prefix_labels(*prefix)),
            What::Prefix(_) | What::Reserved => Arc::new(reserved_labels(identity)),
        }
    }
}

/// A label cannot have the `:` of an IPv6 address in its key, nor a `-` at its edge.
fn prefix_labels(prefix: IpNet) -> LabelSet {
    let world = if prefix.addr().is_ipv4() { "world-ipv4" } else { "world-ipv6" };
    let address = prefix.addr().to_string().replace(':', "-");
    let (first, last) = (address.starts_with('-'), address.ends_with('-'));
    let pad = |wanted| if wanted { "0" } else { "" };
    let key = format!("{}{address}{}/{}", pad(first), pad(last), prefix.prefix_len());
    [LabelKey { source: "cidr".into(), key }, LabelKey::reserved(world)]
        .into_iter()
        .map(|k| (k, String::new()))
        .collect()
}
