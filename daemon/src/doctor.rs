//! `sotto doctor`: tries what must work, and what must not.
//!
//! Looking is here and in [`ears`] and [`system`]; what it means is said in [`judge`] and [`forbidden`], and shown by [`finding`].

pub(crate) mod ears;
pub(crate) mod finding;
pub(crate) mod forbidden;
mod judge;
pub(crate) mod system;

use std::io::IsTerminal as _;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use sotto_capture::{InterfaceOptions, SoundCard, SoundCardOptions, Transport};
use sotto_spool::View;
use sotto_uplink::{Credentials, Identity, Roots, Tls, ends_of, try_broker};

use crate::End;
use crate::config::{self, Config, Mirror, Places, Siprec, load_charter};
use crate::load::{Loaded, Models};
use crate::pipeline::wall_millis;
use finding::{Finding, Side, as_json, as_text, status};
use forbidden::Service;

/// Flags of `sotto doctor`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// How long to listen at the mirror port.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    listen: u64,
}

/// A tap whose numbers are younger than this runs.
const FRESH_MS: i64 = 30_000;

/// Runs it: exit 0 where nothing is wrong, 78 where the configuration is, 1 where something else is.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    if !arguments.json {
        return look(places, arguments.listen);
    }
    let findings = examine(places, arguments.listen);
    println!("{}", as_json(&findings));
    end(&findings)
}

/// For a person.
pub(crate) fn look(places: &Places, listen_s: u64) -> Result<(), End> {
    let findings = examine(places, listen_s);
    print!("{}", as_text(&findings, width(), std::io::stdout().is_terminal()));
    end(&findings)
}

fn end(findings: &[Finding]) -> Result<(), End> {
    match status(findings) {
        0 => Ok(()),
        78 => Err(End::BadConfiguration(String::new())),
        _ => Err(End::No(String::new())),
    }
}

/// How wide a table may be: the terminal, or what fits into a mail.
fn width() -> usize {
    const USUAL: usize = 100;
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    // A terminal that does not know says 0.
    if columns == 0 { USUAL } else { columns.clamp(60, 120) }
}

/// Tries everything.
fn examine(places: &Places, listen_s: u64) -> Vec<Finding> {
    let wall_ms = wall_millis();
    let config = match Config::load(&places.config) {
        Ok(config) => config,
        Err(error) => {
            let next = "`sotto setup` writes a first one; `man sotto.toml` names every key";
            return vec![Finding::fail("configuration", error.to_string(), next).of_configuration()];
        }
    };
    let mut findings = vec![Finding::fine("configuration", format!("site {}, node {}", config.site_id, config.node))];
    findings.extend(charter(places, wall_ms));
    let is_running = is_running(places, wall_ms);
    findings.extend(hears(&config, listen_s, is_running));
    findings.extend(spool(places, &config, wall_ms));
    findings.extend(speaks(places, &config, wall_ms));
    findings.extend(must_not(places));
    findings
}

/// Charter, its signatures, its dates, and the models that it asks for.
fn charter(places: &Places, wall_ms: i64) -> Vec<Finding> {
    let charter = match load_charter(&places.charter) {
        Ok(charter) => charter,
        Err(error) => return vec![Finding::fail("charter", error.to_string(), "`man sotto-charter.toml`; `sotto check` says the same").of_configuration()],
    };
    let loaded = match Loaded::new(places) {
        Ok(loaded) => loaded,
        Err(End::No(why) | End::BadConfiguration(why)) => return vec![Finding::fail("charter", why, "`sotto check` says the same").of_configuration()],
    };
    let mut findings = Vec::new();
    findings.push(match &loaded.unsigned {
        Some(why) => Finding::fail("charter", format!("not in force: {why}"), "let both sides sign it (minisign; sotto.toml, [charter]); the line alone is measured until then").of_configuration(),
        None if charter.consent.is_empty() => Finding::warn(
            "charter",
            format!("version {}: no [[consent]] rule, so signalling alone is scored", charter.version),
            "that is how it is shipped; write down what was agreed, see what it comes to with `sotto check`",
        ),
        None => Finding::fine("charter", format!("version {}, profile {}, {} consent rule(s)", charter.version, charter.profile.name(), charter.consent.len())),
    });
    findings.extend(judge::dates(&charter, wall_ms));
    findings.push(match Models::load(places, &loaded) {
        Ok(models) => match models.fingerprint {
            Some(digest) => Finding::fine("models", format!("{} ({digest}): every hash holds", loaded.config.pack)),
            None => Finding::fine("models", "none are needed"),
        },
        Err(End::No(why) | End::BadConfiguration(why)) => Finding::fail("models", why, format!("`apt install --reinstall sotto-models-{}`", loaded.config.pack)),
    });
    findings
}

