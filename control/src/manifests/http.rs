//! `rules.http`.

use weir_model::policy::{HeaderAction, HeaderMatch, HttpRule, Mismatch};

use super::{
    context::Context,
    l7, language,
    node::{Issues, Node},
};

/// Reads `rules.http`.
pub(super) fn rules(list: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> Vec<HttpRule> {
    let mut rules: Vec<_> = list.elements(issues).iter().map(|node| rule(node, context, issues)).collect();
    if !rules.is_empty() && !context.blocks && !rules.contains(&HttpRule::default()) {
        rules.push(HttpRule::default());
    }
    rules
}

fn rule(node: &Node<'_>, context: &Context<'_>, issues: &mut Issues) -> HttpRule {
    node.check_fields(&language::HTTP_RULE, issues);
    // As in Go, an empty string is a field that is not set.
    let mut text = |name: &str| {
        let text = node.child(name).and_then(|child| child.text(issues));
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (method, path, host) = (text("method"), text("path"), text("host"));
    let headers = match node.child("headers") {
        Some(list) => list.elements(issues).iter().filter_map(|node| header(node, issues)).collect(),
        None => Vec::new(),
    };
    let mut unreadable = false;
    let header_matches = match node.child("headerMatches") {
        Some(list) => {
            let elements = list.elements(issues);
            elements.iter().filter_map(|node| header_action(node, &mut unreadable, issues)).collect()
        }
        None => Vec::new(),
    };
    let rule = HttpRule { method, path, host, headers, header_matches };
    if let Err((field, reason)) = (context.check)(&rule) {
        issues.problem(node.path_of(&field), reason);
    }
    if unreadable { never() } else { rule }
}

/// The rule that no request matches: none has an empty method.
fn never() -> HttpRule {
    HttpRule { method: Some(String::new()), ..HttpRule::default() }
}

/// Reads `Name: value`: split at the first space; without one the header must be present. Only a name that has a value loses
/// its `:`, so that `Name:` alone would ask for a header that cannot exist; it is refused.
fn header(node: &Node<'_>, issues: &mut Issues) -> Option<HeaderMatch> {
    let text = node.text(issues)?;
    let (name, value) = match text.split_once(' ') {
        Some((name, value)) => (name.trim_end_matches(':'), Some(value.to_owned())),
        None => (text, None),
    };
    if !is_token(name) {
        let reason =
            format!("{name:?} is no header name; write \"Name: value\" with one space, or \"Name\" for presence");
        issues.problem(node.path(), reason);
        return None;
    }
    Some(HeaderMatch { name: name.into(), value })
}

/// Reads an element of `headerMatches`. One with a secret makes the whole rule `unreadable`: as with Cilium where a secret
/// cannot be read, the rule never matches.
fn header_action(node: &Node<'_>, unreadable: &mut bool, issues: &mut Issues) -> Option<HeaderAction> {
    if !node.check_fields(&language::HEADER_MATCH, issues) {
        return None;
    }
    let mut text = |name: &str| match node.child(name) {
        Some(child) => child.text(issues),
        // As in Go, absent and empty are the same.
        None => Some(""),
    };
    let (name, value, mismatch) = (text("name")?, text("value")?, text("mismatch")?);
    if name.is_empty() {
        issues.problem(node.path_of("name"), "is missing; write the header's name");
        return None;
    }
    if !is_token(name) {
        issues.problem(node.path_of("name"), format!("{name:?} is no header name; write it without colon and value"));
        return None;
    }
    let action = match mismatch {
        "" => Mismatch::Fail,
        "LOG" => Mismatch::Log,
        "ADD" => Mismatch::Add,
        "DELETE" => Mismatch::Delete,
        "REPLACE" => Mismatch::Replace,
        other => {
            let reason =
                format!("{other:?} is no action; use LOG, ADD, DELETE or REPLACE, in capitals, or leave it out");
            issues.problem(node.path_of("mismatch"), reason);
            return None;
        }
    };
    if let Some(secret) = node.child("secret") {
        l7::secret(&secret, issues);
        let effect =
            "weir reads no Secrets yet, so the rule matches no request; write what the header must be as value";
        issues.gap(secret.path(), effect);
        *unreadable = true;
        return None;
    }
    if value.is_empty() && action.edits() {
        let reason = format!("is missing; {mismatch} compares the header with a value, so write the one that is right");
        issues.problem(node.path_of("value"), reason);
        return None;
    }
    let value = (!value.is_empty()).then(|| value.to_owned());
    Some(HeaderAction { header: HeaderMatch { name: name.into(), value }, mismatch: action })
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token)
}
