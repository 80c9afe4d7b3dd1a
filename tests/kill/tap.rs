//! A tap that hears calls on a wire of its own, and is killed like the others.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sotto_tests::pcap::{Packet, to_bytes};
use sotto_tests::process::{PATIENCE, Running, installed, sotto_binary, wait_for};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, config};
use sotto_tests::traffic::{Traffic, noise};

use crate::network::{Network, TAP, WIRE};

/// So many calls begin, one every tenth of a second; then the same ones come again.
const CALLS: u32 = 6_000;
const APART_MS: u32 = 100;

/// Calls on a cable, and the tap at its other end.
pub(crate) struct Heard {
    network: Network,
    files: [PathBuf; 2],
    spool: PathBuf,
    _traffic: Running,
    tap: Option<Running>,
}

impl Heard {
    /// `None` where there can be none: it takes root, and tcpreplay.
    pub(crate) fn start(spool: &Path) -> Option<Self> {
        if !installed("tcpreplay") || !installed("ip") {
            return None;
        }
        let network = Network::new()?;
        let at = |name: &str| spool.with_file_name(name);
        let files = [at("tap.toml"), at("tap-charter.toml")];
        std::fs::write(&files[0], config(Some(TAP), None)).unwrap();
        std::fs::write(&files[1], CHARTER_WITHOUT_SOUND).unwrap();
        let pcap = at("calls.pcap");
        std::fs::write(&pcap, to_bytes(&calls())).unwrap();
        let mut tcpreplay = Command::new("tcpreplay");
        tcpreplay.args(["--quiet", "--loop", "0", "--intf1", WIRE]).arg(&pcap);
        let traffic = Running::start(network.inside(&tcpreplay).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
        let mut heard = Self { network, files, spool: spool.to_owned(), _traffic: traffic, tap: None };
        heard.restart();
        Some(heard)
    }

    /// SIGKILL, and another one.
    pub(crate) fn kill(&mut self) {
        if let Some(mut tap) = self.tap.take() {
            tap.kill().unwrap();
        }
        self.restart();
    }

    /// After it has heard something more, it stops as it should; calls that are open end as interrupted. `calls` says how many it has heard to their end.
    pub(crate) fn stop(mut self, calls: impl Fn() -> u64) {
        self.kill();
        let before = calls();
        wait_for("the last tap to hear", PATIENCE, || (calls() > before).then_some(())).unwrap();
        assert!(self.tap.take().unwrap().terminate(PATIENCE).unwrap().success());
    }

    fn restart(&mut self) {
        let mut tap = Command::new(sotto_binary().unwrap());
        tap.arg("--config").arg(&self.files[0]).arg("--charter").arg(&self.files[1]).arg("--spool").arg(&self.spool).arg("tap");
        tap.env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1");
        let log = std::fs::File::create(self.spool.with_file_name("tap.log")).unwrap();
        self.tap = Some(Running::start(self.network.inside(&tap).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap());
    }
}

/// Calls without sound, a fifth of a second each.
fn calls() -> Vec<Packet> {
    let ramp_ms = CALLS * APART_MS;
    let mut packets = Vec::new();
    let traffic = Traffic { calls: CALLS, seconds: 0, ramp_ms, has_byes: true };
    traffic
        .each(&[noise()], |at_us, frame| {
            // All begin before the first ends: its end is brought forward to each one's own.
            let ended_us = at_us - i64::from(ramp_ms) * 1_000;
            packets.push(Packet { at_us: if ended_us > 0 { ended_us } else { at_us }, frame: frame.to_vec() });
            Ok(())
        })
        .unwrap();
    packets.sort_by_key(|packet| packet.at_us);
    packets
}
