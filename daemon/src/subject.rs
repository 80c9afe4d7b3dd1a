//! `sotto subject` and `sotto pause`: what an agent may ask of the box. The name is hashed at once and kept nowhere.

use serde_json::json;
use sotto_redact::Pseudonyms;
use sotto_spool::{Act, Doing, Known, People, Rights, Spool, Wish};

use crate::End;
use crate::audit::hexadecimal;
use crate::config::Places;
use crate::load::{self, Loaded, entropy};
use crate::pipeline::wall_millis;

const DAY_MS: i64 = 86_400_000;

/// Flags of `sotto subject`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// All that the box knows of an agent.
    Export {
        #[command(flatten)]
        who: Who,
    },
    /// Forgets an agent, or one call (for a customer): the scores are withdrawn everywhere, the rows are gone.
    Erase {
        #[command(flatten)]
        who: Who,
    },
    /// The agent has read the notice of the charter in force and confirms it.
    Acknowledge {
        #[command(flatten)]
        who: Who,
    },
    /// The agent objects: none of the agent's calls is measured from now on.
    Object {
        #[command(flatten)]
        who: Who,
        /// Takes the objection back.
        #[arg(long)]
        withdraw: bool,
    },
}

/// Whom it is about.
#[derive(clap::Args)]
struct Who {
    /// The agent's identity as signalling names it: sip:1042@pbx.example.
    #[arg(value_name = "AGENT", required_unless_present = "call")]
    agent: Option<String>,
    /// Instead of an agent: one call's id, as the score names it.
    #[arg(long, value_name = "ID", conflicts_with = "agent")]
    call: Option<sotto_report::CallId>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Flags of `sotto pause`.
#[derive(clap::Args)]
pub(crate) struct Pause {
    /// The agent's identity as signalling names it: sip:1042@pbx.example.
    #[arg(value_name = "AGENT")]
    agent: String,
    /// Goes on.
    #[arg(long)]
    resume: bool,
}

/// `sotto subject`.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let mut desk = Desk::open(places)?;
    match &arguments.command {
        Command::Export { who } => desk.export(who),
        Command::Erase { who } => desk.erase(places, who),
        Command::Acknowledge { who } => {
            let charter = desk.loaded.charter.fingerprint();
            desk.keep(who.agent()?, Wish::Acknowledge(charter), Act::Acknowledged { charter })
        }
        Command::Object { who, withdraw } => desk.keep(who.agent()?, Wish::Object(!withdraw), if *withdraw { Act::ObjectionWithdrawn } else { Act::Objected }),
    }
}

/// `sotto pause`.
pub(crate) fn run_pause(places: &Places, arguments: &Pause) -> Result<(), End> {
    let act = if arguments.resume { Act::Resumed } else { Act::Paused };
    Desk::open(places)?.keep(&arguments.agent, Wish::Pause(!arguments.resume), act)
}

impl Who {
    fn agent(&self) -> Result<&str, End> {
        self.agent.as_deref().ok_or_else(|| End::no("name the agent: a call cannot do that"))
    }
}

/// What lies on the box of people, and their rights.
struct Desk {
    loaded: Loaded,
    people: People,
    marks: Pseudonyms,
    rights: Rights,
}

impl Desk {
    fn open(places: &Places) -> Result<Self, End> {
        let loaded = Loaded::new(places)?;
        let people = load::people(places)?;
        let marks = Pseudonyms::new(people.key());
        Ok(Self { loaded, people, marks, rights: Rights::open(&Rights::beside(&places.spool)).map_err(End::no)? })
    }

    fn keep(&mut self, agent: &str, wish: Wish, act: Act) -> Result<(), End> {
        let now_ms = wall_millis();
        let subject = self.people.wish(self.marks.mark(agent), wish, load::random()?, now_ms).map_err(End::no)?;
        self.rights.record(&[Doing { act, subject: Some(subject), call: None }], now_ms).map_err(End::no)?;
        println!("kept: {}", act.name());
        Ok(())
    }

