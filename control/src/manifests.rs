//! Reads ordinary Kubernetes YAML: Namespace, Pod, Service, EndpointSlice, CiliumCIDRGroup, NetworkPolicy,
//! CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy.
//!
//! An object with a mistake is refused alone and by name; the other objects of its file count. Nothing of a policy is
//! ever skipped silently: a field is read and enforced, or read and listed as a gap of the policy, which then denies what the
//! field restricts, or refused.
//!
//! ```text
//! documents ─▶ node ──────▶ policy ─▶ entry ─┬─▶ peers ─▶ selectors, cidr
//! text         value and    object    AND    ├─▶ ports ─▶ l7 ─▶ http, kafka
//!              its path     and rule         └─▶ icmp
//!                     ├───▶ kubernetes (NetworkPolicy)
//!                     └───▶ workload, service, cidr (everything else)
//! ```
//!
//! `language` holds the table of fields, `context` says where in a policy an entry stands.

mod cidr;
mod context;
mod documents;
mod entry;
mod http;
mod icmp;
mod kafka;
mod kubectl;
mod kubernetes;
mod l7;
mod language;
mod names;
mod node;
mod peers;
mod policy;
mod ports;
mod selectors;
mod service;
mod workload;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use weir_model::policy::{HttpRule, Policy};

use self::node::{Issues, Node};
pub use self::{
    cidr::CidrGroup,
    kubectl::parse_selector,
    service::{EndpointSlice, Service},
    workload::{ContainerPort, Namespace, Pod},
};
use crate::problem::Problem;

/// The caller's judgement of an HTTP rule, which compiles its expressions: `Err` names the field of the rule (`path`) and the
/// reason. It is injected because compiling belongs to `weir-filters`.
pub type RuleCheck = dyn Fn(&HttpRule) -> Result<(), (String, String)> + Send + Sync;

/// The kinds of objects that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `v1` Namespace.
    Namespace,
    /// `v1` Pod.
    Pod,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `cilium.io/v2` CiliumCIDRGroup.
    CiliumCIDRGroup,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `cilium.io/v2` CiliumNetworkPolicy.
    CiliumNetworkPolicy,
    /// `cilium.io/v2` CiliumClusterwideNetworkPolicy.
    CiliumClusterwideNetworkPolicy,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Namespace,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::CiliumCIDRGroup,
        Self::NetworkPolicy,
        Self::CiliumNetworkPolicy,
        Self::CiliumClusterwideNetworkPolicy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::CiliumCIDRGroup => "CiliumCIDRGroup",
            Self::NetworkPolicy => "NetworkPolicy",
            Self::CiliumNetworkPolicy => "CiliumNetworkPolicy",
            Self::CiliumClusterwideNetworkPolicy => "CiliumClusterwideNetworkPolicy",
        }
    }

    fn api_versions(self) -> &'static [&'static str] {
        match self {
            Self::Namespace | Self::Pod | Self::Service => &["v1"],
            Self::EndpointSlice => &["discovery.k8s.io/v1"],
            Self::NetworkPolicy => &["networking.k8s.io/v1"],
            Self::CiliumCIDRGroup => &["cilium.io/v2", "cilium.io/v2alpha1"],
            Self::CiliumNetworkPolicy | Self::CiliumClusterwideNetworkPolicy => &["cilium.io/v2"],
        }
    }

    fn is_namespaced(self) -> bool {
        !matches!(self, Self::Namespace | Self::CiliumCIDRGroup | Self::CiliumClusterwideNetworkPolicy)
    }
}

/// Kinds of other APIs that restrict traffic: to ignore one would open what it closes.
const POLICIES_OF_OTHERS: [&str; 7] = [
    "NetworkPolicy",
    "GlobalNetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "AuthorizationPolicy",
    "PeerAuthentication",
];

/// Kinds of other APIs, by group, that have the name of one that is read.
const NAMESAKES: [(&str, &str); 4] = [
    ("Service", "serving.knative.dev"),
    ("NetworkPolicy", "projectcalico.org"),
    ("NetworkPolicy", "crd.projectcalico.org"),
    ("NetworkPolicy", "crd.antrea.io"),
];

/// What makes an object the same object; `namespace` is empty for cluster-wide kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The object's kind.
    pub kind: Kind,
    /// The object's namespace, or empty.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{}/{}", self.kind.name(), self.name),
            namespace => write!(f, "{}/{namespace}/{}", self.kind.name(), self.name),
        }
    }
}

