//! Tables and properties of the compiled rules.

use std::mem::MaybeUninit;

use proptest::{collection::vec, prelude::*};
use weir_model::{
    policy::{PolicyKind, PolicyName, PortRange, Protocol},
    resolved::Direction,
};

use super::*;
use crate::http::{edit::Findings, head::RequestHead, path::Scratch};

mod actions;
mod planes;

/// Peers, by the selector that matches them alone.
const ALICE: SelectorId = SelectorId(1);
const BOB: SelectorId = SelectorId(2);
const EVE: SelectorId = SelectorId(3);

fn origin(entry: u16) -> RuleOrigin {
    let name = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: "default".into(), name: "web".into() };
    RuleOrigin { policy: Arc::new(name), rule: 0, direction: Direction::Ingress, deny: false, entry, port: Some(0) }
}

fn only(peers: &[SelectorId]) -> Peers {
    Peers::Selected(peers.into())
}

fn entry(number: u16, peers: Peers, http: Option<Vec<HttpRule>>) -> L4Rule {
    L4Rule {
        peers,
        protocol: Some(Protocol::Tcp),
        ports: PortRange::one(80),
        deny: false,
        mode: Mode::Enforce,
        http: http.map(Arc::new),
        id: RuleId(u32::from(number) + 1),
        log: None,
        origin: origin(number),
    }
}

fn compile(rules: Vec<L4Rule>) -> Arc<PortRules> {
    let policy = DirectionPolicy { default_deny: true, audit_default_deny: true, rules };
    Arc::new(PortRules::compile(&policy, 80).expect("rules compile"))
}

fn about(rules: &Arc<PortRules>, peer: SelectorId) -> PeerRules {
    PeerRules::new(rules, [peer].into())
}

fn rule(method: &str, path: &str, host: &str) -> HttpRule {
    let some = |text: &str| if text == "-" { None } else { Some(text.to_string()) };
    HttpRule { method: some(method), path: some(path), host: some(host), ..HttpRule::default() }
}

fn path(pattern: &str) -> HttpRule {
    rule("-", pattern, "-")
}

fn header(name: &str, value: Option<&str>) -> HttpRule {
    HttpRule { headers: vec![HeaderMatch { name: name.into(), value: value.map(Into::into) }], ..HttpRule::default() }
}