/// Where calls come from.
fn hears(config: &Config, listen_s: u64, is_running: bool) -> Vec<Finding> {
    let in_use = |about, what: String| {
        if is_running {
            Finding::fine(about, format!("{what}: in use, by the sotto that runs"))
        } else {
            Finding::fail(about, format!("{what}: in use by another program"), "`ss -lnptu` and `fuser -v /dev/snd/*` name it; stop it, or take another")
        }
    };
    if let Some(siprec) = &config.siprec {
        return siprec_ports(siprec).into_iter().map(|(what, error)| match error {
            None => Finding::fine("SIPREC", format!("{what} is free, or answers already")),
            Some(error) if error.kind() == std::io::ErrorKind::AddrInUse => in_use("SIPREC", what),
            Some(error) => Finding::fail("SIPREC", format!("{what}: {error}"), "[siprec] listen must name an address of this machine"),
        }).collect();
    }
    if let Some(line) = &config.line {
        let options = SoundCardOptions { channels: line.channels, rate: line.rate, timeout: std::time::Duration::from_secs(1) };
        return vec![match SoundCard::open(&line.device, options) {
            Ok(_) => Finding::fine("sound card", format!("{} opens at {} Hz", line.device, line.rate)),
            Err(_) if is_running => Finding::fine("sound card", format!("{}: in use, by the sotto that runs", line.device)),
            Err(error) => Finding::fail("sound card", error.to_string(), "`arecord -L` names those there are; as root, or in the group audio"),
        }];
    }
    let Some(mirror) = &config.interface else {
        return vec![Finding::fail("interface", "[capture] interface is absent", "`sotto setup` proposes one").of_configuration()];
    };
    judge::mirror(&mirror.name, &ears::listen(&mirror.name, listening(config, mirror), listen_s))
}

/// As the tap listens.
fn listening(config: &Config, mirror: &Mirror) -> InterfaceOptions {
    let usual = InterfaceOptions::default();
    InterfaceOptions {
        ring_bytes: mirror.ring_bytes.unwrap_or(usual.ring_bytes),
        sip_ports: mirror.sip_ports.clone().unwrap_or_else(|| usual.sip_ports.clone()),
        trust: config.trust.clone(),
        ..usual
    }
}

/// Whether each address and the first port of sound can be bound.
fn siprec_ports(siprec: &Siprec) -> Vec<(String, Option<std::io::Error>)> {
    let mut tried: Vec<_> = siprec.listen.iter().map(|(transport, address)| match transport {
        Transport::Udp => (format!("udp:{address}"), UdpSocket::bind(address).err()),
        Transport::Tcp => (format!("tcp:{address}"), TcpListener::bind(address).err()),
    }).collect();
    if let Some((_, address)) = siprec.listen.first() {
        let port = *siprec.rtp_ports.start();
        tried.push((format!("RTP from udp:{port} on"), UdpSocket::bind((address.ip(), port)).err()));
    }
    tried
}

/// The spool, its disk, and the clock that dates it.
fn spool(places: &Places, config: &Config, wall_ms: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut floor_ms = 0;
    findings.push(if places.spool.exists() {
        match View::open(&places.spool) {
            Ok(view) => {
                floor_ms = view.time_floor().unwrap_or(0);
                Finding::fine("spool", places.spool.display().to_string())
            }
            Err(error) => Finding::fail("spool", error.to_string(), "as root, or in the group sotto; one that is damaged is salvaged when a service starts"),
        }
    } else {
        Finding::fine("spool", format!("{} is not there yet: the first start makes it", places.spool.display()))
    });
    findings.push(judge::clock(&judge::Clock { wall_ms, is_synchronized: system::is_synchronized(), floor_ms }));
    let folder = places.spool.parent().filter(|folder| folder.exists()).unwrap_or_else(|| Path::new("/"));
    findings.push(match rustix::fs::statvfs(folder) {
        Ok(disk) => judge::disk(&judge::Disk { free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize), used_bytes: used(&places.spool), quota_bytes: config.quota_bytes }),
        Err(error) => Finding::fail("disk", format!("{}: {error}", folder.display()), "`systemd-tmpfiles --create sotto.conf` makes the folder"),
    });
    findings
}

/// What the spool and the files beside it take.
fn used(spool: &Path) -> u64 {
    let (Some(folder), Some(stem)) = (spool.parent(), spool.file_stem().and_then(|stem| stem.to_str())) else { return 0 };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = files.filter(|file| file.file_name().to_str().is_some_and(|name| name.starts_with(stem)));
    ours.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
}

