//! Builds `ebpf/` for the kernel and embeds it, or embeds an empty object where the eBPF tool chain is missing: then
//! checks, lints and unit tests still work, and the loader explains what to install.
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const LINKER: &str = "bpf-linker-0.13.0";
/// `-Z build-std` wants a compiler with the library's sources; `scripts/setup` installs this one.
const COMPILER: &str = "/usr/bin/rustc";

fn main() {
    let ebpf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ebpf");
    for source in ["src", "abi/src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", ebpf.join(source).display());
    }
    println!("cargo::rerun-if-env-changed=WEIR_CACHE");
    println!("cargo::rerun-if-env-changed=WEIR_NO_EBPF");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let object = out.join("weir-ebpf");
    let linker = cache().join(LINKER).join("bin");
    println!("cargo::rerun-if-changed={}", linker.display());

    if env::var_os("WEIR_NO_EBPF").is_some() || !linker.join("bpf-linker").exists() || !Path::new(COMPILER).exists() {
        println!("cargo::warning=no eBPF tool chain: this build cannot load programs; run scripts/setup");
        fs::write(&object, []).expect("write to OUT_DIR");
        return;
    }
    let path = format!("{}:{}", linker.display(), env::var("PATH").unwrap_or_default());
    let target = out.join("target");
    let status = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"))
        .args(["build", "--release", "--locked", "-Z", "build-std=core", "--target", "bpfel-unknown-none"])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&ebpf)
        .env("PATH", path)
        .env("RUSTC", COMPILER)
        // The compiler is a stable one that is asked to accept `-Z`.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-C debuginfo=2 -C linker=bpf-linker -C link-arg=--btf")
        // What cargo set for this build is wrong for that one.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .status()
        .expect("run cargo");
    assert!(status.success(), "building ebpf/ failed");
    fs::copy(target.join("bpfel-unknown-none/release/weir-ebpf"), &object).expect("copy the object");
}

fn cache() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    env::var_os("WEIR_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(home)
            .unwrap_or_else(|| "/var/cache".into())
            .join("weir")
    })
}
