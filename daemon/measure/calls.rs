//! The calls that are running, and what becomes of each.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::sync::Arc;

use sotto_charter::thresholds::{HEARD_PERCENT, LOSS_PERCENT};
use sotto_charter::{Charter, Consenting, Date, Decision, Group, News, Parties, Register, Site, Standing, Why};
use sotto_models::vad::{Look, Vad};
use sotto_private::{
    Audio, CATEGORIES, Call, CallEvent, Consent, EndCause, Findings, Label, Level, Origin, Party, Private, Reason, Said, Side, StreamFacts, Turn, Wall,
};

use crate::decode::Refused;
use crate::evaluate::{Heard, sides, unlabelled};
use crate::hearing::{Hearing, Speech};
use crate::leg::{Leg, Listening};
use crate::quality;
use crate::read::Wanted;
use crate::terms::{Edition, Terms};
use crate::words::{Answer, Job};

mod consent;

/// How far the work goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Decoding only: to see how fast packets become sound.
    Decode,
    /// Everything that the charter names.
    Full,
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets decoded. Without consent this stays where it is.
    pub frames_decoded: u64,
    /// Packets dropped before decoding: no consent, or nothing in the charter that needs them.
    pub frames_dropped: u64,
    /// Packets dropped before decoding because the box could not keep up.
    pub frames_shed: u64,
    /// Packets that gave no sound: damaged, or in a codec that this build does not decode.
    pub frames_refused: u64,
    /// Seconds of sound decoded.
    pub seconds_decoded: u64,
    /// Turns handed out.
    pub turns: u64,
    /// Turns for which there was no time.
    pub turns_shed: u64,
}

/// Who is an agent, by the rules of the site: for whoever must choose between two legs of one conversation.
pub fn agents(site: Arc<Site>) -> Box<dyn Fn(&Party) -> bool + Send> {
    Box::new(move |party| site.is_agent(party.identity()))
}

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// A call began.
    Opened(Call, Wall),
    /// It was decided whether a call may be decoded, and by what evidence.
    Decided(Call, Wall, Decision),
    /// Speech that wants to be words.
    Turn(Job),
    /// A call is over; this is all there is to say.
    Findings(Box<Findings>),
}

/// Measures calls.
pub struct Measure {
    /// What calls that begin now are measured by.
    terms: Arc<Terms>,
    register: Arc<Register>,
    /// Draws the spot checks.
    seed: u64,
    /// The site's language is one in which blanking is verified, or is found call by call.
    can_blank: bool,
    vad: Option<Arc<Vad>>,
    depth: Depth,
    calls: HashMap<Call, State, BuildHasherDefault<ByNumber>>,
    outputs: VecDeque<Output>,
    counters: Counters,
    decoded_samples: i64,
    level: Level,
    /// Legs with frames that the detector has not looked at, and room to look at them.
    awaited: Vec<(Call, Side)>,
    looks: Vec<Look>,
    /// Where packets are decoded.
    fresh: Private<Vec<i16>>,
}

