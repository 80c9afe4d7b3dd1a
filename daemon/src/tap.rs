//! `sotto tap`: hear.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sotto_capture::{Interface, InterfaceOptions, SoundCard, SoundCardOptions, Source};
use sotto_charter::Names;
use sotto_spool::{Hearer, Rights, Spool};

use crate::End;
use crate::config::Places;
use crate::events::{Event, say};
use crate::load::{self, Loaded, Models, entropy, machine, one_thread_a_model};
use crate::notify::{self, Watchdog};
use crate::pipeline::{self, Hearing, Pace, Recording, Vital};

/// A quiet sound card says so after this time.
const TIMEOUT: Duration = Duration::from_millis(100);

/// Runs until SIGTERM or SIGINT; then open calls end as interrupted, everything is committed, and it exits 0.
pub(crate) fn run(places: &Places) -> Result<(), End> {
    let loaded = Loaded::new(places)?;
    if loaded.config.siprec.is_some() {
        return Err(End::bad_configuration("[capture] source is siprec: `sotto siprec` hears it (systemctl start sotto-siprec)"));
    }
    if let Some(line) = loaded.config.line.clone() {
        return hear(places, &loaded, || {
            let options = SoundCardOptions { channels: line.channels, rate: line.rate, timeout: TIMEOUT };
            let source: Box<dyn Source> = Box::new(SoundCard::open(&line.device, options).map_err(End::no)?);
            Ok((source, None))
        });
    }
    let interface = loaded.config.interface.clone();
    let interface = interface.ok_or_else(|| End::bad_configuration("[capture] interface is absent: name the interface that hears the mirror port"))?;
    hear(places, &loaded, || {
        let usual = InterfaceOptions::default();
        let options = InterfaceOptions {
            ring_bytes: interface.ring_bytes.unwrap_or(usual.ring_bytes),
            sip_ports: interface.sip_ports.unwrap_or(usual.sip_ports),
            trust: loaded.config.trust.clone(),
            ..usual
        };
        let source: Box<dyn Source> = Box::new(Interface::open(&interface.name, options).map_err(End::no)?);
        Ok((source, None))
    })
}

/// Hears a live source until it is told to stop; `open` opens it when the models are loaded and the spool is there.
pub(crate) fn hear(places: &Places, loaded: &Loaded, open: impl FnOnce() -> Result<(Box<dyn Source>, Option<Recording>), End>) -> Result<(), End> {
    one_thread_a_model()?;
    if let Some(unsigned) = &loaded.unsigned {
        say(&Event::CharterUnsigned(*unsigned));
    }
    let models = Models::load(places, loaded)?;
    let mut spool = open_spool(places, loaded)?;
    let people = load::people(places)?;
    let calls_interrupted = spool.interrupt_open_calls().map_err(End::no)?;
    let (source, recording) = open()?;

    let vital = Arc::new(Vital::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::no)?;
    // The handlers must be there before anyone is told that the tap is ready.
    let signals = runtime.block_on(async { Signals::new() }).map_err(End::no)?;
    let site = Arc::new(loaded.config.site.clone());
    let names = Names::of(&site).fingerprint();
    let hearing = Hearing {
        charter: Arc::clone(&loaded.charter),
        site,
        vad: models.vad,
        recogniser: models.recogniser,
        models: models.fingerprint,
        recording,
        pace: Pace::Live,
        seed: load::seed()?,
        rights: Rights::open(&Rights::beside(&places.spool)).map_err(End::no)?,
        register: load::register(&people, &loaded.charter).map_err(End::no)?,
        people: Some(people),
        vital: Arc::clone(&vital),
    };
    let (to_main, done) = tokio::sync::oneshot::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Main waits for this to the end: there is always somebody to hear it.
            drop(to_main.send(pipeline::run(vec![source], hearing, spool, names, |_| {})));
        });
        say(&Event::Ready { calls_interrupted });
        notify::ready("hearing");
        let ended = runtime.block_on(watch(signals, &vital, done));
        match ended {
            Some(Ok((came, _))) => {
                say(&Event::Stopped { calls: came.dialog.calls, turns_shed: came.measure.turns_shed });
                if came.damaged.is_empty() { Ok(()) } else { Err(End::No(String::new())) }
            }
            Some(Err(error)) => {
                say(&Event::SpoolFailed(&error));
                Err(End::No(String::new()))
            }
            None => Err(End::no("the pipeline ended without a word")),
        }
    })
}

/// The spool, for a process that begins calls; what had to be salvaged is said.
pub(crate) fn open_spool(places: &Places, loaded: &Loaded) -> Result<Spool, End> {
    let hearer = Hearer { machine: machine(), quota_bytes: loaded.config.quota_bytes };
    let mut spool = Spool::open_to_hear(&places.spool, entropy()?, hearer).map_err(End::no)?;
    if let Some(found) = spool.salvaged() {
        say(&Event::SpoolSalvaged(&found));
    }
    spool.make_room().map_err(End::no)?;
    Ok(spool)
}

/// Feeds the watchdog until the pipeline is done; passes the first signal on to it.
async fn watch<T>(mut signals: Signals, vital: &Vital, done: tokio::sync::oneshot::Receiver<T>) -> Option<T> {
    let mut watchdog = Watchdog::new(["capture", "hearing", "recognition", "keeping"]);
    let mut looks = tokio::time::interval(watchdog.period());
    tokio::pin!(done);
    loop {
        tokio::select! {
            ended = &mut done => return ended.ok(),
            () = signals.stop() => {
                if !vital.stop.swap(true, Ordering::Relaxed) {
                    say(&Event::Stopping);
                    notify::stopping();
                }
            }
            _ = looks.tick() => if !vital.stop.load(Ordering::Relaxed) { watchdog.look(vital.turns()) },
        }
    }
}

/// SIGTERM and SIGINT.
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Installs the handlers. Must run within a runtime.
    pub(crate) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
