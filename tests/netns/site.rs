//! A node with pods and a weir on it, for one test.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use weir_control::api::Status;
use weir_lab::{Lab, Netns, Pod, PodSpec, Process, Wiring, wait_until};

/// How long anything may take that is expected to happen at once.
pub const SOON: Duration = Duration::from_secs(10);
/// How long a test waits for what must not happen.
pub const NEVER: Duration = Duration::from_millis(700);

/// The binary under test.
pub const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A node with weir.
pub struct Site {
    /// The agent, or agent and proxy in one.
    pub agent: Option<Process>,
    /// The proxy, if it is a process of its own.
    pub proxy: Option<Process>,
    manifests: PathBuf,
    /// The namespaces. Declared last, so that it goes last.
    pub lab: Lab,
}

/// A pod and how it is called in the manifests: its label is `app: <name>`.
pub struct Member {
    /// Its namespaces and addresses.
    pub pod: Pod,
    /// Its IPv4 address.
    pub v4: IpAddr,
    /// Its IPv6 address.
    pub v6: IpAddr,
}

impl Member {
    /// The pod's namespace.
    pub fn netns(&self) -> &Netns {
        &self.pod.netns
    }

    /// Its address of a family with a port.
    pub fn at(&self, v6: bool, port: u16) -> SocketAddr {
        SocketAddr::new(if v6 { self.v6 } else { self.v4 }, port)
    }
}

impl Site {
    /// A node without pods and without weir.
    pub fn new() -> Self {
        let lab = Lab::unique().expect("build the lab");
        let manifests = lab.dir().join("manifests");
        fs::create_dir(&manifests).expect("create the manifests directory");
        Self { agent: None, proxy: None, manifests, lab }
    }

    /// A node with the pods `client` and `web`, and with weir, this policy in force.
    pub fn pair(policy: &str) -> (Self, Member, Member) {
        let mut site = Self::new();
        let client = site.pod("client", 11, Wiring::Routed);
        let web = site.pod("web", 10, Wiring::Routed);
        site.write("policy.yaml", policy);
        site.run();
        (site, client, web)
    }

