//! A site whose calls are over as soon as they begin: what a tap would write into the spool, and what an uplink needs to send it.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use sotto_charter::{Charter, Names, Site as Rules};
use sotto_private::{Consent, EndCause, Estimate, Findings, Label, LegTalk, Level, Origin, StreamFacts, TalkBalance, Wall};
use sotto_redact::{Sealed, Terms, gate, opening};
use sotto_report::messages::Coverage;
use sotto_report::{CallId, Closing, Fingerprint, Opening, Outcome};
use sotto_spool::{Backlog, Spool, View};
use sotto_tests::Error;
use sotto_uplink::courier::Trust;
use sotto_uplink::{About, Broker, Config};
use tempfile::TempDir;

const CHARTER: &str = r#"version = "1"
profile = "eu"
kpis = ["talk_balance"]
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "agreement"
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[agreement]
name = "Agreement 7"
parties = ["Harbor Telecom", "Works council"]
signed = "2026-10-01"
[retention]
scores_days = 7
[[purpose]]
metric = "talk_balance"
why = "See whether customers come to speak"
basis = "legitimate interest"
review_by = "2199-01-01"
"#;

/// The site and its spool, with the tap's connection to it.
pub(crate) struct Site {
    folder: TempDir,
    spool: Spool,
    calls: Calls,
}

/// What a site agreed to, and the calls that it has.
pub(crate) struct Calls {
    charter: Charter,
    rules: Rules,
}

impl Calls {
    pub(crate) fn new() -> Self {
        let charter = Charter::parse(CHARTER).unwrap();
        let rules = Rules::new(&[("sip:1???@*".into(), "billing".into())], &[]).unwrap();
        Self { charter, rules }
    }

    /// Of a call that began at `now_ms`.
    pub(crate) fn opening(now_ms: i64) -> Sealed<Opening> {
        opening(Wall::from_micros(now_ms * 1_000))
    }

    /// Of a call that lasted for a minute, and ended at `now_ms`.
    pub(crate) fn closing(&self, call: CallId, now_ms: i64) -> Sealed<Closing> {
        let ended = Wall::from_micros(now_ms * 1_000);
        let began = Wall::from_micros((now_ms - 60_000) * 1_000);
        gate(&findings(began, ended), call, Terms { charter: &self.charter, models: None, continues: None, now: ended, made: ended })
    }

    /// The fingerprint of the site's names.
    pub(crate) fn names(&self) -> i64 {
        Names::of(&self.rules).fingerprint()
    }
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with_entropy(0x5077_0001)
    }

    /// Of another box.
    pub(crate) fn with_entropy(entropy: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(&folder.path().join("spool.db"), entropy).unwrap();
        Self { folder, spool, calls: Calls::new() }
    }

    pub(crate) fn spool_path(&self) -> PathBuf {
        self.folder.path().join("spool.db")
    }

    /// Scores of calls that just ended, as the pipeline would keep them.
    pub(crate) fn score(&mut self, calls: usize) -> Vec<CallId> {
        (0..calls).map(|_| self.score_one()).collect()
    }

    /// The same, many in one commit.
    pub(crate) fn score_together(&mut self, calls: usize) -> Vec<CallId> {
        let now_ms = now_ms();
        let names = self.calls.names();
        let mut batch = self.spool.batch().unwrap();
        let scored = (0..calls).map(|_| {
            let call = batch.begin(&Calls::opening(now_ms - 60_000)).unwrap().expect("there is room");
            batch.close(&self.calls.closing(call, now_ms), names, now_ms).unwrap();
            call
        });
        let scored = scored.collect();
        batch.commit().unwrap();
        scored
    }

    fn score_one(&mut self) -> CallId {
        let now_ms = now_ms();
        let call = self.spool.begin(&Calls::opening(now_ms - 60_000)).unwrap().expect("there is room");
        self.spool.close(&self.calls.closing(call, now_ms), self.calls.names(), now_ms).unwrap();
        call
    }

    pub(crate) fn backlog(&self) -> Backlog {
        View::open(&self.spool_path()).unwrap().backlog(now_ms()).unwrap()
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.spool.coverage(now_ms()).unwrap()
    }

    /// The ledger: every call scored, none anywhere else.
    pub(crate) fn assert_adds_up(&self, calls: usize) {
        let coverage = self.coverage();
        assert_eq!(coverage.total_counts[Outcome::Scored.index()], calls as u64);
        assert_eq!(coverage.total_seen(), calls as u64);
        assert_eq!(coverage.expired_unacked, 0);
    }

    /// What an uplink of this process is told.
    pub(crate) fn config(&self, broker: &str) -> Config {
        Config {
            broker: Broker::parse(broker, false).unwrap(),
            credentials: None,
            tls: None,
            about: About::new("harbor", "rec-1").unwrap(),
            names: Names::of(&self.calls.rules),
            trust: Trust::Broker,
            charter: Fingerprint(self.calls.charter.fingerprint()),
            review_day: self.calls.charter.review_day(),
            told: Default::default(),
            version: (0, 1, 0),
            seed: 1,
        }
    }

    /// The same as files, for an uplink that is a process: sotto.toml and charter.toml.
    pub(crate) fn write_files(&self, broker: &str) -> Result<[PathBuf; 2], Error> {
        self.write_files_with(broker, "")
    }

    /// The same, with more lines of `[uplink]`.
    pub(crate) fn write_files_with(&self, broker: &str, more: &str) -> Result<[PathBuf; 2], Error> {
        let config = format!(
            "[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"mirror\"\ninterface = \"lo\"\n\
             [[agents]]\nmatch = \"sip:1???@*\"\nteam = \"billing\"\n[models]\npack = \"en\"\n[uplink]\nbroker = \"{broker}\"\n{more}"
        );
        let paths = ["sotto.toml", "charter.toml"].map(|name| self.folder.path().join(name));
        for (path, text) in paths.iter().zip([config.as_str(), CHARTER]) {
            std::fs::write(path, text).map_err(|source| Error::file(path, &source))?;
        }
        Ok(paths)
    }
}

/// Wall clock, milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn findings(began: Wall, ended: Wall) -> Findings {
    let talk = LegTalk { talk_time_ms: Ok(Estimate { value: 30_049.0, plus_minus: 301.0 }), talk_speed_wpm: Ok(Estimate { value: 151.0, plus_minus: 9.0 }) };
    Findings {
        call: sotto_private::Call(1),
        offered: began,
        ringing: None,
        answered: Some(began),
        ended,
        cause: EndCause::HungUp,
        hold_micros: 0,
        hold_count: 0,
        origin: Origin::Invite,
        continues: None,
        label: Label::AgentCalled,
        consent: Consent::Given,
        team: Some(0),
        line: None,
        codec: None,
        streams: [None::<StreamFacts>, None],
        quality: [Ok(4.41), Ok(4.38)],
        scored_fraction: 1.0,
        unpaused: 1.0,
        agent: None,
        level: Level::All,
        talk: Some(TalkBalance { legs: [talk.clone(), talk], longest_monologue_agent_ms: Ok(Estimate { value: 9_000.0, plus_minus: 300.0 }), confidence: 0.9 }),
        interruptions: None,
        silence: None,
        keywords: None,
        sentiment: None,
        resolution: None,
        sensitive: None,
    }
}
