//! A broker that is not there, says nothing or says nonsense. The uplink keeps its rows and stops when told.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sotto_tests::process::{PATIENCE, Running, wait_for};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, Site, config};

use crate::{calls, ran, replay};

/// Starts `sotto uplink` on a port, replays a call beside it, and stops it. What it logged.
fn speak_to(port: u16, until: &str) -> String {
    let site = Site::new(&config(None, Some(&format!("mqtt://127.0.0.1:{port}"))), CHARTER_WITHOUT_SOUND).unwrap();
    let log = std::fs::File::create(site.path("log")).unwrap();
    let mut uplink = site.sotto().unwrap();
    let mut uplink = Running::start(uplink.arg("uplink").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap();
    let read = || std::fs::read_to_string(site.path("log")).unwrap();
    wait_for(until, PATIENCE, || read().contains(until).then_some(())).unwrap();

    let pcap = site.write("call.pcap", calls(3, 200).pcap()).unwrap();
    let published = ran(replay(&site, &pcap).arg("--publish"));
    assert_eq!((published.code, published.err.as_str()), (0, ""));
    // It would have been long enough for another attempt.
    thread::sleep(Duration::from_millis(1_500));
    assert!(uplink.is_running(), "{}", read());
    assert!(uplink.terminate(Duration::from_secs(10)).unwrap().success(), "{}", read());

    let status: Value = serde_json::from_str(&ran(site.sotto().unwrap().args(["status", "--json"])).out).unwrap();
    assert_eq!((&status["backlog"], &status["acked"], &status["calls_seen"]), (&3.into(), &0.into(), &3.into()), "{status}");
    assert!(!read().contains("panicked"), "{}", read());
    read()
}

#[test]
fn a_broker_that_is_not_there() {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let log = speak_to(port, "not connected");
    assert!(log.contains("cannot be found, does not answer or refuses") && log.contains("the next attempt in"), "{log}");
}

#[test]
fn a_broker_that_hangs_up_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    speak_to(port, "not connected");
}

/// Something that is no broker answers on its port.
#[test]
fn a_broker_that_talks_nonsense() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.read(&mut [0; 1_024]));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
        }
    });
    speak_to(port, "not connected");
}

/// It takes the connection, and never says anything.
#[test]
fn a_broker_that_says_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, taken) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            drop(sender.send(stream));
        }
    });
    let log = speak_to(port, "");
    assert!(!log.contains("connected to the broker"), "{log}");
    assert!(taken.try_iter().count() > 0);
}
