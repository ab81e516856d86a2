//! The demo's stage: namespaces, server, weir.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use weir_control::{
    api::{Answers, Request, Status, ask},
    hubble::Filter,
    manifests::{Object, ReadOptions, is_manifest, parse},
};
use weir_lab::{Lab, Netns, Pod, PodSpec, Process, Wiring};

const READY: Duration = Duration::from_secs(20);

/// Who serves.
pub const SERVER: &str = "deathstar";

/// Everything that runs while the demo does. Removed when it is dropped.
pub struct Stage {
    weir: Process,
    _server: Process,
    pods: BTreeMap<String, Pod>,
    manifests: PathBuf,
    lab: Lab,
}

impl Stage {
    /// Builds the pods that the manifests name, starts the web server and weir, and waits until the policies are in
    /// force.
    pub async fn build(manifests: &Path) -> anyhow::Result<Self> {
        let lab = Lab::demo()?;
        let copy = lab.dir().join("manifests");
        fs::create_dir(&copy)?;
        let mut pods = BTreeMap::new();
        let entries = fs::read_dir(manifests).with_context(|| format!("read {}", manifests.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_manifest(&name) {
                let contents = fs::read(&path)?;
                fs::write(copy.join(&name), &contents)?;
                pods.extend(build_pods(&lab, &name, &contents)?);
            }
        }
        let server = pods.get(SERVER).with_context(|| format!("no pod {SERVER} in {}", manifests.display()))?;
        let server = start_server(&lab, &server.netns)?;
        let mut command = lab.node().command(std::env::current_exe()?);
        command.args(["--log", "warn", "run", "--node", "demo", "--manifests"]).arg(&copy);
        command.arg("--run-dir").arg(run_dir(&lab)).arg("--bpf-dir").arg(lab.bpf_dir());
        let weir = lab.spawn("weir", command)?;
        let stage = Self { weir, _server: server, pods, manifests: copy, lab };
        stage.wait_until_ready().await?;
        Ok(stage)
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let ready = async {
            loop {
                if let Ok(mut answers) = ask(&self.socket(), &Request::Status).await {
                    let status: Status = answers.value().await?;
                    ensure!(status.rejected.is_empty(), "rejected: {}", status.rejected[0]);
                    if status.kernel_revision > 0 && status.proxy_revision == Some(status.revision) {
                        return Ok(());
                    }
                }
                if let Some(status) = self.weir.exit_status() {
                    bail!("weir ended at once with {status}:\n{}", self.weir.log());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ready = tokio::time::timeout(READY, ready).await;
        ready.with_context(|| format!("weir is not ready after {READY:?}:\n{}", self.weir.log()))?
    }

    /// The namespace of a pod.
    pub fn netns(&self, pod: &str) -> anyhow::Result<&Netns> {
        Ok(&self.pods.get(pod).with_context(|| format!("no pod {pod}"))?.netns)
    }

    /// The address of a pod.
    pub fn address(&self, pod: &str, v6: bool) -> anyhow::Result<IpAddr> {
        let pod = self.pods.get(pod).with_context(|| format!("no pod {pod}"))?;
        let address = if v6 { pod.v6.map(IpAddr::V6) } else { pod.v4.map(IpAddr::V4) };
        address.context("the pod has no address of that family")
    }

    /// The records from now on.
    pub async fn follow(&self) -> anyhow::Result<Answers> {
        // By time, since the agent may take the question only after the next call.
        let since_ns = u64::try_from(Timestamp::now().as_nanosecond()).ok();
        let filter = Filter { follow: true, since_ns, ..Filter::default() };
        Ok(ask(&self.socket(), &Request::Observe(Box::new(filter))).await?)
    }

    fn socket(&self) -> PathBuf {
        run_dir(&self.lab).join("agent.sock")
    }

    /// What was built, for the reader.
    pub fn describe(&self) -> String {
        let pods: Vec<&str> = self.pods.keys().map(String::as_str).collect();
        format!(
            "node {} with pods {}; weir enforces {}",
            self.lab.node().name(),
            pods.join(", "),
            self.manifests.display()
        )
    }

    /// Commands to try.
    pub fn hints(&self) -> String {
        let exe = std::env::current_exe().map_or_else(|_| "weir".into(), |exe| exe.display().to_string());
        let (run_dir, prefix) = (run_dir(&self.lab).display().to_string(), self.lab.prefix());
        format!(
            "\nIt goes on until Ctrl-C. In another terminal:\n\
             \n  ip netns exec {prefix}-tiefighter curl -s -XPOST http://198.18.0.10/v1/request-landing\
             \n  ip netns exec {prefix}-tiefighter curl -s -XPUT http://198.18.0.10/v1/exhaust-port\
             \n  ip netns exec {prefix}-xwing curl -s -m 2 -XPOST http://198.18.0.10/v1/request-landing\
             \n  {exe} observe --follow --run-dir {run_dir}\
             \n  {exe} status --run-dir {run_dir}\
             \n  edit {}/policy.yaml and call again",
            self.manifests.display()
        )
    }

    /// Ends weir as an operator would, and makes sure that it leaves nothing in the kernel.
    pub fn end(self) -> anyhow::Result<()> {
        let status = self.weir.stop();
        ensure!(status.success(), "weir ended with {status}:\n{}", self.weir.log());
        ensure!(!self.lab.bpf_dir().exists(), "weir left pins in {}", self.lab.bpf_dir().display());
        let output = self.lab.node().command("ip").args(["rule", "show", "fwmark", "0x1000/0x3000"]).output()?;
        ensure!(output.stdout.is_empty(), "weir left the rule {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }
}

fn run_dir(lab: &Lab) -> PathBuf {
    lab.dir().join("run")
}

fn build_pods(lab: &Lab, file: &str, contents: &[u8]) -> anyhow::Result<BTreeMap<String, Pod>> {
    // Rules are weir's business; the stage wants the pods.
    let parsed = parse(file, contents, ReadOptions::default(), &|_| Ok(()));
    if let Some(problem) = parsed.problems.first() {
        bail!("{problem}");
    }
    let mut pods = BTreeMap::new();
    for accepted in parsed.objects {
        let Object::Pod(pod) = accepted.object else { continue };
        let v4 = pod.addresses.iter().find_map(|ip| if let IpAddr::V4(v4) = ip { Some(*v4) } else { None });
        let v6 = pod.addresses.iter().find_map(|ip| if let IpAddr::V6(v6) = ip { Some(*v6) } else { None });
        let name = pod.name.name;
        pods.insert(name.clone(), lab.pod(PodSpec { name: &name, v4, v6, wiring: Wiring::Routed })?);
    }
    Ok(pods)
}

/// nginx, in the foreground, with everything in the lab's folder.
fn start_server(lab: &Lab, netns: &Netns) -> anyhow::Result<Process> {
    let dir = lab.dir().join("nginx");
    fs::create_dir(&dir)?;
    let config = dir.join("nginx.conf");
    fs::write(&config, include_str!("nginx.conf"))?;
    let mut command = netns.command("nginx");
    command.arg("-p").arg(&dir).arg("-c").arg(&config).args(["-e", "stderr"]);
    let server = lab.spawn("nginx", command).context("start nginx; scripts/setup installs it")?;
    server.wait_until("nginx to listen", READY, || {
        netns.command("curl").args(["-s", "-o", "/dev/null", "http://127.0.0.1/"]).status().is_ok_and(|s| s.success())
    })?;
    Ok(server)
}
