//! `sotto status`: one screen of truth, from the spool alone; `sotto top` shows the same, live.

use std::io::IsTerminal as _;

use serde_json::{Value, json};
use sotto_measure::Level;
use sotto_report::Outcome;
use sotto_report::messages::{Coverage, Gauges};
use sotto_spool::{Backlog, SpoolError, TapGauges, View};

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
/// A score that waits this long has nobody to take it.
const OLD_MS: u64 = 300_000;

/// How a box stands at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) now_ms: i64,
    pub(crate) coverage: Coverage,
    pub(crate) backlog: Backlog,
    pub(crate) tap: Option<TapGauges>,
}

/// One line: what it is about, whether it is well, and what there is to say.
pub(crate) struct Line {
    pub(crate) about: &'static str,
    pub(crate) is_well: bool,
    pub(crate) says: String,
}

/// Runs it: exit 0 where the tap is alive, 1 where it is not.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let view = View::open(&places.spool).map_err(|error| End::no(format!("{error}{}", hint(&error))))?;
    let snapshot = Snapshot::read(&view, wall_millis()).map_err(End::no)?;
    if arguments.json {
        println!("{}", snapshot.as_json());
    } else {
        snapshot.print();
    }
    if snapshot.is_hearing() { Ok(()) } else { Err(End::No(String::new())) }
}

/// What an admin does about a spool that cannot be looked at.
pub(crate) const fn hint(error: &SpoolError) -> &'static str {
    match error {
        SpoolError::NotASpool { .. } | SpoolError::Older { .. } | SpoolError::Newer { .. } => "",
        _ => ". The services make it when they first start; whoever looks is in the group sotto (adduser YOU sotto), or root",
    }
}

impl Snapshot {
    /// Reads what stands in the spool.
    pub(crate) fn read(view: &View, now_ms: i64) -> Result<Self, SpoolError> {
        Ok(Self { now_ms, coverage: view.coverage(now_ms)?, backlog: view.backlog(now_ms)?, tap: view.tap_gauges()? })
    }

    /// How old the tap's numbers are, milliseconds.
    pub(crate) fn age_ms(&self) -> Option<i64> {
        self.tap.map(|tap| self.now_ms - tap.written_ms)
    }

    /// Whether the tap hears.
    pub(crate) fn is_hearing(&self) -> bool {
        self.age_ms().is_some_and(|age| age < STALE_MS)
    }

    /// What is left out for want of time.
    pub(crate) fn level(&self) -> Level {
        let level = self.tap.map_or(0, |tap| tap.gauges.shed_level);
        Level::ALL.get(usize::try_from(level).unwrap_or(usize::MAX)).copied().unwrap_or_default()
    }

    /// For programs.
    pub(crate) fn as_json(&self) -> Value {
        let Self { coverage, backlog, tap, .. } = self;
        let ledger: serde_json::Map<_, _> =
            Outcome::ALL.into_iter().zip(coverage.total_counts).map(|(outcome, count)| (outcome.name().to_owned(), count.into())).collect();
        json!({
            "hearing": self.is_hearing(),
            "tap_age_s": self.age_ms().map(|age| age / 1_000),
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
        })
    }

    /// All there is to say, in the order in which somebody woken at night asks: does it hear, does it keep up, do scores arrive, was anything lost.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let Self { coverage, backlog, tap, .. } = self;
        let line = |about, is_well, says| Line { about, is_well, says };
        let mut lines = vec![match (self.is_hearing(), self.age_ms()) {
            (true, Some(age)) => line("tap", true, format!("hearing; its numbers are {} old", duration(age.max(0).unsigned_abs()))),
            (_, Some(age)) => line("tap", false, format!("SILENT for {}: systemctl status sotto-tap; sotto doctor", duration(age.max(0).unsigned_abs()))),
            (_, None) => line("tap", false, "it never ran with this spool: systemctl status sotto-tap; sotto doctor".to_owned()),
        }];
        if let Some(TapGauges { gauges, .. }) = tap {
            lines.extend(hearing(gauges));
            lines.push(line("load", self.level() == Level::All, format!("level {}: {}; stepped down {} times", self.level().index(), level_text(self.level()), gauges.shed_steps())));
        }
        let is_moving = backlog.oldest_ms < OLD_MS;
        let next = if is_moving { "" } else { ": journalctl -u sotto-uplink; sotto doctor" };
        lines.push(line("backlog", is_moving, format!("{} scores wait, the oldest for {}{next}; {} acknowledged", thousands(backlog.waiting), duration(backlog.oldest_ms), thousands(backlog.acked))));
        let kept = backlog.dead_letters + backlog.invalid + coverage.expired_unacked;
        lines.push(line("kept back", kept == 0, format!("{} that the broker refuses, {} invalid, {} expired unsent", backlog.dead_letters, backlog.invalid, coverage.expired_unacked)));
        if backlog.lost_scores + backlog.lost_calls > 0 {
            lines.push(line("lost", false, format!("{} scores and what became of {} calls, at most, by the disk: change it", backlog.lost_scores, backlog.lost_calls)));
        }
        if backlog.taken_over > 0 {
            lines.push(line("session", false, format!("taken over {} times: is there a second box of this name?", backlog.taken_over)));
        }
        if backlog.clock_jumps > 0 {
            lines.push(line("clock", true, format!("jumped {} times since the spool was made", backlog.clock_jumps)));
        }
        lines
    }

    /// The ledger: outcome, this hour, in all; calls seen last.
    pub(crate) fn ledger(&self) -> Vec<(&'static str, u64, u64)> {
        let Self { coverage, .. } = self;
        let counts = Outcome::ALL.into_iter().zip(coverage.hour_counts).zip(coverage.total_counts);
        let mut rows: Vec<_> = counts.map(|((outcome, hour), total)| (outcome.name(), hour, total)).collect();
        rows.push(("calls seen", coverage.hour_seen(), coverage.total_seen()));
        rows
    }

    fn print(&self) {
        let is_terminal = std::io::stdout().is_terminal();
        for line in self.lines() {
            let colour = if line.is_well { 32 } else { 31 };
            let about = format!("{:<10}", line.about);
            let about = if is_terminal { format!("\x1b[{colour}m{about}\x1b[0m") } else { about };
            println!("{about}{}", line.says);
        }
        println!("\n{:<18}{:>12}{:>12}", "ledger", "this hour", "all");
        for (name, hour, total) in self.ledger() {
            println!("{name:<18}{:>12}{:>12}", thousands(hour), thousands(total));
        }
    }
}

