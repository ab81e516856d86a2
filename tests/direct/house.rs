//! The arrows of ARCHITECTURE.md: which crate may use which.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate → the crates of this house that it may use. Nothing else may be used.
const ARROWS: [(&str, &[&str]); 9] = [
    ("weir-abi", &[]),
    ("weir-model", &[]),
    ("weir-filters", &["weir-model"]),
    ("weir-sockmap", &["weir-abi", "weir-model"]),
    ("weir-proxy", &["weir-abi", "weir-filters", "weir-model", "weir-sockmap"]),
    ("weir-control", &["weir-model"]),
    ("weir-lab", &[]),
    ("weir-bench", &["weir-control", "weir-filters", "weir-lab", "weir-model"]),
    ("weir", &["weir-abi", "weir-control", "weir-filters", "weir-lab", "weir-model", "weir-proxy", "weir-sockmap"]),
];

#[test]
fn crates_use_only_what_the_house_allows() {
    let metadata = MetadataCommand::new().no_deps().exec().expect("run cargo metadata");
    let found: BTreeMap<String, BTreeSet<String>> = metadata
        .packages
        .iter()
        .map(|package| {
            let uses = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal && d.path.is_some());
            (package.name.to_string(), uses.map(|d| d.name.clone()).collect())
        })
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into();
    for (name, uses) in &found {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no place in the house"));
        for used in uses {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
    }
    assert_eq!(found.len(), ARROWS.len(), "a crate of the list is not in the workspace");
}

#[test]
fn drop_reasons_have_one_number_on_both_sides() {
    use weir_model::flow::DropReason;
    let rows = [
        (weir_abi::drop::INVALID_SOURCE, DropReason::InvalidSourceIp),
        (weir_abi::drop::POLICY_DENIED, DropReason::PolicyDenied),
        (weir_abi::drop::INVALID_PACKET, DropReason::InvalidPacket),
        (weir_abi::drop::UNKNOWN_DESTINATION, DropReason::UnknownDestination),
        (weir_abi::drop::FRAGMENT, DropReason::FragmentNotSupported),
        (weir_abi::drop::PROXY_MISSING, DropReason::ProxyMissing),
        (weir_abi::drop::PROXY_ASSIGN, DropReason::ProxyAssignFailed),
        (weir_abi::drop::UNKNOWN_PROTOCOL, DropReason::UnknownL4Protocol),
        (weir_abi::drop::POLICY_DENY, DropReason::PolicyDeny),
    ];
    for (number, reason) in rows {
        assert_eq!(DropReason::from_number(number), Some(reason));
    }
}
