//! The language, as code: which rules speak of a connection, and what follows.

use std::net::IpAddr;

use weir_model::{
    policy::{HeaderMatch, HttpRule, IcmpType, Mode, Policy, Port, PortRule, Protocol, Rule, RuleEntry, Subject},
    resolved::{Direction, RuleOrigin},
    selector::Selector,
};

use super::{
    Answer, Because, Difference, Judgement, Nearest, Party, Pod, Question, Side, Verdict, World,
    peers::{Peer, selects},
};

/// Judges one connection. A party that is no known pod has no policies.
pub fn evaluate(world: &World, question: Question<'_>) -> Answer {
    let (from, to) = (find(world, question.from), find(world, question.to));
    let side = |own: Option<Peer<'_>>, peer: Option<Peer<'_>>, direction| match (own, peer) {
        (Some(Peer::Pod(pod)), Some(peer)) => Some(judge_side(world, pod, peer, direction, question)),
        _ => None,
    };
    let egress = side(from, to, Direction::Egress);
    let ingress = side(to, from, Direction::Ingress);
    Answer { sides: egress.into_iter().chain(ingress).collect() }
}

fn find<'a>(world: &'a World, party: &Party) -> Option<Peer<'a>> {
    match party {
        Party::Host => Some(Peer::Host),
        Party::Pod(name) => world.pods.iter().find(|pod| pod.name == *name).map(Peer::Pod),
        Party::Address(address) => {
            let address: IpAddr = address.to_canonical();
            let pod = world.pods.iter().find(|pod| pod.addresses.contains(&address));
            Some(pod.map_or(Peer::World(address), Peer::Pod))
        }
    }
}

fn judge_side(world: &World, pod: &Pod, peer: Peer<'_>, direction: Direction, question: Question<'_>) -> Side {
    let case = Case { world, pod, peer, direction, question };
    let statements = case.statements();
    let observed =
        statements.iter().filter(|s| s.mode == Mode::Observe && !s.origin.deny && case.differs(s).is_empty());
    Side {
        pod: pod.name.clone(),
        direction,
        enforced: case.judge(&statements, &[Mode::Enforce]),
        audited: case.judge(&statements, &[Mode::Enforce, Mode::Audit]),
        observed: observed.map(|statement| statement.origin.clone()).collect(),
    }
}

/// One connection and one of its two pods.
struct Case<'a> {
    world: &'a World,
    pod: &'a Pod,
    peer: Peer<'a>,
    direction: Direction,
    question: Question<'a>,
}

/// The smallest thing that allows or denies: an entry's peers with one element of its `toPorts`, with its `icmps`, or alone.
struct Statement<'a> {
    origin: RuleOrigin,
    mode: Mode,
    /// Its rule denies by default, so that its L7 rules may refuse.
    blocks: bool,
    entry: &'a RuleEntry,
    what: What<'a>,
}

