//! What bytes arrived, and when.
//!
//! The first stage: a capture file, a wav file, a sound card or a live interface becomes a run of [`Datagram`]s (one UDP payload each) or
//! [`Pcm`] blocks. Nothing here looks into a payload. Every source has the same shape, [`Source`], and every byte that is
//! not passed on is counted by its reason in [`Counters`].
//!
//! ```no_run
//! use sotto_capture::{CaptureError, Captured, Next, PcapFile, Source};
//!
//! fn each(path: &std::path::Path) -> Result<u64, CaptureError> {
//!     let mut source = PcapFile::open(path)?;
//!     let mut datagrams = 0;
//!     loop {
//!         match source.next()? {
//!             Next::Item(Captured::Datagram(_)) => datagrams += 1,
//!             Next::Item(Captured::Segment(_) | Captured::Pcm(_) | Captured::Line(_)) | Next::Quiet | Next::InterfaceDown | Next::InterfaceUp => {}
//!             Next::End => return Ok(datagrams),
//!         }
//!     }
//! }
//! ```

mod alsa;
mod decap;
mod error;
mod filter;
mod packet;
mod pcap;
mod siprec;
mod wav;
mod window;

pub use alsa::{Channels, SoundCard, SoundCardOptions};
pub use decap::{Counters, Decap, Link, Trust, Tunnel};
pub use error::CaptureError;
pub use packet::{Interface, InterfaceOptions, try_sending};
pub use pcap::PcapFile;
pub use siprec::{Network, Outlet, OutletError, Recorder, RecorderOptions};
pub use wav::WavFile;
pub use sotto_private::{Transport, Wall};

use sotto_private::{Datagram, Pcm, Segment};

/// One thing captured.
#[derive(Debug)]
pub enum Captured {
    /// A UDP payload from a packet network.
    Datagram(Datagram),
    /// A piece of a TCP stream that may carry signalling.
    Segment(Segment),
    /// A block of one channel's sound from a recording, which is one call.
    Pcm(Pcm),
    /// A block of one channel's sound from a line that goes on for ever, in which calls begin and end.
    Line(Pcm),
}

/// What a source has to say.
#[derive(Debug)]
pub enum Next {
    /// Something was captured.
    Item(Captured),
    /// Nothing came within the source's time-out. Only a live source says so; the caller looks whether it should stop, and
    /// asks again.
    Quiet,
    /// The live interface is gone or down, said once. It is tried again at every call, which says [`Next::Quiet`] meanwhile.
    InterfaceDown,
    /// The live interface is back.
    InterfaceUp,
    /// The source is at its end; it will say so again.
    End,
}

/// How far a source with an end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the file consumed.
    pub position: u64,
    /// Bytes in the file.
    pub length: u64,
}

/// Where captured things come from: one file or one interface.
pub trait Source: Send {
    /// The next thing captured, in the order of arrival. Blocks for one time-out at most on a live interface.
    ///
    /// # Errors
    /// [`CaptureError`] where the source is damaged or cannot be read any further. What was readable has been delivered
    /// before; after an error the source is at its [`Next::End`].
    fn next(&mut self) -> Result<Next, CaptureError>;

    /// What was dropped so far, and why.
    fn counters(&self) -> Counters;

    /// How far a file has been read; `None` for a live interface or a pipe.
    fn progress(&self) -> Option<Progress>;
}
