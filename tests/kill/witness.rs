//! A witness on the wire between the uplink and its broker: it passes every byte on and notes which scores were published, and which of
//! them the broker acknowledged with success.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sotto_report::CallId;
use sotto_tests::proxy::{packet, variable};

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// How often each score was published.
    pub(crate) published: BTreeMap<CallId, u32>,
    /// Those that a PUBACK with reason 0x00 answered.
    pub(crate) acknowledged: BTreeSet<CallId>,
    pub(crate) connections: u32,
}

pub(crate) struct Witness {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

impl Witness {
    /// Listens on a free port, and passes on to the broker's.
    pub(crate) fn start(broker_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A broker that is not there: the client sees its connection end.
                let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker_port)) else { continue };
                pass_on(&client, &broker, &noted);
            }
        });
        Self { port, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn pass_on(client: &TcpStream, broker: &TcpStream, seen: &Arc<Mutex<Seen>>) {
    for stream in [client, broker] {
        stream.set_nodelay(true).unwrap();
    }
    let in_flight: Arc<Mutex<HashMap<u16, CallId>>> = Arc::default();
    seen.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
    let directions = [(client, broker, true), (broker, client, false)];
    for (from, to, is_up) in directions {
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let (seen, in_flight) = (Arc::clone(seen), Arc::clone(&in_flight));
        thread::spawn(move || {
            let mut buffer = Vec::new();
            let mut chunk = [0; 16 << 10];
            while let Some(read) = (&from).read(&mut chunk).ok().filter(|read| *read > 0) {
                buffer.extend_from_slice(&chunk[..read]);
                while let Some((packet, length)) = packet(&buffer) {
                    note(packet, is_up, &seen, &in_flight);
                    buffer.drain(..length);
                }
                // Noted first: what the client knows, the witness knew before.
                if (&to).write_all(&chunk[..read]).is_err() {
                    break;
                }
            }
            drop(to.shutdown(Shutdown::Both));
            drop(from.shutdown(Shutdown::Both));
        });
    }
}

fn note((first, body): (u8, &[u8]), is_up: bool, seen: &Mutex<Seen>, in_flight: &Mutex<HashMap<u16, CallId>>) {
    let (mut seen, mut in_flight) = (seen.lock().unwrap_or_else(PoisonError::into_inner), in_flight.lock().unwrap_or_else(PoisonError::into_inner));
    match (first >> 4, is_up) {
        (3, true) => {
            if let Some((id, call)) = score(body) {
                *seen.published.entry(call).or_default() += 1;
                in_flight.insert(id, call);
            }
        }
        (4, false) => {
            let id = u16::from_be_bytes([body[0], body[1]]);
            if let Some(call) = in_flight.remove(&id).filter(|_| body.get(2).is_none_or(|reason| *reason == 0)) {
                seen.acknowledged.insert(call);
            }
        }
        _ => {}
    }
}

/// Packet id and call of a PUBLISH that carries a score.
fn score(body: &[u8]) -> Option<(u16, CallId)> {
    let topic_length = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let (topic, rest) = body.get(2..)?.split_at_checked(topic_length)?;
    if !topic.ends_with(b"/call/score") {
        return None;
    }
    let id = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
    let (properties, bytes) = variable(rest.get(2..)?)?;
    let json: serde_json::Value = serde_json::from_slice(rest.get(2 + bytes + properties..)?).ok()?;
    Some((id, json["call"].as_str()?.parse().ok()?))
}