/// The way to the broker, as the uplink would go it.
fn speaks(places: &Places, config: &Config, wall_ms: i64) -> Vec<Finding> {
    let Some(uplink) = &config.uplink else {
        return vec![Finding::warn("broker", "[uplink] is absent: scores stay in the spool until they are too old", "`sotto setup --broker mqtts://...`")];
    };
    let broker = match crate::uplink::broker(uplink) {
        Ok(broker) => broker,
        Err(End::No(why) | End::BadConfiguration(why)) => return vec![Finding::fail("broker", why, "`man sotto.toml`").of_configuration()],
    };
    let secrets = Secrets::of(places);
    let mut findings = Vec::new();
    for (about, text) in [("CA", uplink.ca.as_ref().and_then(|file| std::fs::read(file).ok())), ("own certificate", secrets.read("mqtt-certificate"))] {
        findings.extend(text.and_then(|text| ends_of(&text).into_iter().min()).map(|end| judge::certificate(about, end, wall_ms)));
    }
    if uplink.user.is_some() && !secrets.are_readable() {
        findings.push(Finding::not_tried("broker", "the password cannot be read: run this as root"));
        return findings;
    }
    let tls = match tls(uplink, &secrets) {
        Ok(tls) => tls,
        Err(why) => {
            findings.push(Finding::fail("TLS", why, "[uplink] ca, and /etc/sotto/credentials").of_configuration());
            return findings;
        }
    };
    let password = secrets.read("mqtt-password").unwrap_or_default();
    let credentials = uplink.user.as_ref().map(|user| Credentials::new(user.clone(), String::from_utf8_lossy(&password).trim_end_matches('\n')));
    let client_id = format!("sotto-{}-{}-doctor", config.site_id, config.node);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![Finding::not_tried("broker", error.to_string())],
    };
    let trial = runtime.block_on(try_broker(&broker, credentials.as_ref(), tls.as_ref(), client_id));
    findings.extend(judge::broker(&uplink.broker, &trial, wall_ms));
    findings
}

/// The credentials where the units' `LoadCredential=` finds them: beside the configuration.
struct Secrets(PathBuf);

impl Secrets {
    fn of(places: &Places) -> Self {
        Self(places.config.parent().unwrap_or_else(|| Path::new("/etc/sotto")).join("credentials"))
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(name)).ok()
    }

    fn are_readable(&self) -> bool {
        !self.0.exists() || std::fs::read_dir(&self.0).is_ok()
    }
}

fn tls(uplink: &config::Uplink, secrets: &Secrets) -> Result<Option<Tls>, String> {
    if !uplink.broker.starts_with("mqtts://") {
        return Ok(None);
    }
    let authorities = match &uplink.ca {
        Some(file) => Some(std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?),
        None => None,
    };
    let own = (secrets.read("mqtt-certificate"), secrets.read("mqtt-key"));
    let identity = match &own {
        (Some(certificates), Some(key)) => Some(Identity { certificates, key }),
        (None, None) => None,
        _ => return Err("the credentials mqtt-certificate and mqtt-key go together: one is absent".to_owned()),
    };
    Tls::new(authorities.as_deref().map_or(Roots::System, Roots::Pem), identity).map(Some).map_err(|error| error.to_string())
}

/// What must not work, tried from where the services run.
fn must_not(places: &Places) -> Vec<Finding> {
    let not_tried = |why: &str| vec![Finding::not_tried("sandbox", why).forbidden()];
    if !system::is_systemd() {
        return not_tried("systemd does not run here, and its units are what is tried (`systemd-analyze security sotto-tap` says what they promise)");
    }
    if !system::is_root() {
        return not_tried("it takes root to try things from where the services run: sudo sotto doctor");
    }
    let credentials = Secrets::of(places).0.join("mqtt-password");
    let people = places.spool.with_extension("tap.db");
    let mut findings = Vec::new();
    for service in Service::ALL {
        // The uplink has no file of the tap's, and the hearing services no secret of the uplink's.
        let unreadable = if service == Service::Uplink { people.clone() } else { credentials.clone() };
        let is_wanted = service != Service::Siprec || system::is_active("sotto-siprec");
        if !is_wanted {
            continue;
        }
        match system::attempt(service, &[unreadable]) {
            Ok(attempts) => findings.extend(forbidden::judge(service, &attempts)),
            Err(why) => findings.push(Finding::not_tried("sandbox", format!("{}: {why}", service.unit())).forbidden()),
        }
    }
    debug_assert!(findings.iter().all(|finding| finding.side == Side::Forbidden));
    findings
}

/// Whether a tap writes into this spool now.
fn is_running(places: &Places, wall_ms: i64) -> bool {
    let written = View::open(&places.spool).ok().and_then(|view| view.tap_gauges().ok().flatten()).map(|tap| tap.written_ms);
    written.is_some_and(|written| wall_ms - written < FRESH_MS)
}
