//! Properties and settings of processes: cores, files, time, memory.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// Runs this thread, and the programs that it starts, on one core.
///
/// # Errors
///
/// When there is no such core for this process.
pub fn pin(core: usize) -> Result<()> {
    pin_to(&[core])
}

/// The same on several cores.
///
/// # Errors
///
/// As above.
pub fn pin_to(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot run on the cores {cores:?}: {error}"))?;
    Ok(())
}

/// The cores that this process may use.
///
/// # Errors
///
/// When the system does not report them.
pub fn cores() -> Result<Vec<usize>> {
    let cores = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|core| cores.is_set(*core))
        .collect())
}

/// Raises the limit on open files of this process and its children as far as possible, up to `wanted`. Returns the
/// limit.
pub fn allow_files(wanted: u64) -> u64 {
    let limit = |maximum| Rlimit {
        current: Some(maximum),
        maximum: Some(maximum),
    };
    // Only root may exceed the hard limit, if anyone.
    if setrlimit(Resource::Nofile, limit(wanted)).is_err()
        && let Some(hard) = getrlimit(Resource::Nofile).maximum
    {
        let _ = setrlimit(Resource::Nofile, limit(hard));
    }
    getrlimit(Resource::Nofile).current.unwrap_or(wanted)
}

/// The time that this thread has run.
pub fn own_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The time that all threads of a process have run, in the kernel and outside it.
///
/// # Errors
///
/// When there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let mut time = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let nanoseconds = line.split_whitespace().next().unwrap_or_default();
        time += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(time)
}

/// The memory in use by a process, in bytes, without the kernel's, such as sockets and their buffers.
///
/// # Errors
///
/// When there is no such process.
pub fn memory(pid: u32) -> Result<u64> {
    // The proportional share: each instance maps the data of its component, which exists once.
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kibibytes = line.ok_or("no Pss in smaps_rollup")?.trim_end_matches("kB");
    Ok(kibibytes.trim().parse::<u64>()? << 10)
}

/// The number of open files of a process.
///
/// # Errors
///
/// When there is no such process.
pub fn files(pid: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

/// The kind of processor, and the number of cores.
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: String = kernel.chars().take_while(|c| !"-+".contains(*c)).collect();
    let cores = info
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

/// A program in the PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(program));
    candidates.find(|candidate| candidate.is_file())
}
