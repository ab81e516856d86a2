//! What rules do to the headers of the requests that they match. The rows of the first table are those of Cilium's proxy; where
//! those have an action upon a match, which no policy can ask for, they have the nearest that one can.

use super::*;

/// A rule over method, path and host, with `headerMatches`; the empty value is none.
pub(super) fn on(method: &str, path: &str, host: &str, actions: &[(&str, &str, Mismatch)]) -> HttpRule {
    let action = |&(name, value, mismatch): &(&str, &str, Mismatch)| HeaderAction {
        header: HeaderMatch { name: name.into(), value: (!value.is_empty()).then(|| value.into()) },
        mismatch,
    };
    HttpRule { header_matches: actions.iter().map(action).collect(), ..rule(method, path, host) }
}

/// Verdict, header lines behind `Host` that the upstream gets, and the log; of a denied request neither.
fn acts(rules: &Arc<PortRules>, peer: SelectorId, request: &str) -> (bool, String, String) {
    parsed(request, |head| acts_on(&about(rules, peer), head)).expect("well-formed")
}

fn acts_on(rules: &PeerRules, head: &RequestHead<'_>) -> (bool, String, String) {
    if matches!(rules.judge(head), Judgement::Deny(_)) {
        return (false, String::new(), String::new());
    }
    let mut findings = Findings::default();
    rules.act(head, &mut findings);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let mut lines: Vec<(String, String)> = head.headers().map(|(name, value)| (name.into(), text(value))).collect();
    for edit in &findings.edits {
        lines.retain(|(name, _)| !(edit.remove && name.eq_ignore_ascii_case(&edit.name)));
        lines.extend(edit.add.clone().map(|value| (edit.name.clone(), value)));
    }
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    };
    (true, pairs(&lines[1..]), format!("-{} +{}", pairs(&findings.log.rejected), pairs(&findings.log.missing)))
}

fn request(method: &str, path: &str, host: &str, headers: &str) -> String {
    let lines: String = headers
        .split(' ')
        .filter(|pair| !pair.is_empty())
        .map(|pair| format!("{}\r\n", pair.replacen('=', ": ", 1)))
        .collect();
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n")
}

#[test]
fn the_rows_of_ciliums_proxy() {
    use Mismatch::{Add, Delete, Log, Replace};
    let mut only_with_42 = on("-", "/maybe/42", "-", &[("token", "right", Replace)]);
    only_with_42.headers.push(HeaderMatch { name: "header42".into(), value: Some("42".into()) });
    let rules = compile(vec![
        entry(
            0,
            only(&[ALICE]),
            Some(vec![
                on("-", "/allowed", "-", &[("header42", "", Log), ("token", "right", Replace)]),
                on("-", "-", "allowedHOST", &[("header2", "value2", Add), ("header42", "42", Delete)]),
                on("-", ".*public$", "-", &[("user-agent", "CuRL", Delete)]),
                on("-", "-", ".*REGEX.*", &[("header42", "42", Delete)]),
                on("PUT", "/public/opinions", "-", &[]),
                only_with_42,
            ]),
        ),
        entry(1, only(&[BOB]), Some(vec![path("/only-2-allowed")])),
    ]);
    let (allow, deny) = (true, false);
    let rows = [
        ("GET", "/allowed", "h", "token=right", allow, "token=right", "- +header42="),
        ("GET", "/allowed", "h", "token=wrong", allow, "token=right", "-token=wrong +header42= token=right"),
        ("GET", "/allowed", "h", "", allow, "token=right", "- +header42= token=right"),
        ("GET", "/allowed", "h", "header42=anything token=right", allow, "header42=anything token=right", "- +"),
        ("GET", "/maybe/42", "h", "header42=42", allow, "header42=42 token=right", "- +token=right"),
        // A rule that does not match neither allows nor acts.
        ("GET", "/maybe/42", "h", "header42=anything", deny, "", ""),
        ("GET", "/", "allowedHOST", "", allow, "header2=value2", "- +header2=value2"),
        ("GET", "/", "allowedHOST", "header2=value2 header42=42", allow, "header2=value2 header42=42", "- +"),
        // Another line, after the one that is there.
        ("GET", "/", "allowedHOST", "header2=other", allow, "header2=other header2=value2", "- +header2=value2"),
        // The edits of both rules.
        (
            "GET",
            "/allowed",
            "allowedHOST",
            "token=wrong",
            allow,
            "token=right header2=value2",
            "-token=wrong +header42= token=right header2=value2",
        ),
        (
            "GET",
            "/allowed",
            "allowedHOST",
            "token=wrong header42=anything",
            allow,
            "token=right header2=value2",
            "-token=wrong header42=anything +token=right header2=value2",
        ),
        // The wrong value only.
        ("GET", "/maybe/public", "h", "user-agent=test", allow, "", "-user-agent=test +"),
        ("GET", "/maybe/public", "h", "user-agent=CuRL", allow, "user-agent=CuRL", "- +"),
        ("GET", "/maybe/public", "h", "", allow, "", "- +"),
        ("GET", "/", "hostREGEXname", "header42=test", allow, "", "-header42=test +"),
        ("PUT", "/public/opinions", "h", "", allow, "", "- +"),
        ("POST", "/public/opinion", "h", "", deny, "", ""),
        ("GET", "/only-2-allowed", "h", "", deny, "", ""),
        ("GET", "/prefix", "h", "", deny, "", ""),
        ("GET", "/maybe/private", "h", "", deny, "", ""),
    ];
    for (method, path, host, headers, verdict, lines, log) in rows {
        let seen = acts(&rules, ALICE, &request(method, path, host, headers));
        assert_eq!(seen, (verdict, lines.into(), log.into()), "{method} {path} {host} {headers}");
    }
    assert_eq!(about(&rules, ALICE).effect(), Effect::Edits);
    assert_eq!(about(&rules, BOB).effect(), Effect::None, "the rules are another peer's");
}