#[derive(Clone, Copy)]
enum What<'a> {
    Everything,
    Ports(&'a PortRule),
    Icmp(&'a [IcmpType]),
}

impl<'a> Case<'a> {
    /// The rules whose subject the pod is.
    fn rules(&self) -> impl Iterator<Item = (&'a Policy, usize, &'a Rule)> + use<'a, '_> {
        let rules = self
            .world
            .policies
            .iter()
            .flat_map(|policy| policy.rules.iter().enumerate().map(move |(index, rule)| (policy, index, rule)));
        rules
            .filter(|(_, _, rule)| matches!(&rule.subject, Subject::Pods(subject) if subject.matches(&self.pod.labels)))
    }

    fn lists(&self, rule: &'a Rule) -> [(bool, &'a [RuleEntry]); 2] {
        match self.direction {
            Direction::Ingress => [(false, &rule.ingress), (true, &rule.ingress_deny)],
            Direction::Egress => [(false, &rule.egress), (true, &rule.egress_deny)],
        }
    }

    fn denies_by_default(&self, rule: &Rule) -> bool {
        match self.direction {
            Direction::Ingress => rule.default_deny.ingress,
            Direction::Egress => rule.default_deny.egress,
        }
    }

    /// Everything that is said in this direction, whatever of.
    fn statements(&self) -> Vec<Statement<'a>> {
        let mut statements = Vec::new();
        for (policy, index, rule) in self.rules() {
            for (deny, list) in self.lists(rule) {
                for (at, entry) in list.iter().enumerate() {
                    let origin = |port| RuleOrigin {
                        policy: policy.name.clone(),
                        rule: place(index),
                        direction: self.direction,
                        deny,
                        entry: place(at),
                        port,
                    };
                    let mut add = |port, what| {
                        let blocks = self.denies_by_default(rule);
                        statements.push(Statement { origin: origin(port), mode: policy.mode, blocks, entry, what });
                    };
                    let ports = entry.ports.as_deref().unwrap_or_default();
                    let icmps = entry.icmps.as_deref().unwrap_or_default();
                    for (number, port) in ports.iter().enumerate() {
                        add(Some(place(number)), What::Ports(port));
                    }
                    if !icmps.is_empty() {
                        add(None, What::Icmp(icmps));
                    }
                    // An entry without peers, ports and ICMP types names nothing.
                    if ports.is_empty() && icmps.is_empty() && entry.peers.is_some() {
                        add(None, What::Everything);
                    }
                }
            }
        }
        statements
    }

    /// `requires` of all rules with this subject; those of deny lists narrow the deny lists, and those that are not enforced
    /// narrow what is not enforced either.
    fn requires(&self, deny: bool, mode: Mode) -> Vec<&'a Selector> {
        let rules = self.rules().filter(|(policy, ..)| policy.mode == Mode::Enforce || policy.mode == mode);
        let lists = rules.flat_map(|(_, _, rule)| self.lists(rule));
        lists
            .filter(|(denies, _)| *denies == deny)
            .flat_map(|(_, list)| list)
            .flat_map(|entry| &entry.requires)
            .collect()
    }

    /// In what the connection is not what the statement speaks of.
    fn differs(&self, statement: &Statement<'_>) -> Vec<Difference> {
        let mut differences = Vec::new();
        let mut add = |field, wanted| differences.push(Difference { field, wanted });
        if let Some(peers) = &statement.entry.peers {
            let requires = self.requires(statement.origin.deny, statement.mode);
            if !peers.iter().any(|peer| selects(self.world, peer, &requires, self.peer)) {
                add("peer", list(peers.iter()));
            }
        }
        match statement.what {
            What::Everything => {}
            What::Ports(rule) if !rule.ports.iter().any(|spec| spec.protocol.covers(self.question.protocol)) => {
                add("protocol", list(rule.ports.iter().map(|spec| spec.protocol)));
            }
            What::Ports(rule) => {
                if !rule.ports.iter().any(|spec| self.names(&spec.port, spec.protocol)) {
                    let port = |port: &Port| match port {
                        Port::Numbers(range) => range.to_string(),
                        Port::Named(name) => name.clone(),
                    };
                    add("port", list(rule.ports.iter().map(|spec| port(&spec.port))));
                }
            }
            What::Icmp(types) if !types.iter().any(|t| t.protocol.covers(self.question.protocol)) => {
                add("protocol", list(types.iter().map(|t| t.protocol)));
            }
            What::Icmp(types) => {
                let Question { protocol, port, .. } = self.question;
                if !types.iter().any(|t| t.protocol.covers(protocol) && u16::from(t.number) == port) {
                    add("port", list(types.iter().map(|t| t.number)));
                }
            }
        }
        differences
    }

    fn names(&self, port: &Port, protocol: Protocol) -> bool {
        let asked = self.question;
        let has = |pod: &Pod, name: &str| {
            pod.ports.iter().any(|p| p.name == name && p.protocol.covers(asked.protocol) && p.number == asked.port)
        };
        protocol.covers(asked.protocol)
            && match (port, self.direction) {
                (Port::Numbers(range), _) => range.contains(asked.port),
                (Port::Named(name), Direction::Ingress) => has(self.pod, name),
                (Port::Named(name), Direction::Egress) => self.world.pods.iter().any(|pod| has(pod, name)),
            }
    }

    /// What the request lacks of what the statement allows; nothing if it may pass.
    fn lacks(&self, statement: &Statement<'_>) -> Vec<Difference> {
        let (What::Ports(PortRule { http: Some(rules), .. }), true) = (statement.what, statement.blocks) else {
            return Vec::new();
        };
        let Some(request) = self.question.request else { return Vec::new() };
        let lacking = rules.iter().map(|rule| (request(rule), rule)).min_by_key(|(fields, _)| fields.len());
        let differences = lacking.into_iter().flat_map(|(fields, rule)| {
            fields.into_iter().map(|field| Difference { field, wanted: field_of(rule, field) })
        });
        differences.collect()
    }

    fn judge(&self, statements: &[Statement<'_>], modes: &[Mode]) -> Judgement {
        if matches!(self.peer, Peer::Host) && self.direction == Direction::Ingress {
            return Judgement { verdict: Verdict::Allow, because: Because::Host };
        }
        let in_force = || statements.iter().filter(|statement| modes.contains(&statement.mode));
        let origins = |all: &[&Statement<'_>]| Because::Rules(all.iter().map(|s| s.origin.clone()).collect());
        let about: Vec<_> = in_force().filter(|statement| self.differs(statement).is_empty()).collect();
        let (denying, allowing): (Vec<_>, Vec<_>) = about.into_iter().partition(|statement| statement.origin.deny);
        if !denying.is_empty() {
            return Judgement { verdict: Verdict::Deny, because: origins(&denying) };
        }
        if !allowing.is_empty() {
            let proxied = allowing.iter().any(|s| matches!(s.what, What::Ports(PortRule { http: Some(_), .. })));
            let passing: Vec<_> = allowing.iter().copied().filter(|s| self.lacks(s).is_empty()).collect();
            return match (passing.is_empty(), proxied) {
                (true, _) => Judgement { verdict: Verdict::DenyRequest, because: self.no_rule(&allowing) },
                (_, true) => Judgement { verdict: Verdict::Redirect, because: origins(&passing) },
                (_, false) => Judgement { verdict: Verdict::Allow, because: origins(&passing) },
            };
        }
        let by_default = self.pod.is_init()
            || self.rules().any(|(policy, _, rule)| modes.contains(&policy.mode) && self.denies_by_default(rule));
        if by_default {
            let allowances: Vec<_> = in_force().filter(|statement| !statement.origin.deny).collect();
            return Judgement { verdict: Verdict::Deny, because: self.no_rule(&allowances) };
        }
        Judgement { verdict: Verdict::Allow, because: Because::NoPolicy }
    }

    fn no_rule(&self, allowances: &[&Statement<'_>]) -> Because {
        let differences = |statement: &Statement<'_>| {
            let mut all = self.differs(statement);
            all.extend(self.lacks(statement));
            all
        };
        let nearest = allowances.iter().map(|s| (differences(s), s)).min_by_key(|(differences, _)| differences.len());
        Because::NoRule(nearest.map(|(differences, s)| Nearest { rule: s.origin.clone(), differences }))
    }
}

fn list<T: ToString>(all: impl Iterator<Item = T>) -> String {
    let mut all: Vec<String> = all.map(|one| one.to_string()).collect();
    all.dedup();
    if all.is_empty() { "nothing".into() } else { all.join(" or ") }
}

/// An index for an explanation; no object that etcd would store reaches the limit.
fn place(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// What an HTTP rule says in one of its fields.
fn field_of(rule: &HttpRule, field: &str) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let header = |h: &HeaderMatch| match &h.value {
        Some(value) => format!("{}: {value}", h.name),
        None => h.name.clone(),
    };
    match field {
        "method" => text(&rule.method),
        "path" => text(&rule.path),
        "host" => text(&rule.host),
        "headers" => rule.headers.iter().map(header).collect::<Vec<_>>().join(" and "),
        _ => rule.header_matches.iter().map(|action| header(&action.header)).collect::<Vec<_>>().join(" and "),
    }
}
