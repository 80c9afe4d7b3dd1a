//! A telephone: baresip (RFC 3261, 3711, 4568, 4733 by other hands than ours), with a file for a microphone, its keys on a pipe, and what
//! it says of its calls in a file.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sotto_tests::process::{PATIENCE, Running, wait_for};

use crate::hub::{Hub, Place};

/// Where Debian keeps what baresip loads.
const MODULES: &str = "/usr/lib/baresip/modules";

/// Ports for the sound of one telephone.
const PORTS: u16 = 40;

/// What a telephone is set to.
pub(crate) struct Settings<'a> {
    pub(crate) place: Place,
    pub(crate) user: &'a str,
    pub(crate) sip_port: u16,
    /// The first of [`PORTS`].
    pub(crate) rtp_port: u16,
    /// As baresip names it: name, rate and channels.
    pub(crate) codec: &'a str,
    /// SRTP with keys in SDP, and no call without it.
    pub(crate) is_secured: bool,
    /// What it says, as often as it is called.
    pub(crate) wav: &'a Path,
}

/// What a telephone knows of a call that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// By its own clock, which knows whole seconds alone: less than one off, either way. It does not say so of 0.
    pub(crate) seconds: i64,
}

pub(crate) struct Phone {
    log: PathBuf,
    running: Running,
}

impl Phone {
    /// Switched on in its place, and ready.
    pub(crate) fn new(hub: &Hub, folder: &Path, settings: &Settings<'_>) -> Self {
        std::fs::create_dir(folder).unwrap();
        let address = settings.place.address(false);
        let (user, sip_port, rtp_port, codec) = (settings.user, settings.sip_port, settings.rtp_port, settings.codec);
        let (own, encryption) = (format!("{address}:{sip_port}"), if settings.is_secured { ";mediaenc=srtp-mand" } else { "" });
        // Who is called picks up; who calls is not called.
        let account = format!("<sip:{user}@{own}>;regint=0;answermode=auto;audio_codecs={codec}{encryption}\n");
        let mut config = format!(
            "sip_listen {own}\nrtp_ports {rtp_port}-{}\nrtp_stats yes\naudio_source aufile,{}\naudio_player aufile,/dev/null\nmodule_path {MODULES}\n",
            rtp_port + PORTS,
            settings.wav.display()
        );
        config += "ausrc_srate 8000\nausrc_channels 1\nauplay_srate 8000\nauplay_channels 1\n";
        for module in ["stdio", "g711", "g722", "opus", "srtp", "aufile"] {
            writeln!(config, "module {module}.so").unwrap();
        }
        config += "module_tmp account.so\nmodule_app menu.so\n";
        for (name, content) in [("config", config), ("accounts", account), ("contacts", String::new())] {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let mut baresip = Command::new("baresip");
        baresip.arg("-f").arg(folder).current_dir(folder).env("TERM", "dumb");
        let log = folder.join("log");
        let out = File::create(&log).unwrap();
        let mut baresip = hub.at(settings.place, &baresip);
        let running = Running::start(baresip.stdin(Stdio::piped()).stdout(out.try_clone().unwrap()).stderr(out)).unwrap();
        let phone = Self { log, running };
        phone.wait("baresip is ready", 1);
        phone
    }

    pub(crate) fn dial(&mut self, user: &str, place: Place, port: u16) {
        self.types(&format!("/dial sip:{user}@{}:{port}\n", place.address(false)));
    }

    /// Tells the other side to call somebody else, and hangs up once that call stands (a blind transfer: RFC 5589 section 6).
    pub(crate) fn transfer(&mut self, user: &str, place: Place, port: u16) {
        self.types(&format!("/transfer sip:{user}@{}:{port}\n", place.address(false)));
    }

    pub(crate) fn hang_up(&mut self) {
        self.types("/hangup\n");
    }

    /// Presses keys in a call.
    pub(crate) fn types(&mut self, keys: &str) {
        self.running.child().stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until its log has said that so often.
    pub(crate) fn wait(&self, text: &str, times: usize) {
        wait_for(text, PATIENCE, || (self.said().matches(text).count() >= times).then_some(())).unwrap_or_else(|error| panic!("{error}\n{}", self.said()));
    }

    /// Waits until it has had so many calls; what it knows of each.
    pub(crate) fn calls(&self, count: usize) -> Vec<Known> {
        let ended = || Some(known(&self.said())).filter(|calls| calls.len() >= count);
        wait_for("the end of a call", PATIENCE, ended).unwrap_or_else(|error| panic!("{error}\n{}", self.said()))
    }

    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

/// What the log says of each call at its end: first how long it was, then how many packets were sent and received.
fn known(said: &str) -> Vec<Known> {
    let mut calls = Vec::new();
    let mut seconds = None;
    for line in said.lines() {
        if let Some((_, after)) = line.split_once("terminated (duration: ") {
            seconds = Some(spelt(after));
        } else if let Some(packets) = line.strip_prefix("packets:") {
            let counts: Vec<u64> = packets.split_whitespace().map(|word| word.parse().unwrap()).collect();
            calls.push(Known { sent: counts[0], received: counts[1], seconds: seconds.take().unwrap_or(0) });
        }
    }
    calls
}

/// `1 min 5 secs)` in seconds.
fn spelt(text: &str) -> i64 {
    let words: Vec<&str> = text.split([' ', ')']).collect();
    words.chunks_exact(2).map_while(|pair| Some((pair[0].parse::<i64>().ok()?, pair[1]))).map(|(count, unit)| if unit.starts_with("min") { 60 * count } else { count }).sum()
}
