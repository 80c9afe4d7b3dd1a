//! Line taps: a sound card that hears a telephone line, through ALSA.
//!
//! Two channels are the agent (left) and the customer (right); one channel holds both. Blocks are of 20 ms. Their times follow the
//! card's own clock from a first stamp of the wall clock, and are led back to the wall clock by no more than 500 ppm, which is
//! further off than any card is: a step would tear a word apart. Sound that was lost because this process was late (an overrun) is
//! counted, and the next block has a new first stamp.
//!
//! A device that is gone (unplugged, taken by another) is tried again at every call, as an interface that is down is.

use std::io;
use std::time::Duration;

use alsa::pcm::{Access, Format, HwParams, PCM, TstampType};
use alsa::{Direction, ValueOr};
use sotto_private::{Pcm, Private, Wall};

use crate::decap::Counters;
use crate::{CaptureError, Captured, Next, Progress, Source};

/// Blocks a second.
const BLOCKS: u32 = 50;
/// The card may hold so much while this process is busy, microseconds.
const BUFFER: u32 = 1_000_000;
/// The most by which a block's time is led back to the wall clock, microseconds: 500 ppm of 20 ms.
const LED_BACK: i64 = 10;
/// A card that is so much later than its samples say has left some out, microseconds: after a suspend, say.
const LEFT_OUT: i64 = 1_000_000;
/// The wall clock's stamps are later than this (2001-09-09); a stamp that is not counts from when the box was started.
const WALL_CLOCK: i64 = 1_000_000_000_000_000;

/// What a sound card's channels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Two: the agent left, the customer right.
    AgentCustomer,
    /// One, with both parties in it. No number of one party can come of it.
    Mixed,
}

impl Channels {
    const fn count(self) -> u32 {
        match self {
            Self::AgentCustomer => 2,
            Self::Mixed => 1,
        }
    }
}

/// How to listen to a sound card.
#[derive(Clone, Copy, Debug)]
pub struct SoundCardOptions {
    /// What its channels are.
    pub channels: Channels,
    /// Samples a second; where the device has no such rate, its nearest one is taken.
    pub rate: u32,
    /// [`Source::next`] returns after this time at the latest.
    pub timeout: Duration,
}

/// A sound card that hears a line. It never ends.
pub struct SoundCard {
    device: String,
    options: SoundCardOptions,
    card: Option<Card>,
    right: Option<Pcm>,
    counters: Counters,
}

impl SoundCard {
    /// Listens to a device by its ALSA name: `hw:1,0`, `plughw:CARD=Device`, `default`, or any other that `arecord -L` names.
    ///
    /// # Errors
    /// Where there is no such device, it is not allowed or taken, or it has not these channels; the text says what to do.
    pub fn open(device: &str, options: SoundCardOptions) -> Result<Self, CaptureError> {
        let card = Card::open(device, &options).map_err(|(what, error)| CaptureError::SoundCard {
            device: device.to_owned(),
            what,
            cause: io::Error::from_raw_os_error(error.errno()),
        })?;
        Ok(Self { device: device.to_owned(), options, card: Some(card), right: None, counters: Counters::default() })
    }

    fn deliver(&mut self, pcm: Pcm) -> Next {
        self.counters.frames += 1;
        self.counters.delivered += 1;
        Next::Item(Captured::Line(pcm))
    }

    fn block(&mut self, block: Block) -> Next {
        let number = self.counters.frames + 1;
        let Block { at, rate, samples } = block;
        match self.options.channels {
            Channels::Mixed => self.deliver(Pcm::new(at, number, Pcm::BOTH, rate, samples.expose().clone())),
            Channels::AgentCustomer => {
                let channel = |channel| samples.expose().iter().copied().skip(channel).step_by(2).collect();
                self.right = Some(Pcm::new(at, number + 1, 1, rate, channel(1)));
                self.deliver(Pcm::new(at, number, 0, rate, channel(0)))
            }
        }
    }

