//! `sotto replay`: recordings through the very same pipeline, as fast as it goes.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sotto_capture::{CaptureError, PcapFile, Source, Trust, WavFile};
use sotto_charter::{Names, Register};
use sotto_report::Fingerprint;
use sotto_spool::{People, Rights, Spool};
use sotto_uplink::{render_entry, render_notice};

use crate::End;
use crate::config::Places;
use crate::events::{Event, say};
use crate::load::{self, Loaded, Models, Scratch, entropy, one_thread_a_model};
use crate::pipeline::{self, Came, Hearing, Pace, Stream, Until, Vital, wall_millis};
use crate::tap;

/// Flags of `sotto replay`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// pcap, pcapng, or two-channel wav (left agent, right customer).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Commit to --spool, for `sotto uplink` to send, instead of printing.
    #[arg(long, conflicts_with = "until")]
    publish: bool,
    /// Stop after this stage and print its counts as one JSON object.
    #[arg(long, value_name = "STAGE")]
    until: Option<Until>,
    /// With --until dialog or decode: also each stream's codec, packets, loss and jitter, by running numbers.
    #[arg(long, requires = "until")]
    streams: bool,
    /// Output is one JSON object a line in any case; the flag is there because every reading command has it.
    #[arg(long)]
    json: bool,
}

/// Runs it. A damaged file: what is readable is scored, and the exit code is 1.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    one_thread_a_model()?;
    let loaded = Loaded::new(places)?;
    if let Some(unsigned) = &loaded.unsigned {
        say(&Event::CharterUnsigned(*unsigned));
    }
    let mut sources = Vec::new();
    let mut unreadable = Vec::new();
    for file in &arguments.files {
        match open(file, &loaded.config.trust) {
            Ok(source) => sources.push(source),
            Err(error) => unreadable.push(error),
        }
    }
    let site = Arc::new(loaded.config.site.clone());
    if let Some(until) = arguments.until {
        let (came, took) = pipeline::count(sources, until, &loaded.charter, &site);
        let mut printed = counts(&came, until, took.as_secs_f64());
        if arguments.streams {
            printed["streams"] = came.streams.iter().map(stream).collect();
        }
        println!("{printed}");
        return damaged(unreadable.iter().chain(&came.damaged));
    }

    let models = Models::load(places, &loaded)?;
    // The folder of a throw-away spool lives until the end of this function.
    let folder = (!arguments.publish).then(Scratch::new).transpose().map_err(End::no)?;
    let path = folder.as_ref().map_or_else(|| places.spool.clone(), |folder| folder.path().join("spool.db"));
    let spool = if arguments.publish { tap::open_spool(places, &loaded)? } else { Spool::open(&path, entropy()?).map_err(End::no)? };
    let names = Names::of(&site);
    // Who acknowledged, objected or paused is known where the box is, even if nothing is kept of this run.
    let people = (arguments.publish || People::beside(&places.spool).exists()).then(|| load::people(places)).transpose()?;
    let register = people.as_ref().map_or_else(|| Ok(Register::default()), |people| load::register(people, &loaded.charter)).map_err(End::no)?;
    let hearing = Hearing {
        charter: Arc::clone(&loaded.charter),
        site,
        vad: models.vad,
        recogniser: models.recogniser,
        models: models.fingerprint,
        recording: None,
        pace: Pace::Replay,
        seed: load::seed()?,
        rights: Rights::open(&Rights::beside(&path)).map_err(End::no)?,
        register,
        // Whose calls they are is kept where the scores are.
        people: people.filter(|_| arguments.publish),
        vital: Arc::new(Vital::default()),
    };
    let bar = progress_bar();
    let show = |at: sotto_capture::Progress| {
        bar.set_length(at.length);
        bar.set_position(at.position);
    };
    let (came, mut spool) = pipeline::run(sources, hearing, spool, names.fingerprint(), show).map_err(End::no)?;
    bar.finish_and_clear();
    if !arguments.publish {
        print(&mut spool, &names, &loaded)?;
    }
    damaged(unreadable.iter().chain(&came.damaged))
}

