//! A spool that is none, is damaged, is somebody else's, cannot be written, or has no room left.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sotto_tests::process::{installed, run, skip, sotto_binary};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, Places, Site, config};

use crate::{adds_up, calls, ran, refused};

/// Every command that opens the spool, on this one: refused with exit 1 and its name.
fn refused_by_all(site: &Site, spool: &Path, pcap: &Path, said: &str) {
    let places = Places { spool: spool.to_owned(), ..site.places().unwrap() };
    for arguments in [["status"].as_slice(), &["status", "--json"], &["uplink"], &["replay", "--publish", pcap.to_str().unwrap()]] {
        let why = refused(1, places.command(&sotto_binary().unwrap()).args(arguments));
        assert!(why.contains(spool.to_str().unwrap()) && why.contains(said), "{arguments:?}: {why}");
    }
}

fn site() -> (Site, PathBuf) {
    site_with("")
}

/// With more lines in sotto.toml.
fn site_with(lines: &str) -> (Site, PathBuf) {
    let site = Site::new(&(config(None, Some("mqtt://127.0.0.1:9")) + lines), CHARTER_WITHOUT_SOUND).unwrap();
    let pcap = site.write("call.pcap", calls(2, 200).pcap()).unwrap();
    (site, pcap)
}

fn publish(site: &Site, spool: &Path, pcap: &Path) -> crate::Ran {
    let places = Places { spool: spool.to_owned(), ..site.places().unwrap() };
    ran(places.command(&sotto_binary().unwrap()).args(["replay", "--publish"]).arg(pcap))
}

fn status(site: &Site, spool: &Path) -> Value {
    let places = Places { spool: spool.to_owned(), ..site.places().unwrap() };
    let ran = ran(places.command(&sotto_binary().unwrap()).args(["status", "--json"]));
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err))
}

#[test]
fn what_is_no_spool_is_named_and_left_as_it_is() {
    let (site, pcap) = site();
    assert_eq!(publish(&site, &site.spool(), &pcap).code, 0);
    let good = std::fs::read(site.spool()).unwrap();
    let with = |offset: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        changed
    };
    for (name, content, said) in [
        ("text.db", b"no database at all\n".repeat(500), "no database"),
        // The header's fields of SQLite's file format, section 1.3: the user's version at 60, the application's id at 68.
        ("newer.db", with(60, &99_u32.to_be_bytes()), "schema version 99"),
        ("other.db", with(68, &0x1234_u32.to_be_bytes()), "another program"),
    ] {
        let path = site.write(name, &content).unwrap();
        refused_by_all(&site, &path, &pcap, said);
        assert!(std::fs::read(&path).unwrap() == content, "{name} was changed");
    }
    // What is ours and damaged is put aside, and the box goes on with what could be read; `disk` holds what is lost then.
    for (name, content) in [("half.db", good[..good.len() / 2].to_vec()), ("pages.db", with(4_096, &[0xff; 512]))] {
        let path = site.write(name, &content).unwrap();
        let ran = publish(&site, &path, &pcap);
        assert_eq!(ran.code, 0, "{name}: {}", ran.err);
        assert!(site.path(&format!("{name}-damaged")).exists(), "{name}");
        assert!(status(&site, &path)["calls_seen"].as_u64().unwrap() >= 2, "{name}");
    }
}

#[test]
fn a_spool_that_cannot_be_opened_is_named() {
    let (site, pcap) = site();
    refused_by_all(&site, site.folder(), &pcap, "cannot be opened");
    refused_by_all(&site, &site.path("nowhere/spool.db"), &pcap, "cannot be opened");
    refused_by_all(&site, Path::new("/dev/null"), &pcap, "");
}

#[test]
fn a_spool_that_cannot_be_written_is_named_and_can_still_be_read() {
    let (site, pcap) = site();
    let folder = site.path("readonly");
    std::fs::create_dir(&folder).unwrap();
    let spool = folder.join("spool.db");
    assert_eq!(publish(&site, &spool, &pcap).code, 0);
    let Some(_guard) = read_only(&folder) else { return skip("nothing can be made read-only here: neither a mount nor a mode holds") };
    let why = publish(&site, &spool, &pcap);
    assert_eq!((why.code, why.err.contains(spool.to_str().unwrap())), (1, true), "{}", why.err);
    let fresh = publish(&site, &folder.join("fresh.db"), &pcap);
    assert_eq!((fresh.code, fresh.err.contains("fresh.db")), (1, true), "{}", fresh.err);
}

#[test]
fn a_full_disk_loses_nothing_that_was_committed() {
    let (site, pcap) = site_with("[spool]\nquota_mib = 16\n");
    let folder = site.path("small");
    std::fs::create_dir(&folder).unwrap();
    let Some(_guard) = mount(&["-t", "tmpfs", "-o", "size=7m", "tmpfs"], &folder) else { return skip("no file system can be mounted here") };
    let spool = folder.join("spool.db");
    let published = publish(&site, &spool, &pcap);
    assert_eq!(published.code, 0, "{}", published.err);
    let many = site.write("many.pcap", calls(3_000, 20).pcap()).unwrap();
    // Either the ladder refuses what has no room, or not even that can be written, and it says so.
    let ran = publish(&site, &spool, &many);
    assert!(ran.code == 0 || (ran.code == 1 && ran.err.contains("full")), "{}", ran.err);

    assert!(run(Command::new("mount").args(["-o", "remount,size=64m"]).arg(&folder)).unwrap().status.success());
    let then = status(&site, &spool);
    let (seen, backlog) = (then["calls_seen"].as_u64().unwrap(), then["backlog"].as_u64().unwrap());
    assert!(backlog >= 2 && seen >= backlog && seen <= 3_002 && backlog < 3_002, "{then}");
    let mut ledger = then["ledger"].clone();
    ledger["calls_seen"] = then["calls_seen"].clone();
    adds_up(&ledger);
    // With room again it goes on, with the same ledger.
    assert_eq!(publish(&site, &spool, &pcap).code, 0);
    let now = status(&site, &spool);
    assert_eq!((now["calls_seen"].as_u64(), now["backlog"].as_u64()), (Some(seen + 2), Some(backlog + 2)), "{now}");
    eprintln!("full disk: {seen} calls in the ledger, {backlog} scores kept of 3002");
}

/// Undoes a mount or a mode when it goes.
struct Undo {
    folder: PathBuf,
    is_mount: bool,
}

impl Drop for Undo {
    fn drop(&mut self) {
        if self.is_mount {
            drop(run(Command::new("umount").arg("--lazy").arg(&self.folder)));
        } else {
            drop(std::fs::set_permissions(&self.folder, std::fs::Permissions::from_mode(0o755)));
        }
    }
}

fn mount(what: &[&str], folder: &Path) -> Option<Undo> {
    if !installed("mount") {
        return None;
    }
    let mounted = run(Command::new("mount").args(what).arg(folder)).ok()?.status.success();
    mounted.then(|| Undo { folder: folder.to_owned(), is_mount: true })
}

/// Root may write whatever a file's mode says; a read-only mount holds for everybody.
fn read_only(folder: &Path) -> Option<Undo> {
    let bound = mount(&["--bind", folder.to_str()?], folder);
    if bound.is_some() {
        let remounted = run(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(folder)).ok()?.status.success();
        return bound.filter(|_| remounted);
    }
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o555)).ok()?;
    let undo = Undo { folder: folder.to_owned(), is_mount: false };
    let holds = std::fs::write(folder.join("try"), "").is_err();
    // Without the folder's permission SQLite cannot make its log; the file itself may still be written.
    holds.then_some(undo)
}
