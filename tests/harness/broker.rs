//! A real mosquitto on a free loopback port, and subscribers as separate processes.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::Error;
use crate::process::{PATIENCE, Running, installed, run, wait_for};

/// A broker of one's own. It ends with the value.
#[derive(Debug)]
pub struct Broker {
    folder: TempDir,
    port: u16,
    process: Option<Running>,
}

impl Broker {
    /// Whether mosquitto and its clients are installed (Debian packages `mosquitto` and `mosquitto-clients`).
    #[must_use]
    pub fn is_installed() -> bool {
        installed("mosquitto") && installed("mosquitto_sub")
    }

    /// Starts one that keeps sessions and messages on disk, saved at every change, and waits until it listens.
    ///
    /// # Errors
    /// mosquitto is not installed, or does not listen in time; the error holds its log.
    pub fn start() -> Result<Self, Error> {
        Self::start_with("")
    }

    /// Starts one with more lines of configuration.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_with(configuration: &str) -> Result<Self, Error> {
        let mut last = Error::new("no port was tried");
        // Between the look for a free port and mosquitto's bind somebody else may take it.
        for _ in 0..5 {
            let folder = tempfile::tempdir()
                .map_err(|source| Error::new(format!("temporary folder: {source}")))?;
            let port = free_port()?;
            configure(folder.path(), port, configuration)?;
            let mut broker = Self {
                folder,
                port,
                process: None,
            };
            match broker.restart() {
                Ok(()) => return Ok(broker),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// `mqtt://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.kill().map(drop))
    }

    /// SIGKILL, and all that it had kept on its disk is gone.
    ///
    /// # Errors
    /// The process cannot be waited for, or its files not be deleted.
    pub fn wipe(&mut self) -> Result<(), Error> {
        self.kill()?;
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data).and_then(|()| std::fs::create_dir(&data)).map_err(|source| Error::file(&data, &source))
    }

    /// Starts it again on the same port with what it kept on disk; a running one is killed first.
    ///
    /// # Errors
    /// It does not listen in time.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        let started_before = started(self);
        let mut command = Command::new(if Path::new("/usr/sbin/mosquitto").exists() {
            "/usr/sbin/mosquitto"
        } else {
            "mosquitto"
        });
        command
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"));
        let mut process = Running::start(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )?;
        // Its own word counts, not an open port: another test's broker may have taken the port at the same moment.
        wait_for("mosquitto to listen", PATIENCE, || {
            if process.is_running() {
                (started(self) > started_before).then_some(true)
            } else {
                Some(false)
            }
        })
        .and_then(|listens| {
            if listens {
                Ok(())
            } else {
                Err(Error::new("mosquitto ended at once"))
            }
        })
        .map_err(|error| Error::new(format!("{error}\n{}", self.log())))?;
        self.process = Some(process);
        Ok(())
    }

    /// Subscribes with QoS 1 and a clean session, and returns when the broker has granted it.
    ///
    /// # Errors
    /// As [`Subscriber::start`].
    pub fn subscribe(&self, topics: &[&str]) -> Result<Subscriber, Error> {
        Subscriber::start(self, topics, &[])
    }

    /// Subscribes under a client id whose session the broker keeps over restarts and absences.
    ///
    /// # Errors
    /// As [`Subscriber::start`].
    pub fn subscribe_for_good(&self, topics: &[&str], client: &str) -> Result<Subscriber, Error> {
        Subscriber::start(self, topics, &["-c", "-i", client])
    }
}

/// A message as a subscriber received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service it came with.
    pub qos: u8,
    /// Whether it was a retained message, kept from before the subscription.
    pub retained: bool,
}

impl Received {
    /// The payload as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn json(&self) -> Result<serde_json::Value, Error> {
        serde_json::from_slice(&self.payload)
            .map_err(|source| Error::new(format!("{}: {source}", self.topic)))
    }
}

/// A `mosquitto_sub` that collects. It ends with the value.
#[derive(Debug)]
pub struct Subscriber {
    process: Running,
    messages: Arc<Mutex<Vec<Received>>>,
}

impl Subscriber {
    /// Starts one on a broker, with more arguments for `mosquitto_sub`.
    ///
    /// # Errors
    /// `mosquitto_sub` is not installed, or the broker does not grant the subscription in time.
    pub fn start(broker: &Broker, topics: &[&str], arguments: &[&str]) -> Result<Self, Error> {
        let granted_before = granted(broker);
        let mut command = Command::new("mosquitto_sub");
        // The payload in hexadecimal: no byte of it can end the line or be taken for a field.
        command
            .args([
                "-V",
                "mqttv5",
                "-h",
                "127.0.0.1",
                "-q",
                "1",
                "-F",
                "%q %r %x %t",
                "-p",
            ])
            .arg(broker.port.to_string());
        for topic in topics {
            command.args(["-t", topic]);
        }
        command.args(arguments);
        let mut process = Running::start(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        )?;
        let messages = Arc::new(Mutex::new(Vec::new()));
        let output = process
            .child()
            .stdout
            .take()
            .ok_or_else(|| Error::new("mosquitto_sub has no output"))?;
        let collected = Arc::clone(&messages);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(received) = parse(&line) {
                    collected
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(received);
                }
            }
        });
        wait_for("the broker to grant the subscription", PATIENCE, || {
            (granted(broker) > granted_before).then_some(())
        })?;
        Ok(Self { process, messages })
    }

    /// What came so far, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<Received> {
        self.messages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until `enough` says so of what came, and returns it all.
    ///
    /// # Errors
    /// It never said so; the error says how many messages came.
    pub fn wait(
        &self,
        what: &str,
        patience: Duration,
        enough: impl Fn(&[Received]) -> bool,
    ) -> Result<Vec<Received>, Error> {
        wait_for(what, patience, || {
            let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
            enough(&messages).then(|| messages.clone())
        })
        .map_err(|error| Error::new(format!("{error} ({} messages came)", self.messages().len())))
    }

    /// Waits until all that the broker keeps for it has come, and returns it: a last message of our own comes after everything else.
    ///
    /// # Errors
    /// The broker does not take that message in time, or it does not come.
    pub fn drain(&self, broker: &Broker) -> Result<Vec<Received>, Error> {
        const LAST: &str = "sotto/v1/harbor/rec-1/last";
        let is_last = |message: &Received| message.topic == LAST;
        let port = broker.port().to_string();
        wait_for("the broker to take the last message", PATIENCE, || {
            let published = run(Command::new("mosquitto_pub").args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", LAST, "-m", "{}"]));
            published.is_ok_and(|output| output.status.success()).then_some(())
        })?;
        let mut messages = self.wait("the last message", PATIENCE, |messages| messages.iter().rev().any(is_last))?;
        messages.retain(|message| !is_last(message));
        Ok(messages)
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.kill().map(drop)
    }
}

