//! Numbers over time and restarts.

use std::{collections::HashSet, fs};

use weir_control::{
    identities::{Assigned, Floor, IdentityTable, identity_labels},
    manifests::{Namespace, Pod},
};
use weir_model::{
    endpoint::{EndpointId, PodName},
    identity::Identity,
    labels::{LabelKey, LabelSet},
};

fn name(pod: &str) -> PodName {
    PodName { namespace: "a".into(), name: pod.into() }
}

/// Makes these the pods that there are, as one event; each has one label. Returned are those whose labels have no number.
fn assign<'a>(table: &mut IdentityTable, rows: &[(&'a str, &str)]) -> Vec<&'a str> {
    let there: HashSet<&str> = rows.iter().map(|(pod, _)| *pod).collect();
    table.retain(|pod| there.contains(pod.name.as_str()));
    let labels = |app: &str| LabelSet::from_iter([(LabelKey::k8s("app"), app.to_owned())]);
    let assigned = rows.iter().map(|(pod, app)| (*pod, table.number(&name(pod), labels(app), true).expect("a number")));
    let without: Vec<_> = assigned.filter(|(_, assigned)| assigned.identity == Identity::INIT).collect();
    table.settle();
    without.into_iter().map(|(pod, _)| pod).collect()
}

fn numbers(table: &IdentityTable, pod: &str) -> Option<(u32, u32)> {
    table.get(&name(pod)).map(|Assigned { endpoint, identity }| (endpoint.0, identity.0))
}

#[test]
fn a_number_stays_while_it_is_needed_and_is_reused_last() {
    let mut table = IdentityTable::new(Floor::default());
    assert!(assign(&mut table, &[("p", "x"), ("q", "x"), ("r", "y")]).is_empty());
    assert_eq!(
        (numbers(&table, "p"), numbers(&table, "q"), numbers(&table, "r")),
        (Some((1, 256)), Some((2, 256)), Some((3, 257)))
    );
    assign(&mut table, &[("q", "x"), ("r", "y")]);
    assert_eq!((numbers(&table, "p"), numbers(&table, "q")), (None, Some((2, 256))), "x is still q's");
    assign(&mut table, &[("q", "z"), ("r", "x"), ("s", "y")]);
    assert_eq!(numbers(&table, "q"), Some((2, 258)), "a pod keeps its endpoint when its labels change");
    assert_eq!(numbers(&table, "r"), Some((3, 256)), "a label set that moves to another pod keeps its number");
    assert_eq!(numbers(&table, "s"), Some((4, 257)));
    assign(&mut table, &[]);
    assign(&mut table, &[("p", "x")]);
    assert_eq!(numbers(&table, "p"), Some((5, 259)), "freed numbers are not given while fresh ones are left");
}

#[test]
fn when_no_number_is_left_the_pod_is_named() {
    let last = Identity::LAST_ALLOCATED;
    let mut table = IdentityTable::new(Floor { identity: last, endpoint: EndpointId(7), ..Floor::default() });
    assert!(assign(&mut table, &[("p", "x"), ("q", "y")]).is_empty());
    assert_eq!(
        (numbers(&table, "p"), numbers(&table, "q")),
        (Some((7, 65535)), Some((8, 256))),
        "below the floor comes last"
    );
    let many: Vec<String> = (0..65_280).map(|n| n.to_string()).collect();
    let mut rows: Vec<(&str, &str)> = many.iter().map(|n| (n.as_str(), n.as_str())).collect();
    assign(&mut table, &[]);
    assert!(assign(&mut table, &rows).is_empty(), "the whole range can be used");
    rows.push(("z", "z"));
    assert_eq!(assign(&mut table, &rows), ["z"]);
    assert_eq!(numbers(&table, "z").map(|(_, identity)| identity), Some(Identity::INIT.0), "nothing is allowed to it");
    rows.remove(0);
    assert_eq!(assign(&mut table, &rows), ["z"], "a number is not given again within the event that frees it");
    assert!(assign(&mut table, &rows).is_empty());
}

