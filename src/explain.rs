//! Answers to `weir policy`, `identity` and `endpoint`, from what the agent holds.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_control::{
    api::{
        Question,
        shown::{ShownEndpoint, ShownEntry, ShownIdentity, ShownPolicy, ShownSelector, ShownVerdict},
    },
    engine::Engine,
    manifests::Object,
};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    people::People,
    policy::{Mode, PolicyKind, PolicyName},
    snapshot::Pod,
    wanted::{Decided, EntryKey, EntryVerdict, PolicyId},
};

use crate::view::{Policies, View};

/// Answers a question.
pub fn show(view: &View, question: &Question) -> serde_json::Result<serde_json::Value> {
    match question {
        Question::Policies => json(&policies(view, |_| true)),
        Question::Policy(name) => {
            let mut found = policies(view, |policy| names(name, policy));
            let policies = view.policies();
            for shown in &mut found {
                shown.understood = policies.engine.policy(&shown.name).cloned();
            }
            json(&found)
        }
        Question::Selectors => json(&selectors(view)),
        Question::Identities => json(&identities(view)),
        Question::Endpoint(name) => json(&endpoint(view, name)),
    }
}

fn json<T: Serialize>(value: &T) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(value)
}

/// Whether `[Kind/][namespace/]name` is this policy's.
fn names(wanted: &str, policy: &PolicyName) -> bool {
    let full = policy.to_string();
    full == wanted || full.strip_suffix(wanted).is_some_and(|rest| rest.ends_with('/'))
}

fn policies(view: &View, wanted: impl Fn(&PolicyName) -> bool) -> Vec<ShownPolicy> {
    let mut shown: BTreeMap<PolicyName, ShownPolicy> = BTreeMap::new();
    {
        let Policies { store, engine } = &*view.policies();
        for (_, stored) in store.objects() {
            let Object::Policy(policy) = &*stored.object else { continue };
            if wanted(&policy.name) {
                let one = ShownPolicy {
                    name: (*policy.name).clone(),
                    file: stored.file.clone(),
                    mode: policy.mode,
                    valid: true,
                    problems: Vec::new(),
                    in_force: true,
                    gaps: policy.gaps.clone(),
                    endpoints: engine.selected_by(&policy.name),
                    understood: None,
                };
                shown.insert((*policy.name).clone(), one);
            }
        }
    }
    for problem in &view.picture().rejected {
        let Some(name) = name_of(&problem.object).filter(|name| wanted(name)) else { continue };
        let entry = shown.entry(name.clone()).or_insert_with(|| ShownPolicy {
            name,
            file: problem.file.clone(),
            mode: Mode::Enforce,
            valid: false,
            problems: Vec::new(),
            in_force: false,
            gaps: Vec::new(),
            endpoints: Vec::new(),
            understood: None,
        });
        entry.valid = false;
        entry.problems.push(problem.to_string());
    }
    shown.into_values().collect()
}

/// The policy that a problem's object is, if it is one.
fn name_of(object: &str) -> Option<PolicyName> {
    let (kind, rest) = object.split_once('/')?;
    let kind = [PolicyKind::CiliumNetworkPolicy, PolicyKind::CiliumClusterwideNetworkPolicy, PolicyKind::NetworkPolicy]
        .into_iter()
        .find(|known| known.to_string() == kind)?;
    let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
    Some(PolicyName { kind, namespace: namespace.into(), name: name.into() })
}

fn selectors(view: &View) -> Vec<ShownSelector> {
    let shown = |selector: weir_control::engine::SelectorView| ShownSelector {
        id: selector.id,
        selector: selector.text,
        users: selector.users,
        identities: selector.members,
    };
    view.policies().engine.selectors().map(shown).collect()
}

fn identities(view: &View) -> Vec<ShownIdentity> {
    let people = view.people();
    let mut pods: BTreeMap<Identity, usize> = BTreeMap::new();
    for (_, pod) in people.pods() {
        *pods.entry(pod.identity).or_default() += 1;
    }
    let shown = |(identity, labels): (Identity, Vec<String>)| ShownIdentity {
        identity,
        labels,
        pods: pods.get(&identity).copied().unwrap_or_default(),
    };
    let mut all: Vec<_> = people.identities().map(|(id, known)| (*id, known.labels.to_strings())).collect();
    all.sort_unstable();
    all.into_iter().map(shown).collect()
}

fn endpoint(view: &View, name: &str) -> Vec<ShownEndpoint> {
    let people = view.people();
    let is = |id: EndpointId, pod: &PodName| id.to_string() == name || pod.to_string() == name;
    let Some((id, pod)) = people.pods().find(|(id, pod)| pod.policy.is_some() && is(**id, &pod.name)) else {
        return Vec::new();
    };
    let policies = view.policies();
    let realised = pod.policy.and_then(|policy| realised(&policies.engine, &people, *id, pod, policy));
    realised.into_iter().collect()
}

fn realised(engine: &Engine, people: &People, id: EndpointId, pod: &Pod, policy: PolicyId) -> Option<ShownEndpoint> {
    let kernel = engine.kernel_policy(policy)?;
    let verdict = |decided: Decided| ShownVerdict {
        verdict: decided.verdict,
        rule_id: decided.rule,
        rule: engine.book().rule(decided.rule).map(|rule| rule.origin.clone()),
    };
    let entry = |(key, said): (&EntryKey, &EntryVerdict)| {
        let width = u16::MAX.checked_shr(key.port_bits.into()).unwrap_or(0);
        ShownEntry {
            direction: key.direction,
            peer: key.peer,
            labels: people.labels(key.peer).to_strings(),
            protocol: key.protocol,
            ports: (key.port, key.port | width),
            enforced: verdict(said.enforced),
            audited: (said.audited != said.enforced).then(|| verdict(said.audited)),
            observe: said.observe,
        }
    };
    Some(ShownEndpoint {
        endpoint: id,
        pod: pod.name.clone(),
        identity: pod.identity,
        labels: people.labels(pod.identity).to_strings(),
        addresses: pod.addresses.clone(),
        policy,
        ingress: kernel.ingress,
        egress: kernel.egress,
        entries: kernel.entries.iter().map(entry).collect(),
    })
}
