//! What an event costs the control plane: from an object to what the kernel and the proxy are told. No privileges, one
//! thread.
//!
//! Timed is [`Engine::apply`] alone, with the object read and the change in hand: no file, no socket, no map is written. The
//! clock is that of the thread's CPU time, which stands still while another process has the CPU.
//!
//! | row | the event |
//! |---|---|
//! | an endpoint comes | the first pod with the policy's subject starts on the node: its rules are gathered, its entries about every identity computed; all selectors and their members are known |
//! | an identity comes | a pod with labels that no other has starts elsewhere, and the endpoint's rules name it |

mod world;

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use weir_control::{
    engine::{Engine, Event, Options as EngineOptions},
    identities::{Floor, IdentityTable},
};
use weir_model::{
    snapshot::Snapshot,
    wanted::{PolicyChange, WantedChange},
};

use self::world::NODE;
use crate::report;

/// The figure published for Cilium's resolution of 1,000 L3 rules for 3,000 identities, in milliseconds, is 2.15.
const RESOLVE_BAR_MS: f64 = 2.0;
const IDENTITY_BAR_MS: f64 = 0.05;
const POD_BAR_MS: f64 = 1.0;
const MEMORY_BAR_MIB: f64 = 300.0;
const ROUNDS: usize = 200;

/// `weir-bench policy`
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder for the figures as JSON.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

#[derive(Debug, Serialize)]
struct Row {
    world: &'static str,
    event: &'static str,
    /// Entries written or removed by one event.
    entries: usize,
    median_us: f64,
    p99_us: f64,
}

/// Runs the bench.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut rows = Vec::new();
    for (world, shares) in [("1,000 selectors of 3 identities", false), ("one selector of 3,000 identities", true)] {
        let mut engine = engine();
        engine.apply(&world::rules(1_000, 3_000, shares));
        let [comes, _] = time(&mut engine, world, ["an endpoint comes", "it goes"], |_| world::endpoint())?;
        report::bar(&format!("1,000 rules, {world}: an endpoint comes"), comes.median_us / 1e3, RESOLVE_BAR_MS, " ms");
        engine.apply(&[world::endpoint()]);
        let pair = time(&mut engine, world, ["an identity comes", "it goes"], |round| world::caller(3_000 + round))?;
        report::bar(
            &format!("1,000 rules, {world}: an identity comes"),
            pair[0].median_us / 1e3,
            IDENTITY_BAR_MS,
            " ms",
        );
        rows.push(comes);
        rows.extend(pair);
    }
    fs::create_dir_all(&options.out).context("create the folder for the figures")?;
    rows.extend(cluster(&options.out)?);
    let cells = rows.iter().map(|row| {
        [
            format!("{}: {}", row.world, row.event),
            row.entries.to_string(),
            format!("{:.1}", row.median_us),
            format!("{:.1}", row.p99_us),
        ]
    });
    report::table(["event", "entries", "median µs", "99 % µs"], &cells.collect::<Vec<_>>());
    println!("written to {}", report::write(&options.out, "policy", &rows)?.display());
    Ok(())
}

