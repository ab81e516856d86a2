//! Options of the commands that explain: `policy`, `identity`, `endpoint`, `map`.

use std::{net::IpAddr, path::PathBuf, str::FromStr};

use clap::{Args, Subcommand, ValueEnum};
use weir_model::{
    endpoint::PodName,
    labels::{LabelKey, LabelSet, SOURCE_K8S},
};

use super::{NodeOptions, StatusFormat};

/// `weir policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Judge one call by the policies in files, without an agent: the verdict, and the rule that makes it.
    Check(CheckOptions),
    /// Show one policy as it was understood, the endpoints that it selects, and what of it is not enforced.
    Get {
        /// `[Kind/][namespace/]name`.
        name: String,
        /// The agent to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
    /// Show all policies: mode, validity, endpoints.
    List(AskOptions),
    /// Show each distinct selector, how many rules use it, and the identities that it matches.
    Selectors(AskOptions),
}

/// `weir identity …`
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Show every identity in use: number, labels or prefix, pods.
    List(AskOptions),
}

/// `weir endpoint …`
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    /// Show the pods of this node.
    List(AskOptions),
    /// Show one pod of this node, and every entry of its realised policy with the rule behind it.
    Get {
        /// Its number, or `namespace/name`.
        endpoint: String,
        /// The agent to ask.
        #[command(flatten)]
        ask: AskOptions,
    },
}

/// `weir map …`
#[derive(Debug, Subcommand)]
pub enum MapCommand {
    /// Print what a pinned map holds, read from the kernel; no agent is needed.
    Dump {
        /// Which map.
        #[arg(value_enum)]
        map: DumpedMap,
        /// Where this weir lives.
        #[command(flatten)]
        node: NodeOptions,
        /// How to print.
        #[arg(short, long, value_enum, default_value_t = StatusFormat::Text)]
        output: StatusFormat,
    },
}

/// A map that can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DumpedMap {
    /// Address or prefix → identity and endpoint.
    Addresses,
    /// Endpoint → policy and flags.
    Endpoints,
    /// Policy entries.
    Policy,
    /// Connection tracking.
    Flows,
}

/// Whom to ask, and how to print.
#[derive(Args, Clone, Debug)]
pub struct AskOptions {
    /// Where the agent lives.
    #[command(flatten)]
    pub node: NodeOptions,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = StatusFormat::Text)]
    pub output: StatusFormat,
}

/// Options of `weir policy check`.
#[derive(Args, Clone, Debug)]
pub struct CheckOptions {
    /// Files or directories with policies, and with the pods, namespaces and services that they speak of.
    #[arg(short, long = "file", required = true)]
    pub files: Vec<PathBuf>,
    /// Who calls: `namespace/pod` of the files, labels of a pod as `app=web,io.kubernetes.pod.namespace=shop` (its namespace
    /// is `default` if they do not say), an address, or `host`, the node.
    #[arg(long)]
    pub from: Who,
    /// Who is called, in the same forms.
    #[arg(long)]
    pub to: Who,
    /// Destination port, with its protocol if it is not TCP: `80`, `53/UDP`; or an ICMP type: `icmp/8`, `icmpv6/128`.
    #[arg(long)]
    pub dport: Destination,
    /// A request: `GET /path`.
    #[arg(long)]
    pub http: Option<RequestLine>,
    /// The request's Host.
    #[arg(long, default_value = "localhost")]
    pub host: String,
    /// A header of the request: `name: value`.
    #[arg(long)]
    pub header: Vec<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = StatusFormat::Text)]
    pub output: StatusFormat,
}

/// One end of a call, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A pod of the files.
    Pod(PodName),
    /// A pod that nobody wrote down, with these labels.
    Labels(LabelSet),
    /// Whoever has this address.
    Address(IpAddr),
    /// The node.
    Host,
}

impl FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        if text.contains('=') {
            let label = |label: &str| {
                let (key, value) =
                    label.split_once('=').ok_or_else(|| format!("{label:?} is no label; write key=value"))?;
                let (source, key) = key.trim().split_once(':').unwrap_or((SOURCE_K8S, key.trim()));
                Ok((LabelKey { source: source.into(), key: key.into() }, value.trim().to_owned()))
            };
            return text.split(',').map(label).collect::<Result<_, String>>().map(Self::Labels);
        }
        match text.split_once('/') {
            Some((namespace, name)) => Ok(Self::Pod(PodName { namespace: namespace.into(), name: name.into() })),
            None if text.trim_start_matches("reserved:") == "host" => Ok(Self::Host),
            None => Err("is none of namespace/pod, key=value labels, an address, host".into()),
        }
    }
}

/// Destination port and protocol, or ICMP type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// IP protocol number.
    pub protocol: u8,
    /// Port, or ICMP type.
    pub port: u16,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unreadable = || "is none of 80, 53/UDP, icmp/8, icmpv6/128".to_owned();
        let (left, right) = text.split_once('/').unwrap_or((text, "TCP"));
        let (number, name) = if left.starts_with(|c: char| c.is_ascii_digit()) { (left, right) } else { (right, left) };
        let protocol = match name.to_ascii_uppercase().as_str() {
            "TCP" => 6,
            "UDP" => 17,
            "SCTP" => 132,
            "ICMP" => 1,
            "ICMPV6" => 58,
            _ => return Err(unreadable()),
        };
        Ok(Self { protocol, port: number.parse().map_err(|_| unreadable())? })
    }
}

/// The first line of a request: `GET /path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
}

impl FromStr for RequestLine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (method, path) = text.split_once(' ').ok_or("is no request; write METHOD /path")?;
        Ok(Self { method: method.into(), path: path.trim().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_call_are_read() {
        let pod = Who::Pod(PodName { namespace: "a".into(), name: "b".into() });
        let labels =
            LabelSet::from_iter([(LabelKey::k8s("app"), "x".to_owned()), (LabelKey::reserved("y"), String::new())]);
        let rows = [
            ("a/b", Ok(pod)),
            ("app=x, reserved:y=", Ok(Who::Labels(labels))),
            ("198.18.0.1", Ok(Who::Address([198, 18, 0, 1].into()))),
            ("reserved:host", Ok(Who::Host)),
        ];
        for (text, expected) in rows {
            assert_eq!(text.parse(), expected, "{text}");
        }
        assert!("world".parse::<Who>().is_err());
    }

    #[test]
    fn destinations_are_read_either_way_round() {
        let at = |protocol, port| Ok(Destination { protocol, port });
        for (text, expected) in [
            ("80", at(6, 80)),
            ("53/udp", at(17, 53)),
            ("UDP/53", at(17, 53)),
            ("icmp/8", at(1, 8)),
            ("icmpv6/128", at(58, 128)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
        for text in ["", "x", "80/IGMP", "70000", "TCP"] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}
