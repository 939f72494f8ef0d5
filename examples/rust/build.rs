//! Compiles the BPF program, which the library holds as bytes.
use std::{env, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=src/count.bpf.c");
    let object = PathBuf::from(env::var("OUT_DIR").unwrap()).join("count.bpf.o");
    let multiarch = format!("-I/usr/include/{}-linux-gnu", env::consts::ARCH);
    let status = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf", &multiarch, "-c", "src/count.bpf.c", "-o"])
        .arg(&object)
        .status()
        .expect("clang, which compiles the BPF program, cannot be started");
    assert!(status.success(), "clang: {status}");
}
