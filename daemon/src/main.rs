//! sotto: hears a contact centre's calls on the spot and says only scores. Here is wiring; the map is `daemon/README.md`.

mod acl;
mod audit;
mod categories;
mod bench;
mod charter;
mod check;
mod command;
mod config;
mod contest;
mod doctor;
mod egress;
mod end;
mod events;
mod load;
mod manual;
mod models;
mod notice;
mod notify;
mod pipeline;
mod pressure;
mod replay;
mod setup;
mod siprec;
mod status;
mod subject;
mod tap;
mod timeline;
mod top;
mod uplink;

use std::process::ExitCode;

use clap::Parser as _;

use crate::command::Arguments;
use crate::end::End;

fn main() -> ExitCode {
    // Usage errors leave here with exit 2.
    let (why, code) = match Arguments::parse().run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(End::No(why)) => (why, 1),
        Err(End::BadConfiguration(why)) => (why, 78),
    };
    if !why.is_empty() {
        eprintln!("sotto: {why}");
    }
    ExitCode::from(code)
}
