//! Label selectors: a conjunction of requirements on label keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::labels::{LabelSet, SOURCE_RESERVED};

/// A label key as a selector names it; `source` is `None` for `any:`, which matches the key in every source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SelectorKey {
    /// `None` stands for `any`.
    pub source: Option<String>,
    /// The key without its source.
    pub key: String,
}

impl SelectorKey {
    /// Reads `key`, `k8s:key`, `any:key` or another `source:key`; a key without a source is an `any:` key.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            None | Some(("any", _)) => Self { source: None, key: text.strip_prefix("any:").unwrap_or(text).into() },
            Some((source, key)) => Self { source: Some(source.into()), key: key.into() },
        }
    }
}

/// What a requirement asks of the values of its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// The key exists with one of these values.
    In(Vec<String>),
    /// The key is absent, or has none of these values.
    NotIn(Vec<String>),
    /// The key exists.
    Exists,
    /// The key is absent.
    DoesNotExist,
}

/// One requirement of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// The key it speaks of.
    pub key: SelectorKey,
    /// What it asks.
    pub operator: Operator,
}

impl Requirement {
    fn matches(&self, labels: &LabelSet) -> bool {
        let any_value = |wanted: &dyn Fn(&str) -> bool| match &self.key.source {
            Some(source) => labels.get(source, &self.key.key).is_some_and(wanted),
            None => labels.get_any(&self.key.key).any(wanted),
        };
        match &self.operator {
            Operator::In(values) => any_value(&|value| values.iter().any(|v| v == value)),
            Operator::NotIn(values) => !any_value(&|value| values.iter().any(|v| v == value)),
            Operator::Exists => any_value(&|_| true),
            Operator::DoesNotExist => !any_value(&|_| true),
        }
    }
}

/// A conjunction of requirements; the empty selector matches every label set.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selector {
    /// All of these must hold.
    pub requirements: Vec<Requirement>,
}

impl Selector {
    /// Whether every requirement holds for `labels`.
    pub fn matches(&self, labels: &LabelSet) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether it wants a label of source `reserved`. Only then does it mean what is not a pod: the absence of a label never
    /// means the host or the world.
    pub fn asks_for_reserved(&self) -> bool {
        self.requirements.iter().any(|requirement| {
            requirement.key.source.as_deref() == Some(SOURCE_RESERVED)
                && matches!(requirement.operator, Operator::In(_) | Operator::Exists)
        })
    }
}

impl fmt::Display for SelectorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source.as_deref().unwrap_or("any"), self.key)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{}={}", self.key, values[0]),
            Operator::In(values) => write!(f, "{} in ({})", self.key, values.join(",")),
            Operator::NotIn(values) => write!(f, "{} notin ({})", self.key, values.join(",")),
            Operator::Exists => write!(f, "{}", self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::LabelKey;

    fn labels(pairs: &[(&str, &str, &str)]) -> LabelSet {
        pairs
            .iter()
            .map(|(source, key, value)| {
                (LabelKey { source: (*source).into(), key: (*key).into() }, (*value).to_string())
            })
            .collect()
    }

    #[test]
    fn a_requirement_holds_as_its_operator_says() {
        let web = labels(&[("k8s", "app", "web"), ("reserved", "host", "")]);
        let in_web = Operator::In(vec!["web".into()]);
        let rows = [
            ("app", in_web.clone(), true),
            ("any:app", in_web.clone(), true),
            ("k8s:app", in_web.clone(), true),
            ("reserved:app", in_web.clone(), false),
            ("app", Operator::In(vec!["db".into()]), false),
            ("app", Operator::In(vec![]), false),
            ("app", Operator::NotIn(vec!["web".into()]), false),
            ("app", Operator::NotIn(vec!["db".into()]), true),
            ("tier", Operator::NotIn(vec!["db".into()]), true),
            ("reserved:host", Operator::Exists, true),
            ("k8s:host", Operator::Exists, false),
            ("tier", Operator::DoesNotExist, true),
            ("app", Operator::DoesNotExist, false),
        ];
        for (key, operator, expected) in rows {
            let requirement = Requirement { key: SelectorKey::parse(key), operator };
            assert_eq!(requirement.matches(&web), expected, "{requirement}");
        }
        assert!(Selector::default().matches(&web), "the empty selector matches everything");
    }
}