fn configure(folder: &Path, port: u16, more: &str) -> Result<(), Error> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).map_err(|source| Error::file(&data, &source))?;
    // As root mosquitto would drop to its own user, who may not write here; started by anybody else it ignores the line.
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n\
         persistence true\npersistence_location {}/\nautosave_interval 1\nautosave_on_changes true\n\
         max_queued_messages 0\nlog_dest file {}\nlog_type all\n{more}\n",
        data.display(),
        folder.join("log").display()
    );
    let file = folder.join("mosquitto.conf");
    std::fs::write(&file, text).map_err(|source| Error::file(&file, &source))
}

/// How often the broker's log says that it runs: all its listeners are open then.
fn started(broker: &Broker) -> usize {
    broker.log().lines().filter(|line| line.contains("mosquitto version") && line.ends_with(" running")).count()
}

/// How many subscriptions the broker's log shows as granted.
fn granted(broker: &Broker) -> usize {
    broker.log().matches("Sending SUBACK to ").count()
}

/// `QOS RETAINED HEX TOPIC`, where HEX may be empty and TOPIC may hold anything but a newline.
fn parse(line: &str) -> Option<Received> {
    let mut parts = line.splitn(4, ' ');
    let qos = parts.next()?.parse().ok()?;
    let retained = parts.next()? == "1";
    let hexadecimal = parts.next()?;
    let topic = parts.next()?.to_owned();
    let payload = hexadecimal
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<Vec<u8>>>()?;
    Some(Received {
        topic,
        payload,
        qos,
        retained,
    })
}

/// A port below those that the kernel gives to outgoing connections, so that none of them sits on it while a broker is down.
fn free_port() -> Result<u16, Error> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const PORTS: u32 = 20_000;
    // Each process begins somewhere else, and no port is tried twice in a row.
    let begin = std::process::id().wrapping_mul(7_919);
    for _ in 0..200 {
        let port = (FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(Error::new("no free port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parsed_whatever_they_carry() {
        let received = parse("1 0 7b7d0a20 sotto/v1/a b/x").unwrap();
        assert_eq!(
            (received.topic.as_str(), received.payload.as_slice()),
            ("sotto/v1/a b/x", &b"{}\n "[..])
        );
        assert_eq!(parse("0 1  t").unwrap().payload, b"");
        assert!(parse("nonsense").is_none());
    }

    fn publish(broker: &Broker, topic: &str, payload: &str) {
        let status = Command::new("mosquitto_pub")
            .args([
                "-h",
                "127.0.0.1",
                "-q",
                "1",
                "-r",
                "-t",
                topic,
                "-m",
                payload,
                "-p",
            ])
            .arg(broker.port().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    #[test]
    fn a_session_kept_for_good_gets_what_came_in_its_absence() {
        if !Broker::is_installed() {
            return crate::process::skip("mosquitto is not installed");
        }
        let broker = Broker::start().unwrap();
        let mut subscriber = broker.subscribe_for_good(&["b"], "collector").unwrap();
        subscriber.kill().unwrap();
        publish(&broker, "b", "while away");
        let back = broker.subscribe_for_good(&["b"], "collector").unwrap();
        let came = back.wait("the message", PATIENCE, |messages| {
            messages.iter().any(|message| !message.retained)
        });
        assert_eq!(came.unwrap()[0].payload, b"while away");
    }

    #[test]
    fn a_retained_message_survives_a_kill() {
        if !Broker::is_installed() {
            return crate::process::skip("mosquitto is not installed");
        }
        let mut broker = Broker::start().unwrap();
        let subscriber = broker.subscribe(&["a/#"]).unwrap();
        publish(&broker, "a/b", "first\nline");
        let came = subscriber
            .wait("the message", PATIENCE, |messages| !messages.is_empty())
            .unwrap();
        assert_eq!(
            (came[0].payload.as_slice(), came[0].qos, came[0].retained),
            (&b"first\nline"[..], 1, false)
        );
        // What is on disk by then outlives the kill.
        let data = broker.folder.path().join("data/mosquitto.db");
        wait_for("mosquitto to save", PATIENCE, || {
            data.exists().then_some(())
        })
        .unwrap();
        broker.kill().unwrap();
        broker.restart().unwrap();
        let again = broker.subscribe(&["a/#"]).unwrap();
        let came = again
            .wait("the retained message", PATIENCE, |messages| {
                !messages.is_empty()
            })
            .unwrap();
        assert!(came[0].retained);
    }
}
