//! Clients and servers that people use, through weir.

use std::{fs, net::TcpStream, process::Command};

use weir_lab::{Process, Wiring, in_netns, runs_as_root, wait_until};

use crate::site::{Member, SOON, Site, http_ingress};

/// A body that no buffer holds.
const LARGE: u64 = 1 << 30;
/// What weir may grow by while it passes.
const GROWTH: u64 = 16 << 20;

const NGINX: &str = "worker_processes 1; daemon off; pid @dir@/nginx.pid; error_log stderr; user root;
events {}
http {
  access_log off; client_body_temp_path @dir@/body; keepalive_requests 100000;
  server {
    listen @at@; root @dir@; client_max_body_size 0; chunked_transfer_encoding on;
    location /ok/put { dav_methods PUT; }
    location = /ok/hello { return 200 \"hello\\n\"; }
  }
}
";

/// Starts nginx in the pod, with `/ok/hello`, `/ok/large` and PUT below `/ok/put`.
fn nginx(site: &Site, web: &Member) -> Process {
    let dir = site.lab.dir();
    fs::create_dir_all(dir.join("ok/put")).expect("make the folder");
    let large = fs::File::create(dir.join("ok/large")).expect("create the file");
    large.set_len(LARGE).expect("make it large, of zeros");
    let at = web.at(false, 80);
    let text = NGINX.replace("@dir@", &dir.display().to_string()).replace("@at@", &at.to_string());
    let file = dir.join("nginx.conf");
    fs::write(&file, text).expect("write the configuration");
    let mut command = web.netns().command("nginx");
    command.arg("-c").arg(&file).arg("-e").arg("stderr");
    let process = site.lab.spawn("nginx", command).expect("start nginx");
    let listens = || in_netns(web.netns(), || TcpStream::connect(at).is_ok());
    process.wait_until("nginx to listen", SOON, listens).expect("nginx starts");
    process
}

/// What a program prints in the client's pod; it must succeed.
fn output(mut command: Command) -> String {
    let output = command.output().expect("run the program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text
}

fn resident(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("read its status");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("RssAnon");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[test]
fn programs_that_people_use_work_through_weir() {
    if !runs_as_root() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client", 11, Wiring::Routed);
    let web = site.pod("web", 10, Wiring::Routed);
    site.write("policy.yaml", &http_ingress("web", "client", &["{path: \"/ok/.*\"}"]));
    let _nginx = nginx(&site, &web);
    site.run();
    let base = format!("http://{}", web.at(false, 80));
    let curl = |arguments: &[&str]| {
        let mut command = client.netns().command("curl");
        // A stall is an error; slowness is not, on a machine that has much else to do.
        command.args(["-sS", "--connect-timeout", "10", "--speed-limit", "1", "--speed-time", "30"]).args(arguments);
        command
    };
    let hello = format!("{base}/ok/hello");
    let denied = format!("{base}/no");
    let codes = "%{http_code} %{num_connects}\\n";
    wait_until("nginx to answer", SOON, || curl(&["-f", &hello]).output().is_ok_and(|o| o.status.success()))
        .expect("nginx answers");

    // Keep-alive over a denial, which is not nginx's; HTTP/1.0 with and without it.
    let text =
        output(curl(&["-o", "/dev/null", "-w", codes, &hello, "-o", "/dev/null", &denied, "-o", "/dev/null", &hello]));
    assert_eq!(text, "200 1\n403 0\n200 0\n");
    assert_eq!(output(curl(&["--http1.0", &hello])), "hello\n");
    assert_eq!(
        output(curl(&["--http1.0", "-H", "connection: keep-alive", &hello, &denied])),
        "hello\nAccess denied\r\n"
    );

    // A chunked upload of unknown length, with `Expect`; what nginx has stored is what was sent.
    let sent = site.lab.dir().join("sent");
    fs::write(&sent, (0..3_000_000_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>()).expect("write the file");
    let put = format!("{base}/ok/put/stored");
    let mut upload = curl(&["-f", "-H", "expect: 100-continue", "-T", "-", &put]);
    upload.stdin(fs::File::open(&sent).expect("open the file"));
    output(upload);
    let stored = fs::read(site.lab.dir().join("ok/put/stored")).expect("nginx has stored it");
    assert!(stored == fs::read(&sent).expect("read the file"), "{} bytes were stored", stored.len());

    // Other clients, with their own keep-alive.
    let python = format!(
        "import http.client\nc = http.client.HTTPConnection('{}', 80)\nfor p in ['/ok/hello', '/no', '/ok/hello'] * 20:\n  \
         c.request('GET', p)\n  r = c.getresponse()\n  b = r.read()\n  assert (r.status, b) == ((200, b'hello\\n') if \
         p != '/no' else (403, b'Access denied\\r\\n')), (p, r.status, b)\nprint('fine')\n",
        web.v4
    );
    let mut command = client.netns().command("python3");
    command.args(["-c", &python]);
    assert_eq!(output(command), "fine\n");

    // A gibibyte, and no more memory for it.
    let weir = site.agent.as_ref().expect("weir runs");
    let before = resident(weir);
    let large = format!("{base}/ok/large");
    let text = output(curl(&["-o", "/dev/null", "--limit-rate", "1G", "-w", "%{size_download}", &large]));
    assert_eq!(text, LARGE.to_string());
    let after = resident(weir);
    assert!(after < before + GROWTH, "weir grew from {before} to {after} bytes");
}
