//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy: the object and its rules.

use std::sync::Arc;

use weir_model::{
    policy::{DefaultDeny, Mode, Policy, PolicyKind, PolicyName, Rule, RuleEntry, Subject},
    resolved::Direction,
};

use super::{
    Kind, ObjectKey, ReadOptions, RuleCheck,
    context::Context,
    entry, language, names,
    node::{Issues, Node},
    selectors::{self, Scope},
};

/// The annotation that says what a policy's verdicts do, weir's own.
const MODE: &str = "weir.io/mode";
/// The prefix of weir's own annotations.
const OWN_ANNOTATIONS: &str = "weir.io/";
/// Cilium's limit of characters in `log.value`.
const MAX_LOG: usize = 32;

/// Reads a policy object; `None`, or any problem among the issues, refuses it.
pub(super) fn policy(
    key: &ObjectKey,
    root: &Node<'_>,
    check: &RuleCheck,
    options: ReadOptions,
    issues: &mut Issues,
) -> Option<Policy> {
    root.check_fields(&language::OBJECT, issues);
    let (kind, scope) = match key.kind {
        Kind::CiliumClusterwideNetworkPolicy => {
            (PolicyKind::CiliumClusterwideNetworkPolicy, Scope::Cluster { init: false })
        }
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
    let mode = mode(root, issues)?;
    let name = PolicyName { kind, namespace: key.namespace.clone(), name: key.name.clone() };
    let mut reader = RuleReader { scope, check, options, mode, issues };
    let rules = rules.iter().filter_map(|node| reader.rule(node)).collect();
    Some(Policy { name: Arc::new(name), mode, rules, gaps: issues.take_gaps() })
}

/// Reads the annotations that are weir's own.
pub(super) fn mode(root: &Node<'_>, issues: &mut Issues) -> Option<Mode> {
    let annotations = root.child("metadata").and_then(|metadata| metadata.child("annotations"));
    let mut mode = Mode::Enforce;
    for (key, value) in annotations.map(|annotations| annotations.members(issues)).unwrap_or_default() {
        if key == MODE {
            mode = match value.text(issues)? {
                "enforce" => Mode::Enforce,
                "audit" => Mode::Audit,
                "observe" => Mode::Observe,
                other => {
                    let reason = format!("is {}; use enforce, audit or observe", names::quote(other));
                    issues.problem(value.path(), reason);
                    return None;
                }
            };
        } else if key.starts_with(OWN_ANNOTATIONS) {
            issues.problem(value.path(), format!("is unknown; weir's only annotation of a policy is {MODE}"));
        }
    }
    Some(mode)
}

/// A rule of an observed policy denies nothing, neither by default nor by its deny lists.
pub(super) fn observe(mode: Mode, rule: &mut Rule) {
    if mode == Mode::Observe {
        rule.default_deny = DefaultDeny::default();
        (rule.ingress_deny, rule.egress_deny) = (Vec::new(), Vec::new());
    }
}

struct RuleReader<'a> {
    scope: Scope<'a>,
    check: &'a RuleCheck,
    options: ReadOptions,
    mode: Mode,
    issues: &'a mut Issues,
}

