//! `rules.kafka`: checked, not yet enforced.

use super::{
    language, names,
    node::{Issues, Node},
};

/// Cilium's limit of characters in a topic.
const MAX_TOPIC: usize = 255;

/// The names of API keys 0 to 33.
const API_KEYS: [&str; 34] = [
    "produce",
    "fetch",
    "offsets",
    "metadata",
    "leaderandisr",
    "stopreplica",
    "updatemetadata",
    "controlledshutdown",
    "offsetcommit",
    "offsetfetch",
    "findcoordinator",
    "joingroup",
    "heartbeat",
    "leavegroup",
    "syncgroup",
    "describegroups",
    "listgroups",
    "saslhandshake",
    "apiversions",
    "createtopics",
    "deletetopics",
    "deleterecords",
    "initproducerid",
    "offsetforleaderepoch",
    "addpartitionstotxn",
    "addoffsetstotxn",
    "endtxn",
    "writetxnmarkers",
    "txnoffsetcommit",
    "describeacls",
    "createacls",
    "deleteacls",
    "describeconfigs",
    "alterconfigs",
];

/// Checks a list of Kafka rules.
pub(super) fn check(list: &Node<'_>, issues: &mut Issues) {
    for rule in list.elements(issues) {
        rule.check_fields(&language::KAFKA_RULE, issues);
        let set = |field: &str| rule.child(field).filter(|child| child.value() != "");
        let (role, key) = (set("role"), set("apiKey"));
        if let (Some(_), Some(key)) = (&role, &key) {
            issues.problem(key.path(), "stands beside role, which stands for API keys; write one of the two");
        }
        if let Some(role) = role {
            is_one_of(&role, &["produce", "consume"], issues);
        }
        if let Some(key) = key {
            is_one_of(&key, &API_KEYS, issues);
        }
        if let Some(version) = set("apiVersion") {
            let good = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<i16>().is_ok();
            if version.text(issues).is_some_and(|text| !good(text)) {
                issues.problem(version.path(), "is no version; use a number from 0 to 32767, in quotes");
            }
        }
        if let Some(client) = set("clientID") {
            client.text(issues);
        }
        if let Some(topic) = set("topic") {
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            if let Some(text) = topic.text(issues)
                && (text.len() > MAX_TOPIC || !text.bytes().all(good))
            {
                let reason = format!(
                    "{} is no topic; use at most {MAX_TOPIC} letters, digits, '.', '_' and '-'",
                    names::quote(text)
                );
                issues.problem(topic.path(), reason);
            }
        }
    }
}

fn is_one_of(node: &Node<'_>, known: &[&str], issues: &mut Issues) {
    if let Some(text) = node.text(issues)
        && !known.iter().any(|known| known.eq_ignore_ascii_case(text))
    {
        issues.problem(node.path(), format!("{} is unknown; use one of {}", names::quote(text), known.join(", ")));
    }
}
