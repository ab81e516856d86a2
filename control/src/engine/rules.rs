//! Rules, each turned once into what it allows and denies, whomever it selects.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use weir_model::{
    labels::LabelSet,
    policy::{Entity, HttpRule, Mode, PeerSelector, Policy, Port, PortRange, Protocol, Rule, RuleEntry, Subject},
    resolved::{Direction, L4Rule, Peers, RuleOrigin, SelectorId},
    selector::Selector,
    wanted::PolicyId,
};

use super::{book::RuleBook, cache::Cache, index::SelectorIndex, matcher::Referents};
use crate::manifests::{Object, ObjectKey};

/// The place of a rule: it stays when the rule is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(u32);

/// All rules of all policies.
#[derive(Default)]
pub(super) struct Rules {
    policies: HashMap<ObjectKey, Stated>,
    slots: HashMap<Slot, Compiled>,
    subjects: SelectorIndex<Slot>,
    next: u32,
}

struct Stated {
    object: Arc<Object>,
    slots: Vec<Slot>,
}

/// A rule.
pub(super) struct Compiled {
    subject: Option<Selector>,
    pub(super) mode: Mode,
    pub(super) ingress: Half,
    pub(super) egress: Half,
    pub(super) used_by: BTreeSet<PolicyId>,
}

impl Compiled {
    pub(super) fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    pub(super) fn selects(&self, labels: &LabelSet) -> bool {
        self.subject.as_ref().is_some_and(|subject| subject.matches(labels))
    }
}

/// One direction of a rule.
#[derive(Default)]
pub(super) struct Half {
    pub(super) denies_by_default: bool,
    pub(super) templates: Vec<Template>,
    /// `requires` of the allow list and of the deny list.
    pub(super) requires: [Vec<Selector>; 2],
}

/// An allowance or denial; with a name, once for each port that has it.
pub(super) struct Template {
    pub(super) rule: L4Rule,
    pub(super) named: Option<(String, Protocol)>,
}

/// What rules are made of.
pub(super) struct Parts<'a> {
    pub(super) cache: &'a mut Cache,
    pub(super) book: &'a mut RuleBook,
    pub(super) referents: &'a Referents,
}

/// The rules that an event touched.
#[derive(Default)]
pub(super) struct Edited {
    /// New, or different.
    pub(super) changed: BTreeSet<Slot>,
    pub(super) removed: BTreeSet<Slot>,
    /// Policies of endpoints that used them.
    pub(super) users: BTreeSet<PolicyId>,
}

impl Rules {
    /// Takes what an object says now.
    pub(super) fn take(
        &mut self,
        key: &ObjectKey,
        object: Option<&Arc<Object>>,
        parts: &mut Parts<'_>,
        out: &mut Edited,
    ) {
        let old = self.policies.remove(key);
        let now = object.and_then(|object| match &**object {
            Object::Policy(policy) => Some((policy, object)),
            _ => None,
        });
        let (mut slots, before) = old.map(|stated| (stated.slots, Some(stated.object))).unwrap_or_default();
        let before = before.as_deref().and_then(|object| match object {
            Object::Policy(policy) => Some(policy),
            _ => None,
        });
        let wanted = now.map_or(&[][..], |(policy, _)| &policy.rules);
        for slot in slots.drain(wanted.len().min(slots.len())..) {
            out.users.extend(self.remove(slot, parts));
            out.removed.insert(slot);
        }
        let Some((policy, object)) = now else { return };
        for (index, rule) in policy.rules.iter().enumerate() {
            let same = before.is_some_and(|before| before.mode == policy.mode && before.rules.get(index) == Some(rule));
            if same {
                continue;
            }
            // What it says now is acquired before what it said is released.
            let compiled = compile(policy, index, rule, parts);
            let slot = match slots.get(index) {
                Some(slot) => {
                    out.users.extend(self.remove(*slot, parts));
                    *slot
                }
                None => {
                    self.next += 1;
                    slots.push(Slot(self.next));
                    Slot(self.next)
                }
            };
            if let Some(subject) = &compiled.subject {
                self.subjects.add(subject, slot);
            }
            self.slots.insert(slot, compiled);
            out.changed.insert(slot);
        }
        self.policies.insert(key.clone(), Stated { object: Arc::clone(object), slots });
    }

