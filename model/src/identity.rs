//! Identities: the numbers of label sets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a label set. The reserved numbers are those that Cilium and Hubble use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(pub u32);

impl Identity {
    /// Nothing is known of the peer.
    pub const UNKNOWN: Self = Self(0);
    /// The node that weir runs on.
    pub const HOST: Self = Self(1);
    /// A pod whose labels have no number: nothing is allowed but what policies say of `reserved:init`.
    pub const INIT: Self = Self(5);
    /// An IPv4 address that is neither a pod's nor the node's. weir is dual-stack, so plain `world` (2) is not used.
    pub const WORLD_IPV4: Self = Self(9);
    /// An IPv6 address that is neither a pod's nor the node's.
    pub const WORLD_IPV6: Self = Self(10);
    /// The first number given to a label set of pods; below it all numbers are reserved or well known.
    pub const FIRST_ALLOCATED: Self = Self(256);
    /// The last number given to a label set of pods.
    pub const LAST_ALLOCATED: Self = Self(65535);

    /// The first number given to a prefix that policies name; such identities are this node's own.
    pub const FIRST_LOCAL: Self = Self(1 << 24);
    /// The last one.
    pub const LAST_LOCAL: Self = Self((1 << 24) + 0xff_ffff);

    /// The name of a reserved identity, as in the label `reserved:<name>`.
    pub fn reserved_name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "unknown",
            1 => "host",
            2 => "world",
            3 => "unmanaged",
            4 => "health",
            5 => "init",
            6 => "remote-node",
            7 => "kube-apiserver",
            8 => "ingress",
            9 => "world-ipv4",
            10 => "world-ipv6",
            _ => return None,
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
