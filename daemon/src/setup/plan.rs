//! From answers to files. Nothing here reads or writes one.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::file::Wanted;
use crate::doctor::ears::NAMESPACE;

/// What a sound card's unit needs.
const ALSA: &str = include_str!("../../../systemd/sotto-tap-alsa.conf");
/// The name of setup's drop-in beside each unit.
const DROP_IN: &str = "50-sotto-setup.conf";

/// Everything that setup knows in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) site: String,
    pub(crate) node: String,
    pub(crate) source: Source,
    pub(crate) uplink: Option<Uplink>,
    /// Patterns with their teams; those of setup's own file.
    pub(crate) agents: Vec<(String, String)>,
}

/// Where calls are heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A mirror port; in a network namespace of its own, or not.
    Mirror { interface: String, is_apart: bool },
    /// A sound card.
    SoundCard { device: String, is_mixed: bool },
    /// SBCs, by their addresses.
    Siprec { allow: Vec<String> },
}

impl Source {
    /// The unit that hears it.
    pub(crate) const fn unit(&self) -> &'static str {
        match self {
            Self::Siprec { .. } => "sotto-siprec",
            _ => "sotto-tap",
        }
    }
}

/// Where scores go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uplink {
    pub(crate) broker: String,
    pub(crate) user: Option<String>,
    pub(crate) ca: Option<PathBuf>,
    /// The addresses that the uplink may reach: the broker's and the resolvers'; empty for any.
    pub(crate) reach: Vec<IpAddr>,
}

/// Where files belong.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    /// `/etc/sotto/conf.d`
    pub(crate) conf_d: PathBuf,
    /// `/etc/systemd/system`
    pub(crate) units: PathBuf,
}

impl Folders {
    /// The file of setup's own among conf.d: early, so that an admin's own are laid over it.
    pub(crate) fn own(&self) -> PathBuf {
        self.conf_d.join("10-site.toml")
    }

    fn drop_in(&self, unit: &str) -> PathBuf {
        self.units.join(format!("{unit}.service.d")).join(DROP_IN)
    }
}

/// The files that the answers come to. `before` is the configuration without what setup answers: a table of conf.d takes the place of the one
/// below it, so the keys that nobody is asked about go along.
pub(crate) fn files(answers: &Answers, before: &Table, folders: &Folders) -> Vec<Wanted> {
    vec![
        Wanted::new(folders.own(), Some(configuration(answers, before))),
        Wanted::new(folders.drop_in("sotto-tap"), tap(&answers.source)),
        Wanted::new(folders.drop_in("sotto-siprec"), siprec(&answers.source)),
        Wanted::new(folders.drop_in("sotto-uplink"), answers.uplink.as_ref().and_then(uplink)),
    ]
}

fn configuration(answers: &Answers, before: &Table) -> String {
    let kept = |name: &str| before.get(name).and_then(Value::as_table).cloned().unwrap_or_default();
    let mut all = Table::new();
    let mut site = kept("site");
    site.insert("id".to_owned(), answers.site.clone().into());
    site.insert("node".to_owned(), answers.node.clone().into());
    all.insert("site".to_owned(), site.into());
    let mut capture = kept("capture");
    // Keys of one source are refused beside another.
    let own: &[&str] = match answers.source {
        Source::Mirror { .. } => &["device", "channels", "rate"],
        Source::SoundCard { .. } => &["interface", "ring_mib", "sip_tcp_ports"],
        Source::Siprec { .. } => &["interface", "ring_mib", "sip_tcp_ports", "device", "channels", "rate"],
    };
    own.iter().for_each(|key| drop(capture.remove(*key)));
    let mut set = |key: &str, value: &str| drop(capture.insert(key.to_owned(), value.into()));
    match &answers.source {
        Source::Mirror { interface, .. } => {
            set("source", "mirror");
            set("interface", interface);
        }
        Source::SoundCard { device, is_mixed } => {
            set("source", "alsa");
            set("device", device);
            set("channels", if *is_mixed { "mixed" } else { "agent-customer" });
        }
        Source::Siprec { allow } => {
            set("source", "siprec");
            let mut siprec = kept("siprec");
            siprec.insert("allow".to_owned(), allow.clone().into());
            all.insert("siprec".to_owned(), siprec.into());
        }
    }
    all.insert("capture".to_owned(), capture.into());
    if let Some(answered) = &answers.uplink {
        let mut uplink = kept("uplink");
        uplink.insert("broker".to_owned(), answered.broker.clone().into());
        for (key, value) in [("user", answered.user.clone()), ("ca", answered.ca.as_ref().map(|file| file.display().to_string()))] {
            match value {
                Some(value) => drop(uplink.insert(key.to_owned(), value.into())),
                None => drop(uplink.remove(key)),
            }
        }
        all.insert("uplink".to_owned(), uplink.into());
    }
    if !answers.agents.is_empty() {
        let rule = |(pattern, team): &(String, String)| Value::from(Table::from_iter([("match".to_owned(), pattern.clone().into()), ("team".to_owned(), team.clone().into())]));
        all.insert("agents".to_owned(), answers.agents.iter().map(rule).collect::<Vec<_>>().into());
    }
    all.to_string()
}

