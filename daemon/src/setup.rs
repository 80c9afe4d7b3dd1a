//! `sotto setup`: a first configuration, by questions with found answers, or from flags.
//!
//! What is looked at is here; questions are in [`ask`], what answers come to in [`plan`], and whose a file is in [`file`].

mod ask;
mod file;
mod plan;

use std::io::{BufRead, Write};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use sotto_capture::{InterfaceOptions, Network};
use sotto_charter::Site;
use sotto_redact::{LEAST_MEMBERS, Proposal};
use sotto_uplink::Broker;

use crate::End;
use crate::config::{Config, Places, read_text};
use crate::doctor::{self, ears, system};
use ask::Asker;
use file::{Change, body_of_ours, write_whole};
use plan::{Answers, Folders, Source, Uplink};

/// Flags of `sotto setup`: each answers a question before it is asked.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Ask nothing: flags, and what is found, are the answers.
    #[arg(long)]
    non_interactive: bool,
    /// The site's name, part of every topic.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// This box's name at the site.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The interface that the switch mirrors to.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["sound_card", "siprec"])]
    interface: Option<String>,
    /// Put the mirror interface into a network namespace of its own, out of which nothing goes.
    #[arg(long, conflicts_with = "together")]
    apart: bool,
    /// Leave the mirror interface among the others.
    #[arg(long)]
    together: bool,
    /// The sound card that hears the line, as `arecord -L` names it.
    #[arg(long, value_name = "DEVICE", conflicts_with = "siprec")]
    sound_card: Option<String>,
    /// Both parties are in one channel of the sound card.
    #[arg(long, requires = "sound_card")]
    mixed: bool,
    /// An SBC that sends calls by SIPREC, by address or address/bits; may be given more than once.
    #[arg(long, value_name = "ADDRESS")]
    siprec: Vec<String>,
    /// Where scores go: mqtts://host:port; "none" for nowhere.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// The user name at the broker.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A file with the password at the broker; it becomes the credential mqtt-password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// The certificate authority that signed the broker's certificate, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Let the uplink reach any address, not the broker's and the resolvers' alone.
    #[arg(long)]
    reach_any: bool,
    /// Whose number is an agent's, and of which team: sip:1???@*=billing; may be given more than once.
    #[arg(long, value_name = "PATTERN=TEAM", value_parser = plan::agents_rule)]
    agents: Vec<(String, String)>,
    /// How long to listen to the interfaces.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    listen: u64,
    /// Write over what was changed by hand.
    #[arg(long)]
    overwrite: bool,
    /// Enable and start the services when all is written.
    #[arg(long)]
    start: bool,
    /// Say what would be written, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write beneath this folder, as when an image is made; nothing is started or tried then.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

/// Runs it; at the end doctor says how it stands, and its exit status counts.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let stdin = std::io::stdin().lock();
    let mut asker = Asker::new((!arguments.non_interactive).then_some(stdin), std::io::stdout());
    let folders = folders(places, arguments);
    let now = Now::read(places, arguments, &folders);
    let answers = question(&mut asker, arguments, &now)?;
    write(&mut asker, arguments, &answers, &now, &folders)?;
    if arguments.dry_run || arguments.root != Path::new("/") {
        return Ok(());
    }
    begin(&mut asker, arguments, &answers)?;
    asker.say("\nsotto doctor\n");
    doctor::look(places, arguments.listen.max(1))
}

fn folders(places: &Places, arguments: &Arguments) -> Folders {
    let beside = places.config.parent().unwrap_or_else(|| Path::new("/etc/sotto"));
    Folders {
        conf_d: plan::beneath(&arguments.root, &beside.join("conf.d")),
        units: plan::beneath(&arguments.root, Path::new("/etc/systemd/system")),
    }
}

/// How it stands before anything is asked.
struct Now {
    /// The configuration, where there is one that holds.
    config: Option<Config>,
    /// What lies below setup's own file: its tables go along.
    below: toml::Table,
    /// What setup wrote the last time, as it stands there now.
    own: toml::Table,
}