/// What `look` sees of a request as it comes from the wire; `None` if it is refused before any rule sees it.
fn parsed<T>(request: &str, look: impl FnOnce(&RequestHead<'_>) -> T) -> Option<T> {
    let mut slots = [const { MaybeUninit::uninit() }; 16];
    let mut scratch = Scratch::default();
    let mut head = RequestHead::parse(request.as_bytes(), &mut slots).ok()?;
    head.resolve(&mut scratch).ok()?;
    Some(look(&head))
}

/// The verdict on a request; `None` if no rule sees it.
fn verdict(rules: &Arc<PortRules>, peer: SelectorId, request: &str) -> Option<Option<(u16, Option<u16>)>> {
    parsed(request, |head| match about(rules, peer).judge(head) {
        Judgement::Allow(rule, index) => rule.map(|rule| (rule.origin.entry, index)),
        _ => None,
    })
}

fn allows(rule: &HttpRule, method: &str, target: &str, host: &str, headers: &str) -> bool {
    let rules = compile(vec![entry(0, Peers::Any, Some(vec![rule.clone()]))]);
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    verdict(&rules, ALICE, &request).flatten().is_some()
}

#[test]
fn a_rule_allows_what_it_says() {
    let rows = [
        (path("/public"), "GET", "/public", "a", true),
        (path("/public"), "GET", "/public/x", "a", false),
        (path("/public"), "GET", "/publicx", "a", false),
        (path("/public"), "GET", "/public/", "a", false),
        (path(".*public$"), "GET", "/maybe/public", "a", true),
        (path(".*public$"), "GET", "/publicz", "a", false),
        (path("/foo"), "GET", "/foo?x=1", "a", false),
        (path("/foo(\\?.*)?"), "GET", "/foo?x=1", "a", true),
        (path("/a|/b"), "GET", "/b", "a", true),
        (path("/a|/b"), "GET", "/ax", "a", false),
        (path("/a|/b"), "GET", "/x/b", "a", false),
        (path("(?i)/ABC"), "GET", "/abc", "a", true),
        (path("/ABC"), "GET", "/abc", "a", false),
        (path("/[^/]*"), "GET", "/a", "a", true),
        (path("/[^/]*"), "GET", "/a/b", "a", false),
        (path("/a+?"), "GET", "/aaa", "a", true),
        (path(""), "GET", "/", "a", false),
        (path("/.{3}"), "GET", "/abc", "a", true),
        (path("/\\d+"), "GET", "/42", "a", true),
        (path("/(?P<n>x)"), "GET", "/x", "a", true),
        (path("/a\\x00?"), "GET", "/a", "a", true),
        (path("[^a]*"), "GET", "/", "a", true),
        (rule("GET", "-", "-"), "GET", "/", "a", true),
        (rule("GET", "-", "-"), "get", "/", "a", false),
        (rule("get", "-", "-"), "GET", "/", "a", false),
        (rule("GET|PUT", "-", "-"), "PUT", "/", "a", true),
        (rule("GET|PUT", "-", "-"), "PUTS", "/", "a", false),
        (rule("G", "-", "-"), "GET", "/", "a", false),
        (rule("-", "-", "web.example"), "GET", "/", "web.example", true),
        (rule("-", "-", "web.example"), "GET", "/", "web.example:80", false),
        (rule("-", "-", "web.example:80"), "GET", "/", "web.example:80", true),
        (rule("-", "-", ".*\\.example"), "GET", "/", "a.example", true),
        (rule("-", "-", ".*\\.example"), "GET", "/", "a.example.evil", false),
        (rule("-", "-", "web"), "GET", "http://web/", "web", true),
        (rule("-", "-", "web"), "GET", "http://evil/", "evil", false),
        (rule("GET", "/a", "h"), "GET", "/a", "h", true),
        (rule("GET", "/a", "h"), "GET", "/a", "i", false),
        (rule("GET", "/a", "h"), "GET", "/b", "h", false),
        (rule("GET", "/a", "h"), "PUT", "/a", "h", false),
        (HttpRule::default(), "ANY", "/thing", "a", true),
    ];
    for (rule, method, target, host, expected) in rows {
        assert_eq!(allows(&rule, method, target, host, ""), expected, "{rule:?} {method} {target} {host}");
    }
}

/// An anchor means an end of its own field, wherever it stands.
#[test]
fn anchors_keep_their_meaning() {
    let rows = [
        ("^/a$", "/a", true),
        ("^/a$", "/a/", false),
        ("\\A/a\\z", "/a", true),
        ("(?m)^/a$", "/a", true),
        ("(^/a|/b)$", "/b", true),
        ("(?:^/a)+", "/a", true),
        ("(?:^/a)+", "/a/a", false),
        ("/^a", "/a", false),
        ("/a$b", "/ab", false),
        ("/a$.*", "/a", true),
        ("/a$.*", "/ab", false),
        (".*^/a", "/a", true),
        (".*^/a", "/b/a", false),
        ("^*/a", "/a", true),
        ("/a\\b", "/a", true),
        ("/a\\b.*", "/a-b", true),
        ("/a\\b.*", "/ab", false),
        ("\\B/a", "/a", true),
        ("\\b/a", "/a", false),
        ("/a/\\B", "/a/", true),
    ];
    for (pattern, target, expected) in rows {
        assert_eq!(allows(&path(pattern), "GET", target, "a", ""), expected, "{pattern} {target}");
    }
    let hosts = rule("^GET$", "-", "^a$");
    assert!(allows(&hosts, "GET", "/", "a", "") && !allows(&hosts, "GET", "/", "ab", ""));
}

/// Ways to reach `/admin` past a rule for `/public/.*`, and ways to hide it.
#[test]
fn bypasses() {
    let public = path("/public/.*");
    for target in [
        "/admin",
        "//admin",
        "/public",
        "/public/../admin",
        "/public/./../admin",
        "/public/x/../../admin",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/public/..%2Fadmin",
        "/public/..%2fadmin",
        "/public%2F../admin",
        "/public/..%5cadmin",
        "/public/..\\admin",
        "/public/%252e%252e/admin",
        "/public/%252e%252e%252fadmin",
        "/public/..;/admin",
        "/public/..;a=b/admin",
        "/public/%2e%2e;/admin",
        "/public/..%3B/admin",
        "/public//../admin",
        "/public/../admin//../public/x",
        "/public/../admin/%2e%2e/public/x",
        "/public/%c0%ae%c0%ae/admin",
        "/public/..%00/admin",
        "/public/..%c0%afadmin",
        "/public/..",
        "/PUBLIC/x",
        "/%70ublic/x",
        "http://a/public/../admin",
        "http://a/admin",
        "http://a//public/../admin?/public/",
        "\\public\\x",
        "/admin?/public/",
        "/admin#/public/",
    ] {
        assert!(!allows(&public, "GET", target, "a", ""), "{target}");
    }
    for target in ["/public/", "/public/x", "/public/./x", "/public//x", "/public/%41", "/public/a%2Fb", "/public/a;b"]
    {
        assert!(allows(&public, "GET", target, "a", ""), "{target}");
    }
    // The raw path alone is not enough in the other direction either.
    assert!(!allows(&path("/admin"), "GET", "/public/../admin", "a", ""));
    assert!(!allows(&path("/a/b"), "GET", "/a//b", "a", ""));
    for method in ["get", "Get", "gET", "GET,", "XGET"] {
        assert!(!allows(&rule("GET", "-", "-"), method, "/", "a", ""), "{method}");
    }
}

#[test]
fn a_cookie_in_pieces_is_one_cookie_in_http2() {
    let lines =
        [("cookie", "a=1"), ("cookie", "b=2")].map(|(name, value)| httparse::Header { name, value: value.as_bytes() });
    let rows = [
        (HttpVersion::Http2, "a=1; b=2", true),
        (HttpVersion::Http2, "a=1,b=2", false),
        (HttpVersion::Http2, "a=1", false),
        (HttpVersion::Http11, "a=1; b=2", false),
        (HttpVersion::Http11, "a=1,b=2", true),
    ];
    for (version, value, expected) in rows {
        let request = RequestHead {
            version,
            method: "GET",
            target: "/",
            host: "a",
            path: "/",
            normal_path: "/",
            headers: &lines,
        };
        let wanted = HeaderMatch { name: "Cookie".into(), value: Some(value.into()) };
        assert_eq!(has(&request, &wanted), expected, "{version:?} {value:?}");
    }
}

#[test]
fn headers() {
    let is = |value: &str| header("X-Key", Some(value));
    let rows = [
        (header("X-Key", None), "X-Key: v\r\n", true),
        (header("X-Key", None), "x-KEY:\r\n", true),
        (header("X-Key", None), "X-Keys: v\r\n", false),
        (header("X-Key", None), "", false),
        (is("v"), "X-Key: v\r\n", true),
        (is("v"), "x-key:  v \t\r\n", true),
        (is("v"), "X-Key: V\r\n", false),
        (is("v"), "X-Key: vw\r\n", false),
        (is("vw"), "X-Key: v\r\n", false),
        (is("v"), "X-Key: v\r\nX-Key: v\r\n", false),
        (is("v,w"), "X-Key: v\r\nY: z\r\nx-key: w\r\n", true),
        (is("v,w"), "X-Key: w\r\nX-Key: v\r\n", false),
        (is("v,w"), "X-Key: v,w\r\n", true),
        (is("v, w"), "X-Key: v, w\r\n", true),
        (is("v,"), "X-Key: v\r\nX-Key:\r\n", true),
        (is(""), "X-Key:\r\n", true),
        (is(""), "", false),
        (is(""), "X-Key: v\r\n", false),
    ];
    for (rule, headers, expected) in rows {
        assert_eq!(allows(&rule, "GET", "/", "a", headers), expected, "{rule:?} {headers:?}");
    }
    let mut both = header("a", Some("1"));
    both.headers.push(HeaderMatch { name: "b".into(), value: None });
    assert!(allows(&both, "GET", "/", "h", "B: x\r\nA: 1\r\n"));
    assert!(!allows(&both, "GET", "/", "h", "A: 1\r\n"));
}

/// semantics.md 1.12: rules are a union, and L7 never restricts what another rule allows.
#[test]
fn peers_and_merging() {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let rules = compile(vec![
        entry(0, only(&[ALICE]), Some(vec![path("/a"), path("/b")])),
        entry(1, only(&[BOB]), Some(vec![path("/b")])),
        entry(2, only(&[]), None),
    ]);
    let judge = |peer, target| verdict(&rules, peer, &get(target)).expect("well-formed");
    assert_eq!(judge(ALICE, "/a"), Some((0, Some(0))));
    assert_eq!(judge(ALICE, "/b"), Some((0, Some(1))));
    assert_eq!(judge(BOB, "/a"), None);
    assert_eq!(judge(BOB, "/b"), Some((1, Some(0))));
    assert_eq!(judge(EVE, "/a"), None);
    assert!(about(&rules, ALICE).inspects() && about(&rules, BOB).inspects() && !about(&rules, EVE).inspects());

    let rules = compile(vec![
        entry(0, only(&[ALICE]), Some(vec![path("/a")])),
        L4Rule { protocol: None, ports: PortRange::ALL, ..entry(1, only(&[ALICE]), None) },
        L4Rule { ports: PortRange::one(81), ..entry(2, Peers::Any, None) },
        L4Rule { protocol: Some(Protocol::Udp), ..entry(3, Peers::Any, None) },
    ]);
    assert_eq!(verdict(&rules, ALICE, &get("/z")), Some(Some((1, None))), "an L3 rule allows every request");
    assert_eq!(verdict(&rules, BOB, &get("/a")), Some(None), "other ports and protocols do not count");
    assert!(about(&rules, ALICE).inspects(), "it still passes the proxy");

    let rules = compile(Vec::new());
    assert_eq!(verdict(&rules, ALICE, &get("/")), Some(None), "no rule, nothing allowed");
    let rules = compile(vec![entry(0, Peers::Any, Some(Vec::new()))]);
    assert_eq!(verdict(&rules, ALICE, &get("/")), Some(None), "an empty list allows nothing");
    let rules =
        compile(vec![entry(0, Peers::Any, Some(vec![path("/x/.*")])), entry(1, Peers::Any, Some(vec![path("/y")]))]);
    assert_eq!(verdict(&rules, ALICE, &get("/x/../y")), Some(Some((0, Some(0)))), "each path by some rule");
}

#[test]
fn bad_rules_are_rejected_with_a_reason() {
    let rows = [
        (path("a)|(b"), "path", "unopened group"),
        (path("(a"), "path", "unclosed group"),
        (path("(a{1000}){1000}"), "path", "automaton of more than 65536 bytes"),
        (path("a{4294967296}"), "path", "decimal literal invalid"),
        (path("(?=a)"), "path", "look-around"),
        (path("(a)\\1"), "path", "backreference"),
        (path("[a&&b]"), "path", "set operations"),
        (path("[a[b]]"), "path", "class inside a class"),
        (path("\\<a"), "path", "word boundaries"),
        (path("\\p{L}"), "path", "Unicode"),
        (rule("[", "-", "-"), "method", "unclosed character class"),
        (rule("-", "-", "*"), "host", "repetition operator missing expression"),
        (header("", None), "headers[0]", "no field name"),
        (header(":path", None), "headers[0]", "no field name"),
        (header("a b", None), "headers[0]", "no field name"),
        (header("a", Some("b\r\nc")), "headers[0]", "control character"),
    ];
    let acting = |name, value, mismatch| actions::on("-", "-", "-", &[(name, value, mismatch)]);
    let rows = rows.into_iter().chain([
        (acting(":path", "/", Mismatch::Log), "headerMatches[0]", "no field name"),
        (acting("a", "b\0", Mismatch::Fail), "headerMatches[0]", "control character"),
        (acting("a", "", Mismatch::Add), "headerMatches[0]", "needs a value"),
        (acting("a", " b", Mismatch::Replace), "headerMatches[0]", "white space around it"),
        (acting("Host", "b", Mismatch::Replace), "headerMatches[0]", "cannot be edited"),
        (acting("content-Length", "1", Mismatch::Delete), "headerMatches[0]", "cannot be edited"),
        (acting("Transfer_Encoding", "chunked", Mismatch::Add), "headerMatches[0]", "cannot be edited"),
    ]);
    for (rule, field, reason) in rows {
        let error = check_rule(&rule).expect_err(reason);
        assert_eq!(error.field, field);
        assert!(error.reason.contains(reason), "{error}");
        let policy =
            DirectionPolicy { rules: vec![entry(0, Peers::Any, Some(vec![rule]))], ..DirectionPolicy::default() };
        assert_eq!(PortRules::compile(&policy, 80).err(), Some(error));
    }
    let long = check_rule(&path(&format!("{}(", "x".repeat(10_000)))).expect_err("unclosed");
    assert!(long.reason.len() < 200, "a message is short: {long}");
    assert_eq!(check_rule(&path("/api/v[0-9]+/[a-z0-9-]{1,63}/.*")), Ok(()));
    assert_eq!(check_rule(&path("[\\w.-]+")), Ok(()));
    assert_eq!(check_rule(&acting("Host", "b", Mismatch::Log)), Ok(()));
}

#[test]
fn many_rules_fall_back_to_a_lazy_automaton() {
    let http = |count: usize| (0..count).map(|n| path(&format!(".*/x{n}/.*[a-f]{{20}}.*"))).collect::<Vec<_>>();
    let (few, many) =
        (compile(vec![entry(0, Peers::Any, Some(http(1)))]), compile(vec![entry(0, Peers::Any, Some(http(100)))]));
    assert!(!few.is_lazy() && many.is_lazy());
    assert!(few.memory_usage() > 0);
    for (target, expected) in
        [("/x7/aaaaaaaaaaaaaaaaaaaaa", Some(7)), ("/x7/aaaa", None), ("/x101/aaaaaaaaaaaaaaaaaaaaa", None)]
    {
        let found = verdict(&many, ALICE, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("well-formed");
        assert_eq!(found, expected.map(|n| (0, Some(n))), "{target}");
    }
}

#[test]
fn rules_are_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<PortRules>();
}

/// Expressions over a small alphabet, with anchors and boundaries in odd places.
fn pattern() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a", "b", "/", "-", ".", "[ab]", "[^a]", "^", "$", "\\b", "\\B", "\\A", "\\z", "(?i)A", "(?m)^", "(?m)$", "",
        "\\w", "(?s).",
    ]);
    let inner = leaf.prop_map(String::from).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4)
                .prop_map(|parts| parts.iter().map(|part| format!("(?:{part})")).collect::<String>()),
            vec(inner.clone(), 1..3).prop_map(|parts| format!("({})", parts.join("|"))),
            (inner, prop::sample::select(vec!["*", "+", "?", "{2}", "*?"]))
                .prop_map(|(part, times)| format!("(?:{part}){times}")),
        ]
    });
    // As a policy has it: not wrapped.
    prop_oneof![inner.clone(), (inner.clone(), inner).prop_map(|(left, right)| format!("{left}|{right}"))]
}