/// A mirror that is put apart, or a sound card's devices.
fn tap(source: &Source) -> Option<String> {
    match source {
        Source::Mirror { interface, is_apart: true } => Some(format!(
            "# The mirror interface is alone in a network namespace, out of which nothing goes.\n\
             [Unit]\nBindsTo=sotto-mirror@{interface}.service\nAfter=sotto-mirror@{interface}.service\n\n[Service]\nNetworkNamespacePath={NAMESPACE}\n"
        )),
        Source::SoundCard { .. } => Some(ALSA.to_owned()),
        _ => None,
    }
}

fn siprec(source: &Source) -> Option<String> {
    let Source::Siprec { allow } = source else { return None };
    Some(format!("# The SBCs, as [siprec] allow names them: it speaks to nobody else.\n[Service]\nIPAddressAllow={}\n", allow.join(" ")))
}

fn uplink(uplink: &Uplink) -> Option<String> {
    if uplink.reach.is_empty() {
        return None;
    }
    let reach = uplink.reach.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    Some(format!("# The broker and the resolvers, where they are now. When one moves: `sotto setup` again.\n[Service]\nIPAddressDeny=any\nIPAddressAllow={reach}\n"))
}

/// The first that fits of a host name into a topic: a-z, 0-9 and -, at most 32, beginning with a letter or digit.
pub(crate) fn name_of(host: &str) -> Option<String> {
    let first = host.split('.').next().unwrap_or(host).to_ascii_lowercase();
    let fits: String = first.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).collect();
    let name: String = fits.trim_matches('-').chars().take(32).collect();
    (!name.is_empty() && name != "localhost").then_some(name)
}

/// `pattern=team`.
pub(crate) fn agents_rule(text: &str) -> Result<(String, String), String> {
    let (pattern, team) = text.rsplit_once('=').ok_or("must be PATTERN=TEAM, as sip:1???@*=billing")?;
    if pattern.is_empty() || sotto_charter::Site::new(&[(String::new(), team.to_owned())], &[]).is_err() {
        return Err(format!("PATTERN=TEAM: {}", sotto_charter::NameError));
    }
    Ok((pattern.to_owned(), team.to_owned()))
}

/// The resolvers of resolv.conf(5).
pub(crate) fn resolvers(text: &str) -> Vec<IpAddr> {
    text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().split('%').next()?.parse().ok()).collect()
}

/// The tables that lie below setup's own: of sotto.toml and of those of conf.d that come before it, each table of the last that has it.
pub(crate) fn below(texts: &[String]) -> Table {
    let mut all = Table::new();
    for table in texts.iter().filter_map(|text| text.parse::<Table>().ok()) {
        all.extend(table);
    }
    all
}

/// The interface of `/etc/systemd/system/x` to a unit's instance name: only names without what systemd escapes are put apart.
pub(crate) fn may_be_apart(interface: &str) -> bool {
    !interface.is_empty() && interface.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == ':')
}

