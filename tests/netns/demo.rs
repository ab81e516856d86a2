//! `weir demo` as a newcomer runs it: it says what it saw, and leaves nothing, however it ends.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use weir_lab::{runs_as_root, wait_until};

use crate::site::{SOON, WEIR};

/// A demo may take so long on a machine that has much else to do.
const DEMO: Duration = Duration::from_secs(60);

/// A demo that runs, and what it has printed.
struct Demo {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    printed: Vec<String>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(WEIR);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("demo").args(arguments);
        // As a shell does it: what the terminal sends reaches this group only.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("start weir demo");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines, printed: Vec::new() }
    }

    /// Reads what it prints until a line with this text.
    fn prints(&mut self, text: &str) {
        for line in self.lines.by_ref().map_while(Result::ok) {
            let found = line.contains(text);
            self.printed.push(line);
            if found {
                return;
            }
        }
        panic!("it ended without {text:?}: {:#?}", self.printed);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    fn end(mut self) -> (ExitStatus, String, u32) {
        let id = self.child.id();
        self.printed.extend(self.lines.by_ref().map_while(Result::ok));
        let status = wait_until("the demo to end", DEMO, || self.child.try_wait().map_err(|e| e.to_string()));
        (status.expect("it ends"), self.printed.join("\n"), id)
    }
}

/// What is left of the demo with this process id: namespaces, folders, pins, processes.
fn left(id: u32) -> Vec<String> {
    let prefix = format!("weir-demo-{id}-");
    let mut left = Vec::new();
    for folder in ["/run/netns", "/sys/fs/bpf", std::env::temp_dir().to_str().expect("a name")] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let own = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        left.extend(own.map(|entry| entry.path().display().to_string()));
    }
    for process in fs::read_dir("/proc").expect("read /proc").flatten() {
        // weir and nginx have the folder of their demo among their arguments.
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(&prefix) {
            left.push(format!("{} {}", process.path().display(), String::from_utf8_lossy(&arguments)));
        }
    }
    left
}

/// Links, rules and programs of the machine itself, which the demo must not touch.
fn machine() -> Vec<String> {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().expect("run a command");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let links = fs::read_dir("/sys/class/net").expect("links").flatten().map(|e| e.file_name().into_string().unwrap());
    let mut machine: Vec<String> = links.collect();
    machine.sort();
    machine.push(run("ip", &["rule"]));
    machine.push(run("ip", &["-6", "rule"]));
    machine.push(run("bpftool", &["-j", "net"]));
    machine
}

#[test]
fn the_demo_runs_twice_and_after_being_killed() {
    if !runs_as_root() {
        return;
    }
    let before = machine();
    for _ in 0..2 {
        let (status, printed, id) = Demo::start(&[]).end();
        assert!(status.success(), "{status}: {printed}");
        assert!(printed.contains("8 of 8 calls went as the policies say"), "{printed}");
        assert!(printed.contains("PUT /v1/exhaust-port DROPPED by default deny"), "{printed}");
        assert!(printed.contains("POST /v1/request-landing FORWARDED by"), "{printed}");
        assert_eq!(left(id), Vec::<String>::new());
        assert_eq!(machine(), before);
    }
    let mut killed = Demo::start(&[]);
    killed.prints("weir enforces");
    killed.signal(Signal::KILL);
    let (_, _, dead) = killed.end();
    assert!(!left(dead).is_empty(), "it was killed too late for this test");
    let (status, printed, id) = Demo::start(&[]).end();
    assert!(status.success(), "{status}: {printed}");
    assert_eq!(left(id), Vec::<String>::new());
    assert_eq!(left(dead), Vec::<String>::new(), "the next one removes what the dead one left");
    assert_eq!(machine(), before);
}

#[test]
fn an_interrupt_at_any_time_leaves_nothing() {
    if !runs_as_root() {
        return;
    }
    // As early as its folder is there, between the calls, and after them all.
    for (arguments, line) in [(&[][..], None), (&[], Some("weir enforces")), (&["--keep"], Some("status --run-dir"))] {
        for signal in [Signal::INT, Signal::TERM] {
            let mut demo = Demo::start(arguments);
            match line {
                Some(line) => demo.prints(line),
                None => {
                    let begun = || !left(demo.child.id()).is_empty();
                    wait_until("the demo to begin", SOON, begun).expect("it begins");
                }
            }
            demo.signal(signal);
            let (status, printed, id) = demo.end();
            assert!(printed.contains("interrupted; cleaning up"), "{status}: {printed}");
            assert_eq!(status.success(), !arguments.is_empty(), "{status}: {printed}");
            assert_eq!(left(id), Vec::<String>::new());
        }
    }
}

#[test]
fn keep_stays_and_its_hints_work() {
    if !runs_as_root() {
        return;
    }
    let mut demo = Demo::start(&["--keep"]);
    demo.prints("policy.yaml and call again");
    let hints: Vec<String> = demo.printed.iter().map(|line| line.trim().to_owned()).collect();
    let run = |hint: &str| {
        let output = Command::new("sh").args(["-c", hint]).output().expect("run a hint");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let find = |text: &str| hints.iter().rfind(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text}"));
    assert_eq!(
        run(find("-XPOST http://198.18.0.10/v1/request-landing")
            .replace("xwing", "tiefighter")
            .replace("-m 2 ", "")
            .as_str())
        .1,
        "Ship landed\n"
    );
    assert_eq!(run(find("-XPUT http")).1, "Access denied\r\n");
    assert_eq!(run(find("xwing curl")).0, Some(28), "the alliance gets no answer");
    let (status, text) = run(find("status --run-dir"));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("default/deathstar"), "{text}");
    let (status, text) = run(&find("observe --follow").replace("--follow", "--last 3"));
    assert_eq!((status, text.lines().count()), (Some(0), 3), "{text}");
    // "edit …/policy.yaml and call again": allow what was denied.
    let file = find("and call again").trim_start_matches("edit ").trim_end_matches(" and call again").to_owned();
    let edited = fs::read_to_string(&file).expect("the copy is there").replace("method: POST", "method: PUT");
    fs::write(&file, edited.replace("/v1/request-landing", "/v1/exhaust-port")).expect("edit");
    let called = || run(find("-XPUT http")).1.contains("Panic").then_some(());
    wait_until("the edit to be in force", SOON, called).expect("it is in force");
    assert!(Path::new(&file).exists());
    demo.signal(Signal::INT);
    let (status, printed, id) = demo.end();
    assert!(status.success(), "{status}: {printed}");
    assert_eq!(left(id), Vec::<String>::new());
}