impl Measure {
    /// For one charter and site. `vad` may be absent where the charter needs no sound.
    #[must_use]
    pub fn new(charter: Arc<Charter>, site: Arc<Site>, vad: Option<Vad>, depth: Depth) -> Self {
        Self {
            terms: Arc::new(Terms::new(Edition::default(), charter, site)),
            register: Arc::new(Register::default()),
            seed: 0,
            can_blank: true,
            vad: vad.filter(|_| depth == Depth::Full).map(Arc::new),
            depth,
            calls: HashMap::default(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            decoded_samples: 0,
            level: Level::All,
            awaited: Vec::new(),
            looks: Vec::new(),
            fresh: Private::default(),
        }
    }

    /// From `at` on, so much is left out. Which turns become words is not decided here; from [`Level::RtpStatistics`] on nothing is decoded.
    pub fn shed_to(&mut self, level: Level, at: Wall) {
        self.level = level;
        for state in self.calls.values_mut() {
            state.shed_to(level, at);
        }
    }

    /// Another charter or site is in force: for calls that begin from now on. Those that run keep to the terms that they began under; the
    /// register is to follow. Without a detector of its own, the one that is there goes on.
    pub fn renew(&mut self, charter: Arc<Charter>, site: Arc<Site>, vad: Option<Vad>) -> Edition {
        if self.depth == Depth::Full && vad.is_some() {
            self.vad = vad.map(Arc::new);
        }
        let register = Arc::clone(&self.register);
        self.calls.values_mut().for_each(|state| state.remember_acknowledgement(&register));
        self.terms = Arc::new(Terms::new(self.terms.edition.next(), charter, site));
        self.terms.edition
    }

    /// The oldest terms that a call still keeps to.
    #[must_use]
    pub fn oldest(&self) -> Edition {
        self.calls.values().map(|state| state.terms.edition).min().unwrap_or(self.terms.edition)
    }

    /// Draws the spot checks by `seed`, which nobody can guess.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// For a site whose language is none in which blanking is verified ([`crate::VERIFIED`]): no turn is cut, and whatever is made of words says why
    /// it is absent.
    #[must_use]
    pub fn without_words(mut self) -> Self {
        self.leave_out_words();
        self
    }

    /// The same, from now on.
    pub const fn leave_out_words(&mut self) {
        self.can_blank = false;
    }

    /// What happened to a call. `today` is the day on the pipeline's clock: a purpose past its review stops.
    pub fn event(&mut self, event: CallEvent, today: Date) {
        match event {
            CallEvent::Offered { call, at, calling, called, origin, continues } => {
                self.outputs.push_back(Output::Opened(call, at));
                let is_drawn = self.terms.charter.is_drawn(consent::lot(self.seed, call));
                let terms = Arc::clone(&self.terms);
                self.calls.insert(call, State::new(terms, at, (calling, called), origin, continues, today, is_drawn));
            }
            CallEvent::Ringing { call, at } => self.with(call, |state, _| {
                state.ringing.get_or_insert(at);
            }),
            CallEvent::Answered { call, at, called } => {
                self.decide(call, at, |state, terms| state.answer(at, called, terms));
                let level = self.level;
                self.with(call, |state, _| state.shed_to(level, at));
            }
            CallEvent::Identified { call, at, calling, called } => self.decide(call, at, |state, terms| state.identify(at, calling, called, terms)),
            CallEvent::Mixed { call, .. } => self.with(call, |state, _| state.is_mixed = true),
            CallEvent::Held { call, at } => self.with(call, |state, _| state.hold(at)),
            CallEvent::Resumed { call, at } => self.with(call, |state, _| state.resume(at)),
            CallEvent::Objected { call, at, said } => self.decide(call, at, |state, terms| state.hear(at, News::No(consent::no(said)), terms)),
            CallEvent::Consented { call, at, side, said } => self.decide(call, at, |state, terms| state.agree(at, side, said, terms)),
            CallEvent::TakenOut { call, at } => self.decide(call, at, |state, terms| state.hear(at, News::Private, terms)),
            CallEvent::Paused { call, at, said } => self.with(call, |state, _| state.pause(at, Brake::of(said))),
            CallEvent::Continued { call, at, said } => self.with(call, |state, _| state.go_on(at, Brake::of(said))),
            CallEvent::Ended { call, at, cause, streams } => {
                let mut turns = Vec::new();
                if let (Some(vad), Some(hearing)) = (&self.vad, self.calls.get_mut(&call).and_then(|state| state.hearing.as_mut())) {
                    hearing.look_alone(call, vad, &mut turns);
                }
                self.with(call, |state, _| state.end(call, at, cause, streams, &mut turns));
                self.hand_out(call, turns);
                self.finish_if_done(call);
            }
        }
    }

    /// Brings what the next packets of sound will need close to the processor, step by step for all of them. It changes nothing.
    pub fn expect<const SOON: usize>(&self, soon: [Option<(Call, Side)>; SOON]) {
        let legs = soon.map(|sound| {
            let (call, side) = sound?;
            let state = self.calls.get(&call)?;
            black_box(state.brakes);
            state.hearing.as_ref()?.legs[side.index()].as_ref()
        });
        legs.into_iter().flatten().for_each(Leg::expect);
    }

    /// One packet of sound.
    pub fn audio(&mut self, audio: &Audio) {
        let Some(state) = self.calls.get_mut(&audio.call) else {
            self.counters.frames_dropped += 1;
            return;
        };
        let is_paused = state.brakes != 0;
        let Some(hearing) = state.hearing.as_mut().filter(|hearing| hearing.wants_sound && !is_paused) else {
            self.counters.frames_dropped += 1;
            return;
        };
        if is_deaf(self.level) {
            self.counters.frames_shed += 1;
            return;
        }
        let vad = self.vad.as_deref();
        let leg = hearing.legs[audio.side.index()].get_or_insert_with(|| Leg::new(hearing.answered));
        let (decoded, mut turns) = (leg.decoded(), Vec::new());
        match leg.audio(audio, &mut Listening { vad, wants_turns: hearing.wants_words, turns: &mut turns, fresh: &mut self.fresh }) {
            Ok(()) => self.counters.frames_decoded += 1,
            Err(refused) => {
                self.counters.frames_refused += 1;
                hearing.unsupported[audio.side.index()] += u64::from(refused == Refused::Unsupported);
            }
        }
        self.decoded_samples += leg.decoded() - decoded;
        if vad.is_some() && !std::mem::replace(&mut leg.is_awaited, true) {
            self.awaited.push((audio.call, audio.side));
        }
        let is_nearly_full = vad.is_some() && leg.is_nearly_full();
        self.hand_out(audio.call, turns);
        if is_nearly_full {
            self.look();
        }
    }

    /// Looks for speech in what was decoded since the last look, in all legs together. To be called whenever there is nothing more to take in for
    /// now: what was taken in since waits in memory until then, or until a leg has no more room for it.
    pub fn look(&mut self) {
        let Some(vad) = self.vad.clone() else { return };
        let (mut awaited, mut looks) = (std::mem::take(&mut self.awaited), std::mem::take(&mut self.looks));
        // One frame of each leg at a time.
        while !awaited.is_empty() {
            awaited.retain(|&(call, side)| {
                let Some(leg) = self.calls.get_mut(&call).and_then(|state| state.hearing.as_mut()?.legs[side.index()].as_mut()) else { return false };
                let look = leg.next_look();
                leg.is_awaited = look.is_some();
                looks.extend(look);
                leg.is_awaited
            });
            vad.look(&mut looks);
            for (&(call, side), mut look) in awaited.iter().zip(looks.drain(..)) {
                let Some(hearing) = self.calls.get_mut(&call).and_then(|state| state.hearing.as_mut()) else { continue };
                let (wants_words, mut turns) = (hearing.wants_words, Vec::new());
                if let Some(leg) = &mut hearing.legs[side.index()] {
                    leg.looked(&mut look, call, side, wants_words, &mut turns);
                }
                self.hand_out(call, turns);
            }
        }
        (self.awaited, self.looks) = (awaited, looks);
    }

    /// What came of a turn that was handed out.
    pub fn answer(&mut self, answer: Answer) {
        let Answer { call, side, words, .. } = answer;
        self.counters.turns_shed += u64::from(words.is_none());
        if let Some(state) = self.calls.get_mut(&call) {
            state.turns_out = state.turns_out.saturating_sub(1);
            if let Some(hearing) = &mut state.hearing {
                match &words {
                    Some((words, reading)) => hearing.hear(words, reading, &state.terms.lists),
                    None => hearing.speech[side.index()].turns_shed += 1,
                }
            }
        }
        self.finish_if_done(call);
    }

    /// Nobody will bring back the turns that are still out: calls that are over come out without them.
    pub fn give_up(&mut self) {
        let waiting: Vec<Call> = self.calls.iter().filter(|(_, state)| state.ended.is_some()).map(|(call, _)| *call).collect();
        for call in waiting {
            if let Some(state) = self.calls.get_mut(&call) {
                self.counters.turns_shed += state.turns_out as u64;
                if let Some(hearing) = &mut state.hearing {
                    // Whose turns they were is no longer known; a score must not pretend that all was heard.
                    for speech in &mut hearing.speech {
                        speech.turns_shed += u32::try_from(state.turns_out).unwrap_or(u32::MAX);
                    }
                }
                state.turns_out = 0;
            }
            self.finish_if_done(call);
        }
    }

    /// What came out, oldest first.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { seconds_decoded: u64::try_from(self.decoded_samples / 8_000).unwrap_or(0), ..self.counters }
    }

