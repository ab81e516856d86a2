//! What is asked of every subject: a protocol with its server and its rule, and the program that makes the load.

use clap::ValueEnum;

/// The protocol between client and proxy, and between proxy and server: a peer that cannot speak it on both sides has no
/// row. Each has a server of its own, on a port of its own, and one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// HTTP/1.1, keep-alive, to nginx.
    H1,
    /// HTTP/2 with prior knowledge, to nginx.
    H2,
    /// gRPC without TLS, to the gRPC project's interop server in Go.
    Grpc,
}

/// The work of a row: a protocol, and who drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Small GETs over HTTP/1.1 by wrk.
    H1,
    /// Small GETs over HTTP/2 by h2load.
    H2,
    /// Unary EmptyCall by ghz, which counts every status; it spends more CPU than any proxy here.
    Grpc,
    /// The same call by h2load, quick enough to load a proxy; the status is looked at before the window only.
    GrpcH2load,
}

/// The one rule: each subject gets it in its own language, anchored at both ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    /// A regular expression.
    pub(crate) path: &'static str,
    /// A path that the rule allows.
    pub(crate) allowed: &'static str,
    /// A path that the rule denies.
    pub(crate) denied: &'static str,
}

const GET: Rule =
    Rule { method: "GET", path: "/v1/items/[0-9]+", allowed: "/v1/items/42", denied: "/v1/items/42/price" };
const CALL: Rule = Rule {
    method: "POST",
    path: "/grpc[.]testing[.]TestService/EmptyCall",
    allowed: "/grpc.testing.TestService/EmptyCall",
    denied: "/grpc.testing.TestService/UnaryCall",
};

/// An empty message in gRPC's framing: not compressed, of length 0.
pub(crate) const EMPTY_MESSAGE: [u8; 5] = [0; 5];
/// The fields without which a gRPC server refuses a call.
pub(crate) const GRPC_FIELDS: [&str; 2] = ["content-type: application/grpc", "te: trailers"];

impl Protocol {
    /// The name in tables and files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::Grpc => "grpc",
        }
    }

    /// Of the server.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::H1 => 80,
            Self::H2 => 81,
            Self::Grpc => 82,
        }
    }

    pub(crate) fn rule(self) -> Rule {
        if self == Self::Grpc { CALL } else { GET }
    }
}

impl Work {
    /// The name in tables and files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::H1 => "h1",
            Self::H2 => "h2",
            Self::Grpc => "grpc",
            Self::GrpcH2load => "grpc-h2load",
        }
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::H1 => Protocol::H1,
            Self::H2 => Protocol::H2,
            Self::Grpc | Self::GrpcH2load => Protocol::Grpc,
        }
    }

    /// The program that makes the load.
    pub(crate) fn load(self) -> &'static str {
        match self {
            Self::H1 => "wrk",
            Self::H2 | Self::GrpcH2load => "h2load",
            Self::Grpc => "ghz",
        }
    }
}
