//! What stays in force while files come, break and go.

use proptest::prelude::*;
use weir_control::{
    manifests::ObjectKey,
    problem::Problem,
    store::{Changes, Store},
    watch::{Batch, Contents},
};

use crate::support::{check, pod, policy, store};

const GOOD: &str = "{endpointSelector: {}, ingress: [{}]}";
const OTHER: &str = "{endpointSelector: {}, egress: [{}]}";
const BAD: &str = "{endpointSelector: {}, ingress: [{fromCIDR: [x]}]}";

fn keys(store: &Store) -> Vec<String> {
    store.objects().map(|(key, _)| key.to_string()).collect()
}

fn all(store: &Store) -> (Vec<(ObjectKey, String)>, Vec<Problem>) {
    let objects = store.objects().map(|(key, stored)| (key.clone(), format!("{stored:?}"))).collect();
    (objects, store.problems())
}

/// Rows: what the file says next, the changed and removed objects, and the number of problems afterwards.
#[test]
fn the_last_good_version_stays_until_it_is_replaced_or_gone() {
    let unnamed = "---\nkind: CiliumNetworkPolicy\napiVersion: cilium.io/v2\n";
    let rows: [(String, usize, usize, usize); 10] = [
        (policy("x", GOOD) + &policy("w", GOOD), 2, 0, 0),
        (policy("x", BAD) + &policy("w", OTHER), 1, 0, 1),
        (policy("x", GOOD) + &policy("w", OTHER), 0, 0, 0),
        ("kind: [".into(), 0, 0, 1),
        // Broken YAML: neither the new version of x nor the absence of y counts, but the new z does.
        (policy("x", OTHER) + &policy("z", GOOD) + "---\na: [", 1, 0, 1),
        // An object without a name may be y.
        (policy("x", OTHER) + unnamed, 1, 0, 1),
        (policy("x", OTHER) + &policy("z", BAD), 0, 1, 1),
        (policy("z", BAD), 0, 1, 1),
        (String::new(), 0, 1, 0),
        (policy("x", BAD), 0, 0, 1),
    ];
    let mut store = Store::new(check());
    for (text, changed, removed, problems) in rows {
        let changes = store.apply_file("f.yaml", text.as_bytes());
        let found = (changes.changed.len(), changes.removed.len(), store.problems().len());
        assert_eq!(found, (changed, removed, problems), "{text}: {changes:?} {:?}", keys(&store));
    }
    assert!(keys(&store).is_empty());
}

#[test]
fn the_first_file_by_name_wins_and_the_second_takes_over() {
    let mut store = store(&[("b.yaml", &policy("x", GOOD)), ("a.yaml", &policy("x", OTHER))]);
    let holder = |store: &Store| store.objects().next().map(|(_, stored)| stored.file.clone());
    assert_eq!(holder(&store).as_deref(), Some("a.yaml"));
    let problems = store.problems();
    assert_eq!((problems.len(), problems[0].file.as_str(), problems[0].document), (1, "b.yaml", 1));
    assert!(problems[0].reason.contains("already in a.yaml"));
    let changes = store.remove_file("a.yaml");
    assert_eq!((changes.changed.len(), changes.removed.len()), (1, 0));
    assert_eq!((holder(&store).as_deref(), store.problems()), (Some("b.yaml"), vec![]));
    store.apply_file("b.yaml", (policy("x", GOOD) + &policy("x", OTHER)).as_bytes());
    assert_eq!(store.problems()[0].document, 2, "within a file the first document wins");
}

#[test]
fn files_that_are_no_manifests_are_not_read() {
    let mut store = Store::new(check());
    for name in ["a.txt", ".a.yaml", "a.yaml~"] {
        assert_eq!(store.apply_file(name, policy("x", GOOD).as_bytes()), Changes::default(), "{name}");
    }
    assert!(keys(&store).is_empty() && store.problems().is_empty());
}

