//! The commands: what `sotto` understands, and who does it. The manual pages and completions are made of this.

use crate::config::Places;
use crate::end::End;
use crate::{acl, audit, bench, categories, charter, check, contest, doctor, egress, manual, models, notice, replay, setup, siprec, status, subject, tap, top, uplink};

/// Hears a contact centre's calls on the spot and says only scores, over MQTT. No sound and no word leaves.
#[derive(clap::Parser)]
#[command(name = "sotto", version, after_help = "Exit status: 0 fine; 1 the answer is no, or the input was damaged; 2 usage; 78 bad configuration.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Hear: from the mirror interface into the spool. Runs until it is told to stop.
    Tap,
    /// Hear as the recording server of an SBC or PBX (SIPREC): it sends the calls here. Runs until it is told to stop.
    Siprec,
    /// Speak: from the spool to the broker. Runs until it is told to stop.
    Uplink,
    /// Run recordings through the same pipeline and print what would be published.
    Replay(replay::Arguments),
    /// Check the configuration, the charter and the models; say what will be measured of whom, and why.
    Check(check::Arguments),
    /// Try the charter's lists on a text.
    #[command(subcommand)]
    Categories(categories::Arguments),
    /// What is measured of whom, why, who sees it and what people can do: from the charter in force.
    Notice(notice::Arguments),
    /// The data protection impact assessment and instructions for use, filled from the same facts.
    Dpia(notice::Form),
    /// Contest a score: it is withdrawn everywhere, and a person looks at it.
    Contest(contest::Arguments),
    /// What an agent may ask of the box: export, erase, acknowledge, object.
    Subject(subject::Arguments),
    /// An agent pauses, or goes on: nothing of the agent's calls is decoded meanwhile.
    Pause(subject::Pause),
    /// The record of what the box did: whether it holds, and what stands in it.
    Audit(audit::Arguments),
    /// What left this box, and what could.
    Egress(egress::Arguments),
    /// The broker's rules, from the charter's audiences.
    Acl(acl::Arguments),
    /// What another charter would change, for whom.
    Charter(charter::Arguments),
    /// Model packs: which are here, whether they are whole, and how another one comes in.
    #[command(subcommand)]
    Models(models::Arguments),
    /// How many calls at once this box can carry.
    Bench(bench::Arguments),
    /// One screen of truth: calls by outcome, what waits, how old the numbers are.
    Status(status::Arguments),
    /// The live view: calls, load, what is left out, what waits. From the spool alone; the group sotto may look.
    Top(top::Arguments),
    /// A first configuration, by questions with found answers or from flags; then `sotto doctor`.
    Setup(setup::Arguments),
    /// Try what must work and what must not, and say what to do next.
    Doctor(doctor::Arguments),
    /// Try, from where a service runs, what it must not be able to do: `sotto doctor` starts it there.
    #[command(hide = true)]
    Attempt(doctor::forbidden::Arguments),
    /// Write the manual pages and completions, for the package.
    #[command(hide = true)]
    Manual(manual::Arguments),
}

impl Arguments {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<(), End> {
        let Self { places, command } = self;
        match command {
            Command::Tap => tap::run(&places),
            Command::Siprec => siprec::run(&places),
            Command::Uplink => uplink::run(&places),
            Command::Replay(arguments) => replay::run(&places, &arguments),
            Command::Categories(arguments) => categories::run(&places, &arguments),
            Command::Check(arguments) => check::run(&places, &arguments),
            Command::Notice(arguments) => notice::run(&places, &arguments),
            Command::Dpia(form) => notice::run_dpia(&places, &form),
            Command::Contest(arguments) => contest::run(&places, &arguments),
            Command::Subject(arguments) => subject::run(&places, &arguments),
            Command::Pause(arguments) => subject::run_pause(&places, &arguments),
            Command::Audit(arguments) => audit::run(&places, &arguments),
            Command::Egress(arguments) => egress::run(&places, &arguments),
            Command::Acl(arguments) => acl::run(&places, &arguments),
            Command::Charter(arguments) => charter::run(&arguments),
            Command::Models(arguments) => models::run(&places, &arguments),
            Command::Bench(arguments) => bench::run(&places, &arguments),
            Command::Status(arguments) => status::run(&places, &arguments),
            Command::Top(arguments) => top::run(&places, &arguments),
            Command::Setup(arguments) => setup::run(&places, &arguments),
            Command::Doctor(arguments) => doctor::run(&places, &arguments),
            Command::Attempt(arguments) => doctor::forbidden::run(&arguments),
            Command::Manual(arguments) => manual::run(<Self as clap::CommandFactory>::command(), &arguments),
        }
    }
}
