//! Where in a policy an entry stands, and what that means for what weir cannot enforce.

use weir_model::resolved::Direction;

use super::{
    ReadOptions, RuleCheck,
    language::{self, Shape},
    node::Issues,
    selectors::Scope,
};

/// Where an entry stands.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// Which namespaces its selectors speak of.
    pub(super) scope: Scope<'a>,
    /// The judge of HTTP rules.
    pub(super) check: &'a RuleCheck,
    /// What is read beside the language of today.
    pub(super) options: ReadOptions,
    /// In which direction's lists.
    pub(super) direction: Direction,
    /// Whether in a deny list.
    pub(super) deny: bool,
    /// Whether its rule's subjects are nodes.
    pub(super) of_nodes: bool,
    /// Whether its L7 rules may deny a request. Not so in a rule that switches default deny off.
    pub(super) blocks: bool,
}

impl Context<'_> {
    /// The list that it stands in.
    pub(super) fn list(&self) -> &'static str {
        match (self.direction, self.deny) {
            (Direction::Ingress, false) => "ingress",
            (Direction::Ingress, true) => "ingressDeny",
            (Direction::Egress, false) => "egress",
            (Direction::Egress, true) => "egressDeny",
        }
    }

    /// The fields of an entry.
    pub(super) fn shape(&self) -> &'static Shape {
        match (self.direction, self.deny) {
            (Direction::Ingress, false) => &language::INGRESS,
            (Direction::Ingress, true) => &language::INGRESS_DENY,
            (Direction::Egress, false) => &language::EGRESS,
            (Direction::Egress, true) => &language::EGRESS_DENY,
        }
    }

    /// Something is not enforced as written. The caller sees to it that an allowance allows nothing instead; a denial that
    /// denied nothing would open what it names, so its object is refused.
    pub(super) fn gap(&self, issues: &mut Issues, field: impl Into<String>, effect: &str) {
        if self.deny {
            issues.problem(field, format!("cannot be denied: {effect}"));
        } else {
            issues.gap(field, effect);
        }
    }
}
