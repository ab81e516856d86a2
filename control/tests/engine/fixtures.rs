//! Policies as they are commonly published: each file of `tests/fixtures/policies` loads and does what its head says.
//!
//! The head is a comment: what the file is for, an empty line, then one row for each connection, in the form
//!
//! ```text
//! # from → to port/protocol [METHOD /path [Header: value; …]]: verdict[, audited verdict]
//! ```
//!
//! Parties are pods (`namespace/name`), addresses and `host`; protocols are names or numbers, and ICMP's ports are its types.
//! Verdicts are `allow`, `redirect` (through the proxy; the request passes), `refuse` (the request does not) and `deny` (the
//! connection is dropped). A row `# gap field` names what of a policy is not enforced; there are no others. `# option requires`
//! reads the file with that option.
//!
//! Each row is asked of the reference, and of what the engine tells the kernel and the proxy.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use regex::Regex;
use weir_control::{
    engine::Event,
    manifests::{Object, ReadOptions, parse},
    reference::{Party, Question, Verdict, World, evaluate},
};
use weir_model::{
    endpoint::PodName,
    identity::Identity,
    policy::{HeaderMatch, HttpRule, Mismatch, Mode},
    resolved::Direction,
    wanted::KernelVerdict,
};

use crate::{
    mirror::{Mirror, judge},
    support,
};

/// A row of a file's head.
#[derive(Debug)]
struct Row {
    from: Party,
    to: Party,
    port: u16,
    protocol: u8,
    request: Option<Request>,
    enforced: Verdict,
    audited: Option<Verdict>,
}

#[derive(Debug)]
struct Request {
    method: String,
    path: String,
    host: String,
    headers: Vec<(String, String)>,
}