impl Now {
    fn read(places: &Places, arguments: &Arguments, folders: &Folders) -> Self {
        let config = plan::beneath(&arguments.root, &places.config);
        let own = folders.own();
        let mut lower: Vec<PathBuf> = std::fs::read_dir(&folders.conf_d).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        lower.retain(|path| path.extension().is_some_and(|extension| extension == "toml") && *path < own);
        lower.sort();
        lower.insert(0, config.clone());
        let texts: Vec<String> = lower.iter().filter_map(|path| read_text(path).ok()).collect();
        let own = read_text(&own).ok().and_then(|text| body_of_ours(&text).unwrap_or(&text).parse().ok()).unwrap_or_default();
        Self { config: Config::load(&config).ok(), below: plan::below(&texts), own }
    }

    /// The tables that setup's own go on from.
    fn before(&self) -> toml::Table {
        let mut before = self.below.clone();
        before.extend(self.own.clone());
        before
    }

    /// Whether setup has answered this table before; what is shipped is a form, and no answer.
    fn answered(&self, table: &str) -> bool {
        self.own.contains_key(table)
    }
}

fn question<R: BufRead, W: Write>(asker: &mut Asker<R, W>, arguments: &Arguments, now: &Now) -> Result<Answers, End> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let config = now.config.as_ref();
    let named = |given: &Option<String>, own: Option<&String>, form: &str| {
        let kept = own.filter(|name| now.answered("site") || *name != form).cloned();
        given.clone().or(kept)
    };
    asker.say("What this box is called; both names are part of every topic.");
    let node = named(&arguments.node, config.map(|config| &config.node), "box-1").or_else(|| plan::name_of(host.trim())).unwrap_or_else(|| "box-1".to_owned());
    let site = named(&arguments.site, config.map(|config| &config.site_id), "site").or_else(|| site_of(host.trim())).unwrap_or_else(|| "site".to_owned());
    let name = |text: &str| match Site::new(&[(String::new(), text.to_owned())], &[]) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let site = answer(asker, arguments.site.is_some(), "  site", &site, name)?;
    let node = answer(asker, arguments.node.is_some(), "  node", &node, name)?;
    say_time(asker);
    let (source, proposals) = source(asker, arguments, now)?;
    let agents = agents(asker, arguments, now, &proposals)?;
    let uplink = uplink(asker, arguments, now)?;
    Ok(Answers { site, node, source, uplink, agents })
}

