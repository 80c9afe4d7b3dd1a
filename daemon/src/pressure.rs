//! How much this process has to wait for memory, as the kernel tells it (pressure stall information, Documentation/accounting/psi.rst).

use std::path::PathBuf;

/// Where the kernel tells it; nowhere, on a kernel without.
pub(crate) struct Pressure(Option<PathBuf>);

impl Pressure {
    /// Of the process's own control group, or else of the whole machine.
    pub(crate) fn find() -> Self {
        let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        // cgroup v2 has one line, "0::/path".
        let own = group.lines().find_map(|line| line.strip_prefix("0::/")).map(|path| PathBuf::from("/sys/fs/cgroup").join(path).join("memory.pressure"));
        Self(own.into_iter().chain([PathBuf::from("/proc/pressure/memory")]).find(|file| share(&std::fs::read_to_string(file).unwrap_or_default()).is_some()))
    }

    /// The part of the last ten seconds in which some thread waited for memory, percent; 0 where nobody tells.
    pub(crate) fn memory_percent(&self) -> f32 {
        self.0.as_ref().and_then(|file| share(&std::fs::read_to_string(file).ok()?)).unwrap_or(0.0)
    }
}

/// `some avg10=0.12 avg60=…`.
fn share(text: &str) -> Option<f32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace().find_map(|pair| pair.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn the_kernels_line_is_read_and_nothing_else() {
        assert_eq!(share("some avg10=12.50 avg60=1.00 avg300=0.00 total=9\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=1\n"), Some(12.5));
        for other in ["", "some", "some avg60=1.00", "full avg10=1.00", "some avg10=much"] {
            assert_eq!(share(other), None, "{other}");
        }
    }
}