#[test]
fn a_complete_batch_removes_what_it_does_not_name() {
    let bytes = |text: String| Contents::Bytes(text.into_bytes());
    let batch = |complete, files: Vec<(&str, Contents)>| Batch {
        complete,
        files: files.into_iter().map(|(name, contents)| (name.to_owned(), contents)).collect(),
        unavailable: None,
    };
    let mut store = Store::new(check());
    store.apply(&batch(true, vec![("a.yaml", bytes(policy("x", GOOD))), ("b.yaml", bytes(policy("w", GOOD)))]));
    store.apply(&batch(false, vec![("c.yaml", bytes(policy("z", GOOD)))]));
    assert_eq!(keys(&store).len(), 3);
    store.apply(&batch(false, vec![("c.yaml", Contents::Unreadable("why".into()))]));
    assert_eq!((keys(&store).len(), store.problems().len()), (3, 1), "unreadable keeps what it said");
    let lost = Batch { unavailable: Some("gone".into()), ..Batch::default() };
    assert!(store.apply(&lost).is_empty());
    assert_eq!((keys(&store).len(), store.problems().len()), (3, 2), "a lost directory keeps what it said");
    let changes = store.apply(&batch(true, vec![("b.yaml", bytes(policy("w", GOOD)))]));
    assert_eq!((changes.removed.len(), keys(&store).len(), store.problems().len()), (2, 1, 0));
    // An object that moves between files of one batch is not removed.
    let moved = vec![("b.yaml", Contents::Gone), ("a.yaml", bytes(policy("w", GOOD)))];
    assert!(store.apply(&batch(false, moved)).removed.is_empty());
}

#[test]
fn gaps_are_those_of_the_objects_in_force() {
    let gap = "{endpointSelector: {}, egress: [{toFQDNs: [{matchName: a.b}]}]}";
    let mut store = store(&[("b.yaml", &(policy("w", GOOD) + &policy("x", gap)))]);
    let found = store.gaps();
    let [only] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((only.file.as_str(), only.document, only.object.as_str()), ("b.yaml", 2, "CiliumNetworkPolicy/a/x"));
    assert_eq!(only.field, "spec.egress[0].toFQDNs[0]");
    store.apply_file("b.yaml", policy("x", BAD).as_bytes());
    assert_eq!(store.gaps().len(), 1, "of the last good version");
    store.apply_file("a.yaml", policy("x", GOOD).as_bytes());
    assert_eq!(store.gaps(), [], "of the version that wins");
}

fn contents() -> impl Strategy<Value = String> {
    let object = prop_oneof![
        (0..3_u8, prop::sample::select(vec![GOOD, OTHER])).prop_map(|(n, spec)| policy(&format!("p{n}"), spec)),
        (0..3_u8, 1..4_u8).prop_map(|(n, ip)| pod("a", &format!("q{n}"), "app: w", &format!("10.0.0.{ip}"))),
        Just("---\nkind: Secret\n".to_owned()),
    ];
    prop::collection::vec(object, 0..4).prop_map(|objects| objects.concat())
}

fn events() -> impl Strategy<Value = Vec<(usize, Option<String>)>> {
    let broken = prop_oneof![Just("a: [".to_owned()), Just(policy("p0", BAD)), Just("kind: Pod".to_owned())];
    let event = (0..3_usize, prop::option::of(prop_oneof![4 => contents(), 1 => broken]));
    prop::collection::vec(event, 0..12)
}

proptest! {
    /// However files came, broke and went: once all are good, the state is that of a fresh load.
    #[test]
    fn history_leaves_no_trace(
        events in events(),
        finally in prop::collection::vec(prop::option::of(contents()), 3),
        order in Just(vec![0_usize, 1, 2]).prop_shuffle(),
    ) {
        const FILES: [&str; 3] = ["a.yaml", "b.yaml", "c.json"];
        let mut store = Store::new(check());
        let mut fresh = Store::new(check());
        let apply = |store: &mut Store, file: usize, contents: &Option<String>| match contents {
            Some(text) => store.apply_file(FILES[file], text.as_bytes()),
            None => store.remove_file(FILES[file]),
        };
        let mut known = std::collections::BTreeSet::new();
        let mut follow = |changes: Changes| {
            known.extend(changes.changed);
            known.retain(|key| !changes.removed.contains(key));
        };
        for (file, contents) in &events {
            follow(apply(&mut store, *file, contents));
        }
        for file in order {
            follow(apply(&mut store, file, &finally[file]));
        }
        for (file, contents) in finally.iter().enumerate() {
            apply(&mut fresh, file, contents);
        }
        prop_assert_eq!(all(&store), all(&fresh));
        prop_assert_eq!(known, store.objects().map(|(key, _)| key.clone()).collect(), "changes tell the whole story");
    }
}
