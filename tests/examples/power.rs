//! What runs inside of the machine whose power is cut (`tests/power.sh`): says what the spool holds from before, then keeps scores, and says of
//! each that it is kept, until the power is gone.
//!
//! `power SPOOL BOOT`, where BOOT is a number that no other boot has; lines on standard output: `found` with what there is, `waiting CALL` for each
//! score that waits, `begin`, and from then on `kept CALL` and `delivered CALL`.

#[path = "../kill/site.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod site;

use std::io::Write as _;
use std::path::PathBuf;

use sotto_report::CallId;
use sotto_spool::{Hearer, Spool, SpoolError};

use crate::site::Calls;

const NOW: i64 = 1_790_000_000_000;

fn main() -> Result<(), SpoolError> {
    let path = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "spool.db".to_owned()));
    let mut out = std::io::stdout().lock();
    let mut say = |line: String| drop(writeln!(out, "{line}").and_then(|()| out.flush()));
    // Each boot counts under an epoch of its own, as a box's does.
    let boot = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(0xa1);
    let mut spool = Spool::open_to_hear(&path, boot, Hearer { machine: i64::from(boot) + 1, quota_bytes: 64 << 20 })?;
    let waiting: Vec<CallId> = spool.pending(0, 1_000_000)?.iter().map(|entry| entry.score.call).collect();
    let backlog = spool.backlog(NOW)?;
    say(format!("found {} waiting, {} delivered, {} lost, {} seen", waiting.len(), backlog.acked, backlog.lost_scores, spool.coverage(NOW)?.total_seen()));
    waiting.iter().for_each(|call| say(format!("waiting {call}")));
    spool.interrupt_open_calls()?;
    spool.make_room()?;
    say("begin".to_owned());
    let calls = Calls::new();
    for turn in 1.. {
        let Some(call) = spool.begin(&Calls::opening(NOW))? else { continue };
        spool.close(&calls.closing(call, NOW), calls.names(), NOW)?;
        say(format!("kept {call}"));
        if turn % 8 == 0 {
            let pending = spool.pending(0, 6)?;
            spool.acked(&pending.iter().map(|entry| entry.row).collect::<Vec<_>>())?;
            pending.iter().for_each(|entry| say(format!("delivered {}", entry.score.call)));
        }
        if turn % 50 == 0 {
            spool.note_time(NOW, 0)?;
            spool.make_room()?;
        }
    }
    Ok(())
}
