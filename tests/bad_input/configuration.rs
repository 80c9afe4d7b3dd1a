//! Configuration, charter and models that are not what they should be: exit 78, the file, the line, the rule.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use sotto_tests::process::skip;
use sotto_tests::site::{CHARTER, CHARTER_WITHOUT_SOUND, Places, Site, config, has_pack, packs};

use crate::{calls, quick_site, refused, replay};

#[test]
fn a_wrong_configuration_is_named_with_its_line() {
    let good = config(Some("eth1"), Some("mqtt://127.0.0.1:1883"));
    let line_of = |text: &str, what: &str| 1 + text.lines().position(|line| line.contains(what)).unwrap();
    for (from, to, said) in [
        ("node =", "knot =", "knot"),
        ("[models]", "[moduls]", "moduls"),
        ("interface =", "interfaces =", "interfaces"),
        ("broker =", "brokers =", "brokers"),
        ("team =", "teem =", "teem"),
        ("[models]", "[models]\nflavour = 1", "flavour"),
        ("[capture]", "[capture]\nsnapshot = 1", "snapshot"),
        ("[uplink]", "[uplink]\npassword = \"x\"", "password"),
        ("source = \"mirror\"", "source = \"telepathy\"", "telepathy"),
        ("id = \"harbor\"", "id = 7", "string"),
        ("[[agents]]", "[agents", ""),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good);
        let site = Site::new(&text, CHARTER_WITHOUT_SOUND).unwrap();
        let place = format!("sotto.toml:{}: ", line_of(&text, to.lines().last().unwrap()));
        for command in [["check"].as_slice(), &["uplink"], &["tap"], &["replay", "x.pcap"]] {
            let why = refused(78, site.sotto().unwrap().args(command));
            assert!(why.contains(&place) && why.contains(said), "{to}: {why}");
        }
    }
    for (text, said) in [
        ("", "[site]"),
        ("[site]\nid = \"har/bor\"\nnode = \"rec-1\"\n", "[site] id"),
        ("[site]\nid = \"harbor\"\nnode = \"rec+1\"\n", "[site] node"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[[agents]]\nmatch = \"*\"\nteam = \"a team\"\n", "team"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[uplink]\nbroker = \"mqtt://broker.example:1883\"\n", "[uplink] broker"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[uplink]\nbroker = \"https://broker.example\"\n", "[uplink] broker"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"mirror\"\nring_mib = 0\n", "[capture] ring_mib"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"mirror\"\nsip_tcp_ports = [\"5080-5060\"]\n", "[capture] sip_tcp_ports"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"mirror\"\ntunnels = [\"l2tp\"]\n", "[capture] tunnels"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"mirror\"\ntunnel_peers = [\"a switch\"]\n", "[capture] tunnel_peers"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"mirror\"\nhep_ports = [0]\n", "[capture] hep_ports"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"mirror\"\nrate = 8000\n", "[capture] device"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"alsa\"\n", "[capture] device"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"alsa\"\ndevice = \"x\"\n", "[capture] channels"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"alsa\"\ndevice = \"x\"\nchannels = \"mixed\"\nrate = 7\n", "[capture] rate"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[capture]\nsource = \"siprec\"\n", "[siprec]"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[siprec]\nallow = []\n", "[siprec] allow"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[siprec]\nallow = [\"192.0.2.1\"]\nrtp_ports = \"9\"\n", "[siprec] rtp_ports"),
        ("[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[siprec]\nallow = [\"192.0.2.1\"]\nlisten = \"nowhere\"\n", "[siprec] listen"),
    ] {
        let site = Site::new(text, CHARTER_WITHOUT_SOUND).unwrap();
        let why = refused(78, site.sotto().unwrap().arg("check"));
        assert!(why.contains(said), "{text}: {why}");
    }
}

#[test]
fn a_configuration_that_is_no_file_of_text_is_named() {
    let site = quick_site();
    let places = site.places().unwrap();
    let binary = sotto_tests::process::sotto_binary().unwrap();
    let noise = site.write("noise.toml", [0xff, 0xfe, 0, 1, 2]).unwrap();
    for (path, said) in [
        (site.path("nowhere.toml"), "No such file"),
        (site.folder().to_owned(), "must be a file"),
        (PathBuf::from("/dev/null"), "must be a file"),
        (PathBuf::from("/dev/zero"), "must be a file"),
        (noise, "UTF-8"),
    ] {
        for places in [Places { config: path.clone(), ..places.clone() }, Places { charter: path.clone(), ..places.clone() }] {
            let why = refused(78, places.command(&binary).arg("check"));
            assert!(why.contains(path.to_str().unwrap()) && why.contains(said), "{why}");
        }
    }
    std::fs::create_dir(site.path("conf.d")).unwrap();
    site.write("conf.d/20-more.toml", "\n[site]\nid = \"harbor\"\nnode = \"rec-1\"\nfloor = 7\n").unwrap();
    let why = refused(78, site.sotto().unwrap().arg("check"));
    assert!(why.contains("conf.d/20-more.toml:5: ") && why.contains("floor"), "{why}");
}