fn hearing(gauges: &Gauges) -> Vec<Line> {
    let line = |about, is_well, says| Line { about, is_well, says };
    let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1_000.0);
    vec![
        line("calls", true, format!("{} open, {} legs; {} of sound decoded", gauges.calls_open, gauges.calls_open * 2, duration(gauges.audio_s * 1_000))),
        line(
            "packets",
            ppm(gauges.packets_dropped, gauges.packets) < 100,
            format!("{}, {} of them dropped by the kernel ({} in a million)", thousands(gauges.packets), thousands(gauges.packets_dropped), ppm(gauges.packets_dropped, gauges.packets)),
        ),
        line(
            "telephony",
            gauges.sip_refused * 10 <= gauges.sip_messages,
            format!(
                "{} SIP messages, {} unreadable; {} packets of sound, {} that no call claims",
                thousands(gauges.sip_messages),
                thousands(gauges.sip_refused),
                thousands(gauges.rtp_packets),
                thousands(gauges.rtp_unbound)
            ),
        ),
        line(
            "words",
            gauges.turns_shed == 0,
            format!(
                "{} turns, {} shed, {} wait; heard within {}, 95 % within {}",
                thousands(gauges.turns),
                thousands(gauges.turns_shed),
                gauges.turns_waiting,
                seconds(gauges.words_p50_ms),
                seconds(gauges.words_p95_ms)
            ),
        ),
    ]
}

/// So many of a million.
pub(crate) const fn ppm(part: u64, whole: u64) -> u64 {
    if whole == 0 { 0 } else { (part as u128 * 1_000_000 / whole as u128) as u64 }
}

/// `1,234,567`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (ordinal, digit) in digits.chars().enumerate() {
        if ordinal > 0 && (digits.len() - ordinal).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The two largest units: `3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 1 h`.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sotto_report::{Millis, Reason};

    use super::*;

    /// A box that hears, with a few numbers.
    pub(crate) fn hearing_box() -> Snapshot {
        let mut coverage = Coverage {
            ts: Millis::rounded(0),
            hour: Millis::rounded(0),
            hour_counts: [0; Outcome::ALL.len()],
            total_counts: [0; Outcome::ALL.len()],
            hour_reasons: [0; Reason::ALL.len()],
            expired_unacked: 0,
        };
        coverage.total_counts[0] = 12_345;
        let gauges = Gauges { calls_open: 37, packets: 2_000_000, packets_dropped: 3, sip_messages: 4_000, rtp_packets: 1_990_000, turns: 900, words_p50_ms: 800, words_p95_ms: 1_290, ..Gauges::default() };
        let backlog = Backlog { waiting: 12, oldest_ms: 3_000, acked: 12_300, ..Backlog::default() };
        Snapshot { now_ms: 1_000_000, coverage, backlog, tap: Some(TapGauges { gauges, written_ms: 996_000 }) }
    }

    fn unwell(snapshot: &Snapshot) -> Vec<&'static str> {
        snapshot.lines().into_iter().filter(|line| !line.is_well).map(|line| line.about).collect()
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let mut snapshot = hearing_box();
        assert_eq!(unwell(&snapshot), [""; 0]);
        snapshot.backlog.oldest_ms = 600_000;
        assert_eq!(unwell(&snapshot), ["backlog"]);
        snapshot.tap = None;
        assert_eq!(unwell(&snapshot), ["tap", "backlog"]);
        assert!(!snapshot.is_hearing());
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([thousands(0), thousands(999), thousands(1_000), thousands(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([duration(900), duration(250_000), duration(7_500_000), duration(262_800_000)], ["0 s", "4 min 10 s", "2 h 5 min", "3 d 1 h"]);
        assert_eq!([ppm(1, 0), ppm(3, 2_000_000), ppm(u64::MAX, u64::MAX)], [0, 1, 1_000_000]);
    }
}
