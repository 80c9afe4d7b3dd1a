//! What the services must not be able to do, tried from where they run.
//!
//! `sotto doctor` makes, of a unit and all its drop-ins, a twin that differs in what it starts alone: `sotto attempt`, which tries each thing once
//! and writes down the kernel's answer. So what is tried is tried as that user, with these capabilities, behind that filter, in that namespace.

use std::fs::OpenOptions;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sotto_capture::try_sending;

use super::ears::counted;
use super::finding::Finding;
use crate::End;

/// Flags of `sotto attempt`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Whose place it is tried from.
    #[arg(value_enum)]
    service: Service,
    /// A file that this service must not read; may be given more than once.
    #[arg(long, value_name = "FILE")]
    unreadable: Vec<PathBuf>,
}

/// A service of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Service {
    /// `sotto-tap`.
    Tap,
    /// `sotto-siprec`.
    Siprec,
    /// `sotto-uplink`.
    Uplink,
}

impl Service {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Tap, Self::Siprec, Self::Uplink];

    /// The unit's name, without its suffix.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Tap => "sotto-tap",
            Self::Siprec => "sotto-siprec",
            Self::Uplink => "sotto-uplink",
        }
    }

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tap => "tap",
            Self::Siprec => "siprec",
            Self::Uplink => "uplink",
        }
    }

    /// Whether it speaks by IP, to those alone whom its unit names.
    const fn has_ip(self) -> bool {
        !matches!(self, Self::Tap)
    }
}

/// One thing tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// What.
    pub(crate) what: What,
    /// On what: an interface, a file, an address.
    pub(crate) on: String,
    /// What the kernel answered (errno(3)); `None` where it allowed it.
    pub(crate) refused: Option<i32>,
}

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// Opening an IP socket.
    IpSocket,
    /// Sending to an address that is nobody's (RFC 5737), which goes to the internet if anything does.
    Internet,
    /// Sending a frame by a packet socket.
    RawFrame,
    /// Writing beside its own state.
    Write,
    /// Reading what another service alone may.
    Read,
    /// Opening a sound device.
    Sound,
    /// A core file, in which its memory would be.
    CoreFile,
}

impl What {
    const fn about(self) -> &'static str {
        match self {
            Self::IpSocket => "open an IP socket",
            Self::Internet => "reach others",
            Self::RawFrame => "send a frame",
            Self::Write => "write elsewhere",
            Self::Read => "read secrets",
            Self::Sound => "hear a microphone",
            Self::CoreFile => "leave a core file",
        }
    }
}

/// Where no service may write. Those that hold their own files are `ReadWritePaths=`.
const PLACES: [&str; 6] = ["/etc/sotto", "/usr/bin", "/var/lib", "/var/log", "/srv", "/home"];
/// TEST-NET-1 (RFC 5737): nobody has it. Port 9 is discard (RFC 863).
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 9);

/// Tries everything, and prints one JSON object a line.
pub(crate) fn run(arguments: &Arguments) -> Result<(), End> {
    let interfaces: Vec<String> = counted().into_keys().collect();
    for attempt in attempts(arguments.service, &interfaces, &PLACES, &arguments.unreadable) {
        println!("{}", serde_json::to_string(&attempt).map_err(End::no)?);
    }
    Ok(())
}

fn attempts(service: Service, interfaces: &[String], places: &[&str], unreadable: &[PathBuf]) -> Vec<Attempt> {
    let attempt = |what, on: &str, outcome: io::Result<()>| Attempt { what, on: on.to_owned(), refused: outcome.err().map(|error| error.raw_os_error().unwrap_or(0)) };
    let mut all = Vec::new();
    if service.has_ip() {
        // It may have a socket; who it reaches by it is what counts.
        let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"sotto doctor: this should not have left", NOBODY)).map(drop);
        all.push(attempt(What::Internet, &NOBODY.ip().to_string(), sent));
    } else {
        for (on, address) in [("IPv4", "0.0.0.0:0"), ("IPv6", "[::]:0")] {
            all.push(attempt(What::IpSocket, on, UdpSocket::bind(address).map(drop)));
        }
    }
    for interface in interfaces {
        all.push(attempt(What::RawFrame, interface, try_sending(interface)));
    }
    for place in places {
        let file = Path::new(place).join(".sotto-doctor");
        let written = OpenOptions::new().write(true).create_new(true).open(&file).map(drop);
        if written.is_ok() {
            drop(std::fs::remove_file(&file));
        }
        all.push(attempt(What::Write, place, written));
    }
    for file in unreadable {
        all.push(attempt(What::Read, &file.display().to_string(), std::fs::File::open(file).map(drop)));
    }
    if service != Service::Tap {
        all.push(attempt(What::Sound, "/dev/snd", std::fs::read_dir("/dev/snd").map(drop)));
    }
    all.push(attempt(What::CoreFile, "core", may_leave_core()));
    all
}