    /// Calls that have not come out yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.calls.len()
    }

    fn with(&mut self, call: Call, change: impl FnOnce(&mut State, &TermsInForce<'_>)) {
        if let Some(state) = self.calls.get_mut(&call) {
            let own = Arc::clone(&state.terms);
            change(state, &TermsInForce { charter: &own.charter, site: &own.site, register: &self.register, can_blank: self.can_blank });
        }
    }

    /// What bears on consent: each decision is told, with its evidence.
    fn decide(&mut self, call: Call, at: Wall, change: impl FnOnce(&mut State, &TermsInForce<'_>) -> Option<Decision>) {
        let mut decision = None;
        self.with(call, |state, terms| decision = change(state, terms));
        self.outputs.extend(decision.map(|decision| Output::Decided(call, at, decision)));
    }

    fn hand_out(&mut self, call: Call, turns: Vec<Turn>) {
        if turns.is_empty() {
            return;
        }
        if let Some(state) = self.calls.get_mut(&call) {
            state.turns_out += turns.len();
            self.counters.turns += turns.len() as u64;
            let wanted = Side::BOTH.map(|side| state.wanted(side));
            let customer = (state.label != Label::Unlabelled).then(|| sides(state.label)[1]);
            let edition = state.terms.edition;
            let job = |turn: Turn| Job { is_customer: customer == Some(turn.side), wanted: wanted[turn.side.index()], edition, turn };
            self.outputs.extend(turns.into_iter().map(|turn| Output::Turn(job(turn))));
        }
    }

    fn finish_if_done(&mut self, call: Call) {
        let is_done = self.calls.get(&call).is_some_and(|state| state.ended.is_some() && state.turns_out == 0);
        if let Some(state) = is_done.then(|| self.calls.remove(&call)).flatten()
            && let Some(findings) = state.findings(call, &self.register)
        {
            self.outputs.push_back(Output::Findings(Box::new(findings)));
        }
    }
}

/// Calls are this run's own running numbers: nobody outside chooses them, so that spreading their bits is hash enough.
#[derive(Default)]
struct ByNumber(u64);

impl Hasher for ByNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

struct TermsInForce<'a> {
    charter: &'a Charter,
    site: &'a Site,
    register: &'a Register,
    can_blank: bool,
}