    /// Tries again. It takes one time-out where that fails, so that the caller's loop does not spin.
    fn reopen(&mut self) -> Next {
        match Card::open(&self.device, &self.options) {
            Ok(card) => {
                self.card = Some(card);
                Next::InterfaceUp
            }
            Err(_) => {
                std::thread::sleep(self.options.timeout);
                Next::Quiet
            }
        }
    }
}

impl Source for SoundCard {
    fn next(&mut self) -> Result<Next, CaptureError> {
        if let Some(right) = self.right.take() {
            return Ok(self.deliver(right));
        }
        let Some(card) = &mut self.card else { return Ok(self.reopen()) };
        Ok(match card.read(self.options.timeout) {
            Read::Block(block) => self.block(block),
            Read::Nothing => Next::Quiet,
            Read::Overrun => {
                self.counters.overruns += 1;
                Next::Quiet
            }
            Read::Gone => {
                self.card = None;
                Next::InterfaceDown
            }
        })
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn progress(&self) -> Option<Progress> {
        None
    }
}

impl std::fmt::Debug for SoundCard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SoundCard").field("device", &self.device).field("is_open", &self.card.is_some()).finish_non_exhaustive()
    }
}

enum Read {
    Block(Block),
    Nothing,
    Overrun,
    Gone,
}

/// 20 ms of all channels, interleaved.
struct Block {
    at: Wall,
    rate: u32,
    samples: Private<Vec<i16>>,
}