#[test]
fn a_charter_that_breaks_a_rule_is_named_with_its_line_and_the_rule() {
    let kpis = "kpis = [\"talk_balance\", \"interruptions\", \"silence\", \"keywords\"]";
    assert!(CHARTER.contains(kpis));
    for (from, to, line, rule) in [
        ("profile = \"uk\"", "profile = \"uk\"\nranking = true", 3, "the charter's format"),
        ("basis = \"legitimate interest\"\nreview_by = \"2099-01-01\"\n[[purpose]]\nmetric = \"interruptions\"", "reason = \"x\"\nreview_by = \"2099-01-01\"\n[[purpose]]\nmetric = \"interruptions\"", 15, "the charter's format"),
        (kpis, "kpis = [\"talk_balance\", \"interruptions\", \"silence\", \"keywords\", \"sentiment_customer\", \"resolution\"]", 3, "few numbers: at most 5 KPIs"),
        (kpis, "kpis = [\"talk_balance\", \"interruptions\", \"silence\", \"keywords\", \"tone_customer\"]", 3, "nobody signs for a number that does not come"),
        (kpis, "kpis = [\"charm\"]", 3, "the charter's format"),
        ("metric = \"silence\"", "metric = \"sentiment_customer\"", 3, "one stated purpose per metric"),
        ("why = \"See which topics come up\"", "why = \" \"", 29, "purpose limitation"),
        ("profile = \"uk\"", "profile = \"atlantis\"", 2, "the charter's format"),
        ("scores_days = 7", "scores_days = 100000", 11, "storage limitation"),
        ("detail = [\"talk_balance\"]", "detail = [\"talk_balance\"", 5, "the charter's format"),
    ] {
        let text = CHARTER.replacen(from, to, 1);
        assert_ne!(text, CHARTER, "{from}");
        let site = Site::new(&config(None, None), &text).unwrap();
        for command in [["check"].as_slice(), &["replay", "x.pcap"]] {
            let why = refused(78, site.sotto().unwrap().args(command));
            assert!(why.contains(&format!("charter.toml:{line}: ")) && why.contains(rule), "{to}: {why}");
        }
    }
}

#[test]
fn a_model_with_one_byte_changed_is_refused_with_both_hashes() {
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    let site = Site::new(&config(None, None), CHARTER).unwrap();
    let pcap = site.write("call.pcap", calls(1, 200).pcap()).unwrap();
    let models = site.path("models");
    let copy = models.join("en");
    std::fs::create_dir_all(&copy).unwrap();
    let names = ["pack.toml", "vad.gguf", "whisper.gguf", "pii.gguf", "embed.gguf", "sentiment.gguf"];
    let at = |name: &str| copy.join(name);
    let places = Places { models, ..site.places().unwrap() };
    let sotto = |arguments: &[&str]| {
        let mut command = places.command(&sotto_tests::process::sotto_binary().unwrap());
        command.args(arguments);
        command
    };
    let restore = |name: &str| std::fs::copy(packs().unwrap().join("en").join(name), at(name)).unwrap();
    for name in names {
        restore(name);
    }
    assert_eq!(crate::ran(&mut sotto(&["check"])).code, 0);

    for name in &names[1..] {
        let good = std::fs::read(at(name)).unwrap();
        // Its head, its tensors, its end.
        for place in [0, 9, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[place] ^= 0x10;
            std::fs::write(at(name), &bad).unwrap();
            for arguments in [["check"].as_slice(), &["replay", pcap.to_str().unwrap()]] {
                let why = refused(78, &mut sotto(arguments));
                for said in [at(name).to_str().unwrap(), &sha256(&good), &sha256(&bad)] {
                    assert!(why.contains(said), "{name} at {place}: {why}");
                }
            }
        }
        std::fs::write(at(name), &good[..good.len() - 1]).unwrap();
        assert!(refused(78, &mut sotto(&["check"])).contains(at(name).to_str().unwrap()));
        std::fs::remove_file(at(name)).unwrap();
        assert!(refused(78, &mut sotto(&["check"])).contains(at(name).to_str().unwrap()));
        restore(name);
    }
    for manifest in ["", "name = 7", "\u{0}"] {
        std::fs::write(at("pack.toml"), manifest).unwrap();
        assert!(first_line_names(&crate::ran(&mut sotto(&["check"])).err, &at("pack.toml")));
    }
}

fn first_line_names(text: &str, path: &Path) -> bool {
    text.lines().next().is_some_and(|line| line.starts_with("sotto: ") && line.contains(path.to_str().unwrap()))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn commands_that_need_what_is_absent_say_what() {
    let site = quick_site();
    let pcap = site.write("call.pcap", calls(1, 200).pcap()).unwrap();
    assert!(refused(78, site.sotto().unwrap().arg("tap")).contains("[capture] interface is absent"));
    assert!(refused(78, site.sotto().unwrap().arg("uplink")).contains("[uplink] is absent"));
    let places = Places { models: site.path("nowhere"), ..site.places().unwrap() };
    let with_sound = Site::new(&config(None, None), CHARTER).unwrap();
    let places = Places { charter: with_sound.path("charter.toml"), ..places };
    let why = refused(78, places.command(&sotto_tests::process::sotto_binary().unwrap()).arg("replay").arg(&pcap));
    assert!(why.contains("nowhere/en/pack.toml"), "{why}");
    // What needs no model does not ask for one.
    assert_eq!(crate::ran(&mut replay(&site, &pcap)).code, 0);
}