/// One call.
struct State {
    /// Those that were in force when it began.
    terms: Arc<Terms>,
    /// The agent had acknowledged them when others took their place.
    had_acknowledged: bool,
    offered: Wall,
    ringing: Option<Wall>,
    origin: Origin,
    continues: Option<Call>,
    calling: Party,
    called: Party,
    /// The called number as it was dialled.
    dialled: Private<String>,
    /// Both parties are in the calling side's stream.
    is_mixed: bool,
    today: Date,
    label: Label,
    team: Option<u16>,
    line: Option<u16>,
    consenting: Consenting,
    answered: Option<Wall>,
    held_since: Option<Wall>,
    holds: Vec<(Wall, Wall)>,
    hold_count: u32,
    paused_since: Option<Wall>,
    /// Who holds analysis back, by [`Brake`].
    brakes: u8,
    paused_micros: i64,
    /// The most that was left out since it was answered.
    level: Level,
    deaf_since: Option<Wall>,
    deaf_micros: i64,
    hearing: Option<Hearing>,
    turns_out: usize,
    ended: Option<(Wall, EndCause, [Option<StreamFacts>; 2])>,
}

/// More holds than this are counted but their time is no longer told apart.
const MOST_HOLDS: usize = 1_000;

impl State {
    fn new(terms: Arc<Terms>, offered: Wall, (calling, called): (Party, Party), origin: Origin, continues: Option<Call>, today: Date, is_drawn: bool) -> Self {
        Self {
            terms,
            had_acknowledged: false,
            offered,
            ringing: None,
            origin,
            continues,
            dialled: called.user.clone(),
            calling,
            called,
            is_mixed: false,
            today,
            label: Label::Unlabelled,
            team: None,
            line: None,
            consenting: Consenting::new(is_drawn),
            answered: None,
            held_since: None,
            holds: Vec::new(),
            hold_count: 0,
            paused_since: None,
            brakes: 0,
            paused_micros: 0,
            level: Level::All,
            deaf_since: None,
            deaf_micros: 0,
            hearing: None,
            turns_out: 0,
            ended: None,
        }
    }