/// An accepted object, reduced to what weir uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A Namespace.
    Namespace(Namespace),
    /// A Pod.
    Pod(Pod),
    /// A Service.
    Service(Service),
    /// An EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// A CiliumCIDRGroup.
    CidrGroup(CidrGroup),
    /// A policy of any kind.
    Policy(Policy),
}

/// An accepted object and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its key.
    pub key: ObjectKey,
    /// Which document of the file, from 1.
    pub document: usize,
    /// The object.
    pub object: Object,
}

/// How far a file could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// Every object was found: one that is not listed is not in the file.
    #[default]
    Whole,
    /// Some object could not be named, so an object that is not listed may still be there.
    SomeUnnamed,
    /// Some document is not YAML, as in a half-written file: nothing that the file says replaces what it said before.
    Broken,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The good objects, in order; a key may occur more than once.
    pub objects: Vec<Accepted>,
    /// Keys of the objects that were refused.
    pub rejected: BTreeSet<ObjectKey>,
    /// Why they were.
    pub problems: Vec<Problem>,
    /// Worth knowing, but no mistake: ignored kinds, overridden namespaces.
    pub notes: Vec<Problem>,
    /// How far the file could be read.
    pub reading: Reading,
}

/// Whether a file of this name is read: `.yaml`, `.yml` or `.json`, not hidden, not an editor's backup or swap file.
pub fn is_manifest(file: &str) -> bool {
    let extension = file.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("yaml" | "yml" | "json")) && !file.starts_with(['.', '#', '~'])
}

/// What is read beside the language of today.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// `fromRequires` and `toRequires` as in Cilium up to 1.18. Otherwise a policy that has them is refused.
    pub requires: bool,
}

/// Reads a file's contents.
pub fn parse(file: &str, contents: &[u8], options: ReadOptions, check: &RuleCheck) -> Parsed {
    let mut reader = Reader { file, document: 0, options, check, out: Parsed::default() };
    let Ok(text) = std::str::from_utf8(contents) else {
        reader.out.reading = Reading::Broken;
        reader.out.problems.push(Problem::of_file(file, "is not UTF-8 text; save the file as UTF-8"));
        return reader.out;
    };
    for (index, document) in documents::split(text).into_iter().enumerate() {
        reader.document = index + 1;
        match documents::read(&document) {
            Ok(value) if value.is_null() => {}
            Ok(value) => reader.object(&Node::root(&value), true),
            Err(reason) => reader.unreadable(Reading::Broken, "", reason),
        }
    }
    reader.out
}

struct Reader<'a> {
    file: &'a str,
    document: usize,
    options: ReadOptions,
    check: &'a RuleCheck,
    out: Parsed,
}

