//! What a judge sees of a request.

use weir_filters::http::Decision;

use crate::driver::{Event, Wire};

/// (target, host field, judged host, judged path, normalised path)
#[test]
fn what_is_judged() {
    let rows = [
        ("GET", "/a?b=/../c", "h:80", "h:80", "/a?b=/../c", "/a?b=/../c"),
        ("GET", "http://h:80/a", "h:80", "h:80", "/a", "/a"),
        ("GET", "http://h", "h", "h", "/", "/"),
        ("OPTIONS", "*", "h", "h", "*", "*"),
        ("CONNECT", "h:443", "h", "h:443", "", ""),
        ("GET", "//h/a/./b", "x", "x", "//h/a/./b", "/h/a/b"),
        ("GET", "/%41/../b?c", "x", "x", "/%41/../b?c", "/b?c"),
    ];
    for (method, target, field, host, path, normal) in rows {
        let mut wire = Wire::new();
        wire.client(format!("{method} {target} HTTP/1.1\r\nHost: {field}\r\n\r\n").as_bytes());
        let [method, host, path, normal] = [method, host, path, normal].map(String::from);
        let decision = Decision::Allow;
        assert_eq!(wire.judge.events, [Event::Judged(method, host, path, normal, decision)], "{target}");
    }
}
