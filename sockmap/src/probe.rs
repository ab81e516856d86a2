//! Whether this kernel and this process can do what weir needs: asked at start-up, one line per finding.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

/// One thing that weir needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub feature: String,
    /// What for.
    pub need: String,
    /// Whether it is there.
    pub present: bool,
    /// What happens without it, or what to do.
    pub otherwise: String,
}

/// Capabilities by bit (`linux/capability.h`).
const CAPABILITIES: [(u32, &str, &str); 4] = [
    (12, "CAP_NET_ADMIN", "attach programs, transparent sockets, the routing rule"),
    (21, "CAP_SYS_ADMIN", "mount the BPF file system, look at pods' network namespaces"),
    (38, "CAP_PERFMON", "programs that read packets"),
    (39, "CAP_BPF", "load programs and maps"),
];

/// Looks at everything.
pub fn probe() -> Vec<Check> {
    let mut checks = vec![kernel_version()];
    checks.extend(capabilities());
    checks.push(Check {
        feature: "BTF".into(),
        need: "load programs with type information".into(),
        present: Path::new("/sys/kernel/btf/vmlinux").exists(),
        otherwise: "the kernel must be built with CONFIG_DEBUG_INFO_BTF".into(),
    });
    checks.push(Check {
        feature: "bpf file system".into(),
        need: "keep policy in force when weir stops".into(),
        present: fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.lines().any(|l| l.ends_with("\tbpf"))),
        otherwise: "the kernel must be built with CONFIG_BPF_SYSCALL".into(),
    });
    checks
}

fn kernel_version() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Check {
        feature: format!("kernel {release}"),
        need: "tcx hooks with links that can be pinned and replaced (Linux 6.6)".into(),
        present: version >= (6, 6),
        otherwise: "weir cannot attach; use a newer kernel".into(),
    }
}

fn capabilities() -> Vec<Check> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    let check = |&(bit, name, need): &(u32, &str, &str)| Check {
        feature: name.into(),
        need: need.into(),
        present: effective & (1 << bit) != 0,
        otherwise: "run as root, or grant it to the container".into(),
    };
    CAPABILITIES.iter().map(check).collect()
}