#[test]
fn a_restart_changes_no_number_and_a_damaged_file_reuses_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.json");
    let floor = Floor { identity: Identity(1000), endpoint: EndpointId(50), ..Floor::default() };
    let (mut table, problem) = IdentityTable::load(&path, floor);
    assert_eq!(problem, None, "no file is no problem");
    assign(&mut table, &[("p", "x"), ("q", "y"), ("r", "y")]);
    assign(&mut table, &[("q", "y"), ("r", "y")]);
    table.save(&path).expect("saved");
    let (mut again, problem) = IdentityTable::load(&path, floor);
    assert_eq!(problem, None);
    assign(&mut again, &[("q", "y"), ("s", "x")]);
    assert_eq!((numbers(&again, "q"), numbers(&again, "s")), (Some((51, 1001)), Some((53, 1002))));
    assign(&mut again, &[("q", "y"), ("s", "w")]);
    again.save(&path).expect("saved");
    assign(&mut again, &[("q", "y"), ("t", "v")]);
    again.save(&path).expect("saved");
    let (mut third, problem) = IdentityTable::load(&path, floor);
    assign(&mut third, &[("q", "y"), ("t", "v"), ("u", "u")]);
    assert_eq!(
        (problem, ["q", "t", "u"].map(|pod| numbers(&third, pod))),
        (None, [Some((51, 1001)), Some((54, 1004)), Some((55, 1005))])
    );

    let good = fs::read_to_string(&path).expect("the file");
    let rows = [
        ("", "{"),
        ("\"start\":[3,", "\"start\":[2,"),
        ("\"start\"", "\"begin\""),
        ("[1001,", "[99,"),
        ("[1001,", "[65536,"),
        ("[51,", "[0,"),
        ("{\"start\"", "{\"pod\":[50,{\"namespace\":\"a\",\"name\":\"z\"}]}\n{\"start\""),
    ];
    for (from, to) in rows {
        let damaged = if from.is_empty() { format!("{good}{to}\n") } else { good.replace(from, to) };
        assert_ne!(damaged, good, "{from} is not in {good}");
        fs::write(&path, damaged).expect("written");
        let floor = Floor { identity: Identity(2000), endpoint: EndpointId(90), ..Floor::default() };
        let (mut table, problem) = IdentityTable::load(&path, floor);
        let problem = problem.unwrap_or_else(|| panic!("{from} → {to} was not noticed"));
        assert!(problem.reason.contains("not usable") && problem.file.ends_with("state.json"), "{problem}");
        assign(&mut table, &[("q", "y")]);
        assert_eq!(numbers(&table, "q"), Some((90, 2000)), "{from} → {to}");
    }
    // Cut off in its last line.
    fs::write(&path, &good[..good.len() - 3]).expect("written");
    let (mut cut, problem) = IdentityTable::load(&path, floor);
    assert_eq!(problem, None);
    assign(&mut cut, &[("q", "y"), ("w", "w")]);
    assert_eq!((numbers(&cut, "q"), numbers(&cut, "w")), (Some((51, 1001)), Some((55, 1003))));
    cut.save(&path).expect("saved");
    assert_eq!(IdentityTable::load(&path, floor).1, None, "the cut line is gone");
}

/// What only grows is written anew when most of it is outdated.
#[test]
fn the_file_does_not_grow_for_ever() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.json");
    let mut table = IdentityTable::new(Floor::default());
    for round in 0..6_000 {
        assign(&mut table, &[("p", &round.to_string())]);
        if round % 100 == 99 {
            table.save(&path).expect("saved");
        }
    }
    let lines = fs::read_to_string(&path).expect("the file").lines().count();
    assert!(lines < 4_200, "{lines} lines");
    let (mut again, problem) = IdentityTable::load(&path, Floor::default());
    assign(&mut again, &[("p", "5999")]);
    assert_eq!((problem, numbers(&again, "p")), (None, numbers(&table, "p")));
}

#[test]
fn a_table_is_written_only_when_it_changed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("state.json");
    let mut table = IdentityTable::new(Floor::default());
    assign(&mut table, &[("p", "x")]);
    table.save(&path).expect("saved");
    fs::remove_file(&path).expect("removed");
    assign(&mut table, &[("p", "x")]);
    table.save(&path).expect("nothing to save");
    assert!(!path.exists());
    let error =
        IdentityTable::new(Floor::default()).save(&directory.path().join("none/state.json")).expect_err("no directory");
    assert!(error.to_string().contains("none/state.json"), "{error}");
}

#[test]
fn a_pod_cannot_pose_as_one_of_another_namespace() {
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let pod = Pod {
        name: name("p"),
        labels: text(&[
            ("app", "w"),
            ("pod-template-hash", "1"),
            ("io.kubernetes.pod.namespace", "kube-system"),
            ("io.cilium.k8s.namespace.labels.env", "prod"),
            ("io.cilium.k8s.namespace.labels.team", "security"),
            ("io.cilium.k8s.policy.cluster", "other"),
            ("io.cilium.k8s.policy.serviceaccount", "admin"),
        ]),
        node: None,
        service_account: Some("sa".into()),
        host_network: false,
        finished: false,
        addresses: Vec::new(),
        ports: Vec::new(),
    };
    let namespace =
        Namespace { name: "a".into(), labels: text(&[("env", "test"), ("kubernetes.io/metadata.name", "a")]) };
    assert_eq!(
        identity_labels(&pod, Some(&namespace)).to_strings(),
        [
            "k8s:app=w",
            "k8s:io.cilium.k8s.namespace.labels.env=test",
            "k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=a",
            "k8s:io.cilium.k8s.policy.serviceaccount=sa",
            "k8s:io.kubernetes.pod.namespace=a",
        ]
    );
}
