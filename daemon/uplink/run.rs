//! The loop: one connection after another, until it is told to stop.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use sha2::{Digest, Sha256};
use sotto_charter::{Names, thresholds};
use sotto_report::Fingerprint;
use sotto_spool::{Spool, SpoolError};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::courier::Trust;
use crate::desk::{Desk, Heard};
use crate::event::{Event, Loss};
use crate::{About, Broker, Credentials, Tls};

/// How often the outbox is looked at while nothing else happens.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A connection that is not ready after this never will be: TCP, TLS, CONNACK, SUBACK.
const CONNECTED_WITHIN: Duration = Duration::from_secs(30);

/// At a clean stop the broker has so long to acknowledge that we are offline.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// What the uplink needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the broker is.
    pub broker: Broker,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
    /// For `mqtts://`.
    pub tls: Option<Tls>,
    /// Which box speaks.
    pub about: About,
    /// The site's names as of now.
    pub names: Names,
    /// Whose acknowledgement ends a row.
    pub trust: Trust,
    /// Fingerprint of the charter in force.
    pub charter: Fingerprint,
    /// The first day after which something of that charter stops, days since 1970.
    pub review_day: Option<i64>,
    /// What people are told.
    pub told: Told,
    /// The software's version.
    pub version: (u16, u16, u16),
    /// Spreads the reconnections of several boxes: draw it at random.
    pub seed: u64,
}

/// What people are told: the notice, and which scores were withdrawn.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The notice by language (`en`, `de`), Markdown. None is published where there is none.
    pub notice: Vec<(&'static str, String)>,
    /// Where the rights file lies; without one nothing is withdrawn.
    pub rights: Option<PathBuf>,
}

/// Why the uplink ended though nobody asked it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkError {
    /// The spool failed. Nothing was acknowledged that is not on the disk; what was in flight is sent again at the next start.
    Spool(SpoolError),
    /// `mqtts://` without certificate authorities.
    NoTls,
}

impl fmt::Display for UplinkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(error) => error.fmt(formatter),
            Self::NoTls => formatter.write_str("mqtts:// needs certificate authorities"),
        }
    }
}

impl std::error::Error for UplinkError {}

impl From<SpoolError> for UplinkError {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

/// Digest of the JSON Schema of `call/score`, as `birth` names it.
#[must_use]
pub fn schema_fingerprint() -> Fingerprint {
    let digest = Sha256::digest(sotto_report::schema::score(&thresholds::ALL).to_string());
    Fingerprint(digest.iter().take(8).fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))
}

/// Publishes what the spool holds until `stop` is ready. Needs a tokio runtime with time and IO.
///
/// `clock` is the wall clock in milliseconds since 1970; `events` is told what happens; `progress` is called at each turn of the loop, at
/// least every 200 ms unless the disk hangs.
///
/// # Errors
/// The spool fails, or the configuration contradicts itself. No trouble with the broker ends it.
pub async fn run(
    config: Config,
    spool: Spool,
    clock: impl Fn() -> i64,
    events: impl FnMut(Event),
    mut progress: impl FnMut(),
    stop: impl Future<Output = ()>,
) -> Result<(), UplinkError> {
    if config.broker.is_encrypted() && config.tls.is_none() {
        return Err(UplinkError::NoTls);
    }
    let mut desk = Desk::new(config, spool, clock, events)?;
    desk.spool.remember_names(&desk.config.names)?;
    desk.spool.reconsider()?;
    let mut stop = pin!(stop);
    loop {
        match session(&mut desk, &mut progress, stop.as_mut()).await? {
            End::Stopped { said_so } => {
                (desk.events)(Event::Stopped { said_so });
                return Ok(());
            }
            End::Lost(loss) => {
                let retry_ms = desk.part(loss)?;
                let mut wait = pin!(sleep(Duration::from_millis(retry_ms)));
                let mut tick = interval(LOOK_EVERY);
                loop {
                    tokio::select! {
                        () = &mut stop => {
                            (desk.events)(Event::Stopped { said_so: false });
                            return Ok(());
                        }
                        () = &mut wait => break,
                        _ = tick.tick() => {}
                    }
                    desk.expire()?;
                    progress();
                }
            }
        }
    }
}

/// How a session ended.
enum End {
    Stopped { said_so: bool },
    Lost(Loss),
}

/// One connection, from its beginning to its end.
async fn session<Clock: Fn() -> i64, Events: FnMut(Event)>(
    desk: &mut Desk<Clock, Events>,
    progress: &mut impl FnMut(),
    mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
) -> Result<End, UplinkError> {
    let mut link = desk.open()?;
    let opened = Instant::now();
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut leave_by: Option<Instant> = None;
    loop {
        let mut signal = tokio::select! {
            biased;
            () = &mut stop, if leave_by.is_none() => {
                leave_by = Some(Instant::now() + FAREWELL_WITHIN);
                desk.courier.leave();
                None
            }
            signal = link.next() => Some(signal),
            _ = tick.tick() => None,
        };
        let mut end = None;
        // All that has come already, so that its acknowledgements share one commit.
        while let Some(happened) = signal {
            match desk.notice(happened) {
                Heard::More => signal = link.try_next(),
                Heard::Farewell => {
                    end = Some(End::Stopped { said_so: true });
                    break;
                }
                Heard::Lost(loss) => {
                    end = Some(End::Lost(loss));
                    break;
                }
            }
        }
        desk.settle()?;
        progress();
        match end {
            Some(End::Lost(_)) if leave_by.is_some() => return Ok(End::Stopped { said_so: false }),
            Some(End::Stopped { said_so }) => {
                link.disconnect(FAREWELL_WITHIN).await;
                return Ok(End::Stopped { said_so });
            }
            Some(end) => return Ok(end),
            None => {}
        }
        if leave_by.is_some_and(|leave_by| Instant::now() >= leave_by || !desk.is_connected()) {
            return Ok(End::Stopped { said_so: false });
        }
        if desk.courier.is_stalled(desk.monotonic_ms()) {
            return Ok(End::Lost(Loss::Stalled));
        }
        if !desk.is_connected() && opened.elapsed() > CONNECTED_WITHIN {
            return Ok(End::Lost(Loss::Timeout));
        }
        desk.housekeeping()?;
        while let Some(letter) = desk.next_letter()? {
            if !link.send(letter) {
                desk.courier.withdraw();
                break;
            }
        }
    }
}
