//! `sotto contest`: a score is contested and goes everywhere at once; a person looks at it and decides.

use serde_json::json;
use sotto_charter::Group;
use sotto_report::CallId;
use sotto_spool::{Act, ContestError, ContestReason, Doing, Resolution, Rights, Spool};

use crate::End;
use crate::config::Places;
use crate::load::{Loaded, entropy};
use crate::pipeline::wall_millis;

const DAY_MS: i64 = 86_400_000;

/// Flags of `sotto contest`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The call's id, as the score names it; without one, the contests are listed.
    #[arg(value_name = "CALL")]
    call: Option<CallId>,
    /// Why: wrong, outage, training, hard_case, other.
    #[arg(long, value_parser = reason, default_value = "wrong")]
    reason: ContestReason,
    /// The metric that is contested; without it, the whole score.
    #[arg(long)]
    metric: Option<String>,
    /// Decides a contest instead: upheld (the score was right), corrected, deleted.
    #[arg(long, value_parser = resolution, conflicts_with_all = ["reason", "metric"])]
    resolve: Option<Resolution>,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs it: exit 1 where it is refused, with the reason.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let loaded = Loaded::new(places)?;
    let mut rights = Rights::open(&Rights::beside(&places.spool)).map_err(End::no)?;
    let Some(call) = arguments.call else { return list(&rights, arguments.json) };
    let now_ms = wall_millis();
    let answer = if let Some(how) = arguments.resolve {
        rights.resolve(call, how, now_ms).map_err(End::no)?
    } else {
        if let Some(metric) = &arguments.metric
            && !loaded.charter.kpis.iter().any(|group| group.name() == metric)
        {
            let names: Vec<&str> = loaded.charter.kpis.iter().copied().map(Group::name).collect();
            return Err(End::No(format!("no such metric in the charter; there are: {}", names.join(", "))));
        }
        let mut spool = Spool::open(&places.spool, entropy()?).map_err(End::no)?;
        if spool.knows(call).map_err(End::no)? {
            let retention = loaded.charter.retention;
            let expires_ms = now_ms + i64::from(retention.scores_days.max(retention.contests_days)) * DAY_MS;
            let contested = rights.contest(call, arguments.metric.as_deref().unwrap_or(""), arguments.reason, expires_ms, now_ms).map_err(End::no)?;
            // What waits to be sent is not sent any more.
            spool.forget(call).map_err(End::no)?;
            contested
        } else {
            let doing = Doing { act: Act::ContestRefused(ContestError::UnknownCall), subject: None, call: Some(call) };
            rights.record(&[doing], now_ms).map_err(End::no)?;
            Err(ContestError::UnknownCall)
        }
    };
    if arguments.json {
        println!("{}", json!({"call": call.to_string(), "done": answer.is_ok(), "refused": answer.err().map(ContestError::name)}));
    }
    match (answer, arguments.resolve) {
        (Err(why), _) => Err(End::No(why.to_string())),
        (Ok(()), Some(how)) if !arguments.json => {
            println!("{call}: {}", how.name());
            Ok(())
        }
        (Ok(()), None) if !arguments.json => {
            let reviewer = loaded.charter.controller.as_ref().and_then(|controller| controller.reviewer.as_deref()).unwrap_or("a person");
            println!("{call}: the score is withdrawn everywhere; {reviewer} looks at it");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn list(rights: &Rights, json: bool) -> Result<(), End> {
    for contest in rights.contests().map_err(End::no)? {
        let metric = if contest.metric.is_empty() { "all" } else { &contest.metric };
        if json {
            println!("{}", json!({"call": contest.call, "ts_ms": contest.at_ms, "metric": metric, "reason": contest.reason, "outcome": contest.outcome}));
        } else {
            println!("{}  {}  {:<20} {:<10} {}", contest.call, contest.at_ms, metric, contest.reason, contest.outcome);
        }
    }
    Ok(())
}

fn reason(text: &str) -> Result<ContestReason, String> {
    ContestReason::from_name(text).ok_or_else(|| format!("must be one of: {}", ContestReason::ALL.map(ContestReason::name).join(", ")))
}

fn resolution(text: &str) -> Result<Resolution, String> {
    Resolution::from_name(text).ok_or_else(|| format!("must be one of: {}", Resolution::ALL.map(Resolution::name).join(", ")))
}
