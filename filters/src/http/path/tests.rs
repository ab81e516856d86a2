//! Tables and properties of the path normaliser.

use proptest::prelude::*;

use super::*;
use readings::Reading;

mod readings;

#[test]
fn a_path_has_one_normal_form_or_is_refused() {
    use PathError::{Ambiguous, Escape, Nul, Overlong};
    let rows: &[(&str, Result<&str, PathError>)] = &[
        ("/", Ok("/")),
        ("/a/b", Ok("/a/b")),
        ("/a?b", Ok("/a?b")),
        ("/a;b=c/d", Ok("/a;b=c/d")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/a/...", Ok("/a/...")),
        ("/a/..b", Ok("/a/..b")),
        ("/a..", Ok("/a..")),
        // The query is not a path.
        ("/a?b=/../%zz//\\c", Ok("/a?b=/../%zz//\\c")),
        ("/a//b?c//d", Ok("/a/b?c//d")),
        // Slashes.
        ("//", Ok("/")),
        ("//a", Ok("/a")),
        ("/a//b///c//", Ok("/a/b/c/")),
        ("/a\\b", Ok("/a/b")),
        ("/a%2Fb", Ok("/a/b")),
        ("/a%2fb%5Cc%5cd", Ok("/a/b/c/d")),
        ("/%2F", Ok("/")),
        ("/proxy/http%3A%2F%2Fhost", Ok("/proxy/http%3A/host")),
        // Dot segments (RFC 3986 section 5.2.4).
        ("/a/./b", Ok("/a/b")),
        ("/a/.", Ok("/a/")),
        ("/a/./", Ok("/a/")),
        ("/./a", Ok("/a")),
        ("/a/../b", Ok("/b")),
        ("/a/b/c/./../../g", Ok("/a/g")),
        ("/a/..", Ok("/")),
        ("/a/b/..", Ok("/a/")),
        ("/a/b/../", Ok("/a/")),
        ("/../../a", Ok("/a")),
        ("/..", Ok("/")),
        ("/a/%2e/b", Ok("/a/b")),
        ("/a/%2e%2E/b", Ok("/b")),
        ("/a/.%2e/b", Ok("/b")),
        ("/a/%2e./b?c", Ok("/b?c")),
        // Escapes.
        ("/%41%7a%2D%5f%7E", Ok("/Az-_~")),
        ("/a%20b%3Fc%3b", Ok("/a%20b%3Fc%3b")),
        ("/caf%c3%a9", Ok("/caf%c3%a9")),
        ("/100%25", Ok("/100%25")),
        ("/a%252Fb", Ok("/a%252Fb")),
        ("/a%252e/b", Ok("/a%252e/b")),
        ("/a%", Err(Escape)),
        ("/a%4", Err(Escape)),
        ("/a%4g", Err(Escape)),
        ("/%u002e", Err(Escape)),
        ("/a%00", Err(Nul)),
        ("/a%2500", Err(Nul)),
        ("/%c0%ae%c0%ae/a", Err(Overlong)),
        ("/a%c0%afb", Err(Overlong)),
        ("/a%c1%9cb", Err(Overlong)),
        ("/%e0%80%ae/a", Err(Overlong)),
        ("/%25c0%25ae", Err(Overlong)),
        // Servers would resolve these differently.
        ("/a//../b", Err(Ambiguous)),
        ("/a/../b//c", Err(Ambiguous)),
        ("//a/../b", Err(Ambiguous)),
        ("/a/..\\b", Err(Ambiguous)),
        ("/a\\..\\b", Err(Ambiguous)),
        ("/a/..%2fb", Err(Ambiguous)),
        ("/a%2f../b", Err(Ambiguous)),
        ("/a/..%5cb", Err(Ambiguous)),
        ("/a/../b%2Fc", Err(Ambiguous)),
        ("/a/%252e%252e/b", Err(Ambiguous)),
        ("/a/.%252e/b", Err(Ambiguous)),
        ("/a/%25252e%25252e/b", Err(Ambiguous)),
        ("/a/%2525252e%2525252e/b", Err(Ambiguous)),
        ("/a%252f../b", Err(Ambiguous)),
        ("/a/..%252fb", Err(Ambiguous)),
        ("/a/../b/%2e%2e/c", Err(Ambiguous)),
        ("/a/./%2e%2e/c", Err(Ambiguous)),
        ("/a/..;/b", Err(Ambiguous)),
        ("/a/..;x=y/b", Err(Ambiguous)),
        ("/a/..%3b/b", Err(Ambiguous)),
        ("/a/..%253b/b", Err(Ambiguous)),
        ("/a/%2e%2e;/b", Err(Ambiguous)),
        ("/a/.;/../b", Err(Ambiguous)),
        ("/a/;/../b", Err(Ambiguous)),
        ("/public/../admin//../public/x", Err(Ambiguous)),
        ("/public/../admin/%2e%2e/public/x", Err(Ambiguous)),
    ];
    for (raw, expected) in rows {
        assert_eq!(normalise(raw, &mut Scratch::default()), *expected, "{raw}");
    }
}

#[test]
fn a_normal_path_is_not_copied() {
    for raw in ["/", "/a/b?c", "/.well-known/x", "/a%20b"] {
        let mut scratch = Scratch::default();
        assert!(std::ptr::eq(normalise(raw, &mut scratch).expect("normal"), raw), "{raw}");
    }
}

/// Segments and separators in every spelling.
fn path() -> impl Strategy<Value = String> {
    let separator = prop_oneof![
        8 => Just("/"),
        2 => prop::sample::select(vec!["//", "%2f", "%5C", "\\", "%252F", "/;/", "/."])
    ];
    let segment = prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "..", "..", "..", "."]),
        1 => prop::sample::select(vec!["%2e", "%2E%2e", ".%2e", "..;x", ".;", "%252e%252e", "%25", "%41", "", "a?b", "..%3b"])
    ];
    prop::collection::vec((segment, separator), 0..7)
        .prop_map(|parts| parts.iter().fold("/".to_string(), |path, (segment, separator)| path + segment + separator))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// A server that resolves dot segments in any way comes to the segments of the normal path, or leaves all in place.
    #[test]
    fn no_server_comes_to_a_third_path(raw in path()) {
        let mut scratch = Scratch::default();
        if let Ok(normal) = normalise(&raw, &mut scratch) {
            for reading in Reading::all() {
                prop_assert!(!reading.resolves_somewhere_else(&raw, normal), "{} {} {:?}", raw, normal, reading);
            }
        }
    }

    /// What is normal stays so.
    #[test]
    fn a_normal_form_is_normal(raw in path()) {
        let mut scratch = Scratch::default();
        if let Ok(normal) = normalise(&raw, &mut scratch) {
            let (mut again, normal) = (Scratch::default(), normal.to_string());
            prop_assert_eq!(normalise(&normal, &mut again), Ok(normal.as_str()), "{}", raw);
        }
    }

    /// Any visible ASCII is taken or refused, and the query stays.
    #[test]
    fn the_query_stays(raw in "/[!-~]{0,40}") {
        let mut scratch = Scratch::default();
        if let Ok(normal) = normalise(&raw, &mut scratch) {
            prop_assert_eq!(raw.split_once('?').map(|p| p.1), normal.split_once('?').map(|p| p.1));
        }
    }
}
