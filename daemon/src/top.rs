//! `sotto top`: the live view. It reads what `sotto status` reads, again and again, and shows what changed between.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::Duration;

use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Sparkline};
use sotto_spool::View;
use tokio::signal::unix::{SignalKind, signal};

use crate::End;
use crate::config::{Config, Places};
use crate::pipeline::wall_millis;
use crate::status::{Snapshot, hint, thousands};

/// Flags of `sotto top`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Print one frame as text, and end.
    #[arg(long)]
    once: bool,
    /// Print one JSON object, and end.
    #[arg(long)]
    json: bool,
}

/// How often the spool is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often keys are.
const KEYS_EVERY: Duration = Duration::from_millis(100);
/// So many looks are remembered: as wide as a screen is.
const HISTORY: usize = 240;
/// A frame that is printed.
const PAGE: Rect = Rect::new(0, 0, 100, 30);

/// Runs until q, Escape or Ctrl-C.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    // Opened anew for each look: a spool that was salvaged is another file.
    let look = || View::open(&places.spool).and_then(|view| Snapshot::read(&view, wall_millis()));
    let first = look().map_err(|error| End::no(format!("{error}{}", hint(&error))))?;
    if arguments.json {
        println!("{}", first.as_json());
        return Ok(());
    }
    // The configuration names the box; the spool alone is needed.
    let name = Config::load(&places.config).map_or_else(|_| "sotto".to_owned(), |config| format!("{}/{}", config.site_id, config.node));
    let mut shown = Shown::new(name, first);
    if arguments.once || !std::io::stdout().is_terminal() {
        print!("{}", as_text(&shown)?);
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::no)?;
    // It puts the terminal back where the program panics, too.
    let mut terminal = ratatui::try_init().map_err(End::no)?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut keys = tokio::time::interval(KEYS_EVERY);
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = hang_up.recv() => return Ok(()),
                _ = looks.tick() => {
                    // A spool that is busy, or being made anew, is looked at again in a second.
                    if let Ok(snapshot) = look() {
                        shown.take(snapshot);
                    }
                    terminal.draw(|frame| draw(frame, &shown))?;
                }
                _ = keys.tick() => {
                    if is_over()? {
                        return Ok(());
                    }
                }
            }
        }
    });
    ratatui::restore();
    ended.map_err(|error: std::io::Error| End::no(error))
}

/// Whether a key says that it is enough. What else is pressed, and a new size, is drawn with the next look.
fn is_over() -> std::io::Result<bool> {
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let is_interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What is on the screen: the newest look, and what the ones before came to.
struct Shown {
    name: String,
    newest: Snapshot,
    /// Of the tap's last two writings, each a few seconds apart: how much came a second.
    rates: Option<Rates>,
    packets: VecDeque<u64>,
    calls: VecDeque<u64>,
    backlog: VecDeque<u64>,
}

/// How much came a second between two writings of the tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    packets: u64,
    dropped: u64,
    sip: u64,
    rtp: u64,
    turns: u64,
}

impl Shown {
    fn new(name: String, first: Snapshot) -> Self {
        Self { name, newest: first, rates: None, packets: VecDeque::new(), calls: VecDeque::new(), backlog: VecDeque::new() }
    }

    fn take(&mut self, snapshot: Snapshot) {
        if let Some(rates) = Rates::between(&self.newest, &snapshot) {
            self.rates = Some(rates);
        }
        if !snapshot.is_hearing() {
            self.rates = None;
        }
        let remember = |history: &mut VecDeque<u64>, value| {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(value);
        };
        remember(&mut self.packets, self.rates.map_or(0, |rates| rates.packets));
        remember(&mut self.calls, snapshot.tap.filter(|_| snapshot.is_hearing()).map_or(0, |tap| tap.gauges.calls_open));
        remember(&mut self.backlog, snapshot.backlog.waiting);
        self.newest = snapshot;
    }
}

impl Rates {
    /// `None` where the tap has not written since, or has begun anew.
    fn between(before: &Snapshot, after: &Snapshot) -> Option<Self> {
        let (before, after) = (before.tap?, after.tap?);
        let elapsed = u64::try_from(after.written_ms - before.written_ms).ok().filter(|elapsed| *elapsed > 0)?;
        let rate = |before: u64, after: u64| Some(after.checked_sub(before)?.saturating_mul(1_000) / elapsed);
        let (old, new) = (before.gauges, after.gauges);
        Some(Self {
            packets: rate(old.packets, new.packets)?,
            dropped: rate(old.packets_dropped, new.packets_dropped)?,
            sip: rate(old.sip_messages, new.sip_messages)?,
            rtp: rate(old.rtp_packets, new.rtp_packets)?,
            turns: rate(old.turns, new.turns)?,
        })
    }
}

