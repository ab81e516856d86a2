//! A value with its path, so that whoever reads it can say where a mistake is.

use serde_json::{Map, Value};
use weir_model::policy::Gap;

use super::{language::Shape, names};

/// How many texts of each sort are kept for one object; the last one says that there are more.
const MAX_TEXTS: usize = 50;

/// How many elements a list may have: a place in it is a `u16` in explanations.
const MAX_ELEMENTS: usize = u16::MAX as usize;

/// What was found while reading one object: (field path, text).
#[derive(Debug, Default)]
pub(super) struct Issues {
    /// Mistakes; one is enough to refuse the object.
    pub(super) problems: Vec<(String, String)>,
    /// Worth knowing.
    pub(super) notes: Vec<(String, String)>,
    /// What is not enforced as written.
    gaps: Vec<(String, String)>,
}

impl Issues {
    pub(super) fn problem(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        push(&mut self.problems, field.into(), reason.into());
    }

    pub(super) fn note(&mut self, field: impl Into<String>, text: impl Into<String>) {
        push(&mut self.notes, field.into(), text.into());
    }

    pub(super) fn gap(&mut self, field: impl Into<String>, effect: impl Into<String>) {
        push(&mut self.gaps, field.into(), effect.into());
    }

    /// The gaps so far, which are then forgotten.
    pub(super) fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps).into_iter().map(|(field, effect)| Gap { field, effect }).collect()
    }
}

fn push(texts: &mut Vec<(String, String)>, field: String, text: String) {
    match texts.len() {
        MAX_TEXTS.. => {}
        len if len + 1 == MAX_TEXTS => texts.push((String::new(), "has more of the kind, which are not listed".into())),
        _ => texts.push((field, text)),
    }
}

/// A value of the document and the path that leads to it.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Node<'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a child that may not exist.
    pub(super) fn path_of(&self, name: &str) -> String {
        let name = names::short(name);
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    /// The member `name`; as in Kubernetes, null is the same as absent.
    pub(super) fn child(&self, name: &str) -> Option<Node<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Node { value, path: self.path_of(name) })
    }

    /// The members of a mapping.
    pub(super) fn members(&self, issues: &mut Issues) -> Vec<(&'a str, Node<'a>)> {
        let Some(map) = self.map(issues) else { return Vec::new() };
        map.iter().map(|(key, value)| (key.as_str(), Node { value, path: self.path_of(key) })).collect()
    }

    /// The elements of a list.
    pub(super) fn elements(&self, issues: &mut Issues) -> Vec<Node<'a>> {
        let Some(list) = self.value.as_array() else {
            issues.problem(self.path.clone(), format!("must be a list, not {}", self.describe()));
            return Vec::new();
        };
        if list.len() > MAX_ELEMENTS {
            let reason = format!("has {} elements, at most {MAX_ELEMENTS} are read; use several objects", list.len());
            issues.problem(self.path.clone(), reason);
            return Vec::new();
        }
        let node = |(index, value)| Node { value, path: format!("{}[{index}]", self.path) };
        list.iter().enumerate().map(node).collect()
    }

    /// The text of a string.
    pub(super) fn text(&self, issues: &mut Issues) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            issues.problem(self.path.clone(), format!("must be a string, not {}; put it in quotes", self.describe()));
        }
        text
    }

    /// The member `name` as true or false.
    pub(super) fn flag(&self, name: &str, issues: &mut Issues) -> Option<bool> {
        let child = self.child(name)?;
        let flag = child.value.as_bool();
        if flag.is_none() {
            issues.problem(child.path.clone(), format!("must be true or false, not {}", child.describe()));
        }
        flag
    }

    /// Refuses every member that `shape` does not list as read. `false`: this is no mapping at all.
    pub(super) fn check_fields(&self, shape: &Shape, issues: &mut Issues) -> bool {
        let Some(map) = self.map(issues) else { return false };
        for (name, value) in map {
            // Null is absent, whatever the name: tools print it for what is not set.
            if let (false, Err(reason)) = (value.is_null(), shape.check(name)) {
                issues.problem(self.path_of(name), reason);
            }
        }
        true
    }

    fn map(&self, issues: &mut Issues) -> Option<&'a Map<String, Value>> {
        let map = self.value.as_object();
        if map.is_none() {
            issues.problem(self.path.clone(), format!("must be a mapping, not {}", self.describe()));
        }
        map
    }

    fn describe(&self) -> String {
        match self.value {
            Value::Null => "empty".into(),
            Value::Bool(_) => format!("the boolean {}", self.value),
            Value::Number(_) => format!("the number {}", self.value),
            Value::String(text) => format!("the text {}", names::quote(text)),
            Value::Array(_) => "a list".into(),
            Value::Object(_) => "a mapping".into(),
        }
    }
}