impl Reader<'_> {
    fn object(&mut self, root: &Node<'_>, lists_allowed: bool) {
        let Some(kind) = root.child("kind").and_then(|kind| kind.value().as_str().map(str::to_owned)) else {
            return self.unreadable(
                Reading::SomeUnnamed,
                "kind",
                "is missing; every Kubernetes object names its kind".into(),
            );
        };
        let version = root.child("apiVersion").and_then(|version| version.value().as_str().map(str::to_owned));
        if kind == "List" && lists_allowed {
            return self.list(root);
        }
        // A kind of weir's in a wrong version is weir's all the same: its last good version stays.
        let group = version.as_deref().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
        let is_anothers = NAMESAKES.contains(&(kind.as_str(), group));
        let Some(kind) = Kind::ALL.into_iter().find(|known| known.name() == kind && !is_anothers) else {
            return match names::meant(&kind, Kind::ALL.map(Kind::name)) {
                // It may be an object that has a good version, whose name is not to be trusted either.
                Some(known) if !is_anothers => {
                    let reason = format!("is {}; did you mean {known}?", names::quote(&kind));
                    self.unreadable(Reading::SomeUnnamed, "kind", reason);
                }
                _ => self.unknown(&kind, version.as_deref().unwrap_or_default(), root),
            };
        };
        match self.key(kind, root) {
            Ok(key) => self.keyed(key, version.as_deref(), root),
            Err((field, reason)) => {
                let problem = self.problem(&format!("{}/?", kind.name()), &field, reason);
                self.out.problems.push(problem);
                self.out.reading = self.out.reading.max(Reading::SomeUnnamed);
            }
        }
    }

    /// Takes note of an object of another kind; it is a problem if it restricts traffic.
    fn unknown(&mut self, kind: &str, version: &str, root: &Node<'_>) {
        let name = root.child("metadata").and_then(|metadata| metadata.child("name"));
        let name = name.and_then(|name| name.value().as_str()).map(names::short).unwrap_or_default();
        let (object, version) = (format!("{}/{name}", names::short(kind)), names::short(version));
        if POLICIES_OF_OTHERS.contains(&kind) {
            let reason = format!(
                "is a policy of {version}, which weir does not enforce; write it as NetworkPolicy, CiliumNetworkPolicy or \
                 CiliumClusterwideNetworkPolicy"
            );
            self.out.problems.push(self.problem(&object, "", reason));
        } else {
            self.out.notes.push(self.problem(
                &object,
                "",
                "is of a kind that weir does not read and is ignored".into(),
            ));
        }
    }

    fn list(&mut self, root: &Node<'_>) {
        let mut issues = Issues::default();
        let items = root.child("items").map(|items| items.elements(&mut issues)).unwrap_or_default();
        for (field, reason) in issues.problems {
            self.unreadable(Reading::SomeUnnamed, &field, reason);
        }
        for item in items {
            // Field paths of an item start at the item, as they would if it stood in a document of its own.
            self.object(&Node::root(item.value()), false);
        }
    }

    fn keyed(&mut self, key: ObjectKey, version: Option<&str>, root: &Node<'_>) {
        let mut issues = Issues::default();
        let wanted = key.kind.api_versions();
        if version.is_none_or(|version| !wanted.contains(&version)) {
            let (found, wanted) = (version.map_or("absent".to_owned(), names::quote), wanted.join(" or "));
            issues.problem("apiVersion", format!("is {found}; weir reads {} as {wanted}", key.kind.name()));
        }
        let object = match key.kind {
            Kind::Namespace => workload::namespace(&key, root, &mut issues).map(Object::Namespace),
            Kind::Pod => workload::pod(&key, root, &mut issues).map(Object::Pod),
            Kind::Service => service::service(&key, root, &mut issues).map(Object::Service),
            Kind::EndpointSlice => service::endpoint_slice(&key, root, &mut issues).map(Object::EndpointSlice),
            Kind::CiliumCIDRGroup => cidr::group(&key, root, &mut issues).map(Object::CidrGroup),
            Kind::NetworkPolicy => kubernetes::policy(&key, root, &mut issues).map(Object::Policy),
            Kind::CiliumNetworkPolicy | Kind::CiliumClusterwideNetworkPolicy => {
                policy::policy(&key, root, self.check, self.options, &mut issues).map(Object::Policy)
            }
        };
        let name = key.to_string();
        for (field, reason) in issues.notes {
            self.out.notes.push(self.problem(&name, &field, reason));
        }
        let accepted = object.filter(|_| issues.problems.is_empty());
        for (field, reason) in issues.problems {
            let problem = self.problem(&name, &field, reason);
            self.out.problems.push(problem);
        }
        match accepted {
            Some(object) => self.out.objects.push(Accepted { key, document: self.document, object }),
            None => drop(self.out.rejected.insert(key)),
        }
    }

    fn key(&self, kind: Kind, root: &Node<'_>) -> Result<ObjectKey, (String, String)> {
        let metadata = root.child("metadata").ok_or_else(|| missing("metadata.name"))?;
        let name = metadata.child("name").ok_or_else(|| missing("metadata.name"))?;
        let namespace = match metadata.child("namespace") {
            Some(namespace) if kind.is_namespaced() => object_name(&namespace)?,
            None if kind.is_namespaced() => "default".into(),
            _ => String::new(),
        };
        Ok(ObjectKey { kind, namespace, name: object_name(&name)? })
    }

    fn unreadable(&mut self, reading: Reading, field: &str, reason: String) {
        self.out.reading = self.out.reading.max(reading);
        let problem = self.problem("", field, reason);
        self.out.problems.push(problem);
    }

    fn problem(&self, object: &str, field: &str, reason: String) -> Problem {
        Problem { file: self.file.into(), document: self.document, object: object.into(), field: field.into(), reason }
    }
}

fn missing(field: &str) -> (String, String) {
    (field.into(), "is missing; every Kubernetes object has a name".into())
}

fn object_name(node: &Node<'_>) -> Result<String, (String, String)> {
    let mut issues = Issues::default();
    let Some(text) = node.text(&mut issues) else { return Err(issues.problems.remove(0)) };
    if !names::is_object_name(text) {
        let reason = "is not a Kubernetes name; use lower-case letters, digits, '-' and '.'";
        return Err((node.path().into(), reason.into()));
    }
    Ok(text.into())
}
