//! Setup writes a configuration that holds, the same one again changes nothing, and what an admin wrote is not written over.

use std::path::Path;
use std::process::{Command, Output};

use sotto_tests::process::{repository, run, sotto};
use tempfile::TempDir;

/// A machine's files, beneath a folder, as the package leaves them.
fn machine() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc/sotto");
    std::fs::create_dir_all(folder.join("conf.d")).unwrap();
    for name in ["sotto.toml", "charter.toml"] {
        std::fs::copy(repository().join("packaging/config").join(name), folder.join(name)).unwrap();
    }
    root
}

fn setup(root: &Path, flags: &[&str]) -> Output {
    let mut command: Command = sotto().unwrap();
    command.args(["setup", "--non-interactive", "--root"]).arg(root);
    run(command.args(["--site", "harbor", "--node", "rec-1", "--broker", "mqtt://127.0.0.1:1883", "--agents", "sip:1???@*=billing"]).args(flags)).unwrap()
}

fn check(root: &Path) -> serde_json::Value {
    let folder = root.join("etc/sotto");
    let mut command = sotto().unwrap();
    command.arg("--config").arg(folder.join("sotto.toml")).arg("--charter").arg(folder.join("charter.toml"));
    let output = run(command.args(["check", "--json"])).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn flags_alone_make_a_configuration_that_holds_and_twice_is_once() {
    let root = machine();
    let mirror = ["--interface", "eth7", "--apart"];
    let output = setup(root.path(), &mirror);
    assert!(output.status.success(), "{}", text(&output));
    let report = check(root.path());
    assert_eq!((report["site"].as_str(), report["node"].as_str(), report["interface"].as_str()), (Some("harbor"), Some("rec-1"), Some("eth7")));
    assert_eq!((report["broker"].as_str(), report["teams"][0].as_str()), (Some("mqtt://127.0.0.1:1883"), Some("billing")));
    let units = root.path().join("etc/systemd/system");
    let tap = std::fs::read_to_string(units.join("sotto-tap.service.d/50-sotto-setup.conf")).unwrap();
    assert!(tap.contains("BindsTo=sotto-mirror@eth7.service") && tap.contains("NetworkNamespacePath="), "{tap}");
    let uplink = std::fs::read_to_string(units.join("sotto-uplink.service.d/50-sotto-setup.conf")).unwrap();
    assert!(uplink.contains("IPAddressDeny=any") && uplink.contains("127.0.0.1"), "{uplink}");

    let own = root.path().join("etc/sotto/conf.d/10-site.toml");
    let (before, at) = (std::fs::read(&own).unwrap(), std::fs::metadata(&own).unwrap().modified().unwrap());
    let again = setup(root.path(), &mirror);
    assert!(again.status.success() && text(&again).contains("nothing was written"), "{}", text(&again));
    assert_eq!((std::fs::read(&own).unwrap(), std::fs::metadata(&own).unwrap().modified().unwrap()), (before, at));

    // Another source: the mirror's drop-in goes, and the key that only mirrors have does too.
    let output = setup(root.path(), &["--siprec", "192.0.2.10", "--siprec", "198.51.100.0/24"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(check(root.path())["siprec"].is_array());
    assert!(!units.join("sotto-tap.service.d/50-sotto-setup.conf").exists());
    let siprec = std::fs::read_to_string(units.join("sotto-siprec.service.d/50-sotto-setup.conf")).unwrap();
    assert!(siprec.contains("IPAddressAllow=192.0.2.10 198.51.100.0/24"), "{siprec}");
}

#[test]
fn what_was_changed_by_hand_is_left_and_an_admins_own_file_is_laid_over_setups() {
    let root = machine();
    assert!(setup(root.path(), &["--interface", "eth7", "--together"]).status.success());
    let own = root.path().join("etc/sotto/conf.d/10-site.toml");
    let by_hand = std::fs::read_to_string(&own).unwrap().replace("eth7", "eth8");
    std::fs::write(&own, &by_hand).unwrap();
    let refused = setup(root.path(), &["--interface", "eth9", "--together"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("changed by hand") && std::fs::read_to_string(&own).unwrap() == by_hand);
    assert!(setup(root.path(), &["--interface", "eth9", "--together", "--overwrite"]).status.success());
    assert_eq!(check(root.path())["interface"], "eth9");
    std::fs::write(root.path().join("etc/sotto/conf.d/50-ours.toml"), "[site]\nid = \"quay\"\nnode = \"b\"\n").unwrap();
    assert!(setup(root.path(), &["--interface", "eth9", "--together"]).status.success());
    assert_eq!(check(root.path())["site"], "quay");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    for flags in [&["--interface", "eth7", "--site", "Not A Name"][..], &["--interface", "eth7", "--broker", "mqtt://elsewhere.example"], &["--siprec", "nobody"], &["--together"]] {
        let root = machine();
        let mut command = sotto().unwrap();
        command.args(["setup", "--non-interactive", "--root"]).arg(root.path()).args(flags);
        let output = run(&mut command).unwrap();
        assert_eq!(output.status.code(), Some(78), "{flags:?}: {}", text(&output));
        assert_eq!(std::fs::read_dir(root.path().join("etc/sotto/conf.d")).unwrap().count(), 0, "{flags:?}");
        assert!(!root.path().join("etc/systemd").exists(), "{flags:?}");
    }
}