fn naive(pattern: &Option<String>, text: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let pattern = format!("\\A(?:{pattern})\\z");
    regex::bytes::RegexBuilder::new(&pattern).unicode(false).build().expect("valid").is_match(text.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// One automaton for all rules finds what each rule's own expressions find, field by field; eager and lazy alike.
    #[test]
    fn one_automaton_is_as_many_full_matches(
        rules in vec([prop::option::of(pattern()), prop::option::of(pattern()), prop::option::of(pattern())], 1..6),
        texts in vec(["[abAB-]{1,4}", "[abA/-]{0,5}", "[abA.-]{0,4}"], 1..8),
    ) {
        let rules: Vec<HttpRule> = rules
            .into_iter()
            .map(|[method, path, host]| HttpRule { method, path, host, ..HttpRule::default() })
            .collect();
        let patterns: Vec<_> = rules.iter().map(|rule| pattern::compile(rule).expect("compiles")).collect();
        let engines = [Engine::build(&patterns).expect("builds"), Engine::build_lazy(&patterns).expect("builds")];
        for [method, path, host] in &texts {
            let expected: Vec<usize> = (0..rules.len())
                .filter(|n| naive(&rules[*n].method, method) && naive(&rules[*n].path, path) && naive(&rules[*n].host, host))
                .collect();
            for engine in &engines {
                let mut found = Vec::new();
                engine.matches([method, path, host], |number| found.push(number));
                found.sort_unstable();
                prop_assert_eq!(&found, &expected, "{:?} on {} {} {}", rules, method, path, host);
            }
        }
    }
}