    /// Adds a pod with label `app: <name>` and the addresses 198.18.0.`number` and 2001:db8::`number`, and its manifest.
    pub fn pod(&self, name: &str, number: u8, wiring: Wiring<'_>) -> Member {
        let v4 = Ipv4Addr::new(198, 18, 0, number);
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number));
        let pod = self.lab.pod(PodSpec { name, v4: Some(v4), v6: Some(v6), wiring }).expect("build the pod");
        self.write(&format!("pod-{name}.yaml"), &pod_manifest(name, &[v4.into(), v6.into()]));
        Member { pod, v4: v4.into(), v6: v6.into() }
    }

    /// Writes a file into the manifests directory.
    pub fn write(&self, file: &str, contents: &str) {
        fs::write(self.manifests.join(file), contents).expect("write a manifest");
    }

    /// Removes a file of the manifests directory.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.manifests.join(file)).expect("remove a manifest");
    }

    /// As [`Self::remove`], if it is there.
    pub fn try_remove(&self, file: &str) {
        let _ = fs::remove_file(self.manifests.join(file));
    }

    /// Gives a file of the manifests directory another name, which may be another file's until now.
    pub fn rename(&self, file: &str, to: &str) {
        fs::rename(self.manifests.join(file), self.manifests.join(to)).expect("rename a manifest");
    }

    /// The directory with weir's sockets.
    pub fn run_dir(&self) -> PathBuf {
        self.lab.dir().join("run")
    }

    /// A weir command on the node, with this site's directories.
    pub fn weir(&self, command: &str) -> Command {
        let mut weir = self.lab.node().command(WEIR);
        weir.args(["--log", "weir=debug,info", command]);
        weir.arg("--run-dir").arg(self.run_dir()).arg("--bpf-dir").arg(self.lab.bpf_dir());
        weir
    }

    /// Starts `weir run`, and waits until the manifests are in force.
    pub fn run(&mut self) {
        self.run_with(&[]);
    }

    /// As [`Self::run`], with more arguments.
    pub fn run_with(&mut self, arguments: &[&str]) {
        let mut command = self.weir("run");
        command.arg("--manifests").arg(&self.manifests).args(["--workers", "2", "--drain", "2", "--node", "n1"]);
        command.args(arguments);
        self.agent = Some(self.lab.spawn("weir", command).expect("start weir"));
        self.in_force();
    }

    /// Starts `weir agent`.
    pub fn start_agent(&mut self) {
        let mut command = self.weir("agent");
        command.arg("--manifests").arg(&self.manifests).args(["--node", "n1"]);
        self.agent = Some(self.lab.spawn("agent", command).expect("start the agent"));
    }

    /// Starts `weir proxy`.
    pub fn start_proxy(&mut self) {
        let mut command = self.weir("proxy");
        command.args(["--workers", "2", "--drain", "2"]);
        self.proxy = Some(self.lab.spawn("proxy", command).expect("start the proxy"));
    }

    /// Waits until kernel and proxy are at the agent's newest revision, and nothing is a problem.
    pub fn in_force(&self) {
        let in_force = || {
            let status = self.status()?;
            let settled = status.kernel_revision > 0
                && status.kernel_revision == status.revision
                && status.proxy_revision == Some(status.revision);
            (settled && status.problems.is_empty()).then_some(status)
        };
        let waited = wait_until("the manifests to be in force", SOON, in_force);
        if waited.is_err() {
            let log = |process: &Option<Process>| process.as_ref().map(Process::log).unwrap_or_default();
            panic!("not in force: {:#?}\nagent: {}\nproxy: {}", self.status(), log(&self.agent), log(&self.proxy));
        }
    }

    /// Writes a file, and waits until the new revision is in force.
    pub fn apply(&self, file: &str, contents: &str) {
        let before = self.status().map_or(0, |status| status.revision);
        self.write(file, contents);
        let renewed = || self.status().is_some_and(|status| status.revision > before);
        wait_until("the edit to be resolved", SOON, renewed).expect("the edit has an effect");
        self.in_force();
    }

    /// What `weir status -o json` says; `None` if no agent answers.
    pub fn status(&self) -> Option<Status> {
        let output = self.weir("status").args(["-o", "json"]).output().expect("run weir status");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The records so far, as `weir observe -o json` prints them; `args` filter.
    pub fn flows(&self, args: &[&str]) -> Vec<serde_json::Value> {
        let output = self.weir("observe").args(["-o", "json"]).args(args).output().expect("run weir observe");
        let text = String::from_utf8(output.stdout).expect("observe prints UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("observe prints JSON")).collect()
    }

    /// As [`Self::flows`], once there are so many or more: the kernel's come a moment after the packet.
    pub fn recorded(&self, number: usize, args: &[&str]) -> Vec<serde_json::Value> {
        let records = || Some(self.flows(args)).filter(|flows| flows.len() >= number);
        let waited = wait_until("the records", SOON, records);
        waited.unwrap_or_else(|_| panic!("not {number} records for {args:?}: {:#?}", self.flows(args)))
    }
}

/// A Pod with label `app: <name>`.
pub fn pod_manifest(name: &str, addresses: &[IpAddr]) -> String {
    let ips: String = addresses.iter().map(|ip| format!("    - ip: \"{ip}\"\n")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: default\n  labels:\n    app: {name}\n\
         status:\n  phase: Running\n  podIPs:\n{ips}"
    )
}

/// A CiliumNetworkPolicy of this name with this `spec`, which is YAML indented by two spaces.
pub fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata:\n  name: {name}\n  namespace: default\nspec:\n{spec}"
    )
}

/// Ingress of `app: <subject>` on TCP port 80 from `app: <peer>`, with these HTTP rules (`{}` or more, one per element).
pub fn http_ingress(subject: &str, peer: &str, rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("              - {rule}\n")).collect();
    let spec = format!(
        "  endpointSelector:\n    matchLabels:\n      app: {subject}\n  ingress:\n    - fromEndpoints:\n        \
         - matchLabels:\n            app: {peer}\n      toPorts:\n        - ports:\n            - port: \"80\"\n              \
         protocol: TCP\n          rules:\n            http:\n{rules}"
    );
    policy("http-ingress", &spec)
}

/// Ingress of `app: <subject>` on TCP port 80 from `app: <peer>`, plain L4.
pub fn l4_ingress(subject: &str, peer: &str) -> String {
    let spec = format!(
        "  endpointSelector:\n    matchLabels:\n      app: {subject}\n  ingress:\n    - fromEndpoints:\n        \
         - matchLabels:\n            app: {peer}\n      toPorts:\n        - ports:\n            - port: \"80\"\n              \
         protocol: TCP\n"
    );
    policy("l4-ingress", &spec)
}
