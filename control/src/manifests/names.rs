//! What may be a name, a label key or value, a port's name; and how a text is quoted in a message.

use weir_model::labels::NAMESPACE_LABEL_PREFIX;

/// Follows a text that is no label value.
pub(super) const BAD_LABEL_VALUE: &str = "cannot be a label's value; use at most 63 letters, digits, '-', '_' and '.'";
/// Says what a label key is.
pub(super) const BAD_LABEL_KEY: &str =
    "is no label key; use at most 63 letters, digits, '-', '_' and '.', behind an optional DNS name and '/'";

/// How much of a text is shown in a message.
const SHOWN: usize = 80;

/// A text in quotes, not all of it if it is long.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and so on", &text[..end]),
    }
}

/// A text without quotes, not all of it if it is long.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The known name that `text` may have been meant for: spelled with other capitals, or one letter wrong, two in a long name.
pub(super) fn meant<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > SHOWN {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let allowed = |known: &str| if known.len() >= 12 { 2 } else { usize::from(known.len() >= 4) };
    let near = known.into_iter().map(|known| (edits(&text, &known.to_ascii_lowercase()), known));
    near.filter(|(edits, known)| *edits <= allowed(known)).min().map(|(_, known)| known)
}

/// The letters to insert, delete or replace that make `b` of `a` (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A DNS-1123 subdomain, which is what Kubernetes allows as a name.
pub(super) fn is_object_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (1..=253).contains(&text.len()) && text.bytes().all(good) && !text.starts_with(['-', '.'])
}

/// A label value as Kubernetes allows it; another could not be any pod's.
pub(super) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_label_name(text)
}

/// A label key as Kubernetes allows it: a name, behind an optional DNS name and `/`. What stands for a namespace's label is
/// such a key behind its prefix.
pub(super) fn is_label_key(text: &str) -> bool {
    let text = text.strip_prefix(NAMESPACE_LABEL_PREFIX).unwrap_or(text);
    match text.split_once('/') {
        None => is_label_name(text),
        Some((domain, name)) => is_object_name(domain) && is_label_name(name),
    }
}

fn is_label_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() <= 63 && text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().next_back())
}

/// RFC 6335 section 5.1: what Cilium takes for a port's name before it tries a number, so that "0x50" is a name.
pub(super) fn is_service_name(text: &str) -> bool {
    text.len() <= 15
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && text.bytes().any(|b| b.is_ascii_alphabetic())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_are_those_of_kubernetes() {
        let long = "x".repeat(63);
        let good =
            ["a", "A_b.c-1", "example.com/a", &long, "io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name"];
        for key in good {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "-a", "a-", "a/", "/a", "a/b/c", "Ex.com/a", "a b", "a:b", &format!("{long}x"), "é"] {
            assert!(!is_label_key(key), "{key}");
        }
    }

    #[test]
    fn a_wrong_letter_is_found() {
        let known = ["ports", "Service", "CiliumNetworkPolicy", "l7", "to"];
        let rows = [
            ("port", Some("ports")),
            ("PORTS", Some("ports")),
            ("prots", None),
            ("Services", Some("Service")),
            ("Device", None),
            ("CiliumNetworkPolcy", Some("CiliumNetworkPolicy")),
            ("ciliumNetwrokPolicy", Some("CiliumNetworkPolicy")),
            ("CiliumNodeConfig", None),
            ("L7", Some("l7")),
            ("l8", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(meant(text, known), expected, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_cut_in_a_message() {
        assert_eq!(quote("a\"b"), r#""a\"b""#);
        assert_eq!(quote(&"é".repeat(100_000)).chars().count(), SHOWN + 2 + " and so on".len());
    }
}
