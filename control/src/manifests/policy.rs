//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.

use std::sync::Arc;

use weir_model::policy::{DefaultDeny, Mode, PeerSelector, Policy, PolicyKind, PolicyName, Rule, RuleEntry, Subject};

use super::{
    Kind, ObjectKey, RuleCheck,
    language::{self, Shape},
    node::{Issues, Node},
    ports,
    selectors::{self, Scope},
};

/// Reads a policy object; `None`, or any problem among the issues, refuses it.
pub(super) fn policy(key: &ObjectKey, root: &Node<'_>, check: &RuleCheck, issues: &mut Issues) -> Option<Policy> {
    root.check_fields(&language::OBJECT, issues);
    let (kind, scope) = match key.kind {
        Kind::CiliumClusterwideNetworkPolicy => (PolicyKind::CiliumClusterwideNetworkPolicy, Scope::Cluster),
        _ => (PolicyKind::CiliumNetworkPolicy, Scope::Namespace(&key.namespace)),
    };
    let mut rules: Vec<Node<'_>> = root.child("spec").into_iter().collect();
    if let Some(specs) = root.child("specs") {
        rules.extend(specs.elements(issues));
    }
    if rules.is_empty() {
        issues.problem("spec", "is missing; write one rule as spec, or a list of rules as specs");
        return None;
    }
    let name = PolicyName { kind, namespace: key.namespace.clone(), name: key.name.clone() };
    let mut reader = RuleReader { scope, check, issues };
    let rules = rules.iter().filter_map(|node| reader.rule(node)).collect();
    Some(Policy { name: Arc::new(name), mode: Mode::Enforce, rules, gaps: Vec::new() })
}

struct RuleReader<'a> {
    scope: Scope<'a>,
    check: &'a RuleCheck,
    issues: &'a mut Issues,
}

/// What differs between the two directions.
struct Side {
    list: &'static str,
    peers: &'static str,
    shape: &'static Shape,
}

const INGRESS: Side = Side { list: "ingress", peers: "fromEndpoints", shape: &language::INGRESS };
const EGRESS: Side = Side { list: "egress", peers: "toEndpoints", shape: &language::EGRESS };

impl RuleReader<'_> {
    fn rule(&mut self, node: &Node<'_>) -> Option<Rule> {
        if !node.check_fields(&language::RULE, self.issues) {
            return None;
        }
        if let Some(description) = node.child("description") {
            description.text(self.issues);
        }
        if let Some(labels) = node.child("labels") {
            labels.elements(self.issues);
        }
        let ingress = self.entries(node, &INGRESS);
        let egress = self.entries(node, &EGRESS);
        if ingress.is_empty() && egress.is_empty() && self.issues.problems.is_empty() {
            let reason = "has neither ingress nor egress entries; to deny all of a direction write `ingress: [{}]`";
            self.issues.problem(node.path(), reason);
        }
        let Some(subject) = node.child("endpointSelector") else {
            // A rule with a nodeSelector was refused for that already.
            if node.child("nodeSelector").is_none() {
                let reason = "is missing; write `endpointSelector: {}` for all pods of the namespace";
                self.issues.problem(node.path_of("endpointSelector"), reason);
            }
            return None;
        };
        Some(Rule {
            subject: Subject::Pods(selectors::subject(&subject, self.scope, self.issues)),
            default_deny: DefaultDeny { ingress: !ingress.is_empty(), egress: !egress.is_empty() },
            ingress,
            ingress_deny: Vec::new(),
            egress,
            egress_deny: Vec::new(),
            log: None,
        })
    }

    fn entries(&mut self, rule: &Node<'_>, side: &Side) -> Vec<RuleEntry> {
        let Some(list) = rule.child(side.list) else { return Vec::new() };
        list.elements(self.issues).iter().map(|node| self.entry(node, side)).collect()
    }

    fn entry(&mut self, node: &Node<'_>, side: &Side) -> RuleEntry {
        node.check_fields(side.shape, self.issues);
        let scope = self.scope;
        let peers = node.child(side.peers).map(|list| {
            let elements = list.elements(self.issues);
            elements.iter().map(|node| PeerSelector::Endpoints(selectors::peer(node, scope, self.issues))).collect()
        });
        let ports = node.child("toPorts").map(|list| {
            let elements = list.elements(self.issues);
            elements.iter().map(|node| ports::port_rule(node, self.check, self.issues)).collect()
        });
        RuleEntry { peers, requires: Vec::new(), ports, icmps: None }
    }
}
