//! The import rules of the workspace, held against every manifest: who may use whom, which heavy crate lives where, and what must never
//! come in. The table here is the one of `daemon/README.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use sotto_tests::process::{repository, skip};
use toml::{Table, Value};

/// What a crate may depend on. Lists are separated by commas; a name that ends in `*` stands for all that begin so.
struct Rule {
    /// Its folder, from the root; its package is `sotto-` and the last part (`sotto` for the daemon itself).
    folder: &'static str,
    /// Those of our crates that it may use.
    may_use: &'static str,
    /// The heavy packages that live here and in no crate that does not name them too.
    heavy: &'static str,
    /// The packages that must never come in, though others may have them.
    never: &'static str,
    /// What else it must not do; other tests see to that.
    nor: &'static str,
}

const ALL_BUT_PRIVATE: &str =
    "capture, charter, dialog, models, measure, redact, report, spool, uplink";
const ALL: &str =
    "private, capture, charter, dialog, models, measure, redact, report, spool, uplink, collect, daemon";

/// One row a crate, in the order in which a call flows.
#[rustfmt::skip]
const RULES: [Rule; 13] = [
    //    folder            may use of ours             heavy, here alone               never                    nor
    rule("daemon/private", "",                         "",                             "serde, tracing, tokio", ""),
    rule("daemon/capture", "private",                  "alsa, libc, etherparse, pcap-parser", "serde",                ""),
    rule("daemon/charter", "",                         "",                             "",                      "IO"),
    rule("daemon/dialog",  "private",                  "sdp-types, quick-xml, aes, aes-gcm, ctr, hmac, sha1", "tokio",                 "clocks, sockets, unsafe"),
    rule("models",         "",                         "candle-*, rten-*, realfft",    "tokio",                 ""),
    rule("daemon/measure", "private, charter, models", "opusic-*",                     "serde, tokio",          "IO, clocks"),
    rule("daemon/redact",  "private, charter, report", "",                             "",                      "IO"),
    rule("daemon/report",  "",                         "",                             "",                      "IO"),
    rule("daemon/spool",   "redact, report, charter",  "rusqlite",                     "rumqttc",               ""),
    rule("daemon/uplink",  "spool, report, charter",   "rumqttc, rustls, x509-parser",              "rusqlite",              ""),
    rule("daemon/collect", "report, uplink",           "rumqttc, rusqlite, clap",      "",                      ""),
    rule("daemon",         ALL_BUT_PRIVATE,            "clap, indicatif, ratatui, systemd, tracing", "",                 "parsing, scoring, SQL"),
    rule("tests",          ALL,                        "clap, libc, opusic-*, rusqlite",         "",                      ""),
];

/// All that may stand at the top, besides what is hidden.
const TOP: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "daemon",
    "models",
    "systemd",
    "packaging",
    "tests",
];

/// Where `unsafe` may be written.
const UNSAFE_IN: [&str; 4] = [
    "daemon/capture/packet.rs",
    "daemon/capture/packet/",
    "models/kernels",
    "tests/harness",
];

/// How far above an `unsafe` its SAFETY note may stand, lines.
const SAFETY_WITHIN: usize = 12;

/// The longest that `main.rs` may be, lines.
const LONGEST_MAIN: usize = 120;

/// Around the import table in `daemon/README.md`.
const MARKERS: [&str; 2] = ["<!-- import table -->", "<!-- end of import table -->"];

#[test]
fn members_stand_in_the_order_of_the_flow() {
    let members = root_manifest()["workspace"]["members"].clone();
    let members: Vec<&str> = members
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap())
        .collect();
    assert_eq!(members, RULES.map(|rule| rule.folder));
}

