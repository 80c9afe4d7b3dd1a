use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sotto_private::Transport;

/// Why a source cannot be opened or read on. It says where, and never what the bytes were.
#[derive(Debug)]
pub enum CaptureError {
    /// The file cannot be opened.
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Reading failed in the middle.
    Read {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is not of the kind that it was opened as.
    WrongKind {
        /// The file.
        path: PathBuf,
        /// What it should have been.
        expected: &'static str,
    },
    /// The file is of the right kind, in a form that is not read here.
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What it is, and what would do.
        what: String,
    },
    /// The file is cut short or broken. What came before this place was delivered.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The packet (in a wav: the block) that cannot be read, from 1.
        packet: u64,
        /// Where it starts, in bytes from the file's start.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The sound card cannot be listened to.
    SoundCard {
        /// Its ALSA name.
        device: String,
        /// What failed, and what to do about it.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// The live interface cannot be listened to.
    Interface {
        /// Its name.
        name: String,
        /// What failed, and what to do about it.
        what: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// A recording server's address cannot be listened at.
    Listen {
        /// Over what.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, cause } => write!(formatter, "{}: cannot be opened: {cause}", path.display()),
            Self::Read { path, offset, cause } => {
                write!(formatter, "{}: byte {offset}: cannot be read: {cause}", path.display())
            }
            Self::WrongKind { path, expected } => write!(formatter, "{}: is not {expected}", path.display()),
            Self::Unsupported { path, offset, what } => write!(formatter, "{}: byte {offset}: {what}", path.display()),
            Self::Damaged { path, packet, offset, what } => {
                write!(formatter, "{}: packet {packet} at byte {offset}: {what}", path.display())
            }
            Self::Listen { transport: Transport::Udp, address, cause } => write!(formatter, "udp:{address}: cannot be listened at: {cause}"),
            Self::Listen { transport: Transport::Tcp, address, cause } => write!(formatter, "tcp:{address}: cannot be listened at: {cause}"),
            Self::SoundCard { device, what, cause } => write!(formatter, "sound card {device}: {what}: {cause}"),
            Self::Interface { name, what, cause } => write!(formatter, "interface {name}: {what}: {cause}"),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open { cause, .. } | Self::Read { cause, .. } | Self::Interface { cause, .. } | Self::SoundCard { cause, .. } | Self::Listen { cause, .. } => Some(cause),
            Self::WrongKind { .. } | Self::Unsupported { .. } | Self::Damaged { .. } => None,
        }
    }
}
