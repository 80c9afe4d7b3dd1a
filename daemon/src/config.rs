//! The whole of sotto.toml as types, and where things lie.
//!
//! `conf.d/*.toml` beside the file are laid over it in the order of their names. Unknown keys are refused, each with file and line.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sotto_capture::{Channels, Network, Transport, Trust, Tunnel};
use sotto_charter::approval::{self, Signer};
use sotto_charter::{Charter, Site};
use sotto_models::Pack;
use sotto_models::store::Store;

/// The flags that come before every sub-command.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Places {
    /// The site's configuration; conf.d/*.toml beside it are laid over it.
    #[arg(long, value_name = "FILE", default_value = "/etc/sotto/sotto.toml")]
    pub(crate) config: PathBuf,
    /// What the site agreed to measure.
    #[arg(long, value_name = "FILE", default_value = "/etc/sotto/charter.toml")]
    pub(crate) charter: PathBuf,
    /// Where scores wait.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/sotto/spool.db")]
    pub(crate) spool: PathBuf,
    /// The folder of model packs. Default: target/models in a checkout, else what `sotto models install` installed, else /usr/share/sotto/models.
    #[arg(long, value_name = "DIR")]
    pub(crate) models: Option<PathBuf>,
    /// Where installed model packs are kept. Default: /var/lib/sotto/models.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
}

/// sotto.toml with all of conf.d laid over it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) site_id: String,
    pub(crate) node: String,
    /// The interface that hears the mirror; `None` where only files are replayed.
    pub(crate) interface: Option<Mirror>,
    /// Which tunnels are followed into, and whose: live and in files.
    pub(crate) trust: Trust,
    /// The sound card that hears a line; `None` where the source is another.
    pub(crate) line: Option<Line>,
    /// Where SBCs send calls; `None` where the source is another.
    pub(crate) siprec: Option<Siprec>,
    pub(crate) site: Site,
    pub(crate) pack: String,
    /// What is spoken at the site (ISO 639-1); `None` where it is found call by call.
    pub(crate) language: Option<String>,
    /// Whose packs may be installed.
    pub(crate) signers: Vec<approval::Key>,
    pub(crate) uplink: Option<Uplink>,
    /// Whose signatures the charter needs; `None` where the site asks for none.
    pub(crate) approval: Option<approval::Keys>,
    /// The most that the spool may take, bytes.
    pub(crate) quota_bytes: u64,
}

/// `[siprec]`, read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Siprec {
    /// Where signalling is awaited.
    pub(crate) listen: Vec<(Transport, SocketAddr)>,
    /// Where sound is.
    pub(crate) rtp_ports: RangeInclusive<u16>,
    /// Who is heard.
    pub(crate) allow: Vec<Network>,
    /// Recording sessions at once.
    pub(crate) sessions: usize,
}

/// A sound card that hears a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Its ALSA name.
    pub(crate) device: String,
    /// What its channels are.
    pub(crate) channels: Channels,
    /// Samples a second.
    pub(crate) rate: u32,
}

/// `[uplink]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Uplink {
    /// `mqtts://host:port`; `mqtt://` on loopback only, or with `danger_plaintext`.
    pub(crate) broker: String,
    /// Allows `mqtt://` to another host: everyone on the way can read the scores.
    #[serde(default)]
    pub(crate) danger_plaintext: bool,
    /// The user name at the broker. Its password is the credential `mqtt-password`.
    pub(crate) user: Option<String>,
    /// The certificate authority that signed the broker's certificate, PEM.
    pub(crate) ca: Option<PathBuf>,
    /// Whose acknowledgement ends the keeping of a score.
    #[serde(default)]
    pub(crate) ack: Ack,
}

/// Who must have a score before the box deletes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ack {
    /// The broker.
    #[default]
    Broker,
    /// A collector behind it (`sotto-collect`), which says so on `sotto-in/v1/<site>/<node>/ack`.
    Collector,
}