/// Beneath another root, as an image is made.
pub(crate) fn beneath(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix("/").map_or_else(|_| path.to_owned(), |path| root.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(source: Source) -> Answers {
        Answers { site: "harbor".to_owned(), node: "rec-1".to_owned(), source, uplink: None, agents: Vec::new() }
    }

    fn folders() -> Folders {
        Folders { conf_d: PathBuf::from("/etc/sotto/conf.d"), units: PathBuf::from("/etc/systemd/system") }
    }

    fn mirror(is_apart: bool) -> Source {
        Source::Mirror { interface: "eth1".to_owned(), is_apart }
    }

    #[test]
    fn keys_that_nobody_is_asked_about_go_along_and_those_of_another_source_do_not() {
        let before: Table = "[capture]\nsource = 'mirror'\ninterface = 'eth9'\nring_mib = 64\ntunnels = []\n[uplink]\nbroker = 'mqtts://old'\nack = 'collector'\n".parse().unwrap();
        let mut given = answers(mirror(true));
        given.uplink = Some(Uplink { broker: "mqtts://new:8883".to_owned(), user: Some("box".to_owned()), ca: None, reach: vec![] });
        given.agents = vec![("sip:1???@*".to_owned(), "billing".to_owned())];
        let text = configuration(&given, &before);
        let read: Table = text.parse().unwrap();
        assert_eq!(read["capture"]["interface"].as_str(), Some("eth1"));
        assert_eq!(read["capture"]["ring_mib"].as_integer(), Some(64));
        assert_eq!((read["uplink"]["broker"].as_str(), read["uplink"]["ack"].as_str()), (Some("mqtts://new:8883"), Some("collector")));
        assert_eq!(read["agents"][0]["team"].as_str(), Some("billing"));
        let read: Table = configuration(&answers(Source::SoundCard { device: "plughw:1".to_owned(), is_mixed: true }), &before).parse().unwrap();
        assert!(read["capture"].get("ring_mib").is_none() && read["capture"].get("tunnels").is_some(), "{read}");
    }

    #[test]
    fn units_are_as_tight_as_the_source_allows() {
        let of = |source: Source| files(&answers(source), &Table::new(), &folders());
        let text = |files: &[Wanted], at: usize| files[at].content.clone().unwrap_or_default();
        let apart = of(mirror(true));
        assert!(text(&apart, 1).contains("NetworkNamespacePath=/run/netns/sotto-mirror") && text(&apart, 1).contains("BindsTo=sotto-mirror@eth1.service"));
        assert_eq!(of(mirror(false))[1].content, None);
        assert!(text(&of(Source::SoundCard { device: "d".to_owned(), is_mixed: false }), 1).contains("DeviceAllow=char-alsa"));
        let siprec = of(Source::Siprec { allow: vec!["192.0.2.10".to_owned(), "198.51.100.0/24".to_owned()] });
        assert!(text(&siprec, 2).contains("IPAddressAllow=192.0.2.10 198.51.100.0/24\n"));
        assert_eq!(siprec[1].content, None);
    }

    #[test]
    fn names_are_proposed_from_host_names() {
        assert_eq!(name_of("Rec-1.harbor.example").as_deref(), Some("rec-1"));
        assert_eq!(name_of("_x_").as_deref(), Some("x"));
        assert_eq!([name_of("localhost"), name_of("---")], [None, None]);
    }

    #[test]
    fn small_texts_are_read() {
        assert_eq!(agents_rule("sip:1???@*=billing"), Ok(("sip:1???@*".to_owned(), "billing".to_owned())));
        assert!(agents_rule("sip:1???@*").is_err() && agents_rule("x=Not A Team").is_err());
        assert_eq!(resolvers("search x\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver x\n"), ["127.0.0.53".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert!(may_be_apart("eth1") && !may_be_apart("br-lan") && !may_be_apart(""));
        let tables = below(&["[site]\nid = 'a'\n[models]\npack = 'en'\n".to_owned(), "[site]\nid = 'b'\n".to_owned(), "not toml".to_owned()]);
        assert_eq!((tables["site"]["id"].as_str(), tables["models"]["pack"].as_str()), (Some("b"), Some("en")));
        assert_eq!(beneath(Path::new("/image"), Path::new("/etc/sotto")), Path::new("/image/etc/sotto"));
    }
}
