//! A model pack comes in only signed, newer, whole and hearing what it must; else what was in use stays in use, and the way back is one command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sotto_tests::process::{installed, run, skip};
use sotto_tests::site::{CHARTER, Site, config, has_pack, packs};

/// A site with a store of its own, and somebody who signs packs.
struct Packs(Site);

impl Packs {
    /// `None` where there can be none, which is said.
    fn new() -> Option<Self> {
        if !installed("minisign") {
            skip("minisign is not installed");
            return None;
        }
        if !has_pack() {
            skip("the model pack has not been built");
            return None;
        }
        let packs = Self(Site::new(&config(None, None), CHARTER).unwrap());
        let key = packs.key("maker");
        packs.key("stranger");
        packs.0.write("sotto.toml", config(None, None).replace("pack = \"en\"\n", &format!("pack = \"en\"\nsigners = [\"{key}\"]\n"))).unwrap();
        Some(packs)
    }

    fn key(&self, name: &str) -> String {
        let (public, secret) = (self.0.path(&format!("{name}.pub")), self.0.path(&format!("{name}.key")));
        assert!(run(Command::new("minisign").args(["-G", "-f", "-W", "-p"]).arg(&public).arg("-s").arg(secret)).unwrap().status.success());
        fs::read_to_string(public).unwrap().lines().nth(1).unwrap().to_owned()
    }

    fn sign(&self, pack: &Path, name: &str) {
        let mut minisign = Command::new("minisign");
        minisign.args(["-S", "-W", "-s"]).arg(self.0.path(&format!("{name}.key"))).arg("-m").arg(pack.join("pack.toml"));
        assert!(run(&mut minisign).unwrap().status.success());
    }

    /// The built pack under another version, signed by its maker; its files are those of the build.
    fn pack(&self, folder: &str, version: &str) -> PathBuf {
        let (from, to) = (packs().unwrap().join("en"), self.0.path(folder));
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap().flatten() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        let manifest = fs::read_to_string(to.join("pack.toml")).unwrap();
        let built = manifest.lines().find(|line| line.starts_with("version")).unwrap();
        fs::write(to.join("pack.toml"), manifest.replacen(built, &format!("version = \"{version}\""), 1)).unwrap();
        self.sign(&to, "maker");
        to
    }

    fn models(&self, arguments: &[&str]) -> Output {
        let mut sotto = self.0.sotto().unwrap();
        run(sotto.arg("--store").arg(self.0.path("store")).arg("models").args(arguments)).unwrap()
    }

    /// The version in use, as `list` says.
    fn in_use(&self) -> String {
        let output = self.models(&["list", "--json"]);
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        let packs = list["packs"].as_array().unwrap();
        packs.iter().find(|pack| pack["standing"] == "in use").unwrap()["version"].as_str().unwrap().to_owned()
    }

    fn refused(&self, pack: &Path, why: &str) {
        let before = self.in_use();
        let output = self.models(&["install", pack.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why), "{why}: {said}");
        assert_eq!(self.in_use(), before, "{why}");
    }

    fn installed(&self, pack: &Path) {
        let output = self.models(&["install", pack.to_str().unwrap(), "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_is_not_signed_newer_whole_and_hearing_stays_out() {
    let Some(packs) = Packs::new() else { return };
    let unsigned = packs.pack("unsigned", "5.0.0");
    fs::remove_file(unsigned.join("pack.toml.minisig")).unwrap();
    packs.refused(&unsigned, "no signature");
    packs.sign(&unsigned, "stranger");
    packs.refused(&unsigned, "by another key");
    packs.refused(&packs.pack("older", "0.0.1"), "is not newer than");

    let flipped = packs.pack("flipped", "5.0.1");
    let file = flipped.join("vad.gguf");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    packs.refused(&flipped, "vad.gguf: sha256 is");

    // Whole by its hashes, and deaf: half of the weights are nothing.
    let deaf = packs.pack("deaf", "5.0.2");
    let file = deaf.join("whisper.gguf");
    let mut bytes = fs::read(&file).unwrap();
    let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let before = hash(&bytes);
    let from = bytes.len() / 2;
    bytes[from..].fill(0);
    fs::write(&file, &bytes).unwrap();
    let manifest = fs::read_to_string(deaf.join("pack.toml")).unwrap();
    fs::write(deaf.join("pack.toml"), manifest.replace(&before, &hash(&bytes))).unwrap();
    packs.sign(&deaf, "maker");
    packs.refused(&deaf, "fails its trial");
    assert!(!packs.0.path("store/by-digest/.incoming").exists());
}

#[test]
fn a_newer_pack_takes_the_place_of_the_one_in_use_and_gives_it_back() {
    let Some(packs) = Packs::new() else { return };
    let built = packs.in_use();
    let first = packs.pack("first", "5.1.0");
    packs.installed(&first);
    assert_eq!(packs.in_use(), "5.1.0");
    packs.refused(&first, "this very pack is in use");
    packs.installed(&packs.pack("second", "5.10"));
    assert_eq!(packs.in_use(), "5.10.0");
    assert!(packs.models(&["verify", "--json"]).status.success(), "{}", String::from_utf8_lossy(&packs.models(&["verify"]).stdout));
    assert!(packs.models(&["rollback"]).status.success());
    assert_eq!(packs.in_use(), "5.1.0");
    assert!(packs.models(&["rollback"]).status.success());
    assert_eq!(packs.in_use(), built, "the package's own");
    assert_eq!(packs.models(&["rollback"]).status.code(), Some(1));
}

#[test]
fn a_box_hears_with_the_predecessor_where_the_pack_in_use_is_damaged() {
    let Some(packs) = Packs::new() else { return };
    packs.installed(&packs.pack("first", "5.1.0"));
    fs::write(packs.0.path("store/en/whisper.gguf"), b"damaged").unwrap();
    let mut sotto = packs.0.sotto().unwrap();
    let output = run(sotto.arg("--store").arg(packs.0.path("store")).args(["check", "--json"])).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("a model pack is refused, and what was there before it goes on"), "{said}");
}