/// Draws it all; what has no room at the bottom is left out.
fn draw(frame: &mut Frame<'_>, shown: &Shown) {
    let lines = shown.newest.lines();
    let rows = shown.newest.ledger();
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(u16::try_from(lines.len()).unwrap_or(u16::MAX)),
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Length(u16::try_from(rows.len() + 1).unwrap_or(u16::MAX)),
        Constraint::Min(0),
    ])
    .split(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let head = format!("sotto top  {}", shown.name);
    let quit = "q quits";
    let gap = usize::from(frame.area().width).saturating_sub(head.chars().count() + quit.len());
    frame.render_widget(Line::from(vec![Span::styled(head, bold), Span::raw(" ".repeat(gap)), Span::raw(quit)]), areas[0]);
    let text: Vec<Line<'_>> = lines
        .into_iter()
        .map(|line| {
            let colour = if line.is_well { Color::Green } else { Color::Red };
            Line::from(vec![Span::styled(format!("{:<10}", line.about), Style::new().fg(colour)), Span::raw(line.says)])
        })
        .collect();
    frame.render_widget(Paragraph::new(text), areas[1]);
    let rates = shown.rates.map_or_else(
        || "a second  (two writings of the tap are needed: 20 s)".to_owned(),
        |rates| {
            format!(
                "a second  {} packets, {} dropped; {} SIP, {} RTP; {} turns",
                thousands(rates.packets),
                thousands(rates.dropped),
                thousands(rates.sip),
                thousands(rates.rtp),
                thousands(rates.turns)
            )
        },
    );
    frame.render_widget(Line::from(rates), areas[2]);
    let columns = Layout::horizontal([Constraint::Ratio(1, 3); 3]).split(areas[3]);
    for ((title, history), area) in [("calls open", &shown.calls), ("packets a second", &shown.packets), ("scores waiting", &shown.backlog)].into_iter().zip(columns.iter()) {
        let newest = history.back().copied().unwrap_or(0);
        let block = Block::new().borders(Borders::TOP).title(format!(" {title}: {} ", thousands(newest)));
        let room = usize::from(area.width);
        let seen: Vec<u64> = history.iter().skip(history.len().saturating_sub(room)).copied().collect();
        frame.render_widget(Sparkline::default().block(block).data(seen).style(Style::new().fg(Color::Cyan)), *area);
    }
    let mut table = vec![Line::styled(format!("{:<18}{:>12}{:>14}", "ledger", "this hour", "all"), bold)];
    table.extend(rows.into_iter().map(|(name, hour, total)| {
        let style = if total == 0 { Style::new().fg(Color::DarkGray) } else { Style::new() };
        Line::styled(format!("{name:<18}{:>12}{:>14}", thousands(hour), thousands(total)), style)
    }));
    frame.render_widget(Paragraph::new(table), areas[4]);
}

/// One frame without a terminal.
fn as_text(shown: &Shown) -> Result<String, End> {
    let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(PAGE.width, PAGE.height)).map_err(End::no)?;
    let drawn = terminal.draw(|frame| draw(frame, shown)).map_err(End::no)?;
    let mut text = String::new();
    for row in drawn.buffer.content().chunks(usize::from(PAGE.width)) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text += line.trim_end();
        text.push('\n');
    }
    Ok(format!("{}\n", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::hearing_box;

    #[test]
    fn a_frame_says_what_an_admin_asks_at_night() {
        let mut shown = Shown::new("harbor/rec-1".to_owned(), hearing_box());
        let mut later = hearing_box();
        if let Some(tap) = &mut later.tap {
            tap.written_ms += 10_000;
            tap.gauges.packets += 40_120;
        }
        later.now_ms += 10_000;
        shown.take(later);
        let text = as_text(&shown).unwrap_or_default();
        for there in ["harbor/rec-1", "hearing", "37 open, 74 legs", "4,012 packets", "12 scores wait", "level 0", "calls seen", "12,345", "calls open: 37"] {
            assert!(text.contains(there), "{there} is not in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(PAGE.width)));
    }

    #[test]
    fn rates_are_of_the_taps_own_time_and_of_one_life_of_it() {
        let (before, mut after) = (hearing_box(), hearing_box());
        assert_eq!(Rates::between(&before, &after), None, "nothing new was written");
        if let Some(tap) = &mut after.tap {
            tap.written_ms += 2_000;
            tap.gauges.sip_messages += 50;
        }
        assert_eq!(Rates::between(&before, &after), Some(Rates { packets: 0, dropped: 0, sip: 25, rtp: 0, turns: 0 }));
        assert_eq!(Rates::between(&after, &before), None);
        if let Some(tap) = &mut after.tap {
            tap.gauges.packets = 5;
        }
        assert_eq!(Rates::between(&before, &after), None, "the tap began anew");
    }

    #[test]
    fn a_small_terminal_gets_what_fits() {
        for (width, height) in [(1, 1), (20, 3), (80, 24), (300, 100)] {
            let mut terminal = ratatui::Terminal::new(ratatui::backend::TestBackend::new(width, height)).unwrap();
            let shown = Shown::new("a-name-that-is-longer-than-the-screen".to_owned(), hearing_box());
            terminal.draw(|frame| draw(frame, &shown)).unwrap();
        }
    }
}