    /// What is read of a side's words: the customer's feelings and nobody else's, and of a call in one channel nothing, since it might
    /// be the agent's.
    fn wanted(&self, side: Side) -> Wanted {
        let wants = |group: Group| !self.is_mixed && self.terms.charter.is_active(group, self.today);
        let is_customer = self.label != Label::Unlabelled && sides(self.label)[1] == side;
        Wanted { sentiment: is_customer && wants(Group::SentimentCustomer), resolution: wants(Group::Resolution), topics: wants(Group::Keywords) }
    }

    fn hold(&mut self, at: Wall) {
        if self.answered.is_some() && self.held_since.is_none() {
            self.held_since = Some(at);
            self.hold_count += 1;
        }
    }

    fn resume(&mut self, at: Wall) {
        if let Some(since) = self.held_since.take()
            && self.holds.len() < MOST_HOLDS
        {
            self.holds.push((since, at));
        }
    }

    /// The part of the answered time in which analysis was not paused.
    fn unpaused(&self, duration_ms: i64) -> f64 {
        1.0 - share(self.paused_micros, duration_ms)
    }

    /// From `at` on, the box leaves out so much.
    fn shed_to(&mut self, level: Level, at: Wall) {
        if self.answered.is_none() || self.ended.is_some() {
            return;
        }
        self.level = self.level.max(level);
        if is_deaf(level) {
            self.deaf_since.get_or_insert(at);
        } else {
            self.hear_again(at);
        }
    }

    fn hear_again(&mut self, at: Wall) {
        if let Some(since) = self.deaf_since.take() {
            self.deaf_micros += at.since(since).max(0);
        }
    }

    fn end(&mut self, call: Call, at: Wall, cause: EndCause, mut streams: [Option<StreamFacts>; 2], turns: &mut Vec<Turn>) {
        self.resume(at);
        self.end_pauses(at);
        self.hear_again(at);
        if let Some(hearing) = &mut self.hearing {
            for (stream, unsupported) in streams.iter_mut().zip(hearing.unsupported) {
                if let Some(stream) = stream {
                    stream.undecodable = stream.undecodable.saturating_add(unsupported);
                }
            }
            for (side, leg) in Side::BOTH.into_iter().zip(&mut hearing.legs) {
                if let Some(leg) = leg {
                    leg.finish(call, side, turns);
                }
            }
        }
        self.ended = Some((at, cause, streams));
    }