/// Whether a core file could be left: the limit is not zero. A refusal of our own, told as the kernel's limit is.
fn may_leave_core() -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Core);
    if limit.maximum == Some(0) { Err(io::Error::from_raw_os_error(rustix::io::Errno::FBIG.raw_os_error())) } else { Ok(()) }
}

/// What the attempts of a service come to: one line for each kind of thing, with the kernel's answers by name.
pub(crate) fn judge(service: Service, attempts: &[Attempt]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for kind in [What::IpSocket, What::Internet, What::RawFrame, What::Write, What::Read, What::Sound, What::CoreFile] {
        let of_kind: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.what == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let allowed: Vec<&str> = of_kind.iter().filter(|attempt| attempt.refused.is_none()).map(|attempt| attempt.on.as_str()).collect();
        let finding = if allowed.is_empty() {
            Finding::fine(kind.about(), format!("{}: refused: {}", service.unit(), answers(&of_kind)))
        } else {
            Finding::fail(kind.about(), format!("{} can: {}", service.unit(), allowed.join(", ")), remedy(service, kind))
        };
        findings.push(finding.forbidden());
    }
    findings
}

/// `EPERM (/var/lib, /srv), EROFS (/etc/sotto)`.
fn answers(attempts: &[&Attempt]) -> String {
    let mut by_answer: Vec<(i32, Vec<&str>)> = Vec::new();
    for attempt in attempts {
        let answer = attempt.refused.unwrap_or(0);
        match by_answer.iter_mut().find(|(known, _)| *known == answer) {
            Some((_, on)) => on.push(&attempt.on),
            None => by_answer.push((answer, vec![&attempt.on])),
        }
    }
    by_answer.iter().map(|(answer, on)| format!("{} ({})", errno(*answer), on.join(", "))).collect::<Vec<_>>().join("; ")
}

const fn remedy(service: Service, what: What) -> &'static str {
    match (service, what) {
        (Service::Tap, What::RawFrame) => "put the mirror interface into a namespace of its own: `sotto setup --apart`, or drop what goes out of it by nftables",
        (_, What::RawFrame) => "its unit must have no AF_PACKET: restore /lib/systemd/system, and look at the drop-ins (`systemctl cat`)",
        (Service::Uplink, What::Internet) => "name the broker and the resolver alone: IPAddressDeny=any and IPAddressAllow= in a drop-in; `sotto setup` writes it",
        (_, What::Internet) => "its unit must have IPAddressDeny=any: restore it, and look at the drop-ins (`systemctl cat`)",
        (_, What::Read) => "give the file back its owner and mode: `systemd-tmpfiles --create sotto.conf`, and see units.md for who reads what",
        _ => "its unit is weaker than it was shipped: restore it, and look at the drop-ins (`systemctl cat`)",
    }
}

/// A kernel's answer by the name that manuals know it by.
fn errno(code: i32) -> String {
    use rustix::io::Errno;
    let known = [
        (Errno::PERM, "EPERM"),
        (Errno::ACCESS, "EACCES"),
        (Errno::ROFS, "EROFS"),
        (Errno::NOENT, "ENOENT"),
        (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::NOBUFS, "ENOBUFS"),
        (Errno::NETDOWN, "ENETDOWN"),
        (Errno::NETUNREACH, "ENETUNREACH"),
        (Errno::HOSTUNREACH, "EHOSTUNREACH"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::FBIG, "EFBIG"),
        (Errno::NODEV, "ENODEV"),
    ];
    let name = known.iter().find(|(known, _)| known.raw_os_error() == code).map(|(_, name)| *name);
    name.map_or_else(|| format!("errno {code}"), str::to_owned)
}