/// Asks, but not what a flag has answered.
fn answer<T, R: BufRead, W: Write>(asker: &mut Asker<R, W>, is_given: bool, question: &str, found: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, End> {
    if is_given { read(found).map_err(|why| End::bad_configuration(format!("{}: {why}", question.trim()))) } else { asker.ask(question, found, read) }
}

/// `rec-1.harbor.example` is a box at the site harbor.
fn site_of(host: &str) -> Option<String> {
    host.split_once('.').and_then(|(_, domain)| plan::name_of(domain))
}

fn say_time<R: BufRead, W: Write>(asker: &mut Asker<R, W>) {
    let zone = std::fs::read_link("/etc/localtime").ok().and_then(|link| Some(link.to_str()?.split_once("zoneinfo/")?.1.to_owned()));
    let kept = match system::is_synchronized() {
        Some(true) => "and the clock is kept right",
        Some(false) => "and NOBODY keeps the clock right: timedatectl set-ntp true",
        None => "and whether the clock is kept right is not known",
    };
    let zone = zone.unwrap_or_else(|| "UTC".to_owned());
    asker.say(&format!("  time zone {zone}, {kept}."));
    asker.say("  Scores are in UTC; `timedatectl set-timezone` changes what this box shows.");
}

fn source<R: BufRead, W: Write>(asker: &mut Asker<R, W>, arguments: &Arguments, now: &Now) -> Result<(Source, Vec<Proposal>), End> {
    let allow = |texts: &[String]| texts.iter().map(|text| text.parse::<Network>().map(|_| text.clone()).map_err(|error| format!("{text} {error}"))).collect::<Result<Vec<_>, _>>();
    if !arguments.siprec.is_empty() {
        let allow = allow(&arguments.siprec).map_err(|why| End::bad_configuration(format!("--siprec {why}")))?;
        return Ok((Source::Siprec { allow }, Vec::new()));
    }
    if let Some(device) = &arguments.sound_card {
        return Ok((Source::SoundCard { device: device.clone(), is_mixed: arguments.mixed }, Vec::new()));
    }
    let config = now.config.as_ref();
    let was = match config {
        Some(config) if now.answered("capture") && config.siprec.is_some() => "siprec",
        Some(config) if now.answered("capture") && config.line.is_some() => "sound card",
        _ => "mirror",
    };
    let kind = |text: &str| match text {
        "mirror" | "sound card" | "siprec" => Ok(text.to_owned()),
        _ => Err("mirror, siprec or sound card".to_owned()),
    };
    asker.say("\nWhere calls are heard: at a mirror port, by SIPREC from an SBC, or at a sound card.");
    match answer(asker, arguments.interface.is_some(), "  source", if arguments.interface.is_some() { "mirror" } else { was }, kind)?.as_str() {
        "siprec" => {
            let was: Vec<String> = config.and_then(|config| config.siprec.as_ref()).map(|siprec| siprec.allow.iter().map(ToString::to_string).collect()).unwrap_or_default();
            let list = |text: &str| {
                let texts: Vec<String> = text.split([' ', ',']).filter(|text| !text.is_empty()).map(str::to_owned).collect();
                if texts.is_empty() { Err("at least one address".to_owned()) } else { allow(&texts) }
            };
            Ok((Source::Siprec { allow: asker.ask("  addresses of the SBCs", &was.join(" "), list)? }, Vec::new()))
        }
        "sound card" => {
            let line = config.and_then(|config| config.line.as_ref());
            let some = |text: &str| if text.is_empty() { Err("`arecord -L` names them".to_owned()) } else { Ok(text.to_owned()) };
            let device = asker.ask("  sound card", line.map_or("", |line| &line.device), some)?;
            let is_mixed = asker.confirm("  are both parties in one channel", line.is_some_and(|line| line.channels == sotto_capture::Channels::Mixed))?;
            Ok((Source::SoundCard { device, is_mixed }, Vec::new()))
        }
        _ => mirror(asker, arguments, now),
    }
}

/// The interface with telephony on it.
fn mirror<R: BufRead, W: Write>(asker: &mut Asker<R, W>, arguments: &Arguments, now: &Now) -> Result<(Source, Vec<Proposal>), End> {
    let all = ears::interfaces();
    let wanted = |name: &str| arguments.interface.as_ref().is_none_or(|given| given == name);
    let candidates: Vec<&str> = all.iter().filter(|(name, is_up)| *is_up && wanted(name) && name != "lo").map(|(name, _)| name.as_str()).collect();
    let mut heard = Vec::new();
    if arguments.listen > 0 && arguments.root == Path::new("/") {
        asker.say(&format!("  listening to {} for {} s; counted only, nothing is kept", if candidates.is_empty() { "nothing".to_owned() } else { candidates.join(", ") }, arguments.listen));
        heard = std::thread::scope(|scope| {
            let listening: Vec<_> = candidates.iter().map(|name| (*name, scope.spawn(|| ears::listen(name, InterfaceOptions::default(), arguments.listen)))).collect();
            listening.into_iter().filter_map(|(name, thread)| Some((name, thread.join().ok()?))).collect::<Vec<_>>()
        });
        heard.sort_by_key(|(name, heard)| (std::cmp::Reverse(heard.dialog.sip_messages + heard.dialog.rtp_packets), *name));
        asker.say(&format!("    {:<16}{:>10}{:>10}{:>10}{:>14}", "", "frames", "SIP", "RTP", "calls heard"));
        for (name, heard) in &heard {
            let what = heard.refused.as_ref().map_or_else(
                || format!("{:>10}{:>10}{:>10}{:>14}", heard.frames, heard.dialog.sip_messages, heard.dialog.rtp_packets, heard.one_way + heard.both_ways),
                |why| format!("  {why}"),
            );
            asker.say(&format!("    {name:<16}{what}"));
        }
    }
    let was = now.config.as_ref().and_then(|config| config.interface.as_ref()).map(|mirror| mirror.name.clone());
    let shows = heard.first().filter(|(_, heard)| heard.dialog.sip_messages + heard.dialog.rtp_packets > 0).map(|(name, _)| (*name).to_owned());
    let kept = was.filter(|_| now.answered("capture"));
    let found = arguments.interface.clone().or(shows).or(kept).unwrap_or_default();
    let is_image = arguments.root != Path::new("/");
    let there = |text: &str| {
        if text.is_empty() {
            Err("no interface shows telephony: name the one that the switch mirrors to (--interface)".to_owned())
        } else if is_image || all.iter().any(|(name, _)| name == text) {
            Ok(text.to_owned())
        } else {
            Err(format!("there is no {text}; there are {}", all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")))
        }
    };
    let interface = answer(asker, arguments.interface.is_some(), "  interface", &found, there)?;
    let proposals = heard.iter().find(|(name, _)| *name == interface).map(|(_, heard)| heard.proposer.proposals()).unwrap_or_default();
    let can = plan::may_be_apart(&interface);
    let has_address = has_address(&interface);
    let is_apart = if arguments.apart || arguments.together || !can {
        arguments.apart && can
    } else {
        let why = if has_address { "  It has an address: apart, this machine is not reached by it any more." } else { "  It has no address of its own, as is right for a mirror port." };
        asker.say(why);
        asker.confirm("  put it into a network namespace of its own, so that the tap sees no other and nothing goes out of it", !has_address)?
    };
    Ok((Source::Mirror { interface, is_apart }, proposals))
}

/// Whether an interface has an address by which this machine may be reached: one that is more than link-local.
fn has_address(interface: &str) -> bool {
    system::printed("ip", &["-brief", "address", "show", "dev", interface]).is_some_and(|line| line.split_whitespace().skip(2).any(|address| !address.starts_with("fe80:")))
}

fn agents<R: BufRead, W: Write>(asker: &mut Asker<R, W>, arguments: &Arguments, now: &Now, proposals: &[Proposal]) -> Result<Vec<(String, String)>, End> {
    if !arguments.agents.is_empty() {
        return Ok(arguments.agents.clone());
    }
    let text = |rule: &toml::Value, key: &str| rule.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let own = now.own.get("agents").and_then(toml::Value::as_array).into_iter().flatten();
    let own: Vec<(String, String)> = own.filter_map(|rule| Some((text(rule, "match")?, text(rule, "team")?))).collect();
    if !own.is_empty() || !asker.is_asking() || now.below.contains_key("agents") {
        return Ok(own);
    }
    asker.say("\nWhose numbers are agents'. Without it no call is labelled, and no number is given to either party.");
    if proposals.is_empty() {
        asker.say(&format!("  None is proposed: at least {LEAST_MEMBERS} numbers of one shape must be heard (`--listen 600` listens longer)."));
    }
    for proposal in proposals {
        asker.say(&format!("  {:<28}{} numbers; tells the agent in {} % of the calls heard", proposal.pattern, proposal.members, proposal.labelled_percent));
    }
    let found = proposals.first().map_or("none", |proposal| &proposal.pattern);
    let pattern = asker.ask("  pattern (* any run, ? one character), or none", found, |text| if text.contains([' ', '"']) { Err("a pattern has no blank".to_owned()) } else { Ok(text.to_owned()) })?;
    if pattern == "none" {
        return Ok(Vec::new());
    }
    let team = asker.ask("  their team", "team-1", |text| plan::agents_rule(&format!("x={text}")).map(|(_, team)| team))?;
    Ok(vec![(pattern, team)])
}

fn uplink<R: BufRead, W: Write>(asker: &mut Asker<R, W>, arguments: &Arguments, now: &Now) -> Result<Option<Uplink>, End> {
    asker.say("\nWhere scores go: an MQTT 5 broker. mqtts:// is encrypted; mqtt:// is taken on this machine alone.");
    let was = now.config.as_ref().and_then(|config| config.uplink.as_ref()).filter(|_| now.answered("uplink"));
    let found = arguments.broker.as_deref().or_else(|| was.map(|uplink| uplink.broker.as_str())).unwrap_or("none");
    let allows_plaintext = was.is_some_and(|uplink| uplink.danger_plaintext);
    let read = |text: &str| match text {
        "none" => Ok(None),
        text => Broker::parse(text, allows_plaintext).map(|broker| Some((text.to_owned(), broker))).map_err(|error| error.to_string()),
    };
    let Some((address, broker)) = answer(asker, arguments.broker.is_some(), "  broker, or none", found, read)? else {
        asker.say("  no broker: scores wait in the spool, as long as the charter lets them");
        return Ok(None);
    };
    let user = arguments.user.clone().or_else(|| was.and_then(|uplink| uplink.user.clone()));
    let name = |text: &str| if text == "none" || text.is_empty() { Ok(None) } else { Ok(Some(text.to_owned())) };
    let user = answer(asker, arguments.user.is_some(), "  user name at the broker, or none", user.as_deref().unwrap_or("none"), name)?;
    let host = broker.host().trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<IpAddr> = (host, broker.port()).to_socket_addrs().into_iter().flatten().map(|address| address.ip()).collect();
    let reach = if addresses.is_empty() {
        asker.say(&format!("  nobody knows where {host} is: the uplink may reach any address until `sotto setup` finds it"));
        Vec::new()
    } else if arguments.reach_any {
        Vec::new()
    } else {
        let mut reach = addresses;
        reach.extend(plan::resolvers(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()));
        reach.sort();
        reach.dedup();
        let shown = reach.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if asker.confirm(&format!("  let the uplink reach the broker and the resolvers alone ({shown})"), true)? { reach } else { Vec::new() }
    };
    let ca = arguments.ca.clone().or_else(|| was.and_then(|uplink| uplink.ca.clone()));
    Ok(Some(Uplink { broker: address, user, ca, reach }))
}

/// Shows what is to be written, asks, and writes.
fn write<R: BufRead, W: Write>(asker: &mut Asker<R, W>, arguments: &Arguments, answers: &Answers, now: &Now, folders: &Folders) -> Result<(), End> {
    let files: Vec<_> = plan::files(answers, &now.before(), folders)
        .into_iter()
        .map(|wanted| {
            let change = wanted.change(read_text(&wanted.path).ok().as_deref());
            (wanted, change)
        })
        .filter(|(wanted, change)| *change != Change::None || wanted.content.is_some())
        .collect();
    asker.say("\nFiles");
    for (wanted, change) in &files {
        asker.say(&format!("  {:<18}{}", change.word(), wanted.path.display()));
        for line in wanted.content.iter().filter(|_| *change != Change::None).flat_map(|content| content.lines().skip(1)) {
            asker.say(&format!("      {line}"));
        }
    }
    if arguments.dry_run {
        return Ok(());
    }
    let theirs: Vec<_> = files.iter().filter(|(_, change)| *change == Change::Theirs).map(|(wanted, _)| wanted.path.display().to_string()).collect();
    if !theirs.is_empty() && !arguments.overwrite {
        let question = format!("{} was changed by hand: write over it", theirs.join(", "));
        if !asker.is_asking() || !asker.confirm(&question, false)? {
            return Err(End::no(format!("{} was changed by hand, and is left as it is: nothing was written (--overwrite writes)", theirs.join(", "))));
        }
    }
    let is_work = files.iter().any(|(_, change)| *change != Change::None);
    if is_work && !asker.confirm("write them", true)? {
        return Err(End::no("nothing was written"));
    }
    for (wanted, _) in files.iter().filter(|(_, change)| *change != Change::None) {
        wanted.write().map_err(|error| End::no(format!("{}: {error}", wanted.path.display())))?;
    }
    if let Some(from) = &arguments.password_file {
        let password = std::fs::read(from).map_err(|error| End::no(format!("{}: {error}", from.display())))?;
        let to = folders.conf_d.parent().unwrap_or(&folders.conf_d).join("credentials/mqtt-password");
        write_whole(&to, &password, 0o600).map_err(|error| End::no(format!("{}: {error}", to.display())))?;
    }
    if !is_work {
        asker.say("  all is as it shall be: nothing was written");
    }
    Ok(())
}

/// Lets systemd know, and starts what the site wants to run.
fn begin<R: BufRead, W: Write>(asker: &mut Asker<R, W>, arguments: &Arguments, answers: &Answers) -> Result<(), End> {
    if !system::is_systemd() {
        asker.say("systemd does not run here: nothing was started");
        return Ok(());
    }
    let units: Vec<&str> = std::iter::once(answers.source.unit()).chain(answers.uplink.as_ref().map(|_| "sotto-uplink")).collect();
    let systemctl = |verb: &[&str]| {
        let arguments: Vec<&str> = verb.iter().chain(&units).copied().collect();
        system::printed("systemctl", &arguments).ok_or_else(|| End::no(format!("systemctl {} failed: journalctl -xe", arguments.join(" "))))
    };
    system::printed("systemctl", &["daemon-reload"]).ok_or_else(|| End::no("systemctl daemon-reload failed"))?;
    let is_wanted = arguments.start || (asker.is_asking() && asker.confirm(&format!("start {} now, and at each boot", units.join(" and ")), true)?);
    if is_wanted {
        systemctl(&["enable"])?;
        systemctl(&["restart"])?;
    } else {
        asker.say(&format!("not started: systemctl enable --now {}", units.join(" ")));
    }
    Ok(())
}