    fn findings(mut self, call: Call, register: &Register) -> Option<Findings> {
        let (ended, cause, streams) = self.ended?;
        let terms = Arc::clone(&self.terms);
        let charter = &terms.charter;
        let hold_micros = self.holds.iter().map(|(from, to)| to.since(*from)).sum();
        let sides = sides(self.label);
        let facts = sides.map(|side| streams[side.index()].as_ref());
        let quality = match self.label {
            _ if self.is_mixed => [Err(Reason::Mixed); 2],
            Label::Unlabelled => [Err(unlabelled(&streams)); 2],
            // What was not looked at is not lost.
            _ if self.level == Level::Signalling => [Err(Reason::Shed); 2],
            _ => facts.map(quality::mos),
        };
        let codec = facts.into_iter().flatten().map(|stream| stream.codec).next();
        let mut findings = Findings {
            call,
            offered: self.offered,
            ringing: self.ringing,
            answered: self.answered,
            ended,
            cause,
            hold_micros,
            hold_count: self.hold_count,
            origin: self.origin,
            continues: self.continues,
            label: self.label,
            consent: self.consent(),
            agent: self.agent().and_then(|agent| register.mark(agent.identity())).map(|mark| mark.0),
            team: self.team,
            line: self.line,
            codec,
            streams,
            quality,
            scored_fraction: 0.0,
            unpaused: 1.0,
            level: self.level,
            talk: None,
            interruptions: None,
            silence: None,
            keywords: None,
            sentiment: None,
            resolution: None,
            sensitive: None,
        };
        let Some(answered) = self.answered.filter(|_| !matches!(findings.consent, Consent::Excluded | Consent::NotSampled)) else { return Some(findings) };
        if let Some(hearing) = &mut self.hearing {
            hearing.speech.iter_mut().for_each(|speech| speech.sensitive.close());
        }
        let call = Heard {
            duration: ended.since(answered) / 1_000,
            holds: self.holds.iter().map(|(from, to)| (from.since(answered) / 1_000, to.since(answered) / 1_000)).collect(),
            streams,
            hearing: self.hearing.as_ref(),
            is_mixed: self.is_mixed,
        };
        let deaf = share(self.deaf_micros, call.duration);
        findings.unpaused = self.unpaused(call.duration);
        findings.scored_fraction = call.scored_fraction() * findings.unpaused * (1.0 - deaf);
        let is_paused = findings.unpaused * 100.0 < f64::from(HEARD_PERCENT);
        let group = |group: Group| {
            let blocked = if self.consent() != Consent::Given {
                Some(Reason::Consent)
            } else if is_paused {
                Some(Reason::Paused)
            } else if self.is_mixed && group != Group::Silence {
                // Who spoke cannot be told; that nobody did, can.
                Some(Reason::Mixed)
            } else if deaf * 100.0 > f64::from(LOSS_PERCENT) {
                Some(Reason::Shed)
            } else if charter.is_active(group, self.today) {
                None
            } else {
                Some(Reason::ReviewOverdue)
            };
            charter.names(group).then_some(blocked)
        };
        findings.talk = group(Group::TalkBalance).map(|blocked| call.talk_balance(sides, self.label, blocked));
        findings.interruptions = group(Group::Interruptions).map(|blocked| call.interruptions(sides, self.label, blocked));
        findings.silence = group(Group::Silence).map(|blocked| call.silence(blocked));
        findings.keywords = group(Group::Keywords).map(|blocked| call.keywords(&terms.lists, self.label, blocked));
        findings.sentiment = group(Group::SentimentCustomer).map(|blocked| call.sentiment(sides[1], self.label, blocked));
        findings.resolution = group(Group::Resolution).map(|blocked| call.resolution(blocked));
        findings.sensitive = group(Group::Sensitive).map(|blocked| call.sensitive(blocked));
        Some(findings)
    }
}

/// Whether sound is not decoded at a level.
fn is_deaf(level: Level) -> bool {
    level >= Level::RtpStatistics
}

/// A part of a duration, 0..1.
fn share(micros: i64, duration_ms: i64) -> f64 {
    (micros as f64 / 1_000.0 / duration_ms.max(1) as f64).clamp(0.0, 1.0)
}

/// Who may hold analysis back. Each lets go for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brake {
    /// A party, by the charter's key.
    Key = 1,
    /// The recording session's preference.
    Recording = 2,
    /// The agent, on the box.
    Agent = 4,
}

impl Brake {
    const fn of(said: Said) -> Self {
        match said {
            Said::Recording => Self::Recording,
            Said::Key | Said::Header => Self::Key,
        }
    }
}

fn label(terms: &TermsInForce<'_>, origin: Origin, calling: &Party, called: &Party) -> (Label, Option<u16>) {
    match terms.site.parties(calling.identity(), called.identity()) {
        Parties::AgentCalling(team) => (Label::AgentCalling, Some(team)),
        Parties::AgentCalled(team) => (Label::AgentCalled, Some(team)),
        // By a recording's format, the left channel is the agent's.
        Parties::Unlabelled if origin == Origin::Recording => (Label::AgentCalling, None),
        Parties::Unlabelled => (Label::Unlabelled, None),
    }
}

#[cfg(test)]
mod tests;
