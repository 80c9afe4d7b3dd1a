//! Two places that telephone each other over a hub, and a box that hears on a third port of it: a mirror of all that passes.

use std::process::Command;

use sotto_tests::process::run;

/// Where the box hears.
pub(crate) const TAP: &str = "tap0";

/// Who has a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Who calls.
    Calling,
    /// Who is called.
    Called,
    /// The box, where the hub is too.
    Recorder,
}

impl Place {
    const ALL: [Self; 3] = [Self::Calling, Self::Called, Self::Recorder];

    /// Its address; an IPv6 one as SIPp wants it, in brackets.
    pub(crate) fn address(self, is_ipv6: bool) -> String {
        let host = 1 + self as u32;
        if is_ipv6 { format!("[fd00:5071::{host}]") } else { format!("192.0.2.{host}") }
    }
}

/// It goes with the value, with all that runs in it cut off.
pub(crate) struct Hub(String);

impl Hub {
    /// `None` where none can be made: it takes root.
    pub(crate) fn new() -> Option<Self> {
        let hub = Self(format!("sotto-hub-{}", std::process::id()));
        for place in Place::ALL {
            ip(&["netns", "add", &hub.name(place)])?;
        }
        let within = hub.name(Place::Recorder);
        // What it forgets at once it sends to every port.
        hub.ip(Place::Recorder, "link add hub type bridge ageing_time 0 mcast_snooping 0")?;
        hub.ip(Place::Recorder, &format!("link add mirror type veth peer name {TAP}"))?;
        for (place, port) in [(Place::Calling, "calling"), (Place::Called, "called")] {
            hub.ip(place, &format!("link add line type veth peer name {port} netns {within}"))?;
            hub.ip(place, "link set lo up")?;
            hub.ip(place, &format!("addr add {}/24 dev line", place.address(false)))?;
            let address = place.address(true);
            hub.ip(place, &format!("addr add {}/64 dev line nodad", address.trim_matches(['[', ']'])))?;
            hub.ip(place, "link set line up")?;
        }
        for port in ["mirror", "calling", "called"] {
            hub.ip(Place::Recorder, &format!("link set {port} master hub up"))?;
        }
        for device in [TAP, "hub"] {
            hub.ip(Place::Recorder, &format!("link set {device} up"))?;
        }
        Some(hub)
    }

    fn name(&self, place: Place) -> String {
        format!("{}-{}", self.0, place as u32)
    }

    fn ip(&self, place: Place, arguments: &str) -> Option<()> {
        let name = self.name(place);
        ip(&["-n", &name].into_iter().chain(arguments.split(' ')).collect::<Vec<_>>())
    }

    /// The command, run in that place.
    pub(crate) fn at(&self, place: Place, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name(place)]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for place in Place::ALL {
            let _ = ip(&["netns", "del", &self.name(place)]);
        }
    }
}

fn ip(arguments: &[&str]) -> Option<()> {
    run(Command::new("ip").args(arguments)).ok()?.status.success().then_some(())
}