#[test]
fn every_crate_keeps_to_its_row() {
    let shared = root_manifest()["workspace"]["dependencies"]
        .as_table()
        .unwrap()
        .clone();
    let broken: Vec<String> = RULES
        .iter()
        .flat_map(|rule| {
            let manifest = manifest(&repository().join(rule.folder));
            assert_eq!(
                manifest["package"]["name"].as_str(),
                Some(rule.package().as_str()),
                "{}",
                rule.folder
            );
            breaches(rule, &dependencies(&manifest, &shared))
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for rule in &RULES {
        let manifest = manifest(&repository().join(rule.folder));
        let taken = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(Value::as_bool);
        assert_eq!(taken, Some(true), "{}", rule.folder);
    }
}

#[test]
fn nothing_else_stands_at_the_top() {
    let Some(files) = tracked() else {
        return skip("this is no git checkout");
    };
    let top: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.split('/').next())
        .collect();
    let strangers: Vec<&&str> = top
        .iter()
        .filter(|name| !name.starts_with('.') && !TOP.contains(name))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn main_is_a_page() {
    let main = std::fs::read_to_string(repository().join("daemon/src/main.rs")).unwrap();
    let lines = main.lines().count();
    assert!(
        lines <= LONGEST_MAIN,
        "daemon/src/main.rs has {lines} lines"
    );
}

#[test]
fn unsafe_is_where_it_may_be_and_says_why() {
    let mut wrong = Vec::new();
    for file in sources() {
        let text = std::fs::read_to_string(repository().join(&file)).unwrap();
        let allowed = UNSAFE_IN.iter().any(|place| file.starts_with(place));
        let lines: Vec<&str> = text.lines().collect();
        for line in unsafe_lines(&text) {
            let around = &lines[line.saturating_sub(SAFETY_WITHIN)..=line];
            if !allowed {
                wrong.push(format!(
                    "{}:{}: unsafe has no place here",
                    file.display(),
                    line + 1
                ));
            } else if !around
                .iter()
                .any(|line| line.contains("SAFETY") || line.contains("# Safety"))
            {
                wrong.push(format!(
                    "{}:{}: unsafe without a SAFETY note",
                    file.display(),
                    line + 1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_map_shows_this_very_table() {
    let path = repository().join("daemon/README.md");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return skip("daemon/README.md is not there");
    };
    let shown = text
        .split_once(MARKERS[0])
        .and_then(|(_, rest)| rest.split_once(MARKERS[1]))
        .map(|(table, _)| cells(table));
    let expected = table_as_markdown();
    assert_eq!(
        shown,
        Some(cells(&expected)),
        "between {} and {} daemon/README.md should show\n\n{expected}",
        MARKERS[0],
        MARKERS[1]
    );
}

/// The rules themselves can be broken, and that is seen.
#[test]
fn a_breach_is_seen() {
    let shared: Table = "other = { path = 'daemon/private', package = 'sotto-private' }"
        .parse()
        .unwrap();
    let rule = RULES.iter().find(|rule| rule.name() == "uplink").unwrap();
    let found = |manifest: &str| {
        breaches(rule, &dependencies(&manifest.parse().unwrap(), &shared)).join("\n")
    };
    assert_eq!(
        found("[dependencies]\nsotto-spool.workspace = true\nserde = '1'\nrumqttc = '0.25'"),
        ""
    );
    assert!(found("[dependencies]\nsotto-private.workspace = true").contains("sotto-private"));
    assert!(
        found("[dependencies]\nother.workspace = true").contains("sotto-private"),
        "renamed in the root"
    );
    assert!(
        found("[build-dependencies]\nx = { package = 'candle-nn', version = '1' }")
            .contains("candle-nn"),
        "renamed here"
    );
    assert!(found("[dev-dependencies]\nrusqlite = '1'").contains("rusqlite"));
    assert!(found("[target.'cfg(unix)'.dependencies]\ntracing = '1'").contains("tracing"));
    assert!(found("[dependencies]\nrten-new = '1'").contains("rten-new"));
}

#[test]
fn unsafe_is_found_in_code_alone() {
    let text = "// unsafe\n/* unsafe\n*/ let a = \"unsafe\"; let b = '\"'; let c: &'static str = r#\"unsafe \" \"#;\n#![deny(unsafe_code)]\nunsafe { a }\n";
    assert_eq!(unsafe_lines(text), [4]);
}

const fn rule(
    folder: &'static str,
    may_use: &'static str,
    heavy: &'static str,
    never: &'static str,
    nor: &'static str,
) -> Rule {
    Rule {
        folder,
        may_use,
        heavy,
        never,
        nor,
    }
}

impl Rule {
    /// Its name in the lists of the others.
    fn name(&self) -> &'static str {
        self.folder.rsplit('/').next().unwrap_or(self.folder)
    }

    /// Its package.
    fn package(&self) -> String {
        if self.name() == "daemon" {
            "sotto".to_owned()
        } else {
            format!("sotto-{}", self.name())
        }
    }
}

/// Whether a list names it.
fn lists(list: &str, name: &str) -> bool {
    list.split(", ").any(|listed| {
        listed
            .strip_suffix('*')
            .map_or(listed == name, |start| name.starts_with(start))
    })
}

/// What a crate's dependencies break of its rule.
fn breaches(rule: &Rule, dependencies: &BTreeSet<String>) -> Vec<String> {
    dependencies
        .iter()
        .filter_map(|package| {
            let ours = RULES.iter().find(|other| other.package() == *package);
            let heavy = RULES.iter().any(|other| lists(other.heavy, package));
            let why = if ours.is_some_and(|other| !lists(rule.may_use, other.name())) {
                "is not among the crates that it may use"
            } else if heavy && !lists(rule.heavy, package) {
                "is heavy and lives elsewhere"
            } else if lists(rule.never, package) {
                "must never come in here"
            } else {
                return None;
            };
            Some(format!("{}: {package} {why}", rule.package()))
        })
        .collect()
}

/// The packages that a manifest names, by their own names, in every kind of dependency: what a test needs shapes the code as well.
fn dependencies(manifest: &Table, shared: &Table) -> BTreeSet<String> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flatten()
        .filter_map(|(_, target)| target.as_table());
    [manifest]
        .into_iter()
        .chain(targets)
        .flat_map(|table| {
            KINDS
                .into_iter()
                .filter_map(|kind| table.get(kind)?.as_table())
        })
        .flatten()
        .map(|(key, value)| {
            let renamed = |value: &Value| Some(value.get("package")?.as_str()?.to_owned());
            let inherited = value.get("workspace").and_then(|_| shared.get(key));
            renamed(value)
                .or_else(|| inherited.and_then(renamed))
                .unwrap_or_else(|| key.clone())
        })
        .collect()
}

/// The table as `daemon/README.md` shows it.
fn table_as_markdown() -> String {
    let shown = |list: &str| {
        if list.is_empty() {
            "–".to_owned()
        } else {
            list.to_owned()
        }
    };
    let mut text = String::from(
        "| crate | may use of ours | heavy crates, here alone | never |\n|---|---|---|---|\n",
    );
    for rule in RULES.iter().filter(|rule| rule.name() != "tests") {
        let name = if rule.name() == "daemon" {
            "daemon/src"
        } else {
            rule.name()
        };
        let may_use = if rule.may_use == ALL_BUT_PRIVATE {
            "all but private"
        } else {
            rule.may_use
        };
        let never = [rule.never, rule.nor]
            .into_iter()
            .filter(|list| !list.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        text += &format!(
            "| {name} | {} | {} | {} |\n",
            shown(may_use),
            shown(rule.heavy),
            shown(&never)
        );
    }
    text
}

/// A table's cells, row by row, however its columns are padded.
fn cells(table: &str) -> Vec<Vec<String>> {
    let rows = table
        .lines()
        .filter(|line| line.trim_start().starts_with('|') && !line.contains("|---"));
    rows.map(|line| {
        line.trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect()
    })
    .collect()
}

fn root_manifest() -> Table {
    manifest(&repository())
}

fn manifest(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files that git knows, or nothing outside a checkout.
fn tracked() -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(repository())
        .output()
        .ok()?;
    let files = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| files.split_terminator('\0').map(str::to_owned).collect())
}

/// All Rust files of the members, from the root.
fn sources() -> Vec<PathBuf> {
    let root = repository();
    let mut folders: Vec<PathBuf> = ["daemon", "models", "tests"]
        .iter()
        .map(|folder| root.join(folder))
        .collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(&root).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The lines, from 0, where the word `unsafe` is code: not in a comment, a string or a longer name.
fn unsafe_lines(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let is_name = |at: usize| {
        bytes
            .get(at)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    let mut lines = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        at += if rest.starts_with(b"//") {
            rest.iter()
                .position(|&byte| byte == b'\n')
                .unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            rest.windows(2)
                .position(|pair| pair == b"*/")
                .map_or(rest.len(), |end| end + 2)
        } else if rest[0] == b'r' && !(at > 0 && is_name(at - 1)) && raw_string(rest).is_some() {
            raw_string(rest).unwrap_or(1)
        } else if rest[0] == b'"' {
            quoted(rest)
        } else if rest.starts_with(b"'\\") {
            2 + rest[2..]
                .iter()
                .skip(1)
                .position(|&byte| byte == b'\'')
                .map_or(0, |end| end + 2)
        } else if rest[0] == b'\'' && rest.get(2) == Some(&b'\'') {
            3
        } else if rest.starts_with(b"unsafe") && !is_name(at + 6) && !(at > 0 && is_name(at - 1)) {
            lines.push(bytes[..at].iter().filter(|&&byte| byte == b'\n').count());
            6
        } else {
            1
        };
    }
    lines
}

/// The length of the string that `rest` starts with.
fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != b'"' {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of the raw string that `rest` starts with, if it does.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    (rest.get(1 + hashes) == Some(&b'"')).then_some(())?;
    let close: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let start = 2 + hashes;
    Some(
        rest[start..]
            .windows(close.len())
            .position(|window| window == close)
            .map_or(rest.len(), |end| start + end + close.len()),
    )
}
