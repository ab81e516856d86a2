//! h2spec, the conformance suite for HTTP/2 servers: no case fails through weir that passes without.

use std::{collections::BTreeMap, fs};

use crate::{
    peers::{Server, built, ready, with},
    stage::Stage,
};

/// All cases, strict ones included.
const CASES: usize = 146;
/// Seconds that a case waits for what it expects. All is on one machine.
const PATIENCE: &str = "1";

/// Case (section and number in it, and its words) → why it failed, if it did.
type Report = BTreeMap<String, Option<String>>;

#[test]
fn no_case_fails_through_weir_that_passes_without() {
    if !ready() {
        return;
    }
    let mut stage = Stage::new();
    let (_haproxy, address) = stage.server(Server::Haproxy, &["{}"]);
    let without = run(&stage, &address, "without");
    stage.run_weir();
    let through = run(&stage, &address, "through");

    println!("{:<10} {:>8} {:>8} {:>8}", "h2spec", "cases", "passed", "failed");
    for (name, report) in [("without", &without), ("through", &through)] {
        let failed = report.values().flatten().count();
        println!("{name:<10} {:>8} {:>8} {failed:>8}", report.len(), report.len() - failed);
    }
    assert_eq!((without.len(), through.len()), (CASES, CASES), "h2spec did not run all its cases");
    let passes = |case: &String| without[case].is_none();
    let regressions: Vec<String> = through
        .iter()
        .filter_map(|(case, failure)| failure.as_ref().filter(|_| passes(case)).map(|why| format!("{case}: {why}")))
        .collect();
    assert!(regressions.is_empty(), "{} cases fail through weir only:\n{}", regressions.len(), regressions.join("\n"));
    assert!(!stage.records(1, &[]).is_empty(), "the requests did not go through weir");
}

fn run(stage: &Stage, address: &str, name: &str) -> Report {
    let file = stage.dir().join(format!("h2spec-{name}.xml"));
    let arguments = ["-S", "-o", PATIENCE, "-h", address, "-p", "80", "-j"];
    let mut h2spec = with(stage.client.netns().command(built("go/h2spec")), arguments.map(Into::into));
    h2spec.arg(&file);
    let ran = stage.run("h2spec", h2spec);
    let xml = fs::read_to_string(&file).unwrap_or_else(|error| panic!("no report: {error}\n{}", ran.printed));
    report(&xml)
}

/// Reads the JUnit report of h2spec, which has one line per case (and the lines of its failure).
fn report(xml: &str) -> Report {
    let attribute = |text: &str, name: &str| {
        let (_, rest) = text.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {text}"));
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut report = Report::new();
    for case in xml.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or_default();
        let section = attribute(case, "package");
        let number = numbers.entry(section.clone()).or_default();
        *number += 1;
        let name = format!("{section}/{number} {}", attribute(case, "classname"));
        let failure = case.split_once('>').map(|(_, inner)| inner.trim()).filter(|inner| !inner.is_empty());
        report.insert(name, failure.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    report
}
