//! `sotto uplink`: speak.

use std::cell::Cell;

use sotto_charter::Names;
use sotto_report::Fingerprint;
use sotto_spool::{Rights, Spool};
use sotto_uplink::courier::Trust;
use sotto_uplink::{Broker, Config, Credentials, Identity, Roots, Tls, Told};

use crate::End;
use crate::config::{self, Ack, Places, credential};
use crate::events::{Event, say};
use crate::load::{Loaded, entropy, seed};
use crate::notice;
use crate::notify::{self, Watchdog};
use crate::pipeline::wall_millis;
use crate::tap::{Signal, Signals};

/// Runs until SIGTERM or SIGINT; then the broker hears `offline`, and it exits 0. On SIGHUP it reads configuration and charter anew and connects
/// with them; where they do not hold together, it goes on with what it has.
pub(crate) fn run(places: &Places) -> Result<(), End> {
    let mut config = read(places)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(End::no)?;
    runtime.block_on(async {
        let mut signals = Signals::new().map_err(End::no)?;
        loop {
            let spool = Spool::open(&places.spool, entropy()?).map_err(End::no)?;
            if let Some(found) = spool.salvaged() {
                say(&Event::SpoolSalvaged(&found));
            }
            match speak(config, spool, places, &mut signals).await? {
                Some(renewed) => config = renewed,
                None => return Ok(()),
            }
        }
    })
}

/// Speaks until it is told to stop, or until there is another configuration to speak by.
async fn speak(config: Config, spool: Spool, places: &Places, signals: &mut Signals) -> Result<Option<Config>, End> {
    let turns = Cell::new(0);
    let renewed = Cell::new(None);
    notify::ready("speaking");
    let stop = async {
        loop {
            match signals.next().await {
                Signal::Stop => break notify::stopping(),
                Signal::Reload => match read(places) {
                    Ok(config) => {
                        notify::reloading();
                        say(&Event::Reloaded { charter: config.charter, waits: "" });
                        break renewed.set(Some(config));
                    }
                    Err(End::No(why) | End::BadConfiguration(why)) => say(&Event::ReloadRefused { why: &why }),
                },
            }
        }
    };
    let speaking = sotto_uplink::run(config, spool, wall_millis, |event| say(&Event::Uplink(&event)), || turns.set(turns.get() + 1), stop);
    let watching = async {
        let mut watchdog = Watchdog::new(["speaking"]);
        let mut looks = tokio::time::interval(watchdog.period());
        loop {
            looks.tick().await;
            watchdog.look([turns.get()]);
        }
    };
    tokio::select! {
        ended = speaking => ended.map_err(End::no)?,
        () = watching => {}
    }
    Ok(renewed.take())
}

/// Everything that the uplink needs, read and without contradiction.
fn read(places: &Places) -> Result<Config, End> {
    let loaded = Loaded::new(places)?;
    let uplink = loaded.config.uplink.as_ref().ok_or_else(|| End::bad_configuration("[uplink] is absent: name the broker"))?;
    let broker = broker(uplink)?;
    Ok(Config {
        tls: broker.is_encrypted().then(|| tls(uplink)).transpose()?,
        credentials: credentials(uplink)?,
        broker,
        about: loaded.about()?,
        names: Names::of(&loaded.config.site),
        trust: match uplink.ack {
            Ack::Broker => Trust::Broker,
            Ack::Collector => Trust::Collector,
        },
        charter: Fingerprint(loaded.charter.fingerprint()),
        review_day: loaded.charter.review_day(),
        told: Told { notice: notice::texts(places, &loaded), rights: Some(Rights::beside(&places.spool)) },
        version: version(),
        seed: seed()?,
    })
}

/// The broker's address, checked.
pub(crate) fn broker(uplink: &config::Uplink) -> Result<Broker, End> {
    Broker::parse(&uplink.broker, uplink.danger_plaintext).map_err(|error| End::bad_configuration(format!("[uplink] broker: {error}")))
}

fn credentials(uplink: &config::Uplink) -> Result<Option<Credentials>, End> {
    let Some(user) = &uplink.user else { return Ok(None) };
    let password = credential("mqtt-password").map_err(End::bad_configuration)?.ok_or_else(|| {
        End::bad_configuration("[uplink] user is named, but the credential mqtt-password is absent: LoadCredential=mqtt-password:/etc/sotto/credentials/mqtt-password")
    })?;
    let password = String::from_utf8(password).map_err(|_| End::bad_configuration("the credential mqtt-password is not UTF-8"))?;
    Ok(Some(Credentials::new(user.clone(), password.trim_end_matches('\n'))))
}

fn tls(uplink: &config::Uplink) -> Result<Tls, End> {
    let authorities = match &uplink.ca {
        None => None,
        Some(path) => Some(std::fs::read(path).map_err(|error| End::bad_configuration(format!("{}: {error}", path.display())))?),
    };
    let certificate = credential("mqtt-certificate").map_err(End::bad_configuration)?;
    let key = credential("mqtt-key").map_err(End::bad_configuration)?;
    let identity = match (&certificate, &key) {
        (Some(certificates), Some(key)) => Some(Identity { certificates, key }),
        (None, None) => None,
        _ => return Err(End::bad_configuration("the credentials mqtt-certificate and mqtt-key go together: one is absent")),
    };
    Tls::new(authorities.as_deref().map_or(Roots::System, Roots::Pem), identity).map_err(End::bad_configuration)
}

fn version() -> (u16, u16, u16) {
    let part = |text: &str| text.parse().unwrap_or(0);
    (part(env!("CARGO_PKG_VERSION_MAJOR")), part(env!("CARGO_PKG_VERSION_MINOR")), part(env!("CARGO_PKG_VERSION_PATCH")))
}