    fn remove(&mut self, slot: Slot, parts: &mut Parts<'_>) -> BTreeSet<PolicyId> {
        let Some(old) = self.slots.remove(&slot) else { return BTreeSet::new() };
        if let Some(subject) = &old.subject {
            self.subjects.remove(subject, slot);
        }
        for template in old.ingress.templates.iter().chain(&old.egress.templates) {
            parts.book.release(template.rule.id);
            if let Peers::Selected(selectors) = &template.rule.peers {
                selectors.iter().for_each(|id| parts.cache.release(*id));
            }
        }
        old.used_by
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Compiled> {
        self.slots.get(&slot)
    }

    /// Notes that a policy of endpoints uses a rule, or does no longer.
    pub(super) fn note_use(&mut self, slot: Slot, policy: PolicyId, used: bool) {
        let Some(compiled) = self.slots.get_mut(&slot) else { return };
        if used {
            compiled.used_by.insert(policy)
        } else {
            compiled.used_by.remove(&policy)
        };
    }

    /// The rules whose subject has these labels.
    pub(super) fn of_subject(&self, labels: &LabelSet) -> BTreeSet<Slot> {
        let selects = |slot: &Slot| self.get(*slot).is_some_and(|rule| rule.selects(labels));
        self.subjects.candidates(labels).into_iter().filter(selects).collect()
    }

    /// A policy in force.
    pub(super) fn policy(&self, key: &ObjectKey) -> Option<&Policy> {
        match &*self.policies.get(key)?.object {
            Object::Policy(policy) => Some(policy),
            _ => None,
        }
    }

    /// The rules of a policy.
    pub(super) fn slots(&self, key: &ObjectKey) -> &[Slot] {
        self.policies.get(key).map_or(&[], |stated| &stated.slots)
    }

    /// The policy objects in force.
    pub(super) fn policies(&self) -> impl Iterator<Item = (&ObjectKey, &Policy)> {
        self.policies.iter().filter_map(|(key, stated)| match &*stated.object {
            Object::Policy(policy) => Some((key, policy)),
            _ => None,
        })
    }
}

fn compile(policy: &Policy, index: usize, rule: &Rule, parts: &mut Parts<'_>) -> Compiled {
    let log: Option<Arc<str>> = rule.log.as_deref().map(Arc::from);
    let mut half = |direction: Direction| {
        let (denies_by_default, lists) = match direction {
            Direction::Ingress => (rule.default_deny.ingress, [&rule.ingress, &rule.ingress_deny]),
            Direction::Egress => (rule.default_deny.egress, [&rule.egress, &rule.egress_deny]),
        };
        let mut half = Half { denies_by_default, ..Half::default() };
        for (deny, list) in [false, true].into_iter().zip(lists) {
            for (at, entry) in list.iter().enumerate() {
                half.requires[usize::from(deny)].extend(entry.requires.iter().cloned());
                let origin = RuleOrigin {
                    policy: Arc::clone(&policy.name),
                    rule: place(index),
                    direction,
                    deny,
                    entry: place(at),
                    port: None,
                };
                // Observing denies nothing.
                if !deny || policy.mode != Mode::Observe {
                    let stated = Stating { mode: policy.mode, denies_by_default, log: log.clone(), origin };
                    stated.entry(entry, parts, &mut half.templates);
                }
            }
        }
        half
    };
    let (ingress, egress) = (half(Direction::Ingress), half(Direction::Egress));
    let subject = match &rule.subject {
        Subject::Pods(selector) => Some(selector.clone()),
        Subject::Nodes(_) => None,
    };
    Compiled { subject, mode: policy.mode, ingress, egress, used_by: BTreeSet::new() }
}

/// What the templates of an entry have in common.
struct Stating {
    mode: Mode,
    denies_by_default: bool,
    log: Option<Arc<str>>,
    origin: RuleOrigin,
}

impl Stating {
    /// The table of [`RuleEntry`], as code.
    fn entry(&self, entry: &RuleEntry, parts: &mut Parts<'_>, out: &mut Vec<Template>) {
        let ports = entry.ports.as_deref().unwrap_or_default();
        let icmps = entry.icmps.as_deref().unwrap_or_default();
        let peers = entry.peers.as_deref();
        if peers.is_some_and(<[PeerSelector]>::is_empty) {
            return;
        }
        for (number, rule) in ports.iter().enumerate() {
            let (port, http) = (Some(place(number)), rule.http.as_ref().map(|http| self.unblocked(http)));
            for spec in rule.ports.iter().collect::<BTreeSet<_>>() {
                let (range, named) = match &spec.port {
                    Port::Numbers(range) => (*range, None),
                    Port::Named(name) => (PortRange::ALL, Some((name.clone(), spec.protocol))),
                };
                let mut template = self.template(peers, Some(spec.protocol), range, port, parts);
                template.rule.http.clone_from(&http);
                out.push(Template { named, ..template });
            }
        }
        for icmp in icmps {
            out.push(self.template(peers, Some(icmp.protocol), PortRange::one(icmp.number.into()), None, parts));
        }
        // Without peers, ports and ICMP types it names nothing.
        if ports.is_empty() && icmps.is_empty() && peers.is_some() {
            out.push(self.template(peers, None, PortRange::ALL, None, parts));
        }
    }

    fn template(
        &self,
        peers: Option<&[PeerSelector]>,
        protocol: Option<Protocol>,
        ports: PortRange,
        port: Option<u16>,
        parts: &mut Parts<'_>,
    ) -> Template {
        let origin = RuleOrigin { port, ..self.origin.clone() };
        let peers = match peers {
            None => Peers::Any,
            Some(peers) if peers.contains(&PeerSelector::Entity(Entity::All)) => Peers::Any,
            Some(peers) => {
                let distinct: BTreeSet<&PeerSelector> = peers.iter().collect();
                let mut ids: Vec<SelectorId> =
                    distinct.into_iter().map(|peer| parts.cache.acquire(peer, parts.referents)).collect();
                ids.sort_unstable();
                Peers::Selected(ids.into())
            }
        };
        let rule = L4Rule {
            peers,
            protocol,
            ports,
            deny: origin.deny,
            mode: self.mode,
            http: None,
            id: parts.book.acquire(&origin, self.log.as_ref()),
            log: self.log.clone(),
            origin,
        };
        Template { rule, named: None }
    }

    /// Where a rule does not deny by default, its L7 rules let every request pass.
    fn unblocked(&self, http: &Arc<Vec<HttpRule>>) -> Arc<Vec<HttpRule>> {
        if self.denies_by_default || self.mode == Mode::Observe || http.contains(&HttpRule::default()) {
            return Arc::clone(http);
        }
        Arc::new(http.iter().cloned().chain([HttpRule::default()]).collect())
    }
}

/// An index for an explanation; no object that etcd would store reaches the limit.
fn place(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// The ports that have a name: how many pods have each.
pub(super) type NamedPorts = HashMap<String, BTreeMap<(Protocol, u16), usize>>;
