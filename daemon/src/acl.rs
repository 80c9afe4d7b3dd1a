//! `sotto acl mosquitto`: the broker's rules, from the charter's audiences. Who is not named reads nothing.

use sotto_charter::{Charter, Output};

use crate::End;
use crate::config::{Config, Places};
use crate::load::{Loaded, fingerprint};

/// Flags of `sotto acl`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// For which broker.
    #[arg(value_enum)]
    broker: Kind,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// An `acl_file` of mosquitto.
    Mosquitto,
}

/// Runs it.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let loaded = Loaded::new(places)?;
    match arguments.broker {
        Kind::Mosquitto => print!("{}", mosquitto(&loaded.config, &loaded.charter)?),
    }
    Ok(())
}

/// mosquitto.conf(5), acl_file: what no line allows is refused.
fn mosquitto(config: &Config, charter: &Charter) -> Result<String, End> {
    let box_user = config.uplink.as_ref().and_then(|uplink| uplink.user.as_deref());
    let mut text = format!(
        "# Made by `sotto acl mosquitto` from the charter {} ({}). Beside it in mosquitto.conf:\n#   allow_anonymous false\n#   password_file ...\n#   acl_file ...\n",
        charter.version,
        fingerprint(&charter.digest)
    );
    let site = &config.site_id;
    match box_user {
        Some(user) => {
            let node = &config.node;
            text += &format!(
                "\n# The box itself writes. It reads what a collector has of it, and its own birth: whether another box uses its name.\nuser {user}\n\
                 topic write sotto/v1/{site}/{node}/#\ntopic read sotto/v1/{site}/{node}/birth\ntopic read sotto-in/v1/{site}/{node}/ack\n"
            );
        }
        None => text += "\n# [uplink] user is absent in sotto.toml: without it the box cannot be told from others.\n",
    }
    for audience in &charter.audiences {
        if Some(audience.name.as_str()) == box_user {
            return Err(End::bad_configuration(format!("audience `{}` has the name of the box's own user: it could write scores", audience.name)));
        }
        text += &format!("\n# {}\nuser {}\n", audience.why, audience.name);
        // Whether the box is there, and what it measures, is everybody's to know.
        let outputs = audience.outputs.iter().copied().chain((!audience.outputs.contains(&Output::Notice)).then_some(Output::Notice));
        for topic in outputs.flat_map(Output::topics) {
            text += &format!("topic read sotto/v1/{site}/+/{topic}\n");
        }
    }
    Ok(text)
}
