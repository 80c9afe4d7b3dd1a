//! Everything that the box can say in a log.
//!
//! Under systemd it goes to the journal, with its name as a field; else to standard error. No event has room for anything of a
//! call's content: counts, places in files, names of the site's own files, and what libraries say of themselves.

use std::fmt;
use std::io::Write as _;

use sha2::{Digest as _, Sha256};
use sotto_capture::{CaptureError, OutletError};
use sotto_charter::approval::Unsigned;
use sotto_measure::Level;
use sotto_models::ModelError;
use sotto_report::Fingerprint;
use sotto_spool::{DeadLetter, Found, SpoolError};
use sotto_uplink::{Answer, Event as Uplink, Loss};

/// One thing to say.
pub(crate) enum Event<'a> {
    /// The models are loaded and the source is open.
    Ready { calls_interrupted: u64 },
    /// The charter is not signed as the site demands: nothing of the sound is measured.
    CharterUnsigned(Unsigned),
    /// Configuration, charter and models were read anew: they hold for calls that begin from now on.
    Reloaded { charter: Fingerprint, waits: &'static str },
    /// They do not hold together: everything goes on as it was.
    ReloadRefused { why: &'a str },
    /// The installed model pack cannot be used: the one before it is.
    PackRefused { why: &'a str },
    /// A model pack was installed, or its predecessor taken back: by its digest.
    PackInstalled { pack: &'a str, digest: Fingerprint },
    /// Told to stop.
    Stopping,
    /// Stopped, with everything committed.
    Stopped { calls: u64, turns_shed: u64 },
    /// The mirror interface or sound card is gone or down; it is tried again.
    InterfaceDown,
    /// It is back.
    InterfaceUp,
    /// A source could not be read on.
    CaptureFailed(&'a CaptureError),
    /// A recording client could not be answered, or a stream's port not be opened; said once until it works again.
    AnsweringFailed(&'a OutletError),
    /// The recogniser failed on a turn.
    RecogniserFailed(&'a ModelError),
    /// The spool cannot be written: nothing is acknowledged any more.
    SpoolFailed(&'a SpoolError),
    /// What is left out for want of time changed.
    Shedding { from: Level, to: Level },
    /// The spool was damaged or gone; what could be read of it is in a new one.
    SpoolSalvaged(&'a Found),
    /// The disk is full: what was committed is safe, and what comes waits for room.
    DiskFull(&'a SpoolError),
    /// It has room again.
    DiskHasRoom,
    /// A stage of the pipeline does not turn any more; the watchdog is not fed.
    StageStuck { stage: &'static str },
    /// What the uplink noticed.
    Uplink(&'a Uplink),
}

/// How much it matters, as syslog counts (RFC 5424 section 6.2.1).
#[derive(Clone, Copy)]
enum Severity {
    Error = 3,
    Warning = 4,
    Info = 6,
}

impl Event<'_> {
    /// Its name: the journal's field `SOTTO_EVENT`.
    const fn name(&self) -> &'static str {
        match self {
            Self::Ready { .. } => "ready",
            Self::CharterUnsigned(_) => "charter_unsigned",
            Self::Reloaded { .. } => "reloaded",
            Self::ReloadRefused { .. } => "reload_refused",
            Self::PackRefused { .. } => "pack_refused",
            Self::PackInstalled { .. } => "pack_installed",
            Self::Stopping => "stopping",
            Self::Stopped { .. } => "stopped",
            Self::InterfaceDown => "interface_down",
            Self::InterfaceUp => "interface_up",
            Self::CaptureFailed(_) => "capture_failed",
            Self::AnsweringFailed(_) => "answering_failed",
            Self::RecogniserFailed(_) => "recogniser_failed",
            Self::SpoolFailed(_) => "spool_failed",
            Self::Shedding { .. } => "shedding",
            Self::SpoolSalvaged(_) => "spool_salvaged",
            Self::DiskFull(_) => "disk_full",
            Self::DiskHasRoom => "disk_has_room",
            Self::StageStuck { .. } => "stage_stuck",
            Self::Uplink(event) => match event {
                Uplink::Connected { .. } => "uplink_connected",
                Uplink::Lost { .. } => "uplink_lost",
                Uplink::Delivered { .. } => "uplink_delivered",
                Uplink::Kept { .. } => "uplink_kept",
                Uplink::KeptBack { .. } => "uplink_kept_back",
                Uplink::Refused { .. } => "uplink_refused",
                Uplink::NamesUnknown => "uplink_names_unknown",
                Uplink::Expired { .. } => "uplink_expired",
                Uplink::ClockJumped { .. } => "uplink_clock_jumped",
                Uplink::DiskFull => "uplink_disk_full",
                Uplink::LossTold { .. } => "uplink_loss_told",
                Uplink::AnotherBox => "uplink_another_box",
                Uplink::Stopped { .. } => "uplink_stopped",
            },
        }
    }

    fn severity(&self) -> Severity {
        match self {
            Self::PackRefused { .. } | Self::CaptureFailed(_) | Self::SpoolFailed(_) | Self::SpoolSalvaged(_) | Self::DiskFull(_) | Self::StageStuck { .. } => Severity::Error,
            Self::CharterUnsigned(_) | Self::ReloadRefused { .. } | Self::InterfaceDown | Self::AnsweringFailed(_) | Self::RecogniserFailed(_) => Severity::Warning,
            Self::Shedding { from, to } if to > from => Severity::Warning,
            Self::Uplink(Uplink::Lost { .. } | Uplink::Kept { .. } | Uplink::KeptBack { .. } | Uplink::Refused { .. } | Uplink::NamesUnknown | Uplink::Expired { .. } | Uplink::ClockJumped { .. } | Uplink::AnotherBox | Uplink::DiskFull | Uplink::LossTold { .. }) => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready { calls_interrupted: 0 } => formatter.write_str("ready"),
            Self::Ready { calls_interrupted } => write!(formatter, "ready; {calls_interrupted} calls were cut off when the box last stopped"),
            Self::CharterUnsigned(why) => write!(formatter, "the charter is not approved, so nothing of the sound is measured: {why}"),
            Self::Reloaded { charter, waits: "" } => write!(formatter, "reloaded: charter {charter} is in force for calls that begin from now on"),
            Self::Reloaded { charter, waits } => {
                write!(formatter, "reloaded: charter {charter} is in force for calls that begin from now on; what changed in {waits} waits for a restart")
            }
            Self::ReloadRefused { why } => write!(formatter, "not reloaded, everything goes on as before: {why}"),
            Self::PackRefused { why } => write!(formatter, "a model pack is refused, and what was there before it goes on: {why}"),
            Self::PackInstalled { pack, digest } => write!(formatter, "model pack {pack} ({digest}) is in its place: systemctl reload sotto-tap takes it up"),
            Self::Stopping => formatter.write_str("stopping: open calls end as interrupted"),
            Self::Stopped { calls, turns_shed } => write!(formatter, "stopped: {calls} calls heard, {turns_shed} turns shed"),
            Self::InterfaceDown => formatter.write_str("the mirror interface is down, or the sound card gone; it is tried again"),
            Self::InterfaceUp => formatter.write_str("the mirror interface is back, or the sound card"),
            Self::CaptureFailed(error) => error.fmt(formatter),
            Self::AnsweringFailed(error) => write!(formatter, "a recording client was not served: {error}"),
            Self::RecogniserFailed(error) => write!(formatter, "a turn was not put into words: {error}"),
            Self::SpoolFailed(error) => write!(formatter, "scores cannot be kept: {error}"),
            Self::Shedding { from, to } => {
                let why = if to > from { "the box cannot keep up" } else { "there is room again" };
                write!(formatter, "{why}: level {}, {}", to.index(), level_text(*to))
            }
            Self::SpoolSalvaged(found) => write!(
                formatter,
                "the spool was damaged; what could be read goes on in a new one, the old one lies beside it as -damaged; lost, at most: {} scores and what became of {} calls, \
                 between {} and {}",
                found.scores, found.calls, found.from, found.to
            ),
            Self::DiskFull(error) => write!(formatter, "{error}: what is committed is safe, new scores are shed and then new calls refused until there is room"),
            Self::DiskHasRoom => formatter.write_str("the disk has room again"),
            Self::StageStuck { stage } => write!(formatter, "{stage} does not turn any more"),
            Self::Uplink(event) => uplink(event, formatter),
        }
    }
}

/// What is done at a level.
pub(crate) const fn level_text(level: Level) -> &'static str {
    match level {
        Level::All => "everything is done",
        Level::NoAgentWords => "agents' words are left out",
        Level::SampledCalls => "words are left out but for customers of one call in four",
        Level::VoiceActivity => "all words are left out",
        Level::RtpStatistics => "sound is not decoded, its packets are counted",
        Level::Signalling => "packets of sound are not looked at",
    }
}

fn uplink(event: &Uplink, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match event {
        Uplink::Connected { connection } => write!(formatter, "connected to the broker, for the {connection}. time"),
        Uplink::Lost { loss, retry_ms } => write!(formatter, "not connected: {}; the next attempt in {:.1} s", loss_text(*loss), *retry_ms as f64 / 1_000.0),
        Uplink::Delivered { rows } => write!(formatter, "{rows} scores acknowledged"),
        Uplink::Kept { rows, answer } => write!(formatter, "{rows} scores acknowledged but not taken, kept: {}", answer_text(*answer)),
        Uplink::KeptBack { why } => write!(
            formatter,
            "a score is kept back until it expires: {}",
            match why {
                DeadLetter::TooLarge => "it is larger than the broker's maximum packet size",
                DeadLetter::PayloadFormat => "the broker refuses its format",
                DeadLetter::Invalid => "it names a team or line that is not in its own list",
            }
        ),
        Uplink::Refused { message, answer } => write!(formatter, "the broker did not take {message:?}: {}", answer_text(*answer)),
        Uplink::NamesUnknown => formatter.write_str("scores wait for names that came with a newer configuration: restart the uplink"),
        Uplink::Expired { rows } => write!(formatter, "{rows} scores expired before they could be delivered"),
        Uplink::ClockJumped { by_ms } => write!(formatter, "the wall clock jumped by {:.1} s: what expires waits until it has run for ten minutes", *by_ms as f64 / 1_000.0),
        Uplink::AnotherBox => formatter.write_str("another box speaks under this site and node: each takes the other's connection; give one of them a name of its own"),
        Uplink::DiskFull => formatter.write_str("the disk is full: acknowledgements cannot be noted, so nothing further is sent until there is room"),
        Uplink::LossTold { scores } => write!(formatter, "the dashboards were told that the disk lost {scores} scores at most"),
        Uplink::Stopped { said_so: true } => formatter.write_str("stopped; the broker knows that the box is offline"),
        Uplink::Stopped { said_so: false } => formatter.write_str("stopped; the broker was not there to be told"),
    }
}

const fn answer_text(answer: Answer) -> &'static str {
    match answer {
        Answer::Success => "taken (0x00)",
        Answer::NoSubscriber => "nobody subscribes (0x10)",
        Answer::Unspecified => "unspecified error (0x80)",
        Answer::Implementation => "implementation specific error (0x83)",
        Answer::NotAuthorized => "the broker's access rules forbid it (0x87): see its ACL",
        Answer::TopicName => "topic name invalid (0x90)",
        Answer::PacketIdInUse => "packet identifier in use (0x91)",
        Answer::Quota => "quota exceeded (0x97)",
        Answer::PayloadFormat => "payload format invalid (0x99)",
    }
}

pub(crate) const fn loss_text(loss: Loss) -> &'static str {
    match loss {
        Loss::Unreachable => "the broker cannot be found, does not answer or refuses",
        Loss::Timeout => "the broker did not answer in time",
        Loss::Tls => "TLS failed: one side does not believe the other's certificate; see [uplink] ca",
        Loss::BadCredentials => "the broker refuses user name or password",
        Loss::NotAuthorized => "the broker does not allow this client",
        Loss::Busy => "the broker is busy",
        Loss::Rejected => "the broker refused the connection",
        Loss::NoQos1 => "the broker takes no QoS 1",
        Loss::Closed => "the connection was closed",
        Loss::TakenOver => "another client took over the session: is there a second box of the same site and node?",
        Loss::ShuttingDown => "the broker shuts down",
        Loss::PacketTooLarge => "the broker disconnected us over a packet's size",
        Loss::PayloadFormat => "the broker disconnected us over a payload's format",
        Loss::Disconnected => "the broker disconnected us",
        Loss::Protocol => "the broker does not keep to the protocol",
        Loss::Stalled => "the broker acknowledged nothing for 30 s",
        Loss::CollectorForbidden => "the broker's access rules forbid to hear the collector: sotto-in/v1/<site>/<node>/ack",
    }
}

/// Says it.
pub(crate) fn say(event: &Event<'_>) {
    // systemd sets this for services whose output goes to the journal.
    if std::env::var_os("JOURNAL_STREAM").is_some() && note(event) {
        return;
    }
    // A closed standard error is no reason to stop hearing.
    drop(writeln!(std::io::stderr(), "sotto: {event}"));
}

/// Writes into the journal what a person did by hand, beside what they are told. Returns whether there is a journal.
pub(crate) fn note(event: &Event<'_>) -> bool {
    let fields = [
        format!("MESSAGE={event}"),
        format!("PRIORITY={}", event.severity() as u8),
        format!("SOTTO_EVENT={}", event.name()),
        format!("MESSAGE_ID={}", message_id(event.name())),
        "SYSLOG_IDENTIFIER=sotto".to_owned(),
    ];
    systemd::journal::send(&fields.each_ref().map(String::as_str)).is_ok()
}

/// By which the catalog knows an event (sd-id128(3), journalctl -x): the first half of a digest of its name.
fn message_id(name: &str) -> String {
    Sha256::digest(format!("sotto event {name}").as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name that [`Event::name`] can give, as it stands in this very file.
    fn names() -> Vec<&'static str> {
        let (_, from) = include_str!("events.rs").split_once("const fn name(&self)").unwrap();
        let (body, _) = from.split_once("fn severity").unwrap();
        body.lines().filter_map(|line| line.split_once("=> \"")?.1.split_once('"')).map(|(name, _)| name).collect()
    }

    #[test]
    fn the_catalog_explains_every_event_and_nothing_else() {
        let catalog = include_str!("../../systemd/sotto.catalog");
        let explained: Vec<&str> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        let said: Vec<String> = names().into_iter().map(message_id).collect();
        for (name, id) in names().iter().zip(&said) {
            assert!(explained.contains(&id.as_str()), "systemd/sotto.catalog does not explain {name} (-- {id})");
        }
        assert!(names().len() > 20 && explained.len() == said.len());
    }
}
