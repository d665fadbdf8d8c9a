//! How much a submission may use of this machine: one table, read from the assignment's `[limits]`.

use serde::{Deserialize, Serialize};

use crate::coursefile::Section;

/// What a submission's programs may use inside a sandbox, all of them together unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Memory of the running service, files in memory included, in MiB.
    pub memory_mib: u32,
    /// Memory of the build, in MiB.
    pub build_memory_mib: u32,
    /// Processes and threads.
    pub processes: u32,
    /// Processors' worth of time.
    pub cpus: f64,
    /// Open files, each process.
    pub open_files: u32,
    /// The repository's copy, what the build makes and the home folder, in MiB.
    pub disk_mib: u32,
    /// `/tmp`, in MiB.
    pub tmp_mib: u32,
    /// Files and folders in each of these places.
    pub files: u32,
    /// The largest file, in MiB.
    pub file_mib: u32,
    /// What is read of the programs' output, in MiB a second; who prints faster waits.
    pub output_mib_s: u32,
    /// What one build may have of the mirror of packages, in MiB.
    pub mirror_mib: u32,
    /// How often it may ask there.
    pub mirror_requests: u32,
    /// How long it may wait for the mirror, all together, in seconds; this does not count as the build's time.
    pub mirror_s: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory_mib: 1024,
            build_memory_mib: 2048,
            // A thread for each connection, and as many connections as `open_files` allows: who waits long is slow, not dead.
            processes: 1024,
            cpus: 1.0,
            open_files: 1024,
            disk_mib: 512,
            tmp_mib: 64,
            files: 50_000,
            file_mib: 256,
            output_mib_s: 16,
            mirror_mib: 512,
            mirror_requests: 3_000,
            mirror_s: 300,
        }
    }
}

impl Bounds {
    /// Reads what a `[limits]` table says of them; what it does not say stays as it is built in.
    pub fn read(section: &Section<'_>) -> Self {
        let mut bounds = Self::default();
        for (key, value, least, most) in [
            ("memory_mib", &mut bounds.memory_mib, 32, 1 << 20),
            ("build_memory_mib", &mut bounds.build_memory_mib, 32, 1 << 20),
            ("processes", &mut bounds.processes, 8, 32_768),
            ("open_files", &mut bounds.open_files, 32, 1 << 20),
            ("disk_mib", &mut bounds.disk_mib, 1, 1 << 20),
            ("tmp_mib", &mut bounds.tmp_mib, 1, 1 << 20),
            ("files", &mut bounds.files, 100, 100_000_000),
            ("file_mib", &mut bounds.file_mib, 1, 1 << 20),
            ("output_mib_s", &mut bounds.output_mib_s, 1, 1 << 10),
            ("mirror_mib", &mut bounds.mirror_mib, 1, 1 << 20),
            ("mirror_requests", &mut bounds.mirror_requests, 1, 1_000_000),
            ("mirror_s", &mut bounds.mirror_s, 1, 86_400),
        ] {
            if let Some(number) = section.integer_in(key, least..=most) {
                *value = number as u32;
            }
        }
        bounds.cpus = section.number_in("cpus", 0.1..=256.0).unwrap_or(bounds.cpus);
        bounds
    }

    /// Says in one line what may be used.
    pub fn describe(&self) -> String {
        format!(
            "{} MiB of memory ({} in the build), {} processes, {} processors, {} open files, {} MiB of disk and {} in /tmp",
            self.memory_mib,
            self.build_memory_mib,
            self.processes,
            self.cpus,
            self.open_files,
            self.disk_mib,
            self.tmp_mib
        )
    }
}
