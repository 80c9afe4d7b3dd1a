//! `sotto check`: whether everything holds together, and what will be measured of whom, and why.

use serde_json::json;
use sotto_capture::{Channels, Trust, Tunnel};
use sotto_charter::{AgentBasis, Charter, ConsentRule, CustomerBasis, Keys, day_of};
use sotto_measure::{VERIFIED, is_verified};

use crate::End;
use crate::config::{ConfigError, Places, credential};
use crate::load::{Loaded, Models, fingerprint};
use crate::pipeline::wall_clock;

/// Flags of `sotto check`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Exit 0 where the box would start, even if the charter is not signed or its agreement has ended: it measures nothing then but the line.
    #[arg(long)]
    starting: bool,
}

/// Runs it: exit 0 where tap and uplink would start, 78 where they would not.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let loaded = Loaded::new(places)?;
    let models = Models::load(places, &loaded)?;
    if let Some(uplink) = &loaded.config.uplink {
        crate::uplink::broker(uplink)?;
        credential("mqtt-password").map_err(End::bad_configuration)?;
    }
    let Loaded { config, charter, .. } = &loaded;
    if arguments.json {
        let purposes: Vec<_> = agreed(charter)
            .map(|purpose| {
                json!({
                    "metric": purpose.metric.name(),
                    "why": purpose.why,
                    "basis": purpose.basis,
                    "review_by": purpose.review_by.to_string(),
                    "detail": charter.has_detail(purpose.metric),
                })
            })
            .collect();
        let report = json!({
            "site": config.site_id,
            "node": config.node,
            "profile": charter.profile.name(),
            "charter": fingerprint(&charter.digest),
            "models": models.fingerprint,
            "language": config.language,
            "interface": config.interface.as_ref().map(|mirror| &mirror.name),
            "sound_card": config.line.as_ref().map(|line| &line.device),
            "tunnels": config.trust.tunnels.iter().map(|tunnel| tunnel.name()).collect::<Vec<_>>(),
            "tunnel_peers": config.trust.peers.as_ref().map(|peers| peers.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "siprec": config.siprec.as_ref().map(crate::siprec::addresses),
            "broker": config.uplink.as_ref().map(|uplink| &uplink.broker),
            "teams": config.site.teams(),
            "lines": config.site.lines(),
            "categories": charter.categories.len(),
            "consent_rules": charter.consent.len(),
            "consent_rules_by_yes": charter.consent.iter().filter(|rule| waits(rule)).count(),
            "keys": pressed(&charter.keys).map(|(name, keys, _)| (name.to_owned(), keys.into())).collect::<serde_json::Map<_, _>>(),
            "scores_days": charter.retention.scores_days,
            "sampling_percent": charter.sampling_percent,
            "places": charter.places,
            "approval": approval(&loaded),
            "rules": charter.profile.rules(&charter.places).map(|rule| json!({"row": rule.row, "rule": rule.says, "source": rule.source})).collect::<Vec<_>>(),
            "purposes": purposes,
        });
        println!("{report}");
    } else {
        print(&loaded, &models);
    }
    match stops_measuring(places, &loaded) {
        Some(why) if !arguments.starting => Err(End::bad_configuration(why)),
        Some(why) => {
            eprintln!("sotto: {why}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// Why nothing would be measured though the charter says so; the box itself runs.
fn stops_measuring(places: &Places, loaded: &Loaded) -> Option<ConfigError> {
    const RULE: &str = "nothing is measured without approval: BetrVG 87(1) no. 6; GDPR 88";
    if let Some(unsigned) = &loaded.unsigned {
        return Some(ConfigError::of_charter(&places.charter, 0, format!("{unsigned} [{RULE}]")));
    }
    let agreement = loaded.charter.agreement.as_ref()?;
    let until = agreement.until.filter(|until| day_of(wall_clock().micros) > *until)?;
    Some(ConfigError::of_charter(&places.charter, agreement.line, format!("the agreement ended on {until} [{RULE}]")))
}

/// What is spoken here, and what becomes of it.
fn spoken(language: Option<&str>) -> String {
    let verified = VERIFIED.join(", ");
    match language {
        Some(code) if is_verified(code) => format!("{code}; where another is heard, what is made of words is absent (language)"),
        Some(code) => format!("{code}: blanking is verified for {verified} alone, so nothing is put into words, and what is made of words is absent (language)"),
        None => format!("the model's own, or where it knows several, found on each side's first long turn; of words in another than {verified} nothing is made (language)"),
    }
}

fn approval(loaded: &Loaded) -> String {
    match (&loaded.config.approval, &loaded.unsigned) {
        (None, _) => "not required".to_owned(),
        (Some(_), None) => "signed by the employer and the representatives".to_owned(),
        (Some(_), Some(why)) => why.to_string(),
    }
}

fn agreed(charter: &Charter) -> impl Iterator<Item = &sotto_charter::Purpose> {
    charter.purposes.iter().filter(|purpose| charter.names(purpose.metric))
}

/// The keys that the charter names: what for, which, and what they do.
fn pressed(keys: &Keys) -> impl Iterator<Item = (&'static str, &str, &'static str)> {
    let all = [
        ("objection", keys.objection.as_str(), "objects: nothing of the call is measured"),
        ("pause", keys.pause.as_str(), "pauses: nothing is measured meanwhile"),
        ("resume", keys.resume.as_str(), "goes on; only who paused can"),
        ("consent", keys.consent.as_str(), "says yes, if it is the customer"),
        ("private", keys.private.as_str(), "takes the call out: it is private"),
    ];
    all.into_iter().filter(|(_, keys, _)| !keys.is_empty())
}

/// Whether a rule asks for a yes: its calls are decoded from then on.
fn waits(rule: &ConsentRule) -> bool {
    rule.customer == CustomerBasis::Given || rule.agent == AgentBasis::Acknowledged
}

fn print(loaded: &Loaded, models: &Models) {
    let Loaded { config, charter, .. } = loaded;
    println!("site {}, node {}", config.site_id, config.node);
    println!("charter {} ({}), profile {}, scores kept {} days", charter.version, fingerprint(&charter.digest), charter.profile.name(), charter.retention.scores_days);
    println!("approval: {}", approval(loaded));
    match models.fingerprint {
        Some(digest) => println!("models {} ({digest}): every hash holds", config.pack),
        None => println!("models: none are needed"),
    }
    if charter.needs_words() {
        println!("language: {}", spoken(config.language.as_deref()));
    }
    match (&config.siprec, &config.line) {
        (Some(siprec), _) => println!("hears what {} SBC address(es) send to {}", siprec.allow.len(), crate::siprec::addresses(siprec).join(", ")),
        (None, Some(line)) => {
            let channels = match line.channels {
                Channels::AgentCustomer => "the agent left, the customer right",
                Channels::Mixed => "both parties in one channel, so no number is one party's",
            };
            println!("hears the line at the sound card {} ({channels}; {} Hz)", line.device, line.rate);
        }
        (None, None) => {
            println!("hears {}", config.interface.as_ref().map_or("nothing live: [capture] interface is absent", |mirror| &mirror.name));
            println!("follows {}", tunnels(&config.trust));
        }
    }
    println!("speaks to {}", config.uplink.as_ref().map_or("nobody: [uplink] is absent", |uplink| uplink.broker.as_str()));
    println!("\nof whom");
    println!("  agents of the teams {}; customers who speak with them; never one caller or agent by name", list(config.site.teams()));
    match charter.consent.len() {
        0 => println!("  no [[consent]] rule: nothing is decoded, signalling alone is scored"),
        count => println!("  calls covered by {count} consent rule(s), the first that matches; no other call is decoded"),
    }
    for (ordinal, rule) in charter.consent.iter().enumerate().filter(|(_, rule)| waits(rule)) {
        println!(
            "  rule {}: not decoded before {}",
            ordinal + 1,
            match (rule.customer, rule.agent) {
                (CustomerBasis::Given, AgentBasis::Acknowledged) => "the customer's yes in the call and the agent's acknowledgement of this version",
                (CustomerBasis::Given, AgentBasis::Agreement) => "the customer's yes in the call",
                (CustomerBasis::Notice, _) => "the agent's acknowledgement of this version",
            }
        );
    }
    for (_, keys, what) in pressed(&charter.keys) {
        println!("  who presses {keys} in a call {what}");
    }
    if pressed(&charter.keys).next().is_none() {
        println!("  no key is listened for: [keys] is absent from the charter");
    }
    if charter.sampling_percent < 100 {
        println!("  spot checks: {} % of these calls are drawn", charter.sampling_percent);
    }
    let exclude = &charter.exclude;
    if exclude != &sotto_charter::Exclude::default() {
        println!("  never: {} number(s), {} line(s), {} agent(s) of the charter's list", exclude.numbers.len(), exclude.lines.len(), exclude.agents.len());
    }
    for audience in &charter.audiences {
        let outputs: Vec<_> = audience.outputs.iter().map(|output| output.name()).collect();
        println!("  {} see {}: {}", audience.name, outputs.join(", "), audience.why);
    }
    println!("\nwhat, and why");
    for purpose in agreed(charter) {
        let detail = if charter.has_detail(purpose.metric) { " with detail" } else { "" };
        println!("  {:<16} {} ({}){detail}; review by {}", purpose.metric.name(), purpose.why, purpose.basis, purpose.review_by);
    }
    println!("  {:<16} signalling and quality of the line, of every call", "always");
    if !charter.categories.is_empty() {
        println!("  {} word list(s); their names stay in the charter", charter.categories.len());
    }
}

fn tunnels(trust: &Trust) -> String {
    if trust.tunnels.is_empty() {
        return "no tunnel".to_owned();
    }
    let names = trust.tunnels.iter().map(|tunnel| tunnel.name()).collect::<Vec<_>>().join(", ");
    let from = match &trust.peers {
        None => "anybody; who can send such packets past the mirror can forge what is heard: see [capture] tunnel_peers".to_owned(),
        Some(peers) if peers.is_empty() => "nobody".to_owned(),
        Some(peers) => peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let ports = trust.hep_ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let hep = if trust.tunnels.contains(&Tunnel::Hep) { format!(" (Homer agents at port {ports})") } else { String::new() };
    format!("tunnels: {names}{hep}, from {from}")
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "(none: [[agents]] is absent, so no call is labelled)".to_owned() } else { names.join(", ") }
}