/// What failed, and what ALSA said.
type Refusal = (&'static str, alsa::Error);

/// An open device.
struct Card {
    pcm: PCM,
    channels: usize,
    rate: u32,
    /// The block that is being filled, and how many of its samples are there.
    samples: Private<Vec<i16>>,
    filled: usize,
    clock: Clock,
}

impl Card {
    fn open(device: &str, options: &SoundCardOptions) -> Result<Self, Refusal> {
        let pcm = PCM::new(device, Direction::Capture, true)
            .map_err(|error| ("there is no such device, it is in use, or the user is not in the group audio; `arecord -L` lists those there are", error))?;
        let rate = Self::set(&pcm, options)?;
        let start = |error| ("it does not start", error);
        pcm.prepare().map_err(start)?;
        pcm.start().map_err(start)?;
        let channels = options.channels.count() as usize;
        let samples = Private::new(vec![0; (rate / BLOCKS).max(1) as usize * channels]);
        Ok(Self { pcm, channels, rate, samples, filled: 0, clock: Clock::new(rate) })
    }

    /// Sets what it should be like, and says its rate.
    fn set(pcm: &PCM, options: &SoundCardOptions) -> Result<u32, Refusal> {
        let said = |what: &'static str| move |error: alsa::Error| (what, error);
        let hardware = HwParams::any(pcm).map_err(said("its kind cannot be told"))?;
        hardware.set_access(Access::RWInterleaved).map_err(said("its channels are not interleaved: name it through plughw:"))?;
        hardware.set_format(Format::s16()).map_err(said("it has not 16 bits: name it through plughw:"))?;
        hardware.set_channels(options.channels.count()).map_err(said("it has not so many channels: name it through plughw:, or see [capture] channels"))?;
        let rate = hardware.set_rate_near(options.rate, ValueOr::Nearest).map_err(said("it has no such rate: see [capture] rate"))?;
        if !crate::wav::RATES.contains(&rate) {
            return Err(("its rate is none of 4000 to 192000 Hz: name it through plughw:", alsa::Error::new("rate", libc::EINVAL)));
        }
        // What it makes of these two is its own matter.
        let _ = hardware.set_period_time_near(1_000_000 / BLOCKS, ValueOr::Nearest);
        let _ = hardware.set_buffer_time_near(BUFFER, ValueOr::Nearest);
        pcm.hw_params(&hardware).map_err(said("it does not take these parameters: name it through plughw:"))?;
        drop(hardware);
        let software = pcm.sw_params_current().map_err(said("it cannot be asked for time stamps"))?;
        software.set_tstamp_mode(true).map_err(said("it gives no time stamps"))?;
        software.set_tstamp_type(TstampType::Gettimeofday).map_err(said("its time stamps are not of the wall clock"))?;
        pcm.sw_params(&software).map_err(said("it cannot be asked for time stamps"))?;
        Ok(rate)
    }

    fn read(&mut self, timeout: Duration) -> Read {
        let mut has_waited = false;
        loop {
            let Some(room) = self.samples.expose_mut().get_mut(self.filled..) else { return Read::Gone };
            let read = self.pcm.io_i16().and_then(|io| io.readi(room));
            match read {
                Ok(0) => {
                    // A device that is there and gives nothing: a file at its end.
                    std::thread::sleep(timeout);
                    return Read::Nothing;
                }
                Ok(frames) => {
                    self.filled += frames * self.channels;
                    if self.filled >= self.samples.expose().len() {
                        return self.take();
                    }
                }
                Err(error) if error.errno() == libc::EAGAIN => {
                    if has_waited {
                        return Read::Nothing;
                    }
                    match self.pcm.wait(Some(u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX))) {
                        Ok(true) => has_waited = true,
                        Ok(false) => return Read::Nothing,
                        Err(error) => return self.recover(error),
                    }
                }
                Err(error) => return self.recover(error),
            }
        }
    }

    fn take(&mut self) -> Read {
        let Some(now) = self.now() else { return Read::Gone };
        let frames = self.filled / self.channels;
        self.filled = 0;
        let at = self.clock.block(now, frames);
        let fresh = Private::new(vec![0; self.samples.expose().len()]);
        Read::Block(Block { at, rate: self.rate, samples: std::mem::replace(&mut self.samples, fresh) })
    }

    /// When the sample after the last one read was heard, by the wall clock.
    fn now(&self) -> Option<Wall> {
        let status = self.pcm.status().ok()?;
        let stamp = status.get_htstamp();
        let micros = i64::from(stamp.tv_sec).checked_mul(1_000_000)?.checked_add(i64::from(stamp.tv_nsec) / 1_000)?;
        let unread = i64::from(status.get_avail()).max(0).checked_mul(1_000_000)? / i64::from(self.rate.max(1));
        (micros > WALL_CLOCK).then(|| Wall::from_micros(micros).plus(-unread))
    }

    /// After an overrun, a suspend or an interruption it goes on; after anything else it is gone.
    fn recover(&mut self, error: alsa::Error) -> Read {
        let is_passing = matches!(error.errno(), libc::EPIPE | libc::ESTRPIPE | libc::EINTR);
        if !is_passing || self.pcm.try_recover(error, true).is_err() || self.pcm.start().is_err() {
            return Read::Gone;
        }
        // What was read of a block is not followed by its rest.
        self.filled = 0;
        self.clock = Clock::new(self.rate);
        Read::Overrun
    }
}

/// Lays blocks on the wall clock.
#[derive(Debug)]
struct Clock {
    rate: u32,
    /// Where the next block begins; and samples since that are not yet a whole microsecond.
    next: Option<Wall>,
    rest: u64,
}

impl Clock {
    const fn new(rate: u32) -> Self {
        Self { rate, next: None, rest: 0 }
    }

    /// Where a block of so many frames began that ended at `now`, as far as the system could tell.
    fn block(&mut self, now: Wall, frames: usize) -> Wall {
        let rate = u64::from(self.rate.max(1));
        let scaled = frames as u64 * 1_000_000 + self.rest;
        let (length, rest) = (i64::try_from(scaled / rate).unwrap_or(i64::MAX), scaled % rate);
        let at = match self.next {
            Some(next) if now.since(next.plus(length)) < LEFT_OUT => {
                next.plus(now.since(next.plus(length)).clamp(-LED_BACK, LED_BACK))
            }
            _ => now.plus(-length),
        };
        (self.next, self.rest) = (Some(at.plus(length)), rest);
        at
    }
}

#[cfg(test)]
mod tests;
