//! The loop: a session that the broker keeps, batches that become durable together, and acknowledgements after that, never before.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Filter, Packet, Publish};
use rumqttc::v5::{AsyncClient, Event as Happening, EventLoop};
use sotto_report::Ack;
use sotto_uplink::{About, options, render_ack};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

use crate::message::{LONGEST, Refusal, read};
use crate::store::{Store, StoreError};
use crate::{Config, message};

/// So many scores may be on their way to us and not acknowledged. The client's channel holds an answer to each, and the boxes' acknowledgements.
const RECEIVE_MAXIMUM: u16 = 256;
const REQUESTS: usize = 4 * RECEIVE_MAXIMUM as usize;

/// So many are committed together, at most; nobody waits for more to come.
const BATCH: usize = RECEIVE_MAXIMUM as usize;

/// The broker keeps our session so long while we are away, seconds: the boxes keep what it holds for longer still.
const SESSION_S: u32 = 7 * 86_400;

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Connected and subscribed.
    Connected,
    /// Not connected, or not any more; it is tried again.
    Lost,
    /// The broker does not grant a subscription: see its access rules.
    Forbidden,
    /// Scores were kept.
    Kept {
        /// Those that were not there before.
        new: usize,
        /// Those that were.
        known: usize,
    },
    /// A message was not one of a box; it is dropped.
    Refused(Refusal),
    /// Scores were deleted because their time of keeping ended.
    Expired {
        /// How many.
        scores: usize,
    },
}

/// Why the collector ended though nobody asked it to.
#[derive(Debug)]
pub enum RunError {
    /// The database cannot be opened.
    Store(StoreError),
    /// It cannot be written: nothing more is acknowledged.
    Database(rusqlite::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(formatter),
            Self::Database(error) => write!(formatter, "the database: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<rusqlite::Error> for RunError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Collects until `stop` is ready. Needs a tokio runtime with time and IO. `clock` is the wall clock, milliseconds since 1970.
///
/// # Errors
/// The database fails. No trouble with the broker ends it.
pub async fn run(config: Config, clock: impl Fn() -> i64, mut events: impl FnMut(Event), stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let mut store = Store::open(&config.database).map_err(RunError::Store)?;
    let mut stop = pin!(stop);
    let mut minute = interval(EXPIRE_EVERY);
    loop {
        let mut session = Session::open(&config);
        loop {
            let came = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                _ = minute.tick() => {
                    let scores = store.expire(clock())?;
                    if scores > 0 {
                        events(Event::Expired { scores });
                    }
                    continue;
                }
                came = session.came.recv() => came,
            };
            match came {
                Some(Came::Subscribed(true)) => events(Event::Connected),
                Some(Came::Subscribed(false)) => events(Event::Forbidden),
                Some(Came::Message(first)) => {
                    let batch = session.with_all_that_came(first);
                    if !keep(&mut store, &session, &batch, &clock, &mut events)? {
                        break;
                    }
                }
                Some(Came::Lost) | None => break,
            }
        }
        events(Event::Lost);
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = sleep(RETRY) => {}
        }
    }
}

/// Makes a batch durable, then says so; `false` where the connection does not take that.
fn keep(store: &mut Store, session: &Session, batch: &[Publish], clock: &impl Fn() -> i64, events: &mut impl FnMut(Event)) -> Result<bool, RunError> {
    let mut messages = Vec::with_capacity(batch.len());
    for publish in batch {
        match std::str::from_utf8(&publish.topic).map_err(|_| Refusal::Topic).and_then(|topic| read(topic, &publish.payload)) {
            Ok(message) => messages.push(message),
            Err(refusal) => events(Event::Refused(refusal)),
        }
    }
    let is_of_scores = messages.iter().any(|message| matches!(message, message::Message::Score(_)));
    let kept = store.keep(&messages, clock())?;
    if is_of_scores {
        events(Event::Kept { new: kept.new, known: kept.known });
    }
    Ok(session.acknowledge(batch, &kept.acks))
}

/// What came on a connection.
enum Came {
    Subscribed(bool),
    Message(Publish),
    Lost,
}

/// One connection; it ends with the value.
struct Session {
    client: AsyncClient,
    came: mpsc::Receiver<Came>,
    pump: tokio::task::JoinHandle<()>,
}

impl Session {
    fn open(config: &Config) -> Self {
        let mut options = options(&config.broker, config.credentials.as_ref(), config.tls.as_ref(), config.client_id.clone());
        // What the broker kept for us while we were away comes first.
        options.set_clean_start(false);
        options.set_manual_acks(true);
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(SESSION_S);
        properties.receive_maximum = Some(RECEIVE_MAXIMUM);
        properties.max_packet_size = Some(2 * LONGEST as u32);
        options.set_connect_properties(properties);
        let (client, event_loop) = AsyncClient::new(options, REQUESTS);
        let (to_us, came) = mpsc::channel(REQUESTS);
        let pump = tokio::spawn(pump(event_loop, client.clone(), config.topics.clone(), to_us));
        Self { client, came, pump }
    }

    /// What came together with the first message.
    fn with_all_that_came(&mut self, first: Publish) -> Vec<Publish> {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match self.came.try_recv() {
                Ok(Came::Message(publish)) => batch.push(publish),
                // What else there is, the channel's end included, says nothing of these.
                Ok(Came::Subscribed(_)) => {}
                Ok(Came::Lost) | Err(_) => break,
            }
        }
        batch
    }

    /// To the boxes first: what the broker is told it will not send again.
    fn acknowledge(&self, batch: &[Publish], acks: &[(About, Ack)]) -> bool {
        let said = acks.iter().all(|(about, ack)| {
            let (topic, payload) = render_ack(ack, about);
            self.client.try_publish(topic, QoS::AtLeastOnce, true, payload).is_ok()
        });
        said && batch.iter().all(|publish| self.client.try_ack(publish).is_ok())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Turns the event loop until the connection ends, or nobody listens. On a task of its own: its future must not be dropped half-way.
async fn pump(mut event_loop: EventLoop, client: AsyncClient, topics: Vec<String>, to_us: mpsc::Sender<Came>) {
    loop {
        let came = match event_loop.poll().await {
            Ok(Happening::Incoming(Packet::ConnAck(_))) => {
                let filters = topics.iter().map(|topic| Filter::new(topic, QoS::AtLeastOnce));
                if client.try_subscribe_many(filters).is_ok() { continue } else { Came::Lost }
            }
            Ok(Happening::Incoming(Packet::SubAck(suback))) => {
                use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode;
                Came::Subscribed(suback.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))))
            }
            Ok(Happening::Incoming(Packet::Publish(publish))) => Came::Message(publish),
            Ok(_) => continue,
            Err(_) => Came::Lost,
        };
        let is_end = matches!(came, Came::Lost);
        if to_us.send(came).await.is_err() || is_end {
            return;
        }
    }
}
