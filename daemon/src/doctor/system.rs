//! What only systemd and its tools know. Where systemd does not run, nothing here pretends that it does.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::forbidden::{Attempt, Service, twin};

/// Whether systemd runs this machine (sd_booted(3)).
pub(crate) fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a tool and gives back what it printed; `None` where it is not there or said no.
pub(crate) fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// Whether somebody keeps the clock right; `None` where nobody can say.
pub(crate) fn is_synchronized() -> Option<bool> {
    match printed("timedatectl", &["show", "--property=NTPSynchronized", "--value"])?.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// Whether a unit runs.
pub(crate) fn is_active(unit: &str) -> bool {
    printed("systemctl", &["is-active", unit]).as_deref() == Some("active")
}

/// Why an attempt could not be made.
pub(crate) type NotTried = String;

/// Tries what a service must not be able to do, in a twin of its unit.
pub(crate) fn attempt(service: Service, unreadable: &[PathBuf]) -> Result<Vec<Attempt>, NotTried> {
    let unit = format!("{}.service", service.unit());
    let shown = printed("systemctl", &["cat", "--no-pager", &unit]).ok_or_else(|| format!("there is no {unit}"))?;
    let name = format!("sotto-doctor-{}.service", service.name());
    let file = Path::new("/run/systemd/system").join(&name);
    let output = Path::new("/run").join(format!("{name}.attempts"));
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let files: String = unreadable.iter().map(|file| format!(" --unreadable {}", file.display())).collect();
    let attempt = format!("{} attempt {}{files}", program.display(), service.name());
    let made = std::fs::File::create(&file).and_then(|mut to| to.write_all(twin(&shown, &attempt, &output).as_bytes()));
    made.map_err(|error| format!("{}: {error}", file.display()))?;
    let ran = run_twin(&name);
    let text = std::fs::read_to_string(&output).unwrap_or_default();
    for left in [&file, &output] {
        drop(std::fs::remove_file(left));
    }
    drop(printed("systemctl", &["daemon-reload"]));
    let attempts: Vec<Attempt> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if attempts.is_empty() { Err(ran.err().unwrap_or_else(|| format!("{name} said nothing: journalctl -u {name}"))) } else { Ok(attempts) }
}

fn run_twin(name: &str) -> Result<(), NotTried> {
    printed("systemctl", &["daemon-reload"]).ok_or("systemctl daemon-reload failed")?;
    // A oneshot has started when it is done.
    let started = printed("systemctl", &["start", name]);
    let result = printed("systemctl", &["show", "--property=Result,ExecMainStatus", name]).unwrap_or_default().replace('\n', ", ");
    drop(printed("systemctl", &["reset-failed", name]));
    started.map(drop).ok_or_else(|| format!("its place could not be made ({result}): journalctl -u {name}"))
}
