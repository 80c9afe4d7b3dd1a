//! Every byte between the uplink and its broker, in both directions.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

pub(crate) struct Tape {
    port: u16,
    bytes: Arc<Mutex<[Vec<u8>; 2]>>,
}

impl Tape {
    /// Listens on a free port and passes on to the broker's.
    pub(crate) fn start(broker_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes: Arc<Mutex<[Vec<u8>; 2]>> = Arc::default();
        let written = Arc::clone(&bytes);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, broker_port)).unwrap();
                for (direction, from, to) in [(0, &client, &broker), (1, &broker, &client)] {
                    let (mut from, mut to, written) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&written));
                    thread::spawn(move || {
                        let mut chunk = [0; 4_096];
                        while let Ok(read @ 1..) = from.read(&mut chunk) {
                            written.lock().unwrap_or_else(PoisonError::into_inner)[direction].extend(&chunk[..read]);
                            if to.write_all(&chunk[..read]).is_err() {
                                break;
                            }
                        }
                        drop(to.shutdown(Shutdown::Both));
                    });
                }
            }
        });
        Self { port, bytes }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// What went up, and what came down.
    pub(crate) fn bytes(&self) -> [Vec<u8>; 2] {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