/// Several lines are one value; one edit sees what the one before has left; names have no case.
#[test]
fn actions_follow_one_another() {
    use Mismatch::{Add, Delete, Fail, Replace};
    type Row<'a> = (&'a [(&'a str, &'a str, Mismatch)], &'a str, &'a str);
    let rows: [Row<'_>; 8] = [
        (&[("k", "a,b", Replace)], "k=a k=b", "k=a k=b"),
        (&[("k", "a", Replace)], "k=a k=a", "k=a"),
        (&[("k", "a", Delete)], "K=a x=1 k=b", "x=1"),
        (&[("k", "a", Replace), ("K", "a", Replace)], "k=b", "k=a"),
        (&[("k", "a", Add), ("k", "a", Add)], "", "k=a"),
        (&[("k", "a", Add), ("k", "a", Delete)], "k=b", ""),
        (&[("k", "a", Delete), ("k", "a", Add)], "k=b", "k=a"),
        (&[("j", "1", Fail), ("k", "a", Add)], "j=1", "j=1 k=a"),
    ];
    for (actions, headers, expected) in rows {
        let rules = compile(vec![entry(0, Peers::Any, Some(vec![on("-", "-", "-", actions)]))]);
        let (allowed, lines, _) = acts(&rules, ALICE, &request("GET", "/", "h", headers));
        assert_eq!((allowed, lines.as_str()), (true, expected), "{actions:?} {headers}");
    }
}

/// Allowed by another rule, or by a rule without HTTP, a request is edited nevertheless; also if the rule that edits matches
/// its normalised path only.
#[test]
fn all_rules_that_match_act() {
    let edit = on("-", "/admin/.*", "-", &[("user", "nobody", Mismatch::Replace)]);
    let by_path = compile(vec![entry(0, Peers::Any, Some(vec![path("/.*"), edit.clone()]))]);
    let plain = compile(vec![entry(0, Peers::Any, None), entry(1, Peers::Any, Some(vec![edit]))]);
    for rules in [by_path, plain] {
        for target in ["/admin/x", "//admin/x", "/admin/./x", "/x/../admin/x", "/%61dmin/x", "/admin%2fx"] {
            let (allowed, lines, _) = acts(&rules, ALICE, &request("GET", target, "h", "user=root"));
            assert_eq!((allowed, lines.as_str()), (true, "user=nobody"), "{target}");
        }
        let (allowed, lines, _) = acts(&rules, ALICE, &request("GET", "/x", "h", "user=root"));
        assert_eq!((allowed, lines.as_str()), (true, "user=root"));
    }
}

#[test]
fn effects_are_asked_per_peer() {
    let effect = |mismatch| {
        let rules = vec![path("/a"), on("-", "/b", "-", &[("k", "v", mismatch)])];
        let rules = compile(vec![entry(0, only(&[ALICE]), Some(rules)), entry(1, Peers::Any, None)]);
        (about(&rules, ALICE).effect(), about(&rules, BOB).effect())
    };
    assert_eq!(effect(Mismatch::Fail), (Effect::None, Effect::None));
    assert_eq!(effect(Mismatch::Log), (Effect::Logs, Effect::None));
    for mismatch in [Mismatch::Add, Mismatch::Delete, Mismatch::Replace] {
        assert_eq!(effect(mismatch), (Effect::Edits, Effect::None));
    }
}
