//! Loads the object that is named, as a loader on aya does it, and attaches what its programs are.
use anyhow::Context as _;
use aya::{programs::{Program, XdpFlags}, Btf, Ebpf};

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).context("usage: loader OBJECT TARGET")?;
    let target = std::env::args().nth(2).unwrap_or_default();
    let mut object = Ebpf::load_file(&path)?;
    let btf = Btf::from_sys_fs();
    for (name, program) in object.programs_mut() {
        match program {
            Program::KProbe(one) => { one.load()?; one.attach(&target, 0)?; }
            Program::TracePoint(one) => {
                one.load()?;
                let (group, event) = target.split_once('/').unwrap_or_default();
                one.attach(group, event)?;
            }
            Program::RawTracePoint(one) => { one.load()?; one.attach(&target)?; }
            Program::FEntry(one) => { one.load(&target, btf.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?)?; one.attach()?; }
            Program::FExit(one) => { one.load(&target, btf.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?)?; one.attach()?; }
            Program::BtfTracePoint(one) => { one.load(&target, btf.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?)?; one.attach()?; }
            Program::Lsm(one) => { one.load(&target, btf.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?)?; one.attach()?; }
            Program::Xdp(one) => { one.load()?; one.attach("lo", XdpFlags::SKB_MODE)?; }
            Program::SocketFilter(one) => { one.load()?; }
            _ => println!("{name}: loaded by nobody"),
        }
    }
    Ok(())
}
