//! `rules.http`, as it is read.

use weir_model::policy::{HeaderAction, HeaderMatch, HttpRule, Mismatch, Policy};

use crate::{accepted, parsed, support::policy, with_spec};

/// The HTTP rules of the first port of the first ingress entry.
fn rules(policy: &Policy) -> Vec<HttpRule> {
    let ports = policy.rules[0].ingress[0].ports.as_ref().expect("toPorts");
    ports[0].http.as_deref().expect("http").clone()
}

/// A spec with this list of HTTP rules.
fn spec(list: &str) -> String {
    format!(
        "{{endpointSelector: {{}}, ingress: [{{toPorts: [{{ports: [{{port: '80', protocol: TCP}}], rules: {{http: {list}}}}}]}}]}}"
    )
}

#[test]
fn headers_and_empty_strings_are_read_as_cilium_reads_them() {
    let list = "[{method: GET, path: '', host: h, headers: ['X-Key: a b', 'X-Only', 'X-Twice:: v', 'X-None ']}]";
    let http = &rules(&with_spec(&spec(list)))[0];
    assert_eq!((http.method.as_deref(), http.path.as_deref(), http.host.as_deref()), (Some("GET"), None, Some("h")));
    let header = |name: &str, value: Option<&str>| HeaderMatch { name: name.into(), value: value.map(str::to_owned) };
    let expected = [
        header("X-Key", Some("a b")),
        header("X-Only", None),
        header("X-Twice", Some("v")),
        header("X-None", Some("")),
    ];
    assert_eq!(http.headers, expected);
}

/// Each row is an HTTP rule, the field below it that is wrong, and a part of the reason.
#[test]
fn a_rule_is_refused_with_field_and_remedy() {
    let rows = [
        ("{uri: /}", ".uri", "unknown; check its spelling, or remove it; an HTTP rule takes path, method"),
        ("{path: '('}", ".path", "no regular expression"),
        ("{path: 1}", ".path", "must be a string"),
        ("{headers: ['X-A:']}", ".headers[0]", "no header name"),
        ("{headers: ['X-A:b']}", ".headers[0]", "write \"Name: value\" with one space"),
        ("{headers: [' b']}", ".headers[0]", "no header name"),
    ];
    for (rule, field, reason) in rows {
        let parsed = parsed(&policy("x", &spec(&format!("[{{}}, {rule}]"))));
        assert_eq!(parsed.problems.len(), 1, "{rule}");
        assert_eq!(parsed.problems[0].field, format!("spec.ingress[0].toPorts[0].rules.http[1]{field}"));
        assert!(parsed.problems[0].reason.contains(reason), "{rule}: {}", parsed.problems[0].reason);
    }
}

#[test]
fn a_rule_that_does_not_deny_by_default_lets_every_request_pass() {
    let every = HttpRule::default();
    let own = HttpRule { path: Some("/a".into()), ..HttpRule::default() };
    let list = spec("[{path: /a}]");
    let open =
        |spec: &str| spec.replace("endpointSelector: {}", "endpointSelector: {}, enableDefaultDeny: {ingress: false}");
    assert_eq!(rules(&with_spec(&list)), std::slice::from_ref(&own));
    assert_eq!(rules(&with_spec(&open(&list))), [own.clone(), every.clone()]);
    assert_eq!(rules(&with_spec(&open(&spec("[{}]")))), std::slice::from_ref(&every), "it is there already");
    let egress = open(&list).replace("{ingress: false}", "{egress: false}");
    assert_eq!(rules(&with_spec(&egress)), std::slice::from_ref(&own), "the other direction has no say");
    let observed = policy("x", &list).replace("name: x,", "name: x, annotations: {weir.io/mode: observe},");
    assert_eq!(rules(&accepted(&observed)), [own, every]);
    let plain = with_spec(&open(&spec("[]")));
    assert_eq!(plain.rules[0].ingress[0].ports.as_ref().expect("toPorts")[0].http, None, "plain L4 stays plain L4");
}

/// Each row is an element of `headerMatches`, and what it is read as.
#[test]
fn header_matches_are_read_with_what_a_mismatch_does() {
    let rows = [
        ("{name: X-Key, value: a b}", "X-Key", Some("a b"), Mismatch::Fail),
        ("{name: X-Key, value: v, mismatch: ''}", "X-Key", Some("v"), Mismatch::Fail),
        ("{name: X-Key}", "X-Key", None, Mismatch::Fail),
        ("{name: X-Key, value: '', secret: null}", "X-Key", None, Mismatch::Fail),
        ("{name: X-Key, mismatch: LOG}", "X-Key", None, Mismatch::Log),
        ("{name: X-Key, value: v, mismatch: LOG}", "X-Key", Some("v"), Mismatch::Log),
        ("{name: X-Key, value: v, mismatch: ADD}", "X-Key", Some("v"), Mismatch::Add),
        ("{name: X-Key, value: v, mismatch: DELETE}", "X-Key", Some("v"), Mismatch::Delete),
        ("{name: X-Key, value: v, mismatch: REPLACE}", "X-Key", Some("v"), Mismatch::Replace),
    ];
    for (element, name, value, mismatch) in rows {
        let rule = &rules(&with_spec(&spec(&format!("[{{headers: [X-Other], headerMatches: [{element}]}}]"))))[0];
        let header = HeaderMatch { name: name.into(), value: value.map(str::to_owned) };
        assert_eq!(rule.header_matches, [HeaderAction { header, mismatch }], "{element}");
        assert_eq!(rule.headers.len(), 1, "{element}");
    }
}

/// Each row is an element of `headerMatches`, the field below it that is wrong, and a part of the reason.
#[test]
fn a_header_match_is_refused_with_field_and_remedy() {
    let rows = [
        ("{}", ".name", "is missing; write the header's name"),
        ("[]", "", "must be a mapping"),
        ("{name: ''}", ".name", "is missing"),
        ("{name: 1}", ".name", "must be a string"),
        ("{name: 'X-Key:'}", ".name", "without colon"),
        ("{name: ':path', value: /a, mismatch: REPLACE}", ".name", "is no header name"),
        ("{name: X-Key, value: 1}", ".value", "put it in quotes"),
        ("{name: X-Key, mismatch: ADD}", ".value", "ADD compares"),
        ("{name: X-Key, mismatch: DELETE}", ".value", "DELETE compares"),
        ("{name: X-Key, value: '', mismatch: REPLACE}", ".value", "REPLACE compares"),
        ("{name: X-Key, value: v, mismatch: log}", ".mismatch", "use LOG, ADD, DELETE or REPLACE, in capitals"),
        ("{name: X-Key, value: v, mismatch: FAIL}", ".mismatch", "is no action"),
        ("{name: X-Key, secret: {namespace: s}}", ".secret.name", "is missing; name the Secret"),
        ("{name: X-Key, secret: s}", ".secret", "must be a mapping"),
        ("{name: X-Key, values: v}", ".values", "unknown"),
    ];
    for (element, field, reason) in rows {
        let text = policy("x", &spec(&format!("[{{headerMatches: [{element}]}}]")));
        let parsed = parsed(&text);
        assert!(parsed.objects.is_empty(), "{element}");
        let problem = parsed.problems[0].to_string();
        let field = format!("spec.ingress[0].toPorts[0].rules.http[0].headerMatches[0]{field}: ");
        assert!(problem.contains(&field) && problem.contains(reason), "{element}: {problem}");
    }
}
