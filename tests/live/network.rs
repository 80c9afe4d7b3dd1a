//! A network of the test's own: a namespace with a cable in it, whose one end is the mirror port and whose other end the box hears.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sotto_tests::process::run;

/// Where packets go in.
pub(crate) const WIRE: &str = "wire0";
/// Where the box hears them.
pub(crate) const TAP: &str = "tap0";

/// It goes with the value, with all that runs in it cut off.
pub(crate) struct Network {
    name: String,
}

impl Network {
    /// `None` where none can be made: it takes root.
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sotto-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name])?;
        let network = Self { name };
        network.ip(&["link", "add", WIRE, "type", "veth", "peer", "name", TAP])?;
        for end in [WIRE, TAP] {
            network.ip(&["link", "set", end, "up"])?;
        }
        Some(network)
    }

    fn ip(&self, arguments: &[&str]) -> Option<()> {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    pub(crate) fn down(&self) {
        self.ip(&["link", "set", TAP, "down"]).unwrap();
    }

    pub(crate) fn up(&self) {
        self.ip(&["link", "set", TAP, "up"]).unwrap();
    }

    /// Takes the cable away, and lays a new one.
    pub(crate) fn replace(&self) {
        self.ip(&["link", "del", TAP]).unwrap();
        self.ip(&["link", "add", WIRE, "type", "veth", "peer", "name", TAP]).unwrap();
        self.ip(&["link", "set", WIRE, "up"]).unwrap();
        self.up();
    }

    /// The command, run inside.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Sends a capture's packets into the cable, each in its time.
    pub(crate) fn play(&self, pcap: &Path) -> Command {
        let mut tcpreplay = Command::new("tcpreplay");
        tcpreplay.arg("--intf1").arg(WIRE).arg(pcap);
        self.inside(&tcpreplay)
    }

    /// Writes what the box could hear into a file, until it is told to stop.
    pub(crate) fn record(&self, file: &Path) -> Command {
        let mut dumpcap = Command::new("dumpcap");
        dumpcap.args(["-q", "-P", "-i", TAP, "-w"]).arg(file);
        self.inside(&dumpcap)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Option<()> {
    run(Command::new("ip").args(arguments)).ok()?.status.success().then_some(())
}