impl RuleReader<'_> {
    fn rule(&mut self, node: &Node<'_>) -> Option<Rule> {
        if !node.check_fields(&language::RULE, self.issues) {
            return None;
        }
        informative(node, self.issues);
        let (written, log) = (self.default_deny(node), self.log(node));
        let subject = self.subject(node)?;
        let blocks = |written: Option<bool>| written != Some(false) && self.mode != Mode::Observe;
        let (blocks_ingress, blocks_egress) = (blocks(written.0), blocks(written.1));
        let scope = match (self.scope, &subject) {
            (Scope::Cluster { .. }, Subject::Pods(selector)) => {
                Scope::Cluster { init: selectors::names_reserved(selector, "init") }
            }
            (scope, _) => scope,
        };
        let context = Context {
            scope,
            check: self.check,
            options: self.options,
            direction: Direction::Ingress,
            deny: false,
            of_nodes: matches!(subject, Subject::Nodes(_)),
            blocks: blocks_ingress,
        };
        let ingress = self.entries(node, &context);
        let ingress_deny = self.entries(node, &Context { deny: true, ..context });
        let context = Context { direction: Direction::Egress, blocks: blocks_egress, ..context };
        let egress = self.entries(node, &context);
        let egress_deny = self.entries(node, &Context { deny: true, ..context });
        let (some_ingress, some_egress) =
            (!ingress.is_empty() || !ingress_deny.is_empty(), !egress.is_empty() || !egress_deny.is_empty());
        if !some_ingress && !some_egress {
            let reason = "has no entry in ingress, ingressDeny, egress or egressDeny; to deny all of a direction write `ingress: [{}]`";
            self.issues.problem(node.path(), reason);
        }
        let default_deny =
            DefaultDeny { ingress: written.0.unwrap_or(some_ingress), egress: written.1.unwrap_or(some_egress) };
        let mut rule = Rule { subject, ingress, ingress_deny, egress, egress_deny, default_deny, log };
        self.unenforced(node, &mut rule);
        Some(rule)
    }

    /// What of the whole rule is not enforced as written.
    fn unenforced(&mut self, node: &Node<'_>, rule: &mut Rule) {
        let denies = !rule.ingress_deny.is_empty() || !rule.egress_deny.is_empty();
        if let Subject::Nodes(_) = rule.subject {
            let field = node.path_of("nodeSelector");
            if denies {
                let reason =
                    "weir does not judge the traffic of nodes yet, so nothing would be denied; remove the deny lists";
                self.issues.problem(field, reason);
            } else {
                let effect =
                    "weir does not judge the traffic of nodes yet; the rule has no effect, restrict nodes elsewhere";
                self.issues.gap(field, effect);
            }
        }
        if self.mode == Mode::Observe && denies {
            let effect = "its deny entries are left out, since an observed policy denies nothing; see what they would do \
                              with weir.io/mode: audit";
            self.issues.gap(node.path(), effect);
        }
        observe(self.mode, rule);
    }

    fn entries(&mut self, rule: &Node<'_>, context: &Context<'_>) -> Vec<RuleEntry> {
        let Some(list) = rule.child(context.list()) else { return Vec::new() };
        list.elements(self.issues).iter().map(|node| entry::entry(node, context, self.issues)).collect()
    }

    fn subject(&mut self, rule: &Node<'_>) -> Option<Subject> {
        match (rule.child("endpointSelector"), rule.child("nodeSelector")) {
            (Some(_), Some(nodes)) => {
                let reason = "stands beside endpointSelector; a rule has one of the two, write two rules";
                self.issues.problem(nodes.path(), reason);
            }
            (None, None) => {
                let reason = match self.scope {
                    Scope::Namespace(_) => "is missing; write `endpointSelector: {}` for all pods of the namespace",
                    Scope::Cluster { .. } => "is missing; write `endpointSelector: {}` for all pods",
                };
                self.issues.problem(rule.path_of("endpointSelector"), reason);
            }
            (None, Some(nodes)) => match self.scope {
                Scope::Namespace(_) => {
                    let reason = "is for CiliumClusterwideNetworkPolicy only; use endpointSelector, or change the kind";
                    self.issues.problem(nodes.path(), reason);
                }
                Scope::Cluster { .. } => return Some(Subject::Nodes(selectors::unscoped(&nodes, self.issues))),
            },
            (Some(pods), None) => return Some(Subject::Pods(selectors::subject(&pods, self.scope, self.issues))),
        }
        None
    }

    fn default_deny(&mut self, rule: &Node<'_>) -> (Option<bool>, Option<bool>) {
        let Some(node) = rule.child("enableDefaultDeny") else { return (None, None) };
        node.check_fields(&language::DEFAULT_DENY, self.issues);
        (node.flag("ingress", self.issues), node.flag("egress", self.issues))
    }

    fn log(&mut self, rule: &Node<'_>) -> Option<String> {
        let node = rule.child("log")?;
        node.check_fields(&language::LOG, self.issues);
        let value = node.child("value")?;
        let text = value.text(self.issues)?;
        if text.chars().count() > MAX_LOG || text.chars().any(char::is_control) {
            self.issues.problem(value.path(), format!("is no short text; use at most {MAX_LOG} printable characters"));
        }
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// Checks what has no effect on traffic.
fn informative(rule: &Node<'_>, issues: &mut Issues) {
    if let Some(description) = rule.child("description") {
        description.text(issues);
    }
    for label in rule.child("labels").map(|labels| labels.elements(issues)).unwrap_or_default() {
        label.check_fields(&language::RULE_LABEL, issues);
        for field in ["key", "value", "source"] {
            if let Some(text) = label.child(field) {
                text.text(issues);
            }
        }
        if label.child("key").is_none() {
            issues.problem(label.path_of("key"), "is missing; every label has a key");
        }
    }
}
