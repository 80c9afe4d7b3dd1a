//! Processes, files and patience: the product's binary, the target folder, data that may be absent, waiting for a condition.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::Error;

/// How long a condition is waited for before it is called false.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The folder that cargo builds into: three up from a test's executable (`target/release/deps/x`).
///
/// # Errors
/// The executable does not lie in a folder that cargo built.
pub fn target_folder() -> Result<PathBuf, Error> {
    let profile = profile_folder()?;
    profile
        .parent()
        .map(Path::to_owned)
        .ok_or_else(|| Error::new("the executable's folder has no parent"))
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The `sotto` binary of the profile that this test was built with; built first, once, if it is not there.
///
/// # Errors
/// The build fails.
pub fn sotto_binary() -> Result<PathBuf, Error> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY
        .get_or_init(|| find_or_build("sotto").map_err(|error| error.to_string()))
        .clone()
        .map_err(Error::new)
}

/// The `sotto-collect` binary, likewise.
///
/// # Errors
/// The build fails.
pub fn collect_binary() -> Result<PathBuf, Error> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY
        .get_or_init(|| find_or_build("sotto-collect").map_err(|error| error.to_string()))
        .clone()
        .map_err(Error::new)
}

/// A command that runs `sotto`.
///
/// # Errors
/// As [`sotto_binary`].
pub fn sotto() -> Result<Command, Error> {
    Ok(Command::new(sotto_binary()?))
}

/// Runs a command to its end, with nothing on its standard input.
///
/// # Errors
/// The command cannot be started. Its exit status is the caller's to judge.
pub fn run(command: &mut Command) -> Result<Output, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::new(format!("{name} cannot be run: {source}")))
}

/// Whether a program can be found on the path.
#[must_use]
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps daemons where an ordinary user's path does not look.
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .any(|folder| folder.join(program).is_file())
}

/// The real material, which a stranger's clone does not have: `SOTTO_DATA`, or `../shared/data` beside the repository.
#[must_use]
pub fn shared_data() -> Option<PathBuf> {
    let folder = std::env::var_os("SOTTO_DATA")
        .map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// Says that a test was skipped, and why. Write `return skip("…")`.
pub fn skip(reason: &str) {
    // Past the capture of the test harness, which hides what a passing test prints.
    use std::io::Write;
    drop(writeln!(std::io::stderr(), "skipped: {reason}"));
}

/// Looks at a condition until it holds, for at most `patience`; what it held.
///
/// # Errors
/// It never held; `what` says what was waited for.
pub fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, Error> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(Error::new(format!(
                "waited {} s in vain: {what}",
                patience.as_secs_f64()
            )));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A process that ends with the test, whatever happens to the test.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts a command.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn start(command: &mut Command) -> Result<Self, Error> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .map_err(|source| Error::new(format!("{name} cannot be run: {source}")))?;
        Ok(Self { child, name })
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL: no chance to tidy up. Returns when the process is gone.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        // It may have ended by itself; then waiting is all that is left.
        drop(self.child.kill());
        self.child
            .wait()
            .map_err(|source| Error::new(format!("{}: {source}", self.name)))
    }

    /// Sends a signal by its name (`TERM`, `HUP`).
    ///
    /// # Errors
    /// `kill` cannot be run or refuses.
    pub fn signal(&self, signal: &str) -> Result<(), Error> {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.id().to_string())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::new(format!("kill -{signal}: {status}"))),
            Err(source) => Err(Error::new(format!("kill cannot be run: {source}"))),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        let what = format!("the end of {}", self.name);
        wait_for(&what, patience, || self.child.try_wait().ok().flatten())
    }

    /// SIGTERM, then waits for its end.
    ///
    /// # Errors
    /// It still runs after `patience`.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        if self.is_running() {
            self.signal("TERM")?;
        }
        self.wait(patience)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

pub(crate) fn profile_folder() -> Result<PathBuf, Error> {
    let executable = std::env::current_exe()
        .map_err(|source| Error::new(format!("own executable: {source}")))?;
    executable
        .ancestors()
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name == "deps" || name == "examples")
        })
        .and_then(Path::parent)
        .or_else(|| executable.parent())
        .map(Path::to_owned)
        .ok_or_else(|| Error::new("the executable lies in no folder"))
}

/// cargo, without what the cargo that runs this test has told it of this test's own package: some build scripts would take that for a
/// change, and their C code would be compiled again.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_of_package = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if is_of_package.iter().any(|start| text.starts_with(start)) || text == "OUT_DIR" {
            cargo.env_remove(&name);
        }
    }
    cargo
}

fn find_or_build(name: &str) -> Result<PathBuf, Error> {
    let profile = profile_folder()?;
    let binary = profile.join(name);
    if binary.is_file() {
        return Ok(binary);
    }
    let mut build = cargo();
    build
        .args([
            "build",
            // The selection of the tests' own build: with another one the features of the libraries would differ, and all would be built again.
            "--workspace",
            "--bin",
            name,
            "--target-dir",
        ])
        .arg(target_folder()?);
    if profile.file_name().is_some_and(|name| name == "release") {
        build.arg("--release");
    }
    let output = run(build.current_dir(repository()))?;
    if !output.status.success() || !binary.is_file() {
        return Err(Error::new(format!(
            "{name} does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    Ok(binary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        let error = wait_for("nothing", Duration::from_millis(30), || None::<()>).unwrap_err();
        assert!(error.to_string().contains("nothing"));
        assert_eq!(wait_for("something", PATIENCE, || Some(7)).unwrap(), 7);
    }

    #[test]
    fn a_process_is_killed_and_terminated() {
        for signal in ["KILL", "TERM"] {
            let mut sleeping = Running::start(Command::new("sleep").arg("1000")).unwrap();
            assert!(sleeping.is_running());
            let status = if signal == "KILL" {
                sleeping.kill()
            } else {
                sleeping.terminate(PATIENCE)
            };
            assert!(!status.unwrap().success());
            assert!(!sleeping.is_running());
        }
    }
}
