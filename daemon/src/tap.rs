//! `sotto tap`: hear.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sotto_capture::{Interface, InterfaceOptions, SoundCard, SoundCardOptions, Source};
use sotto_charter::Names;
use sotto_spool::{Hearer, Rights, Spool};

use crate::End;
use crate::config::{Config, Places};
use crate::events::{Event, say};
use crate::load::{self, Kept, Loaded, Models, entropy, fingerprint, machine, one_thread_a_model};
use crate::notify::{self, Watchdog};
use crate::pipeline::{self, Hearing, Pace, Recording, Renewal, Vital};

/// A quiet sound card says so after this time.
const TIMEOUT: Duration = Duration::from_millis(100);

/// Runs until SIGTERM or SIGINT; then open calls end as interrupted, everything is committed, and it exits 0. On SIGHUP it reads configuration,
/// charter and models anew: what holds together is in force for calls that begin from then on, else everything stays as it is.
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
    let kept = Kept::of(&models, &loaded.config);
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
        let ended = runtime.block_on(watch(signals, &vital, Renewing { places, running: &loaded.config, kept: Some(kept) }, done));
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

/// What is needed to take in a changed charter, configuration or pack while calls run.
struct Renewing<'a> {
    places: &'a Places,
    /// What cannot change while it runs is as it was read at the start.
    running: &'a Config,
    /// Away while somebody works with it.
    kept: Option<Kept>,
}

impl Renewing<'_> {
    /// Reads everything anew, on a thread that may take its time.
    fn begin(&mut self) -> Option<tokio::task::JoinHandle<(Kept, Result<(Loaded, Renewal), End>)>> {
        let (mut kept, places) = (self.kept.take()?, self.places.clone());
        Some(tokio::task::spawn_blocking(move || {
            let renewed = Loaded::new(&places).and_then(|loaded| kept.renew(&places, &loaded).map(|renewal| (loaded, renewal)));
            (kept, renewed)
        }))
    }

    /// What was read comes into force, or everything stays as it was.
    fn end(&mut self, (kept, renewed): (Kept, Result<(Loaded, Renewal), End>), vital: &Vital) {
        self.kept = Some(kept);
        match renewed {
            Ok((loaded, renewal)) => {
                if let Some(unsigned) = &loaded.unsigned {
                    say(&Event::CharterUnsigned(*unsigned));
                }
                say(&Event::Reloaded { charter: fingerprint(&loaded.charter.digest), waits: self.running.waits_for_restart(&loaded.config) });
                vital.renew(renewal);
            }
            Err(End::No(why) | End::BadConfiguration(why)) => say(&Event::ReloadRefused { why: &why }),
        }
        notify::ready("hearing");
    }
}

/// Feeds the watchdog until the pipeline is done; passes the first signal to stop on to it, and takes in what changed on SIGHUP.
async fn watch<T>(mut signals: Signals, vital: &Vital, mut renewing: Renewing<'_>, done: tokio::sync::oneshot::Receiver<T>) -> Option<T> {
    let mut watchdog = Watchdog::new(["capture", "hearing", "recognition", "keeping"]);
    let mut looks = tokio::time::interval(watchdog.period());
    // Files that change while they are read are read once more.
    let (mut reading, mut again) = (None, false);
    tokio::pin!(done);
    loop {
        if again && reading.is_none() {
            again = false;
            notify::reloading();
            reading = renewing.begin();
        }
        tokio::select! {
            ended = &mut done => return ended.ok(),
            read = async { reading.as_mut().expect("it is asked for only where there is one").await }, if reading.is_some() => {
                reading = None;
                match read {
                    Ok(read) => renewing.end(read, vital),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                }
            }
            signal = signals.next() => match signal {
                Signal::Reload => again = true,
                Signal::Stop => {
                    if !vital.stop.swap(true, Ordering::Relaxed) {
                        say(&Event::Stopping);
                        notify::stopping();
                    }
                }
            },
            _ = looks.tick() => if !vital.stop.load(Ordering::Relaxed) { watchdog.look(vital.turns()) },
        }
    }
}

/// What a daemon may be told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
}

/// SIGTERM, SIGINT and SIGHUP.
pub(crate) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    /// Installs the handlers. Must run within a runtime.
    pub(crate) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, hang_up: signal(SignalKind::hangup())? })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}
