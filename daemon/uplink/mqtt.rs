//! MQTT 5 by rumqttc 0.25.1, kept on a short lead: it loses messages over a reconnection, so each connection has a client and an event loop
//! of its own, with a channel of one, and both are thrown away at the connection's end. What is not acknowledged by then is sent again from
//! the table.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, ConnectReturnCode, DisconnectReasonCode, Filter, LastWill, LastWillProperties, Packet, PubAckReason, Publish, PublishProperties,
    SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event as Happening, EventLoop, MqttOptions, StateError};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use sotto_report::{Ack, Fingerprint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::courier::WINDOW;
use crate::event::{Answer, Loss};
use crate::render::{parse_ack, parse_birth};
use crate::run::Config;
use crate::{About, Broker, Credentials, Message, Tls};

/// We subscribe to nothing but our own last birth and a collector's few words: a broker has little to tell us.
const LARGEST_INCOMING: u32 = 16 << 10;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A broker may ask for more frequent pings, but not for a flood of them.
const LEAST_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// So long does the broker wait before it says that we are gone, seconds.
const WILL_DELAY_S: u32 = 10;

/// TCP, TLS and CONNACK together, seconds.
const CONNECT_WITHIN_S: u64 = 10;

/// Signals that wait to be read. The reader never waits for the sender, so that this only smooths.
const SIGNALS: usize = 64;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) is_retained: bool,
    /// How long a broker may keep it, seconds.
    pub(crate) expires_s: Option<u32>,
}

/// What the broker can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) receive_maximum: u16,
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) keeps_retained: bool,
}

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Connected(Limits),
    /// The broker lets us in; it was asked for a subscription.
    Asking,
    /// The birth that the broker kept under our name: which spool, and which of its connections.
    Born(Fingerprint, u64),
    /// A letter was given this packet id and written to the socket.
    Sent(u16),
    Answered(u16, Answer),
    /// A collector has some.
    Collected(Box<Ack>),
    /// The end; nothing follows.
    Lost(Loss),
}

/// One connection. It ends with the value.
pub(crate) struct Link {
    client: AsyncClient,
    signals: mpsc::Receiver<Signal>,
    pump: JoinHandle<()>,
}

impl Link {
    /// Begins to connect. The will is what the broker says of us once we are gone without a word. `wanted` is heard from the connection's first moment on.
    pub(crate) fn open(config: &Config, will: Letter, wanted: Wanted) -> Self {
        let Config { broker, credentials, tls, about, .. } = config;
        let mut options = options(broker, credentials.as_ref(), tls.as_ref(), about.client_id());
        options.set_clean_start(true);
        options.set_outgoing_inflight_upper_limit(WINDOW);
        let mut properties = ConnectProperties::new();
        properties.session_expiry_interval = Some(0);
        properties.max_packet_size = Some(LARGEST_INCOMING);
        properties.topic_alias_max = Some(0);
        properties.request_problem_info = Some(0);
        options.set_connect_properties(properties);
        let properties = LastWillProperties {
            // A box that comes back at once was never away.
            delay_interval: Some(WILL_DELAY_S),
            payload_format_indicator: Some(1),
            message_expiry_interval: None,
            content_type: Some("application/json".to_owned()),
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        options.set_last_will(LastWill::new(will.topic, will.payload, QoS::AtLeastOnce, will.is_retained, Some(properties)));
        let (client, event_loop) = AsyncClient::new(options, 1);
        let (sender, signals) = mpsc::channel(SIGNALS);
        // On a task of its own: its future must not be dropped half-way, as a `select!` would.
        let listening = wanted.is_any().then(|| Listening { client: client.clone(), about: about.clone(), wanted });
        let pump = tokio::spawn(pump(event_loop, sender, listening));
        Self { client, signals, pump }
    }

    /// The next thing that happens.
    pub(crate) async fn next(&mut self) -> Signal {
        // The channel closes without a word only if rumqttc panicked.
        self.signals.recv().await.unwrap_or(Signal::Lost(Loss::Protocol))
    }

    /// The next thing that happened already.
    pub(crate) fn try_next(&mut self) -> Option<Signal> {
        self.signals.try_recv().ok()
    }

    /// Hands a letter over; `false` where the one before has not left yet.
    pub(crate) fn send(&self, letter: Letter) -> bool {
        let properties = properties(letter.expires_s);
        self.client.try_publish_with_properties(letter.topic, QoS::AtLeastOnce, letter.is_retained, letter.payload, properties).is_ok()
    }

    /// Says goodbye, so that the will is not published, and waits until it is said, for at most `patience`.
    pub(crate) async fn disconnect(mut self, patience: Duration) {
        if self.client.try_disconnect().is_ok() {
            let said = async { while self.signals.recv().await.is_some() {} };
            drop(tokio::time::timeout(patience, said).await);
        }
    }
}

/// How a client of ours connects: the broker, who we are to it, and the time that it has.
#[must_use]
pub fn options(broker: &Broker, credentials: Option<&Credentials>, tls: Option<&Tls>, client_id: String) -> MqttOptions {
    let mut options = MqttOptions::new(client_id, broker.host(), broker.port());
    options.set_keep_alive(KEEP_ALIVE);
    options.set_connection_timeout(CONNECT_WITHIN_S);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if let Some((user, password)) = credentials.map(Credentials::reveal) {
        options.set_credentials(user, password);
    }
    if let Some(tls) = tls.filter(|_| broker.is_encrypted()) {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.config.clone())));
    }
    options
}