/// A mirror port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mirror {
    /// The interface's name.
    pub(crate) name: String,
    /// Bytes that the kernel may hold for us.
    pub(crate) ring_bytes: Option<usize>,
    /// TCP ports on which SIP is heard; `None` for the usual ones.
    pub(crate) sip_ports: Option<Vec<RangeInclusive<u16>>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    site: Option<SiteTable>,
    capture: Option<CaptureTable>,
    siprec: Option<SiprecTable>,
    #[serde(default)]
    agents: Vec<AgentsTable>,
    #[serde(default)]
    lines: Vec<LinesTable>,
    models: Option<ModelsTable>,
    uplink: Option<Uplink>,
    charter: Option<CharterTable>,
    spool: Option<SpoolTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CharterTable {
    approval: Approval,
    /// The employer's public key, of minisign.
    employer: Option<String>,
    /// The representatives'.
    representatives: Option<String>,
}

/// Whether a charter must be signed to count.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Approval {
    Required,
    None,
}

impl CharterTable {
    /// The keys; what is wrong, where they cannot be read.
    fn read(&self) -> Result<Option<approval::Keys>, String> {
        let key = |name: &str, text: &Option<String>| match text {
            None if self.approval == Approval::Required => Err(format!(r#"approval = "required", but {name} is absent: name the public key"#)),
            None => Ok(None),
            Some(text) => text.parse::<approval::Key>().map(Some).map_err(|error| format!("{name}: {error}")),
        };
        let keys = approval::Keys { employer: key("employer", &self.employer)?, representatives: key("representatives", &self.representatives)? };
        if keys.employer.is_some() && keys.employer == keys.representatives {
            return Err("employer and representatives have the same key: one side would sign for both".to_owned());
        }
        Ok((self.approval == Approval::Required).then_some(keys))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpoolTable {
    /// The most that the spool may take on the disk, MiB.
    quota_mib: u64,
}

impl SpoolTable {
    /// A week of 100,000 calls a day.
    const USUAL_MIB: u64 = 2_048;

    fn bytes(table: Option<&Self>) -> Result<u64, String> {
        /// From a few thousand scores to more than any box has calls.
        const MIB: RangeInclusive<u64> = 16..=1_048_576;
        let mib = table.map_or(Self::USUAL_MIB, |table| table.quota_mib);
        if MIB.contains(&mib) { Ok(mib << 20) } else { Err(format!("quota_mib: must lie within {} and {}", MIB.start(), MIB.end())) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteTable {
    id: String,
    node: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureTable {
    source: Source,
    interface: Option<String>,
    /// The mirror's ring, MiB.
    ring_mib: Option<usize>,
    /// TCP ports on which SIP is heard: "5060", "5062-5080".
    sip_tcp_ports: Option<Vec<String>>,
    /// Which tunnels are followed into: "gre", "ip-in-ip", "vxlan", "geneve", "hep".
    tunnels: Option<Vec<String>>,
    /// Whose: the ends of tunnels and the Homer agents, by address or `address/bits`.
    tunnel_peers: Option<Vec<String>>,
    /// The ports that Homer agents send to.
    hep_ports: Option<Vec<u16>>,
    /// The sound card, by its ALSA name.
    device: Option<String>,
    /// What the sound card's channels are.
    channels: Option<ChannelMap>,
    /// The sound card's samples a second.
    rate: Option<u32>,
}

/// What a sound card's channels are.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ChannelMap {
    /// Two: the agent left, the customer right.
    AgentCustomer,
    /// One, with both parties in it.
    Mixed,
}

impl CaptureTable {
    /// The mirror port; what is wrong, where it cannot be told.
    fn mirror(&self) -> Result<Option<Mirror>, String> {
        /// What the kernel can be asked for.
        const RING_MIB: RangeInclusive<usize> = 1..=256;
        /// What the kernel's filter has room for, beside Homer's.
        const MOST_PORTS: usize = 64 - CaptureTable::MOST_HEP_PORTS;
        if self.source != Source::Mirror {
            let is_mentioned = self.ring_mib.is_some() || self.sip_tcp_ports.is_some();
            return if is_mentioned { Err(r#"ring_mib and sip_tcp_ports are for source = "mirror" alone"#.to_owned()) } else { Ok(None) };
        }
        if self.ring_mib.is_some_and(|mib| !RING_MIB.contains(&mib)) {
            return Err(format!("ring_mib: must lie within {} and {}", RING_MIB.start(), RING_MIB.end()));
        }
        let ports = self.sip_tcp_ports.as_ref().map(|ports| ports.iter().map(|text| port_range(text)).collect::<Option<Vec<_>>>());
        let sip_ports = match ports {
            Some(Some(ports)) if ports.len() <= MOST_PORTS => Some(ports),
            Some(_) => return Err(format!(r#"sip_tcp_ports: at most {MOST_PORTS} of "5060" or "5062-5080""#)),
            None => None,
        };
        let ring_bytes = self.ring_mib.map(|mib| mib << 20);
        Ok(self.interface.clone().map(|name| Mirror { name, ring_bytes, sip_ports }))
    }

    /// Ports of Homer agents at most.
    const MOST_HEP_PORTS: usize = 8;

    /// Which tunnels are trusted; what is wrong, where it cannot be told.
    fn trust(&self) -> Result<Trust, String> {
        let usual = Trust::default();
        let known = |name: &String| Tunnel::ALL.into_iter().find(|tunnel| tunnel.name() == name);
        let tunnels = match &self.tunnels {
            Some(names) => names.iter().map(|name| known(name).ok_or(name)).collect::<Result<_, _>>().map_err(|name| {
                format!("tunnels: {name} is none of {}", Tunnel::ALL.map(Tunnel::name).join(", "))
            })?,
            None => usual.tunnels,
        };
        let peers = self.tunnel_peers.as_ref().map(|peers| peers.iter().map(|text| network("tunnel_peers", text)).collect()).transpose()?;
        let hep_ports = self.hep_ports.clone().unwrap_or(usual.hep_ports);
        if hep_ports.contains(&0) || hep_ports.len() > Self::MOST_HEP_PORTS {
            return Err(format!("hep_ports: at most {}, from 1 on", Self::MOST_HEP_PORTS));
        }
        Ok(Trust { tunnels, peers, hep_ports })
    }

    /// The line that a sound card hears; what is wrong, where it cannot be told.
    fn line(&self) -> Result<Option<Line>, String> {
        /// What sound cards can do.
        const RATES: RangeInclusive<u32> = 8_000..=192_000;
        let is_mentioned = self.device.is_some() || self.channels.is_some() || self.rate.is_some();
        match (self.source, &self.device) {
            (Source::Alsa, None) => Err(r#"device is absent: name the sound card that hears the line, as `arecord -L` does ("plughw:CARD=Device")"#.to_owned()),
            (Source::Alsa, Some(device)) => {
                let channels = match self.channels.ok_or(r#"channels is absent: "agent-customer" (left and right) or "mixed" (both in one)"#)? {
                    ChannelMap::AgentCustomer => Channels::AgentCustomer,
                    ChannelMap::Mixed => Channels::Mixed,
                };
                let rate = self.rate.unwrap_or(8_000);
                if !RATES.contains(&rate) {
                    return Err(format!("rate: must lie within {} and {} Hz", RATES.start(), RATES.end()));
                }
                Ok(Some(Line { device: device.clone(), channels, rate }))
            }
            _ if is_mentioned => Err(r#"device, channels and rate are for source = "alsa" alone"#.to_owned()),
            _ => Ok(None),
        }
    }
}

/// Where calls are heard.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    Mirror,
    Alsa,
    Siprec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiprecTable {
    /// `udp:address:port` and `tcp:address:port`.
    #[serde(default = "SiprecTable::listen")]
    listen: OneOrMany,
    /// `first-last`: two for each stream.
    #[serde(default = "SiprecTable::rtp_ports")]
    rtp_ports: String,
    /// The SBCs, by address or `address/bits`: those that signal, and those that send the sound.
    allow: Vec<String>,
    #[serde(default = "SiprecTable::sessions")]
    sessions: usize,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl SiprecTable {
    fn listen() -> OneOrMany {
        OneOrMany::Many(vec!["udp:0.0.0.0:5060".to_owned(), "tcp:0.0.0.0:5060".to_owned()])
    }

    fn rtp_ports() -> String {
        "20000-29999".to_owned()
    }

    const fn sessions() -> usize {
        2_000
    }

    /// Reads the texts; what is wrong, where one cannot be read.
    fn read(self) -> Result<Siprec, String> {
        let listen = match self.listen {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        };
        let address = |text: &String| {
            let (transport, address) = text.split_once(':')?;
            let transport = match transport {
                "udp" => Transport::Udp,
                "tcp" => Transport::Tcp,
                _ => return None,
            };
            Some((transport, address.parse().ok()?))
        };
        let listen: Option<Vec<_>> = listen.iter().map(address).collect();
        let listen = listen.filter(|listen| !listen.is_empty()).ok_or(r#"listen: must be "udp:address:port" or "tcp:address:port", or a list of them"#)?;
        let ports = self.rtp_ports.split_once('-').and_then(|(first, last)| Some((first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?)));
        let (first, last) = ports.filter(|(first, last)| *first >= 1_024 && first < last).ok_or(r#"rtp_ports: must be "first-last", from 1024 on"#)?;
        let allow: Vec<Network> = self.allow.iter().map(|text| network("allow", text)).collect::<Result<_, _>>()?;
        if allow.is_empty() {
            return Err("allow: names nobody, so nobody would be heard".to_owned());
        }
        if self.sessions == 0 {
            return Err("sessions: must be at least 1".to_owned());
        }
        Ok(Siprec { listen, rtp_ports: first..=last, allow, sessions: self.sessions })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentsTable {
    r#match: String,
    team: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinesTable {
    r#match: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelsTable {
    #[serde(default = "ModelsTable::usual_pack")]
    pack: String,
    /// What is spoken at this site.
    language: Option<String>,
    /// Whose packs `sotto models install` takes: public keys of minisign.
    #[serde(default)]
    signers: Vec<String>,
}

impl ModelsTable {
    fn usual_pack() -> String {
        "en".to_owned()
    }

    /// The keys; what is wrong, where one cannot be read.
    fn signers(&self) -> Result<Vec<approval::Key>, String> {
        self.signers.iter().map(|key| key.parse().map_err(|error| format!("signers: {error}"))).collect()
    }

    /// The language, where it looks like one.
    fn language(&self) -> Result<Option<String>, String> {
        let looks_right = |code: &str| (2..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase());
        match &self.language {
            Some(code) if !looks_right(code) => Err(format!("language is `{code}`; it is a code of ISO 639-1, such as `en` or `de`")),
            language => Ok(language.clone()),
        }
    }
}

/// A file that cannot be used: which, where, what, and what to do.
#[derive(Debug)]
pub(crate) struct ConfigError {
    file: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if self.line > 0 {
            write!(formatter, ":{}", self.line)?;
        }
        write!(formatter, ": {}", self.what)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads sotto.toml and conf.d.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut all = File::read(path)?;
        for overlay in conf_d(path)? {
            all.lay_over(File::read(&overlay)?);
        }
        let missing = |what: &str| ConfigError { file: path.to_owned(), line: 0, what: what.to_owned() };
        let site = all.site.ok_or_else(|| missing("[site] with id and node is absent"))?;
        for (key, name) in [("id", &site.id), ("node", &site.node)] {
            // The same rule as for teams: it becomes part of a topic.
            if Site::new(&[(String::new(), name.clone())], &[]).is_err() {
                return Err(missing(&format!("[site] {key}: {}", sotto_charter::NameError)));
            }
        }
        let agents: Vec<_> = all.agents.into_iter().map(|rule| (rule.r#match, rule.team)).collect();
        let lines: Vec<_> = all.lines.into_iter().map(|rule| (rule.r#match, rule.name)).collect();
        let source = all.capture.as_ref().map(|capture| capture.source);
        let interface = all.capture.as_ref().map_or(Ok(None), CaptureTable::mirror).map_err(|what| missing(&format!("[capture] {what}")))?;
        let trust = all.capture.as_ref().map_or_else(|| Ok(Trust::default()), CaptureTable::trust).map_err(|what| missing(&format!("[capture] {what}")))?;
        let line = all.capture.as_ref().map_or(Ok(None), CaptureTable::line).map_err(|what| missing(&format!("[capture] {what}")))?;
        // Read even where another source is heard: a mistake is told when it is made.
        let siprec = all.siprec.map(SiprecTable::read).transpose().map_err(|what| missing(&format!("[siprec] {what}")))?;
        if source == Some(Source::Siprec) && siprec.is_none() {
            return Err(missing(r#"[capture] source is "siprec", but [siprec] with allow is absent"#));
        }
        let language = all.models.as_ref().map_or(Ok(None), ModelsTable::language).map_err(|what| missing(&format!("[models] {what}")))?;
        let approval = all.charter.as_ref().map_or(Ok(None), CharterTable::read).map_err(|what| missing(&format!("[charter] {what}")))?;
        Ok(Self {
            approval,
            site: Site::new(&agents, &lines).map_err(|error| missing(&format!("a team's or line's name: {error}")))?,
            site_id: site.id,
            node: site.node,
            interface,
            trust,
            siprec: siprec.filter(|_| source == Some(Source::Siprec)),
            line,
            signers: all.models.as_ref().map_or_else(|| Ok(Vec::new()), ModelsTable::signers).map_err(|what| missing(&format!("[models] {what}")))?,
            pack: all.models.map_or_else(ModelsTable::usual_pack, |models| models.pack),
            language,
            uplink: all.uplink,
            quota_bytes: SpoolTable::bytes(all.spool.as_ref()).map_err(|what| missing(&format!("[spool] {what}")))?,
        })
    }
}

impl Config {
    /// What of another configuration cannot come into force while the box runs.
    pub(crate) fn waits_for_restart(&self, other: &Self) -> &'static str {
        if (&self.site_id, &self.node) != (&other.site_id, &other.node) {
            "[site]"
        } else if (&self.interface, &self.line, &self.siprec, &self.trust) != (&other.interface, &other.line, &other.siprec, &other.trust) {
            "[capture] or [siprec]"
        } else if self.quota_bytes != other.quota_bytes {
            "[spool]"
        } else if self.language != other.language {
            "[models] language"
        } else {
            ""
        }
    }
}

/// An address, or `address/bits`, of the list that is named `key`.
fn network(key: &str, text: &str) -> Result<Network, String> {
    text.parse().map_err(|error| format!("{key}: {text} {error}"))
}

/// "5060" or "5062-5080".
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        toml::from_str(&text).map_err(|error| ConfigError {
            file: path.to_owned(),
            line: error.span().map_or(0, |span| 1 + text.bytes().take(span.start).filter(|&byte| byte == b'\n').count()),
            what: error.message().to_owned(),
        })
    }

    fn lay_over(&mut self, over: Self) {
        self.site = over.site.or_else(|| self.site.take());
        self.capture = over.capture.or_else(|| self.capture.take());
        self.siprec = over.siprec.or_else(|| self.siprec.take());
        self.models = over.models.or_else(|| self.models.take());
        self.uplink = over.uplink.or_else(|| self.uplink.take());
        self.charter = over.charter.or_else(|| self.charter.take());
        self.spool = over.spool.or_else(|| self.spool.take());
        self.agents.extend(over.agents);
        self.lines.extend(over.lines);
    }
}

/// Reads a charter, with the file named in its error.
pub(crate) fn load_charter(path: &Path) -> Result<Charter, ConfigError> {
    let text = read_text(path)?;
    Charter::parse(&text).map_err(|error| ConfigError { file: path.to_owned(), line: error.line, what: error.reason() })
}

/// Reads what the signers wrote beside the charter, the employer's first; `None` where there is no such file.
pub(crate) fn signatures(charter: &Path) -> Result<[Option<String>; 2], ConfigError> {
    let [employer, representatives] = Signer::BOTH.map(|signer| {
        let mut name = charter.as_os_str().to_owned();
        name.push(".");
        name.push(signer.suffix());
        let path = PathBuf::from(name);
        if path.exists() { read_text(&path).map(Some) } else { Ok(None) }
    });
    Ok([employer?, representatives?])
}

impl ConfigError {
    /// A fault of a charter that was read.
    pub(crate) fn of_charter(file: &Path, line: usize, what: String) -> Self {
        Self { file: file.to_owned(), line, what }
    }
}

impl Places {
    /// The folder of the pack that the configuration names.
    pub(crate) fn pack(&self, name: &str) -> PathBuf {
        self.packs(name).into_iter().next().unwrap_or_else(|| Path::new(PACKAGED).join(name))
    }

    /// The folders that it may lie in, the one that counts first, and then those that went before it.
    pub(crate) fn packs(&self, name: &str) -> Vec<PathBuf> {
        let packaged = self.packaged(name);
        // In a checkout, what was built there counts, unless a store is named.
        let has_store = self.store.is_some() || packaged.starts_with(PACKAGED);
        let mut packs = if has_store { Store::new(&self.store()).packs(name) } else { Vec::new() };
        packs.push(packaged);
        // An upgraded package goes before what was installed when it was older.
        packs.sort_by_key(|pack| std::cmp::Reverse(Pack::version_of(pack).unwrap_or_default()));
        packs
    }

    /// Where a pack lies that nobody installed by hand: built in a checkout, or from its package.
    pub(crate) fn packaged(&self, name: &str) -> PathBuf {
        let beside_binary = || std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("models")));
        let checkout = || [Some(PathBuf::from("target/models")), beside_binary()].into_iter().flatten().find(|folder| folder.join(name).is_dir());
        self.models.clone().or_else(checkout).unwrap_or_else(|| PathBuf::from(PACKAGED)).join(name)
    }

    /// Where installed packs are kept.
    pub(crate) fn store(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(|| PathBuf::from("/var/lib/sotto/models"))
    }
}

/// Where the packages of models put them.
pub(crate) const PACKAGED: &str = "/usr/share/sotto/models";

/// What systemd's `LoadCredential=` put there; `None` where there is no such credential.
pub(crate) fn credential(name: &str) -> Result<Option<Vec<u8>>, ConfigError> {
    let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return Ok(None) };
    let file = Path::new(&folder).join(name);
    match std::fs::read(&file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError { file, line: 0, what: error.to_string() }),
    }
}

pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    /// No configuration is longer; /dev/zero is.
    const LONGEST: u64 = 1 << 20;
    let failed = |what: String| ConfigError { file: path.to_owned(), line: 0, what };
    let length = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !length.is_file() || length.len() > LONGEST {
        return Err(failed(format!("must be a file of at most {LONGEST} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}

fn conf_d(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let folder = path.parent().unwrap_or_else(|| Path::new(".")).join("conf.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ConfigError { file: folder, line: 0, what: error.to_string() }),
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    Ok(files)
}
