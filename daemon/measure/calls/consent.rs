//! What is heard of a call becomes news for its consent, and what is decided becomes hearing or none.

use super::*;
use sotto_charter::{AgentStanding, Between};

/// A lot for a call, by the run's own seed (splitmix64).
pub(super) const fn lot(seed: u64, call: Call) -> u64 {
    let mixed = seed.wrapping_add(call.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The evidence of a no.
pub(super) const fn no(said: Said) -> Why {
    match said {
        Said::Key => Why::ObjectionByKey,
        Said::Header | Said::Recording => Why::NoByHeader,
    }
}

impl Measure {
    /// What is known of the agents, from now on; `at` is now. Calls that run are weighed anew: who pauses or objects is heard at once.
    pub fn register(&mut self, register: Arc<Register>, at: Wall) {
        self.register = register;
        let running: Vec<Call> = self.calls.iter().filter(|(_, state)| state.ended.is_none()).map(|(call, _)| *call).collect();
        for call in running {
            self.decide(call, at, |state, terms| state.weigh(at, terms));
        }
    }
}

impl State {
    pub(super) fn answer(&mut self, at: Wall, called: Option<Party>, terms: &TermsInForce<'_>) -> Option<Decision> {
        if self.answered.is_some() {
            return None;
        }
        self.answered = Some(at);
        self.line = terms.site.line(self.called.identity());
        if let Some(called) = called {
            self.called = called;
        }
        (self.label, self.team) = label(terms, self.origin, &self.calling, &self.called);
        self.weigh(at, terms)
    }

    /// The parties came to be known late, or one of them changed. A call that is labelled stays so: its numbers are of those who began
    /// it. Consent must cover whoever speaks; where it does not, what was heard is dropped.
    pub(super) fn identify(&mut self, at: Wall, calling: Party, called: Party, terms: &TermsInForce<'_>) -> Option<Decision> {
        self.dialled = called.user.clone();
        (self.calling, self.called) = (calling, called);
        self.answered?;
        if self.label == Label::Unlabelled {
            self.line = self.line.or_else(|| terms.site.line(self.called.identity()));
            (self.label, self.team) = label(terms, self.origin, &self.calling, &self.called);
            if let Some(hearing) = &mut self.hearing {
                hearing.label = self.label;
            }
        }
        self.weigh(at, terms)
    }

    /// A yes counts where it is the customer's.
    pub(super) fn agree(&mut self, at: Wall, side: Option<Side>, said: Said, terms: &TermsInForce<'_>) -> Option<Decision> {
        let is_customer = side.is_none_or(|side| self.label != Label::Unlabelled && side == sides(self.label)[1]);
        let why = if said == Said::Key { Why::YesByKey } else { Why::YesByHeader };
        is_customer.then(|| self.hear(at, News::Yes(why), terms)).flatten()
    }

    /// Weighs who speaks with whom, and how the agent stands.
    pub(super) fn weigh(&mut self, at: Wall, terms: &TermsInForce<'_>) -> Option<Decision> {
        self.answered?;
        if self.standing(terms).is_paused {
            self.pause(at, Brake::Agent);
        } else {
            self.go_on(at, Brake::Agent);
        }
        let (calling, called, dialled) = (self.calling.clone(), self.called.clone(), self.dialled.clone());
        let between = self.between(&calling, &called, dialled.expose(), terms);
        self.hear(at, News::Parties(between), terms)
    }

    /// Takes in news; what is decided comes into force at once.
    pub(super) fn hear(&mut self, at: Wall, news: News<'_>, terms: &TermsInForce<'_>) -> Option<Decision> {
        let (calling, called, dialled) = (self.calling.clone(), self.called.clone(), self.dialled.clone());
        let between = self.answered.map(|_| self.between(&calling, &called, dialled.expose(), terms));
        let decision = self.consenting.hear(terms.charter, news, between.as_ref());
        match (self.consenting.is_given(), self.answered) {
            (true, Some(answered)) if self.hearing.is_none() => self.listen(at, answered, terms),
            (true, _) => {}
            // What was heard so far is dropped, and nothing more is decoded. Signalling metrics stay.
            (false, _) => self.hearing = None,
        }
        decision
    }

    fn listen(&mut self, at: Wall, answered: Wall, terms: &TermsInForce<'_>) {
        // What was said before is not heard, and never will be.
        self.paused_micros = at.since(answered).max(0);
        self.paused_since = self.paused_since.map(|_| at);
        let active = |group: Group| terms.charter.is_active(group, self.today);
        let wants_words = Group::ALL.into_iter().any(|group| group.needs_words() && active(group))
            || (active(Group::TalkBalance) && terms.charter.has_detail(Group::TalkBalance));
        self.hearing = Some(Hearing {
            answered,
            label: self.label,
            wants_sound: Group::ALL.into_iter().any(active),
            wants_words: wants_words && terms.can_blank,
            legs: [None, None],
            unsupported: [0; 2],
            speech: [(); 2].map(|()| if terms.can_blank { Speech::default() } else { Speech::unverified() }),
            categories: [false; CATEGORIES],
            matter: crate::resolution::Matter::default(),
        });
    }

    fn between<'a>(&self, calling: &'a Party, called: &'a Party, dialled: &'a str, terms: &TermsInForce<'a>) -> Between<'a> {
        Between {
            numbers: [calling.user.expose(), dialled],
            identities: [calling.identity(), called.identity()],
            agent: (self.label != Label::Unlabelled).then(|| sides(self.label)[0].index()),
            line: self.line.and_then(|line| terms.site.lines().get(usize::from(line))).map(String::as_str),
            standing: self.standing(terms),
        }
    }

    /// Other terms come into force, which nobody has acknowledged yet: for this call the yes to its own counts on.
    pub(super) fn remember_acknowledgement(&mut self, register: &Register) {
        let own = Arc::clone(&self.terms);
        self.had_acknowledged = self.standing(&TermsInForce { charter: &own.charter, site: &own.site, register, can_blank: true }).has_acknowledged;
    }

    fn standing(&self, terms: &TermsInForce<'_>) -> AgentStanding {
        let now = self.standing_now(terms);
        AgentStanding { has_acknowledged: now.has_acknowledged || self.had_acknowledged, ..now }
    }

    fn standing_now(&self, terms: &TermsInForce<'_>) -> AgentStanding {
        match self.label {
            Label::AgentCalling => terms.register.standing(self.calling.identity()),
            Label::AgentCalled => terms.register.standing(self.called.identity()),
            // Either may be the agent: what one of them wants narrows; nobody's yes counts.
            Label::Unlabelled => {
                let both = [&self.calling, &self.called].map(|party| terms.register.standing(party.identity()));
                AgentStanding { has_acknowledged: false, has_objected: both.iter().any(|agent| agent.has_objected), is_paused: both.iter().any(|agent| agent.is_paused) }
            }
        }
    }

    /// The party that is the agent.
    pub(super) const fn agent(&self) -> Option<&Party> {
        match self.label {
            Label::AgentCalling => Some(&self.calling),
            Label::AgentCalled => Some(&self.called),
            Label::Unlabelled => None,
        }
    }

    /// Where the call stands.
    pub(super) fn consent(&self) -> Consent {
        match self.consenting.decision().standing {
            Standing::Given => Consent::Given,
            Standing::Unknown => Consent::Unknown,
            Standing::Refused => Consent::Refused,
            Standing::Excluded => Consent::Excluded,
            Standing::NotSampled => Consent::NotSampled,
        }
    }

    /// Until all who hold back let go, packets are dropped before decoding.
    pub(super) fn pause(&mut self, at: Wall, brake: Brake) {
        self.brakes |= brake as u8;
        self.paused_since.get_or_insert(at);
    }

    pub(super) fn go_on(&mut self, at: Wall, brake: Brake) {
        self.brakes &= !(brake as u8);
        if self.brakes == 0 {
            self.end_pauses(at);
        }
    }

    pub(super) fn end_pauses(&mut self, at: Wall) {
        if let Some(since) = self.paused_since.take() {
            let since = since.max(self.answered.unwrap_or(at));
            self.paused_micros += at.since(since).max(0);
        }
    }
}