impl Drop for Link {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Letter {
    /// The length of its PUBLISH packet, bytes.
    pub(crate) fn packet_size(&self) -> usize {
        let mut publish = Publish::new(&self.topic, QoS::AtLeastOnce, self.payload.clone(), Some(properties(self.expires_s)));
        publish.pkid = 1;
        publish.size()
    }
}

fn properties(expires_s: Option<u32>) -> PublishProperties {
    PublishProperties {
        payload_format_indicator: Some(1),
        message_expiry_interval: expires_s,
        content_type: Some("application/json".to_owned()),
        ..PublishProperties::default()
    }
}

/// What we want to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// What a collector has: without it nothing can be deleted, and a connection is of no use.
    pub(crate) acks: bool,
    /// What the broker keeps as our own birth: whether somebody else has said it. A broker may forbid it.
    pub(crate) birth: bool,
}

impl Wanted {
    pub(crate) const fn is_any(self) -> bool {
        self.acks || self.birth
    }
}

/// What is heard.
struct Listening {
    client: AsyncClient,
    about: About,
    wanted: Wanted,
}

impl Listening {
    /// Alone, and before anything is published: rumqttc numbers it like a publication. What is heard once may be heard again, so that QoS 0 does.
    fn ask(&self) -> bool {
        let acks = self.wanted.acks.then(|| self.about.ack_topic());
        let birth = self.wanted.birth.then(|| self.about.topic(Message::Birth));
        self.client.try_subscribe_many(acks.into_iter().chain(birth).map(|topic| Filter::new(topic, QoS::AtMostOnce))).is_ok()
    }

    /// What is not for us, or is nothing, is nothing to us.
    fn hear(&self, publish: &Publish) -> Option<Signal> {
        if self.wanted.birth && publish.topic == self.about.topic(Message::Birth) {
            // What is not retained is our own, as it goes out.
            return parse_birth(&publish.payload, &self.about).filter(|_| publish.retain).map(|(epoch, connection)| Signal::Born(epoch, connection));
        }
        parse_ack(&publish.payload, &self.about).filter(|_| self.wanted.acks).map(|ack| Signal::Collected(Box::new(ack)))
    }
}

/// Turns the event loop until the connection ends, or nobody listens.
async fn pump(mut event_loop: EventLoop, signals: mpsc::Sender<Signal>, listening: Option<Listening>) {
    let mut is_connected = false;
    // What the broker can take, until it has granted the subscription.
    let mut granting = None;
    loop {
        let signal = match event_loop.poll().await {
            Ok(Happening::Incoming(Packet::ConnAck(connack))) if !is_connected => {
                is_connected = true;
                // Zero would mean no pings to the standard, and pings without end to rumqttc.
                if event_loop.options.keep_alive() < LEAST_KEEP_ALIVE {
                    event_loop.options.set_keep_alive(LEAST_KEEP_ALIVE);
                }
                let connected = connected(&connack);
                match &listening {
                    Some(listening) if matches!(connected, Signal::Connected(_)) => {
                        granting = Some(connected);
                        if listening.ask() { Signal::Asking } else { Signal::Lost(Loss::Protocol) }
                    }
                    _ => connected,
                }
            }
            Ok(Happening::Outgoing(Outgoing::Subscribe(_))) if granting.is_some() => continue,
            Ok(Happening::Incoming(Packet::SubAck(suback))) if granting.is_some() => {
                // The collector's topic is asked for first.
                let is_granted = matches!(suback.return_codes.first(), Some(SubscribeReasonCode::Success(_)));
                let needs = listening.as_ref().is_some_and(|listening| listening.wanted.acks);
                granting.take().filter(|_| is_granted || !needs).unwrap_or(Signal::Lost(Loss::CollectorForbidden))
            }
            Ok(Happening::Incoming(Packet::Publish(publish))) if publish.qos == QoS::AtMostOnce && listening.is_some() => {
                match listening.as_ref().and_then(|listening| listening.hear(&publish)) {
                    Some(heard) => heard,
                    None => continue,
                }
            }
            Ok(Happening::Incoming(Packet::PubAck(puback))) => Signal::Answered(puback.pkid, answer(puback.reason)),
            Ok(Happening::Incoming(Packet::PingResp(_) | Packet::Disconnect(_))) | Ok(Happening::Outgoing(Outgoing::PingReq)) => continue,
            Ok(Happening::Outgoing(Outgoing::Publish(packet_id))) => Signal::Sent(packet_id),
            // Ours, at the end.
            Ok(Happening::Outgoing(Outgoing::Disconnect)) => return,
            // A message that we did not ask for, a packet id that is taken, or what belongs to QoS 2: nothing good comes of it.
            Ok(_) => Signal::Lost(Loss::Protocol),
            Err(error) => Signal::Lost(loss(&error)),
        };
        let is_end = matches!(signal, Signal::Lost(_));
        if signals.send(signal).await.is_err() || is_end {
            return;
        }
    }
}

