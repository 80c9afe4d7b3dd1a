//! Which encapsulations are followed, and from whom.
//!
//! What is inside a tunnel names its own addresses. So whoever can send a tunnel's packets past the mirror, by a protocol that nobody here uses,
//! can put words into anybody's mouth. A site knows who tunnels to it: its switches (ERSPAN), its virtual hosts (VXLAN, GENEVE), its agents (HEP3).

use std::net::IpAddr;

use crate::siprec::Network;

/// An encapsulation that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// GRE, and ERSPAN over it.
    Gre,
    /// IP in IP.
    IpInIp,
    /// VXLAN.
    Vxlan,
    /// GENEVE.
    Geneve,
    /// Homer encapsulation, over UDP and TCP.
    Hep,
}

impl Tunnel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gre, Self::IpInIp, Self::Vxlan, Self::Geneve, Self::Hep];

    /// As the configuration names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gre => "gre",
            Self::IpInIp => "ip-in-ip",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Hep => "hep",
        }
    }
}

/// Which encapsulations are followed, and from whom. The usual: all of them, from anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Those that are followed.
    pub tunnels: Vec<Tunnel>,
    /// Whose: the sender's address outside the tunnel, for tunnels in one another each of them. `None` is anybody's.
    pub peers: Option<Vec<Network>>,
    /// The ports, of UDP and of TCP, that Homer agents send to.
    pub hep_ports: Vec<u16>,
}

impl Trust {
    /// The port that Homer agents send to unless they are told otherwise.
    pub const HEP_PORT: u16 = 9060;

    /// Whether this encapsulation is followed where it comes from there.
    pub(super) fn covers(&self, tunnel: Tunnel, sender: IpAddr) -> bool {
        self.tunnels.contains(&tunnel) && self.peers.as_ref().is_none_or(|peers| peers.iter().any(|peer| peer.contains(sender)))
    }

    /// Whether Homer agents send to this port.
    pub(super) fn is_hep(&self, port: u16) -> bool {
        self.hep_ports.contains(&port)
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self { tunnels: Tunnel::ALL.to_vec(), peers: None, hep_ports: vec![Self::HEP_PORT] }
    }
}