/// Names of an event and of the one that takes it back, and the event of a round.
type Kind = ([&'static str; 2], fn(usize) -> Event);

/// 100,000 pods in 20,000 identities, 1,000 policies, 100 endpoints.
fn cluster(out: &Path) -> Result<Vec<Row>> {
    const WORLD: &str = "100,000 pods, 1,000 policies";
    let before = resident()?;
    let objects = world::cluster();
    let with_objects = resident()?;
    let mut engine = engine();
    let begun = Instant::now();
    let first = engine.apply(&objects);
    let took = begun.elapsed();
    let (change, wanted) = first.context("the first event tells nothing")?;
    let mut snapshot = Snapshot::default();
    snapshot.apply(&change);
    let entries = entries(&wanted);
    drop((change, wanted));
    let after = resident()?;
    println!(
        "{WORLD}: {} identities, {} endpoints, {} policies of endpoints with {entries} entries; from nothing in {:.2} s",
        snapshot.identities.len(),
        snapshot.pods.values().filter(|pod| pod.policy.is_some()).count(),
        snapshot.policies.len(),
        took.as_secs_f64(),
    );
    println!(
        "memory: {:.0} MiB of objects, {:.0} MiB of engine and snapshot",
        with_objects - before,
        after - with_objects
    );
    report::bar(&format!("{WORLD}: memory"), after - before, MEMORY_BAR_MIB, " MiB");
    black_box((&objects, &snapshot));
    let state = out.join("policy-identities");
    let begun = Instant::now();
    engine.table().save(&state).context("save the numbers")?;
    println!("{WORLD}: all numbers saved in {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    engine.apply(&[world::pod("saved", 3, 3, 1, "other")]);
    let begun = Instant::now();
    engine.table().save(&state).context("save a number")?;
    println!("{WORLD}: one more identity saved in {:.3} ms", begun.elapsed().as_secs_f64() * 1e3);
    fs::remove_file(&state).context("remove the numbers")?;
    let kinds: [Kind; 4] = [
        (["a pod of a known identity comes", "it goes"], |round| {
            world::pod("new", round % 100, round % 200, 0, "other")
        }),
        (["a pod of a new identity comes", "it goes"], |round| world::pod("new", round % 100, 7, round + 1, "other")),
        (["a pod of this node comes", "it goes"], |round| world::pod("new", round % 100, round % 200, 0, NODE)),
        (["a policy comes", "it goes"], |round| world::policy(round % 100, 0, "extra")),
    ];
    let mut rows = Vec::new();
    for (events, make) in kinds {
        let pair = time(&mut engine, WORLD, events, make)?;
        if events[0].starts_with("a pod") {
            let worst = pair[0].p99_us.max(pair[1].p99_us);
            report::bar(&format!("{WORLD}: {} or goes, 99 %", events[0]), worst / 1e3, POD_BAR_MS, " ms");
        }
        rows.extend(pair);
    }
    Ok(rows)
}

/// Times the coming and the going of objects.
fn time(
    engine: &mut Engine,
    world: &'static str,
    events: [&'static str; 2],
    make: impl Fn(usize) -> Event,
) -> Result<[Row; 2]> {
    let mut samples: [Vec<f64>; 2] = Default::default();
    let mut written = [0; 2];
    for round in 0..ROUNDS {
        let (key, object) = make(round);
        for (at, event) in [(key.clone(), object), (key, None)].into_iter().enumerate() {
            let event = [event];
            let begun = cpu_us();
            let change = engine.apply(&event);
            samples[at].push(cpu_us() - begun);
            let (_, wanted) = change.context("the event changes nothing")?;
            written[at] = entries(&wanted);
        }
    }
    let row = |at: usize, mut samples: Vec<f64>| {
        samples.sort_by(f64::total_cmp);
        let share = |percent: usize| samples.get(samples.len() * percent / 100).copied().unwrap_or_default();
        Row { world, event: events[at], entries: written[at], median_us: share(50), p99_us: share(99) }
    };
    let [first, second] = samples;
    ensure!(first.len() == ROUNDS && second.len() == ROUNDS, "a round is missing");
    Ok([row(0, first), row(1, second)])
}

fn engine() -> Engine {
    Engine::new(EngineOptions { node: Some(NODE.into()) }, IdentityTable::new(Floor::default()))
}

fn entries(wanted: &WantedChange) -> usize {
    let of_policy = |change: &PolicyChange| match change {
        PolicyChange::Set(policy) => policy.entries.len(),
        PolicyChange::Patch { put, remove } => put.len() + remove.len(),
        PolicyChange::Gone => 0,
    };
    wanted.policies.values().map(of_policy).sum()
}

/// What this thread has used of CPUs, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are months")]
fn cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

/// This process's resident memory in MiB.
#[expect(clippy::cast_precision_loss, reason = "mebibytes to print")]
fn resident() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/status").context("read this process's memory")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("find VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("read VmRSS")?;
    Ok(kib as f64 / 1024.0)
}