fn connected(connack: &ConnAck) -> Signal {
    let properties = connack.properties.as_ref();
    if properties.and_then(|properties| properties.max_qos) == Some(0) {
        return Signal::Lost(Loss::NoQos1);
    }
    Signal::Connected(Limits {
        receive_maximum: properties.and_then(|properties| properties.receive_max).unwrap_or(u16::MAX),
        maximum_packet_size: properties.and_then(|properties| properties.max_packet_size),
        keeps_retained: properties.and_then(|properties| properties.retain_available) != Some(0),
    })
}

const fn answer(reason: PubAckReason) -> Answer {
    match reason {
        PubAckReason::Success => Answer::Success,
        PubAckReason::NoMatchingSubscribers => Answer::NoSubscriber,
        PubAckReason::UnspecifiedError => Answer::Unspecified,
        PubAckReason::ImplementationSpecificError => Answer::Implementation,
        PubAckReason::NotAuthorized => Answer::NotAuthorized,
        PubAckReason::TopicNameInvalid => Answer::TopicName,
        PubAckReason::PacketIdentifierInUse => Answer::PacketIdInUse,
        PubAckReason::QuotaExceeded => Answer::Quota,
        PubAckReason::PayloadFormatInvalid => Answer::PayloadFormat,
    }
}

/// The kind of an error. Its text is not passed on: part of it is the broker's.
pub(crate) fn loss(error: &ConnectionError) -> Loss {
    match error {
        ConnectionError::Timeout(_) => Loss::Timeout,
        // rustls reports a certificate that does not hold as an error of reading.
        ConnectionError::Tls(rumqttc::TlsError::Io(error)) | ConnectionError::Io(error) => of_io(error),
        ConnectionError::Tls(_) => Loss::Tls,
        ConnectionError::ConnectionRefused(code) => refused(*code),
        ConnectionError::NotConnAck(_) => Loss::Protocol,
        ConnectionError::RequestsDone => Loss::Closed,
        ConnectionError::MqttState(error) => match error {
            StateError::Io(error) => of_io(error),
            StateError::ConnectionAborted => Loss::Closed,
            StateError::AwaitPingResp => Loss::Stalled,
            StateError::OutgoingPacketTooLarge { .. } => Loss::PacketTooLarge,
            StateError::ConnFail { reason } => refused(*reason),
            StateError::ServerDisconnect { reason_code, .. } => disconnected(*reason_code),
            // rumqttc wraps a connection that broke under it so.
            StateError::Deserialization(rumqttc::v5::mqttbytes::Error::Io(error)) => of_io(error),
            _ => Loss::Protocol,
        },
    }
}

fn of_io(error: &std::io::Error) -> Loss {
    use std::io::ErrorKind;
    let is_tls = error.get_ref().is_some_and(|source| source.is::<rustls::Error>());
    match error.kind() {
        _ if is_tls => Loss::Tls,
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => Loss::Closed,
        ErrorKind::TimedOut => Loss::Timeout,
        _ => Loss::Unreachable,
    }
}

const fn refused(code: ConnectReturnCode) -> Loss {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::BadAuthenticationMethod => Loss::BadCredentials,
        ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned => Loss::NotAuthorized,
        ConnectReturnCode::ServerUnavailable
        | ConnectReturnCode::ServiceUnavailable
        | ConnectReturnCode::ServerBusy
        | ConnectReturnCode::ConnectionRateExceeded
        | ConnectReturnCode::QuotaExceeded => Loss::Busy,
        ConnectReturnCode::QoSNotSupported => Loss::NoQos1,
        _ => Loss::Rejected,
    }
}

const fn disconnected(code: DisconnectReasonCode) -> Loss {
    match code {
        DisconnectReasonCode::SessionTakenOver => Loss::TakenOver,
        DisconnectReasonCode::ServerShuttingDown => Loss::ShuttingDown,
        DisconnectReasonCode::ServerBusy => Loss::Busy,
        DisconnectReasonCode::NotAuthorized => Loss::NotAuthorized,
        DisconnectReasonCode::PacketTooLarge => Loss::PacketTooLarge,
        DisconnectReasonCode::PayloadFormatInvalid => Loss::PayloadFormat,
        DisconnectReasonCode::QoSNotSupported => Loss::NoQos1,
        _ => Loss::Disconnected,
    }
}
