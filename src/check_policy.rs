//! `weir policy check`: what the policies in files say of one call.

use std::{fs, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use weir_control::{
    manifests,
    reference::{self, Answer, Because, Judgement, Party, Question, Verdict, World},
    store::Store,
};
use weir_filters::http::{PeerRules, PortRules, RequestHead, parts::with_request, rule};
use weir_model::{
    endpoint::PodName,
    flow::HttpVersion,
    labels::{LabelKey, LabelSet, NAMESPACE_LABEL_PREFIX, POD_NAMESPACE, SOURCE_K8S},
    policy::{HttpRule, Mode, PolicyKind, PolicyName, PortRange},
    resolved::{Direction, DirectionPolicy, L4Rule, Peers, RuleId, RuleOrigin},
};

use crate::{
    agent::rule_check,
    cli::{
        StatusFormat,
        explain::{CheckOptions, RequestLine, Who},
    },
};

/// Prints the verdict of both sides and the rules behind it; ends with 1 if the call would be denied.
pub fn check(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let mut store = Store::new(Arc::new(rule_check));
    for file in &options.files {
        read(&mut store, file)?;
    }
    for problem in store.problems() {
        eprintln!("rejected: {problem}");
    }
    let mut world = World::of(store.objects().map(|(_, stored)| &*stored.object));
    let from = party(&mut world, &store, &options.from, "--from")?;
    let to = party(&mut world, &store, &options.to, "--to")?;
    let answer = match &options.http {
        None => reference::evaluate(&world, question(&from, &to, options)),
        Some(line) => with_head(line, options, |head| {
            let lacking = |rule: &HttpRule| lacking(rule, head);
            reference::evaluate(&world, Question { request: Some(&lacking), ..question(&from, &to, options) })
        })?,
    };
    match options.output {
        StatusFormat::Text => print(&answer),
        StatusFormat::Json => println!("{}", serde_json::to_string_pretty(&to_json(&answer))?),
    }
    let passes = answer.enforced() <= Verdict::Redirect;
    Ok(if passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(store: &mut Store, path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(|| format!("read {}", path.display()))?;
        let mut files: Vec<_> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.sort();
        return files.iter().filter(|file| file.is_file()).try_for_each(|file| read(store, file));
    }
    let name = path.to_string_lossy();
    if !manifests::is_manifest(&path.file_name().unwrap_or_default().to_string_lossy()) {
        bail!("{name} is no manifest; its name must end in .yaml, .yml or .json");
    }
    let contents = fs::read(path).with_context(|| format!("read {name}"))?;
    store.apply_file(&name, &contents);
    Ok(())
}

fn question<'a>(from: &'a Party, to: &'a Party, options: &CheckOptions) -> Question<'a> {
    Question { from, to, protocol: options.dport.protocol, port: options.dport.port, request: None }
}

/// The party that an argument names. Labels make a pod that is added to the world.
fn party(world: &mut World, store: &Store, who: &Who, argument: &str) -> anyhow::Result<Party> {
    Ok(match who {
        Who::Host => Party::Host,
        Who::Address(address) => Party::Address(*address),
        Who::Pod(name) if world.pods.iter().any(|pod| pod.name == *name) => Party::Pod(name.clone()),
        Who::Pod(name) => {
            bail!("{argument} {name}: the files hold no such pod with an address; name its labels instead")
        }
        Who::Labels(labels) => {
            let (labels, addresses, ports) = (complete(labels, store), Vec::new(), Vec::new());
            let namespace = labels.get(SOURCE_K8S, POD_NAMESPACE).unwrap_or_default().to_owned();
            // No pod's name can be this.
            let name = PodName { namespace, name: format!("({argument})") };
            world.pods.push(reference::Pod { name: name.clone(), labels, addresses, ports });
            Party::Pod(name)
        }
    })
}

/// The labels, with a namespace and what the namespace adds.
fn complete(labels: &LabelSet, store: &Store) -> LabelSet {
    let mut labels = labels.clone();
    if labels.get(SOURCE_K8S, POD_NAMESPACE).is_none() {
        labels.insert(LabelKey::k8s(POD_NAMESPACE), "default");
    }
    let namespace = labels.get(SOURCE_K8S, POD_NAMESPACE).unwrap_or_default().to_owned();
    for (_, stored) in store.objects() {
        if let manifests::Object::Namespace(known) = &*stored.object
            && known.name == namespace
        {
            for (key, value) in &known.labels {
                labels.insert(LabelKey::k8s(format!("{NAMESPACE_LABEL_PREFIX}{key}")), value);
            }
        }
    }
    labels
}

fn with_head<T>(
    line: &RequestLine,
    options: &CheckOptions,
    use_it: impl FnOnce(&RequestHead<'_>) -> T,
) -> anyhow::Result<T> {
    let mut lines = vec![("host", options.host.as_bytes())];
    for header in &options.header {
        let (name, value) = header.split_once(':').with_context(|| format!("--header {header}: write name: value"))?;
        lines.push((name.trim(), value.trim().as_bytes()));
    }
    with_request(HttpVersion::Http11, &line.method, &line.path, lines.into_iter(), use_it)
        .with_context(|| format!("--http {} {}: weir would refuse this request", line.method, line.path))
}

/// The fields of a rule that a request does not meet, each tried alone by the matcher that the proxy uses.
fn lacking(rule: &HttpRule, head: &RequestHead<'_>) -> Vec<&'static str> {
    let only = HttpRule::default;
    let parts = [
        ("method", HttpRule { method: rule.method.clone(), ..only() }),
        ("path", HttpRule { path: rule.path.clone(), ..only() }),
        ("host", HttpRule { host: rule.host.clone(), ..only() }),
        ("headers", HttpRule { headers: rule.headers.clone(), ..only() }),
        ("headerMatches", HttpRule { header_matches: rule.header_matches.clone(), ..only() }),
    ];
    parts.into_iter().filter(|(_, part)| !matches(part, head)).map(|(field, _)| field).collect()
}

fn matches(rule: &HttpRule, head: &RequestHead<'_>) -> bool {
    let policy = PolicyName { kind: PolicyKind::CiliumNetworkPolicy, namespace: String::new(), name: String::new() };
    let origin = RuleOrigin {
        policy: Arc::new(policy),
        rule: 0,
        direction: Direction::Ingress,
        deny: false,
        entry: 0,
        port: None,
    };
    let rule = L4Rule {
        peers: Peers::Any,
        protocol: None,
        ports: PortRange::ALL,
        deny: false,
        mode: Mode::Enforce,
        http: Some(Arc::new(vec![rule.clone()])),
        id: RuleId(0),
        log: None,
        origin,
    };
    let policy = DirectionPolicy { default_deny: true, audit_default_deny: true, rules: vec![rule] };
    // A rule that does not compile was rejected before; if it were not, it would match nothing.
    PortRules::compile(&policy, 80).is_ok_and(|rules| {
        let rules = PeerRules::new(&Arc::new(rules), Arc::default());
        matches!(rules.judge(head), rule::Judgement::Allow(..))
    })
}

fn print(answer: &Answer) {
    for side in &answer.sides {
        println!("{} of {}: {}: {}", side.direction, side.pod, side.enforced.verdict, side.enforced.because);
        if side.audited != side.enforced {
            println!("  with the audited policies: {}: {}", side.audited.verdict, side.audited.because);
        }
        for origin in &side.observed {
            println!("  shown to the proxy by {origin}");
        }
    }
    if answer.sides.is_empty() {
        println!("neither end is a pod: no policy speaks of this call");
    }
    println!("verdict: {}", answer.enforced());
    if answer.audited() != answer.enforced() {
        println!("with the audited policies: {}", answer.audited());
    }
}

fn to_json(answer: &Answer) -> Value {
    let judgement = |judgement: &Judgement| {
        let because = match &judgement.because {
            Because::Host => json!({"host": true}),
            Because::NoPolicy => json!({"noPolicy": true}),
            Because::Rules(rules) => json!({"rules": rules.iter().map(ToString::to_string).collect::<Vec<_>>()}),
            Because::NoRule(None) => json!({"nearest": null}),
            Because::NoRule(Some(nearest)) => {
                let wants: serde_json::Map<_, _> =
                    nearest.differences.iter().map(|d| (d.field.to_owned(), d.wanted.clone().into())).collect();
                json!({"nearest": {"rule": nearest.rule.to_string(), "wants": wants}})
            }
        };
        json!({"verdict": word(judgement.verdict), "because": because})
    };
    let sides: Vec<Value> = answer
        .sides
        .iter()
        .map(|side| {
            json!({
                "pod": side.pod.to_string(),
                "direction": side.direction.to_string(),
                "enforced": judgement(&side.enforced),
                "audited": judgement(&side.audited),
                "observedBy": side.observed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({"verdict": word(answer.enforced()), "audited": word(answer.audited()), "sides": sides})
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Redirect => "redirect",
        Verdict::DenyRequest => "denyRequest",
        Verdict::Deny => "deny",
    }
}
