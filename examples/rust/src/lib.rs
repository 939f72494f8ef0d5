//! Counts calls of getppid(2), by process.
use aya::{include_bytes_aligned, maps::HashMap, programs::TracePoint, Ebpf};

type Error = Box<dyn std::error::Error>;

/// Counts until it is dropped.
pub struct Counter(Ebpf);

impl Counter {
    /// Loads the program and attaches it.
    pub fn start() -> Result<Self, Error> {
        let mut object = Ebpf::load(include_bytes_aligned!(concat!(env!("OUT_DIR"), "/count.bpf.o")))?;
        let program: &mut TracePoint = object.program_mut("count").ok_or("no program")?.try_into()?;
        program.load()?;
        program.attach("syscalls", "sys_enter_getppid")?;
        Ok(Self(object))
    }

    /// Returns how often a process has called it.
    pub fn calls(&self, process: u32) -> Result<u64, Error> {
        let calls: HashMap<_, u32, u64> = HashMap::try_from(self.0.map("calls").ok_or("no map")?)?;
        Ok(calls.get(&process, 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;
    use std::{os::unix::process::parent_id, process};

    #[test]
    fn every_call_is_counted() {
        let counter = Counter::start().unwrap();
        for _ in 0..100 {
            let _ = parent_id();
        }
        assert_eq!(counter.calls(process::id()).unwrap(), 100);
    }

    #[test]
    fn a_process_that_never_called_it_is_not_there() {
        assert!(Counter::start().unwrap().calls(0).is_err());
    }
}