/// The twin of a unit: all that `systemctl cat` shows of it but its ties to other units, which cannot be taken back (systemd.unit(5)), and behind
/// that what differs.
pub(crate) fn twin(shown: &str, attempt: &str, output: &Path) -> String {
    const TIES: [&str; 9] = ["Conflicts=", "BindsTo=", "PartOf=", "Requires=", "Requisite=", "Wants=", "Upholds=", "OnFailure=", "OnSuccess="];
    let place: String = shown.lines().filter(|line| !TIES.iter().any(|tie| line.trim_start().starts_with(tie))).flat_map(|line| [line, "\n"]).collect();
    format!(
        "{place}\n# By `sotto doctor`: the same place, where each forbidden thing is tried once.\n\
         [Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nExecStartPre=\nExecStartPost=\nExecReload=\nExecStop=\nExecStart=\nExecStart={attempt}\n\
         TimeoutStartSec=60\nStandardOutput=truncate:{}\n",
        output.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(what: What, on: &str, refused: Option<i32>) -> Attempt {
        Attempt { what, on: on.to_owned(), refused }
    }

    #[test]
    fn what_the_kernel_refused_is_named() {
        let found = judge(
            Service::Tap,
            &[
                attempt(What::IpSocket, "IPv4", Some(97)),
                attempt(What::IpSocket, "IPv6", Some(97)),
                attempt(What::Write, "/etc/sotto", Some(30)),
                attempt(What::Write, "/srv", Some(13)),
                attempt(What::RawFrame, "eth1", Some(105)),
            ],
        );
        let says: Vec<&str> = found.iter().map(|finding| finding.says.as_str()).collect();
        assert_eq!(
            says,
            [
                "sotto-tap: refused: EAFNOSUPPORT (IPv4, IPv6)",
                "sotto-tap: refused: ENOBUFS (eth1)",
                "sotto-tap: refused: EROFS (/etc/sotto); EACCES (/srv)"
            ]
        );
    }

    #[test]
    fn what_was_possible_fails_and_says_what_to_do() {
        let found = judge(Service::Tap, &[attempt(What::RawFrame, "eth0", Some(105)), attempt(What::RawFrame, "eth1", None)]);
        assert_eq!(found[0].verdict, super::super::finding::Verdict::Fail);
        assert!(found[0].says.contains("eth1") && !found[0].says.contains("eth0"), "{}", found[0].says);
        assert!(found[0].next.contains("--apart"));
    }

    #[test]
    fn the_twin_differs_in_what_it_starts_alone() {
        let shown = "# /lib/systemd/system/sotto-tap.service\n[Unit]\nDescription=x\nConflicts=sotto-siprec.service\n[Service]\nUser=sotto-tap\nExecStart=/usr/bin/sotto tap\n";
        let twin = twin(shown, "/usr/bin/sotto attempt tap", Path::new("/run/sotto-doctor/tap"));
        assert!(twin.starts_with(&shown.replace("Conflicts=sotto-siprec.service\n", "")), "starting it must stop nothing: {twin}");
        // An empty assignment takes back what stood before (systemd.service(5)).
        let (_, behind) = twin.split_once("# By `sotto doctor`").unwrap();
        assert!(behind.contains("ExecStart=\nExecStart=/usr/bin/sotto attempt tap\n") && !behind.contains("User="), "{behind}");
    }

    #[test]
    fn what_nothing_forbids_is_seen_to_be_possible() {
        let folder = std::env::temp_dir().join(format!("sotto-attempts-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let places = [folder.to_str().unwrap(), "/nowhere"];
        let all = attempts(Service::Tap, &["sotto-none".to_owned()], &places, &[PathBuf::from("/nowhere/secret")]);
        let refused = |what| all.iter().filter(|attempt| attempt.what == what).map(|attempt| attempt.refused).collect::<Vec<_>>();
        assert_eq!(refused(What::Write), [None, Some(2)], "ENOENT");
        assert_eq!(refused(What::Read), [Some(2)]);
        assert!(refused(What::RawFrame)[0].is_some());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "what was tried is gone");
        std::fs::remove_dir(&folder).unwrap();
        let line = serde_json::to_string(&all[0]).unwrap();
        assert_eq!(serde_json::from_str::<Attempt>(&line).unwrap(), all[0]);
    }
}