#[test]
fn every_published_policy_does_what_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/policies");
    let mut files: Vec<_> =
        fs::read_dir(&directory).expect("fixtures").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(files.len() >= 60, "{} files", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.file_name().expect("name").to_string_lossy().into_owned();
        let text = fs::read_to_string(file).expect("readable");
        wrong.extend(check(&text).into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not as the head says.
fn check(text: &str) -> Vec<String> {
    let head: Vec<&str> = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    let options = ReadOptions { requires: head.contains(&"option requires") };
    let parsed = parse("f.yaml", text.as_bytes(), options, &*support::check());
    let mut wrong: Vec<String> = parsed.problems.iter().map(ToString::to_string).collect();
    let objects: Vec<&Object> = parsed.objects.iter().map(|accepted| &accepted.object).collect();
    let world = World::of(objects.iter().copied());
    let event = |object: &weir_control::manifests::Accepted| -> Event {
        (object.key.clone(), Some(Arc::new(object.object.clone())))
    };
    let mut mirror = Mirror::new();
    mirror.step(&parsed.objects.iter().map(event).collect::<Vec<_>>());
    let gaps: BTreeSet<&str> = head.iter().filter_map(|line| line.strip_prefix("gap ")).collect();
    let found = world.policies.iter().flat_map(|policy| &policy.gaps).map(|gap| gap.field.as_str());
    let found: BTreeSet<&str> = found.collect();
    if found != gaps {
        wrong.push(format!("gaps are {found:?}"));
    }
    let rows: Vec<&str> = head.into_iter().filter(|line| line.contains('→')).collect();
    if rows.is_empty() {
        wrong.push("has no rows".into());
    }
    for row in rows {
        let Some(wanted) = read(row) else {
            wrong.push(format!("cannot be read: {row}"));
            continue;
        };
        for party in [&wanted.from, &wanted.to] {
            if matches!(party, Party::Pod(name) if !world.pods.iter().any(|pod| pod.name == *name)) {
                wrong.push(format!("no such pod: {row}"));
            }
        }
        let request = |rule: &HttpRule| wanted.request.as_ref().map_or_else(Vec::new, |request| lacks(request, rule));
        let answer = evaluate(
            &world,
            Question {
                from: &wanted.from,
                to: &wanted.to,
                protocol: wanted.protocol,
                port: wanted.port,
                request: wanted.request.as_ref().map(|_| &request as &dyn Fn(&HttpRule) -> Vec<&'static str>),
            },
        );
        let expected = (wanted.enforced, wanted.audited.unwrap_or(wanted.enforced));
        let found = (answer.enforced(), answer.audited());
        if found != expected {
            wrong.push(format!("{row}, and is {found:?}"));
        }
        let found = in_force(&mirror, &world, &wanted);
        if found != expected {
            wrong.push(format!("{row}, and is in force as {found:?}"));
        }
    }
    wrong
}

/// What the kernel's entries and the proxy's rules make of the row: enforced and audited.
fn in_force(mirror: &Mirror, world: &World, row: &Row) -> (Verdict, Verdict) {
    let address = |party: &Party| match party {
        Party::Pod(name) => world.pods.iter().find(|pod| pod.name == *name).map(|pod| pod.addresses[0]),
        Party::Address(address) => Some(*address),
        Party::Host => None,
    };
    let side = |own: &Party, peer: &Party, direction: Direction| {
        let Party::Pod(name) = own else { return (Verdict::Allow, Verdict::Allow) };
        let peer = address(peer).map_or(Identity::HOST, |address| mirror.identity(address));
        if peer == Identity::HOST && direction == Direction::Ingress {
            return (Verdict::Allow, Verdict::Allow);
        }
        let endpoint = mirror.endpoints.values().find(|endpoint| endpoint.name == *name).expect("an endpoint");
        let (enforced, audited, _) = judge(&mirror.policies[&endpoint.policy], direction, peer, row.protocol, row.port);
        let selectors = mirror.people.selectors(peer);
        let rules = &mirror.snapshot.policies[&endpoint.policy].direction(direction).rules;
        let verdict = |verdict: KernelVerdict, modes: &[Mode]| {
            let mut about = rules.iter().filter(|rule| {
                !rule.deny && modes.contains(&rule.mode) && rule.covers_tcp(row.port) && rule.peers.contains(&selectors)
            });
            let passes = about.any(|rule| match (&rule.http, &row.request) {
                (None, _) | (_, None) => true,
                (Some(http), Some(request)) => http.iter().any(|rule| lacks(request, rule).is_empty()),
            });
            match verdict {
                KernelVerdict::Redirect if passes => Verdict::Redirect,
                KernelVerdict::Redirect => Verdict::DenyRequest,
                KernelVerdict::Allow => Verdict::Allow,
                KernelVerdict::Deny | KernelVerdict::None => Verdict::Deny,
            }
        };
        (verdict(enforced.verdict, &[Mode::Enforce]), verdict(audited.verdict, &[Mode::Enforce, Mode::Audit]))
    };
    let from = side(&row.from, &row.to, Direction::Egress);
    let to = side(&row.to, &row.from, Direction::Ingress);
    (from.0.max(to.0), from.1.max(to.1))
}

fn read(row: &str) -> Option<Row> {
    let (what, verdict) = row.rsplit_once(": ")?;
    let (enforced, audited) = match verdict.split_once(", audited ") {
        Some((enforced, audited)) => (self::verdict(enforced)?, Some(self::verdict(audited)?)),
        None => (self::verdict(verdict)?, None),
    };
    let (from, rest) = what.split_once(" → ")?;
    let mut words = rest.splitn(5, ' ');
    let to = party(words.next()?)?;
    let (port, protocol) = words.next()?.split_once('/')?;
    let protocol = match protocol {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        "ICMP" => 1,
        "ICMPv6" => 58,
        number => number.parse().ok()?,
    };
    let request = match words.next() {
        None => None,
        Some(method) => Some(request(method, words.next()?, words.next().unwrap_or_default())?),
    };
    Some(Row { from: party(from)?, to, port: port.parse().ok()?, protocol, request, enforced, audited })
}

fn verdict(text: &str) -> Option<Verdict> {
    Some(match text {
        "allow" => Verdict::Allow,
        "redirect" => Verdict::Redirect,
        "refuse" => Verdict::DenyRequest,
        "deny" => Verdict::Deny,
        _ => return None,
    })
}

fn party(text: &str) -> Option<Party> {
    if text == "host" {
        return Some(Party::Host);
    }
    match text.split_once('/') {
        Some((namespace, name)) => Some(Party::Pod(PodName { namespace: namespace.into(), name: name.into() })),
        None => text.parse().ok().map(Party::Address),
    }
}

fn request(method: &str, path: &str, headers: &str) -> Option<Request> {
    let pair = |header: &str| header.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers: Option<Vec<_>> = headers.split("; ").filter(|header| !header.is_empty()).map(pair).collect();
    let mut headers = headers?;
    let host = headers.iter().position(|(name, _)| name == "Host").map(|at| headers.remove(at).1);
    Some(Request { method: method.into(), path: path.into(), host: host.unwrap_or_default(), headers })
}

/// The fields of the rule that the request does not meet.
fn lacks(request: &Request, rule: &HttpRule) -> Vec<&'static str> {
    let whole = |pattern: &Option<String>, text: &str| {
        let matches = |pattern: &String| Regex::new(&format!("^(?:{pattern})$")).expect(pattern).is_match(text);
        pattern.as_ref().is_none_or(matches)
    };
    let meets = |header: &HeaderMatch| {
        let lines = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(&header.name));
        let lines: Vec<&str> = lines.map(|(_, value)| value.as_str()).collect();
        !lines.is_empty() && header.value.as_ref().is_none_or(|value| *value == lines.join(","))
    };
    let conditions = [
        ("method", whole(&rule.method, &request.method)),
        ("path", whole(&rule.path, &request.path)),
        ("host", whole(&rule.host, &request.host)),
        ("headers", rule.headers.iter().all(meets)),
        (
            "headerMatches",
            rule.header_matches.iter().all(|action| action.mismatch != Mismatch::Fail || meets(&action.header)),
        ),
    ];
    conditions.into_iter().filter(|(_, met)| !met).map(|(field, _)| field).collect()
}
