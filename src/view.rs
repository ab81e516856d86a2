//! What the agent's tasks show to the outside: written by the reconcile loop, read by status, metrics and health.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_control::{
    api::{EndpointStatus, ProgramStatus, Status},
    engine::Engine,
    link::Link,
    problem::Problem,
    store::Store,
};
use weir_model::{
    flow::{DropReason, Flow, FlowKind, L4, Party, Verdict},
    people::People,
    resolved::{Direction, RuleId},
};
use weir_sockmap::{counters::Counters, cutter::Cuts, events, kernel::Fill};

/// As of the last reconcile.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    /// The revision that was resolved.
    pub revision: u64,
    /// The revision that the kernel has; 0 before the first reconcile.
    pub kernel_revision: u64,
    /// Pods of this node.
    pub endpoints: Vec<EndpointStatus>,
    /// Devices with programs.
    pub programs: Vec<ProgramStatus>,
    /// Fill of the maps.
    pub maps: Vec<Fill>,
    /// Sockets that were ended.
    pub cuts: Cuts,
    /// Writes to maps that the kernel refused since the start.
    pub refused_writes: u64,
    /// Rejected objects.
    pub rejected: Vec<Problem>,
    /// What policies in force say and weir does not enforce as written.
    pub gaps: Vec<Problem>,
    /// Ignored objects.
    pub ignored: Vec<Problem>,
    /// Why the numbers of pods and label sets cannot be saved.
    pub unsaved: Option<String>,
    /// What the last reconcile could not do.
    pub problems: Vec<String>,
}

/// The objects and what they mean.
pub struct Policies {
    /// The objects.
    pub store: Store,
    /// What they mean.
    pub engine: Engine,
}

/// Shared between the agent's tasks.
pub struct View {
    picture: Mutex<Picture>,
    policies: Mutex<Policies>,
    people: Mutex<People>,
    /// Packets by reason.
    pub counters: Counters,
}

impl View {
    /// Nothing seen yet.
    pub fn new(counters: Counters, policies: Policies) -> Self {
        Self { picture: Mutex::default(), policies: Mutex::new(policies), people: Mutex::default(), counters }
    }

    /// The picture, to read or to change.
    pub fn picture(&self) -> MutexGuard<'_, Picture> {
        locked(&self.picture)
    }

    /// The policies, to read or to change.
    pub fn policies(&self) -> MutexGuard<'_, Policies> {
        locked(&self.policies)
    }

    /// Who is who.
    pub fn people(&self) -> MutexGuard<'_, People> {
        locked(&self.people)
    }

    /// A kernel event as a flow record.
    pub fn flow(&self, event: &weir_abi::Event, time_ns: u64) -> Flow {
        let people = self.people();
        let party = |address: std::net::SocketAddr, identity| Party {
            address,
            who: people.who(address.ip(), weir_model::identity::Identity(identity)),
        };
        let l4 = L4 { protocol: event.protocol, tcp_flags: event.tcp_flags, icmp_type: event.icmp_type };
        let (verdict, kind) = match event.kind {
            weir_abi::EVENT_FORWARDED => (Verdict::Forwarded, FlowKind::Connection(l4)),
            weir_abi::EVENT_REDIRECTED => (Verdict::Redirected, FlowKind::Connection(l4)),
            weir_abi::EVENT_AUDITED => (Verdict::Audited, FlowKind::Connection(l4)),
            _ => (Verdict::Dropped, FlowKind::Drop(l4)),
        };
        let ingress = event.direction == weir_abi::INGRESS;
        let rule_id = RuleId(event.cookie);
        let rule = self.policies().engine.book().rule(rule_id).cloned();
        Flow {
            time_ns,
            verdict,
            drop_reason: DropReason::from_number(event.reason),
            direction: if ingress { Direction::Ingress } else { Direction::Egress },
            source: party(events::source(event), event.source_identity),
            destination: party(events::destination(event), event.destination_identity),
            kind,
            rule: rule.as_ref().map(|rule| rule.origin.clone()),
            rule_id,
            policy_log: rule.and_then(|rule| rule.log),
        }
    }

    /// The counters with names: reason, direction, packets, bytes.
    pub fn packets(&self) -> Vec<(String, &'static str, u64, u64)> {
        let Ok(counters) = self.counters.read() else { return Vec::new() };
        let named = counters.into_iter().map(|((reason, direction), counter)| {
            let direction = if direction == Direction::Ingress { "INGRESS" } else { "EGRESS" };
            (reason_name(reason), direction, counter.packets, counter.bytes)
        });
        named.collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `weir status` shows.
pub fn status(view: &View, link: &Link, node: &str) -> Status {
    let picture = view.picture().clone();
    let proxy = link.proxy();
    let mut problems = picture.problems;
    problems.extend(picture.unsaved);
    problems.extend(proxy.problems);
    if !proxy.connected {
        problems.push("no proxy is connected: L7 ports are closed unless one runs on with an older snapshot".into());
    }
    let full = picture.maps.iter().filter(|fill| u64::from(fill.entries) * 10 >= u64::from(fill.capacity) * 9);
    problems.extend(full.map(|fill| format!("map {} is 90 % full; raise its size", fill.map)));
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        node: node.into(),
        revision: picture.revision,
        kernel_revision: picture.kernel_revision,
        proxy_revision: proxy.connected.then_some(proxy.in_force),
        endpoints: picture.endpoints,
        programs: picture.programs,
        maps: picture.maps.into_iter().map(|fill| (fill.map, fill.entries, fill.capacity)).collect(),
        packets: view
            .packets()
            .into_iter()
            .map(|(reason, direction, packets, _)| (reason, direction.into(), packets))
            .collect(),
        rejected: picture.rejected,
        gaps: picture.gaps,
        ignored: picture.ignored,
        problems,
    }
}

/// The words of `weir status` and of the metrics' labels.
fn reason_name(reason: u8) -> String {
    match reason {
        weir_abi::COUNT_FORWARDED => "forwarded".into(),
        weir_abi::COUNT_REDIRECTED => "redirected".into(),
        weir_abi::COUNT_LOST_EVENTS => "lost events".into(),
        _ => DropReason::from_number(reason).map_or_else(|| format!("reason {reason}"), |reason| format!("{reason:?}")),
    }
}
