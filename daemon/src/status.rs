//! `sotto status`: one screen of truth, from the spool alone.

use std::io::IsTerminal as _;

use serde_json::json;
use sotto_measure::Level;
use sotto_report::Outcome;
use sotto_spool::View;

use crate::End;
use crate::config::Places;
use crate::events::level_text;
use crate::pipeline::wall_millis;

/// Flags of `sotto status`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// A tap that has not written its numbers for this long is not hearing.
const STALE_MS: i64 = 30_000;

/// Runs it: exit 0 where the tap is alive, 1 where it is not.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let view = View::open(&places.spool).map_err(End::no)?;
    let now = wall_millis();
    let coverage = view.coverage(now).map_err(End::no)?;
    let backlog = view.backlog(now).map_err(End::no)?;
    let tap = view.tap_gauges().map_err(End::no)?;
    let age = tap.as_ref().map(|tap| now - tap.written_ms);
    let is_hearing = age.is_some_and(|age| age < STALE_MS);
    if arguments.json {
        let ledger: serde_json::Map<_, _> =
            Outcome::ALL.into_iter().zip(coverage.total_counts).map(|(outcome, count)| (outcome.name().to_owned(), count.into())).collect();
        let report = json!({
            "hearing": is_hearing,
            "tap_age_s": age.map(|age| age / 1_000),
            "tap": tap.as_ref().map(|tap| tap.gauges),
            "calls_seen": coverage.total_seen(),
            "ledger": ledger,
            "backlog": backlog.waiting,
            "backlog_age_s": backlog.oldest_ms / 1_000,
            "dead_letters": backlog.dead_letters,
            "invalid_rows": backlog.invalid,
            "acked": backlog.acked,
            "expired_unacked": coverage.expired_unacked,
            "lost_scores": backlog.lost_scores,
            "lost_calls": backlog.lost_calls,
            "taken_over": backlog.taken_over,
            "clock_jumps": backlog.clock_jumps,
        });
        println!("{report}");
    } else {
        print(&coverage, &backlog, tap.as_ref(), age, is_hearing);
    }
    if is_hearing { Ok(()) } else { Err(End::No(String::new())) }
}

fn print(coverage: &sotto_report::messages::Coverage, backlog: &sotto_spool::Backlog, tap: Option<&sotto_spool::TapGauges>, age: Option<i64>, is_hearing: bool) {
    let paint = |good: bool, text: &str| {
        let colour = if good { 32 } else { 31 };
        if std::io::stdout().is_terminal() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    };
    match (is_hearing, age) {
        (true, _) => println!("tap       {}", paint(true, "hearing")),
        (false, Some(age)) => println!("tap       {} its numbers are {} s old: systemctl status sotto-tap", paint(false, "silent"), age / 1_000),
        (false, None) => println!("tap       {} it never ran with this spool", paint(false, "silent")),
    }
    if let Some(tap) = tap {
        let gauges = &tap.gauges;
        println!("calls     {} open; {} packets, {} dropped by the kernel; {} s of sound decoded", gauges.calls_open, gauges.packets, gauges.packets_dropped, gauges.audio_s);
        let waits = format!("from a turn's end to its words {:.1} s, 95 % within {:.1} s", gauges.words_p50_ms as f64 / 1_000.0, gauges.words_p95_ms as f64 / 1_000.0);
        println!("words     {} turns, {} shed, {} waiting; {waits}", gauges.turns, gauges.turns_shed, gauges.turns_waiting);
        let level = Level::ALL.get(usize::try_from(gauges.shed_level).unwrap_or(usize::MAX)).copied().unwrap_or_default();
        println!("load      {}; stepped down {} times", paint(level == Level::All, level_text(level)), gauges.shed_steps());
    }
    println!("backlog   {} waiting, oldest {} s; {} acknowledged", paint(backlog.oldest_ms < 300_000, &backlog.waiting.to_string()), backlog.oldest_ms / 1_000, backlog.acked);
    println!("kept back {} dead letters, {} invalid, {} expired unsent", backlog.dead_letters, backlog.invalid, coverage.expired_unacked);
    if backlog.lost_scores + backlog.lost_calls > 0 {
        println!("lost      {} scores and what became of {} calls, at most, by the disk: change it", paint(false, &backlog.lost_scores.to_string()), backlog.lost_calls);
    }
    if backlog.taken_over > 0 {
        println!("session   taken over {} times: is there a second box of this name?", paint(false, &backlog.taken_over.to_string()));
    }
    println!("\n{:<18}{:>12}{:>12}", "ledger", "this hour", "all");
    for ((outcome, hour), total) in Outcome::ALL.into_iter().zip(coverage.hour_counts).zip(coverage.total_counts) {
        println!("{:<18}{hour:>12}{total:>12}", outcome.name());
    }
    println!("{:<18}{:>12}{:>12}", "calls seen", coverage.hour_seen(), coverage.total_seen());
}
