//! An agent is killed and comes back: its policy stays in force without it, and its numbers are the same.

use std::fs;

use weir_control::api::Status;
use weir_lab::{Wiring, runs_as_root, wait_until};

use super::{
    Apart, l7_and_l4, links,
    load::{Hammer, Load},
};
use crate::{
    site::{SOON, Site, policy},
    traffic::{connect, server},
};

fn by_number(status: &Status) -> Vec<(u32, String, u32)> {
    status.endpoints.iter().map(|e| (e.endpoint.0, e.pod.to_string(), e.identity.0)).collect()
}

#[test]
fn an_agent_killed_under_load_costs_no_request_and_comes_back_as_it_was() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let before = apart.site.status().expect("the agent answers");
    let load = Load::start(apart.client.netns(), apart.web.at(false, 80));
    apart.kill_agent();
    load.goes_on();
    apart.site.write("policy.yaml", &l7_and_l4(&["{path: /a}", "{path: /new}"]));
    load.goes_on();
    assert_eq!(apart.status("/new"), 403, "without an agent the old policy is in force");
    apart.site.start_agent();
    apart.site.in_force();
    load.goes_on();
    load.assert_no_failure();
    assert_eq!((apart.status("/new"), apart.status("/b")), (200, 403), "the edit made meanwhile is in force");
    let after = apart.site.status().expect("the agent answers");
    assert_eq!(by_number(&after), by_number(&before), "numbers have changed");
}

#[test]
fn an_agent_that_lost_its_numbers_judges_nobody_wrongly() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let before = by_number(&apart.site.status().expect("the agent answers"));
    let load = Load::start(apart.client.netns(), apart.web.at(false, 80));
    let hammer = Hammer::start(apart.other.netns(), apart.web.at(false, 8080));
    apart.kill_agent();
    fs::remove_file(apart.site.run_dir().join("identities.json")).expect("the state file was there");
    apart.site.start_agent();
    apart.site.in_force();
    load.goes_on();
    hammer.goes_on();
    load.assert_no_failure();
    hammer.assert_never_connected();
    let after = by_number(&apart.site.status().expect("the agent answers"));
    let highest = |of: fn(&(u32, String, u32)) -> u32| before.iter().map(of).max().unwrap_or(0);
    assert!(after.iter().all(|(endpoint, ..)| *endpoint > highest(|e| e.0)), "{after:?} after {before:?}");
    assert!(after.iter().all(|(.., identity)| *identity > highest(|e| e.2)), "{after:?} after {before:?}");
    apart.assert_l4();
}

#[test]
fn agent_restarts_open_no_gap() {
    if !runs_as_root() {
        return;
    }
    let mut apart = Apart::new();
    let before = links(&apart.site.lab);
    let of_pods = before.iter().filter(|(pin, _)| pin.contains("-lxc-")).count();
    assert_eq!(of_pods, 6, "one link per pod and direction: {before:?}");
    let hammers = [80, 8080].map(|port| Hammer::start(apart.other.netns(), apart.web.at(false, port)));
    let load = Load::start(apart.client.netns(), apart.web.at(false, 80));
    for round in 0..5 {
        apart.kill_agent();
        apart.site.start_agent();
        apart.site.in_force();
        assert_eq!(links(&apart.site.lab), before, "links were not taken over in round {round}");
        hammers.iter().for_each(Hammer::goes_on);
    }
    hammers.into_iter().for_each(Hammer::assert_never_connected);
    load.assert_no_failure();
}

#[test]
fn numbers_that_cannot_be_saved_are_reported_and_saved_later() {
    if !runs_as_root() {
        return;
    }
    let (site, client, web) =
        Site::pair(&policy("web", "  endpointSelector:\n    matchLabels:\n      app: web\n  ingress:\n    - {}\n"));
    let _seen = server(web.netns(), web.at(false, 80));
    assert!(connect(client.netns(), web.at(false, 80)).is_err(), "nothing is allowed yet");
    // The file is written anew and renamed into place; where a directory is, none can go.
    let state = site.run_dir().join("identities.json");
    fs::remove_file(&state).expect("it was there");
    fs::create_dir(&state).expect("in its way");
    site.pod("late", 12, Wiring::Routed);
    let problem = || {
        let problems = site.status()?.problems;
        problems.iter().any(|problem| problem.contains("identities.json")).then_some(())
    };
    wait_until("the problem to be reported", SOON, problem).expect("it is reported");
    assert!(site.agent.as_ref().expect("weir runs").exit_status().is_none(), "it gave up");
    assert!(connect(client.netns(), web.at(false, 80)).is_err(), "the last good policy is in force");
    let known = site.status().expect("it answers").endpoints.len();
    assert_eq!(known, 3, "the new pod is known");
    fs::remove_dir(&state).expect("out of the way");
    site.in_force();
    assert!(state.is_file(), "they are saved");
}
