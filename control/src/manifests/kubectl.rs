//! Label selectors in one line, as kubectl takes them.

use weir_model::selector::{Operator, Requirement, Selector, SelectorKey};

use super::selectors::canonical;

/// Reads the one-line selector syntax of kubectl: `app=web,tier in (a,b),!canary,env!=prod`.
///
/// # Errors
/// Says which part cannot be read.
pub fn parse_selector(text: &str) -> Result<Selector, String> {
    let requirements: Result<Vec<_>, _> = split_outside_parentheses(text).into_iter().map(parse_term).collect();
    Ok(canonical(requirements?.into_iter()))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|term| !term.is_empty())
    .collect()
}

fn parse_term(term: &str) -> Result<Requirement, String> {
    let unreadable =
        || format!("{term:?} is not a label selector; write key=value, key!=value, key in (a,b), key or !key");
    let one = |value: &str| vec![value.trim().to_owned()];
    let set = |list: &str| -> Option<Vec<String>> {
        let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(list.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let (key, operator) = if let Some(key) = term.strip_prefix('!') {
        (key, Operator::DoesNotExist)
    } else if let Some((key, list)) = term.split_once(" notin ") {
        (key, Operator::NotIn(set(list).ok_or_else(unreadable)?))
    } else if let Some((key, list)) = term.split_once(" in ") {
        (key, Operator::In(set(list).ok_or_else(unreadable)?))
    } else if let Some((key, value)) = term.split_once("!=") {
        (key, Operator::NotIn(one(value)))
    } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (key, Operator::In(one(value)))
    } else {
        (term, Operator::Exists)
    };
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) || key.contains(['(', ')', '=', '!']) {
        return Err(unreadable());
    }
    Ok(Requirement { key: SelectorKey::parse(key), operator })
}