fn open(file: &Path, trust: &Trust) -> Result<Box<dyn Source>, CaptureError> {
    if file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("wav")) {
        Ok(Box::new(WavFile::open(file, pipeline::modified(file))?))
    } else {
        Ok(Box::new(PcapFile::open(file)?.trusting(trust.clone())))
    }
}

/// Prints what would be published, one JSON object a line: the scores, in the order in which their calls began, however many workers there were
/// and whichever had its words first; then the ledger.
fn print(spool: &mut Spool, names: &Names, loaded: &Loaded) -> Result<(), End> {
    let about = loaded.about()?;
    let outbox = Fingerprint(u64::from(spool.epoch().map_err(End::no)?));
    let mut out = std::io::stdout().lock();
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let some = spool.pending(after, 256).map_err(End::no)?;
        let Some(last) = some.last() else { break };
        after = last.row;
        entries.extend(some);
    }
    entries.sort_by_key(|entry| entry.score.call.seq);
    for entry in &entries {
        print_message(&mut out, render_entry(entry, outbox, names, &about))?;
    }
    let coverage = spool.coverage(wall_millis()).map_err(End::no)?;
    print_message(&mut out, render_notice(&coverage, &about))
}

fn print_message(out: &mut impl std::io::Write, (topic, payload): (String, String)) -> Result<(), End> {
    let payload: serde_json::Value = serde_json::from_str(&payload).map_err(End::no)?;
    match writeln!(out, "{}", json!({"topic": topic, "payload": payload})) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(End::no),
    }
}

fn counts(came: &Came, until: Until, seconds: f64) -> serde_json::Value {
    let Came { capture, dialog, measure, .. } = came;
    let mut counts = json!({
        "seconds": seconds,
        "packets": capture.frames,
        "datagrams": capture.delivered - capture.segments,
        "tcp": capture.segments,
        "acknowledgements": capture.acknowledgements,
        "tunnelled": capture.tunnelled,
        "hep": capture.hep,
        "hep_pieces": capture.hep_pieces,
        "duplicates": capture.duplicates,
        "fragments": capture.fragments,
        "reassembled": capture.reassembled,
        "fragments_timed_out": capture.fragments_timed_out,
        "fragments_at_cap": capture.fragments_at_cap,
        "fragments_overlapping": capture.fragments_overlapping,
        "cut_short": capture.cut_short,
        "other_ip": capture.other_ip,
        "not_ip": capture.not_ip,
        "other_hep": capture.other_hep,
        "too_deep": capture.too_deep,
        "untrusted": capture.untrusted,
        "unsupported_link": capture.unsupported_link,
        "malformed_frames": capture.malformed,
    });
    if until != Until::Capture {
        counts["calls"] = dialog.calls.into();
        counts["sip_messages"] = dialog.sip_messages.into();
        counts["sip_malformed"] = dialog.sip_malformed.into();
        counts["sdp_malformed"] = dialog.sdp_malformed.into();
        counts["rtp_packets"] = dialog.rtp_packets.into();
        counts["rtp_unbound"] = dialog.unbound.into();
    }
    if until == Until::Decode {
        counts["frames_decoded"] = measure.frames_decoded.into();
        counts["frames_dropped"] = measure.frames_dropped.into();
        counts["audio_s"] = measure.seconds_decoded.into();
    }
    counts
}

fn stream(of: &Stream) -> serde_json::Value {
    json!({
        "call": of.call,
        "side": if of.side == 0 { "calling" } else { "called" },
        "codec": of.codec,
        "packets": of.packets,
        "lost": of.lost,
        "duplicated": of.duplicated,
        "jitter_ms": f64::from(of.jitter_micros) / 1_000.0,
    })
}

fn damaged<'a>(errors: impl Iterator<Item = &'a CaptureError>) -> Result<(), End> {
    let lines: Vec<String> = errors.map(ToString::to_string).collect();
    if lines.is_empty() { Ok(()) } else { Err(End::No(lines.join("\nsotto: "))) }
}

fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40.cyan} {percent:>3} %  {bytes}/{total_bytes}  {eta} left") {
        bar.set_style(style);
    }
    bar
}