    fn export(&mut self, who: &Who) -> Result<(), End> {
        let agent = who.agent()?;
        let known = self.people.known(self.marks.mark(agent)).map_err(End::no)?;
        let doing = Doing { act: Act::Exported, subject: known.as_ref().map(|known| known.subject), call: None };
        self.rights.record(&[doing], wall_millis()).map_err(End::no)?;
        let Some(known) = known else {
            println!("{}", if who.json { json!({"known": false}).to_string() } else { "nothing is known of this agent".to_owned() });
            return Ok(());
        };
        if who.json { println!("{}", json(&known)) } else { print(&known) }
        Ok(())
    }

    /// Tombstones first: if what follows fails, nothing is left that could still be published.
    fn erase(&mut self, places: &Places, who: &Who) -> Result<(), End> {
        let now_ms = wall_millis();
        let (calls, mark, subject) = match (who.call, &who.agent) {
            (Some(call), _) => (vec![call], None, None),
            (None, Some(agent)) => {
                let mark = self.marks.mark(agent);
                let known = self.people.known(mark).map_err(End::no)?;
                let subject = known.as_ref().map(|known| known.subject).filter(|subject| *subject != [0; 16]);
                (known.map_or_else(Vec::new, |known| known.calls.iter().map(|call| call.call).collect()), Some(mark), subject)
            }
            (None, None) => return Err(End::no("name the agent, or the call")),
        };
        let mut spool = Spool::open(&places.spool, entropy()?).map_err(End::no)?;
        for call in &calls {
            if !spool.knows(*call).map_err(End::no)? {
                return Err(End::No(format!("{call}: this box never saw such a call")));
            }
        }
        let expires_ms = now_ms + i64::from(self.loaded.charter.retention.scores_days) * DAY_MS;
        self.rights.withdraw(&calls, subject, expires_ms, now_ms).map_err(End::no)?;
        for call in &calls {
            spool.forget(*call).map_err(End::no)?;
        }
        match mark {
            Some(mark) => self.people.erase(mark).map_err(End::no)?,
            None => self.people.erase_call(calls[0]).map_err(End::no)?,
        }
        self.rights.record(&[Doing { act: Act::Erased { calls: calls.len() as u64 }, subject, call: who.call }], now_ms).map_err(End::no)?;
        if who.json {
            println!("{}", json!({"erased": true, "calls_withdrawn": calls.len()}));
        } else {
            println!("erased; {} scores are withdrawn everywhere", calls.len());
        }
        Ok(())
    }
}

fn json(known: &Known) -> serde_json::Value {
    let calls: Vec<_> = known.calls.iter().map(|call| json!({"call": call.call.to_string(), "ended_ms": call.ended_ms, "expires_ms": call.expires_ms})).collect();
    json!({
        "known": true,
        "reference": hexadecimal(&known.subject),
        "since_ms": known.made_ms,
        "acknowledged_charter": format!("{:016x}", known.acknowledged),
        "acknowledged_ms": known.acknowledged_ms,
        "has_objected": known.has_objected,
        "is_paused": known.is_paused,
        "calls": calls,
    })
}

fn print(known: &Known) {
    println!("reference in the record   {}", hexadecimal(&known.subject));
    println!("acknowledged the charter  {}", if known.acknowledged_ms == 0 { "never".to_owned() } else { format!("{:016x}, at {} ms", known.acknowledged, known.acknowledged_ms) });
    println!("objected                  {}", known.has_objected);
    println!("paused                    {}", known.is_paused);
    println!("measured calls            {}", known.calls.len());
    for call in &known.calls {
        println!("  {}  ended {} ms, its score goes at {} ms", call.call, call.ended_ms, call.expires_ms);
    }
    println!("The numbers themselves are at the broker and its dashboards, under these ids; no name is kept here.");
}
