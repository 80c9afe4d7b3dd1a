//! `sotto siprec`: hear as a recording server (RFC 7866).

use std::time::Duration;

use sotto_capture::{Recorder, RecorderOptions, Source, Transport};
use sotto_dialog::ServerOptions;

use crate::End;
use crate::config::{Places, Siprec};
use crate::load::Loaded;
use crate::pipeline::{Recording, wall_clock};
use crate::tap;

/// How long an answer may wait for more to come: well below the client's 500 ms (RFC 3261, T1).
const TIMEOUT: Duration = Duration::from_millis(10);
/// Connections of clients at once. An SBC has one or two.
const CONNECTIONS: usize = 256;
/// Sockets for each session: two streams, each with its RTCP, and as much again in the middle of a change.
const SOCKETS: usize = 8;

/// Runs as `sotto tap` does.
pub(crate) fn run(places: &Places) -> Result<(), End> {
    let loaded = Loaded::new(places)?;
    let siprec = loaded.config.siprec.clone();
    let siprec = siprec.ok_or_else(|| End::bad_configuration("[capture] source is not siprec: `sotto tap` hears the others"))?;
    tap::hear(places, &loaded, || {
        let Siprec { listen, rtp_ports, allow, sessions } = siprec;
        let sockets = sessions.saturating_mul(SOCKETS);
        let options = RecorderOptions { listen, allow, sockets, connections: CONNECTIONS, timeout: TIMEOUT, clock: wall_clock };
        let (recorder, outlet) = Recorder::open(options).map_err(End::no)?;
        let options = ServerOptions { ports: rtp_ports, sessions, connections: CONNECTIONS };
        let source: Box<dyn Source> = Box::new(recorder);
        Ok((source, Some(Recording { options, outlet })))
    })
}

/// Where it listens, as the configuration writes it.
pub(crate) fn addresses(siprec: &Siprec) -> Vec<String> {
    let name = |transport: Transport| if transport == Transport::Udp { "udp" } else { "tcp" };
    siprec.listen.iter().map(|(transport, address)| format!("{}:{address}", name(*transport))).collect()
}
