//! `sotto manual`: the manual pages and completions that the package ships, made of what the program itself understands.
//!
//! The pages of the commands come from their own arguments. Those of the two files are the files as they are shipped, which name every key
//! and say what it does; a test holds them against the types that read them.

use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use clap_complete::Shell;
use clap_mangen::roff::{Roff, roman};

use crate::End;

const CONFIG: &str = include_str!("../../packaging/config/sotto.toml");
const CHARTER: &str = include_str!("../../packaging/config/charter.toml");

/// Flags of `sotto manual`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to write man1, man5 and completions.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes them.
pub(crate) fn run(command: clap::Command, arguments: &Arguments) -> Result<(), End> {
    write(command, &arguments.folder).map_err(End::no)
}

fn write(mut command: clap::Command, folder: &Path) -> io::Result<()> {
    let [commands, files, completions] = ["man1", "man5", "completions"].map(|name| folder.join(name));
    for folder in [&commands, &files, &completions] {
        std::fs::create_dir_all(folder)?;
    }
    clap_mangen::generate_to(command.clone(), &commands)?;
    for shell in Shell::value_variants().iter().filter(|shell| matches!(shell, Shell::Bash | Shell::Zsh | Shell::Fish)) {
        clap_complete::generate_to(*shell, &mut command, "sotto", &completions)?;
    }
    let config = page(
        "sotto.toml",
        "where a box hears, and to whom it speaks",
        "Read from /etc/sotto/sotto.toml, with each /etc/sotto/conf.d/*.toml laid over it in the order of their names: a table there takes the place \
         of the one here; [[agents]] and [[lines]] are added. A key that is not known is refused, with its line. \
         Secrets are credentials (/etc/sotto/credentials) and never in this file. After a change: sotto check, then systemctl reload sotto-tap sotto-uplink; [site], [capture], [siprec] and [spool] want a restart.",
        CONFIG,
    );
    std::fs::write(files.join("sotto.toml.5"), config)?;
    let charter = page(
        "sotto-charter.toml",
        "what a site agreed to measure, of whom, and why",
        "Read from /etc/sotto/charter.toml. What it does not name is not computed; before one of its consent rules covers a call, nothing of that call is \
         decoded. A key that is not known, and whatever the profile forbids, is refused, with its line and the rule. sotto check says in words what it comes to.",
        CHARTER,
    );
    std::fs::write(files.join("sotto-charter.toml.5"), charter)
}

/// The manual page of a file.
fn page(name: &str, what: &str, description: &str, shipped: &str) -> String {
    let mut page = Roff::new();
    page.control("TH", [name, "5", "", "sotto", "Files of sotto"]);
    page.control("SH", ["NAME"]).text([roman(format!("{name} - {what}"))]);
    page.control("SH", ["DESCRIPTION"]).text([roman(description)]);
    page.control("SH", ["THE FILE AS IT IS SHIPPED"]).control("nf", []);
    for line in shipped.lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]).text([roman("sotto(1), sotto.toml(5), sotto-charter.toml(5)")]);
    page.render()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Config;

    /// What a table's types call an unknown key: serde names all that it knows.
    fn keys(error: &str) -> BTreeSet<String> {
        error.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    /// Every key that the types know stands in the shipped file, live or as a comment.
    fn documented(shipped: &str, table: &str, error: &str) {
        let known = keys(error);
        assert!(error.contains("unknown field") && !known.is_empty(), "{table}: {error}");
        for key in known {
            let is_there = shipped.lines().map(|line| line.trim_start_matches('#').trim_start()).any(|line| {
                line.starts_with(&format!("{key} =")) || [format!("[{key}]"), format!("[[{key}]]")].iter().any(|header| line.starts_with(header.as_str()))
            });
            // What is seldom right is not suggested; the refusal of a plain broker names it.
            assert!(is_there || key == "danger_plaintext", "{table}: nothing says what {key} is");
        }
    }

    #[test]
    fn the_pages_of_the_files_name_every_key_that_is_read() {
        let folder = std::env::temp_dir().join(format!("sotto-manual-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("sotto.toml");
        for table in ["", "[site]", "[capture]", "[siprec]", "[[agents]]", "[[lines]]", "[models]", "[uplink]", "[charter]"] {
            std::fs::write(&file, format!("{table}\nno_such_key = 1\n")).unwrap();
            documented(CONFIG, table, &Config::load(&file).unwrap_err().to_string());
        }
        std::fs::remove_dir_all(&folder).unwrap();
        let tables = "controller agreement [audience] retention [consent] evidence sampling exclude keys [purpose] [category] [playbook]";
        for table in tables.split(' ').map(|name| format!("[{name}]")).chain([String::new()]) {
            let text = format!("{table}\nno_such_key = 1\n");
            documented(CHARTER, &table, &sotto_charter::Charter::parse(&text).unwrap_err().what);
        }
    }

    #[test]
    fn there_is_a_page_for_each_command_and_file_and_they_read_as_text() {
        let folder = std::env::temp_dir().join(format!("sotto-pages-{}", std::process::id()));
        write(<crate::command::Arguments as clap::CommandFactory>::command(), &folder).unwrap();
        for name in ["man1/sotto.1", "man1/sotto-tap.1", "man1/sotto-check.1", "man5/sotto.toml.5", "man5/sotto-charter.toml.5"] {
            assert!(std::fs::read_to_string(folder.join(name)).unwrap().contains(".SH NAME"), "{name}");
        }
        assert!(!folder.join("man1/sotto-manual.1").exists());
        assert_eq!(std::fs::read_dir(folder.join("completions")).unwrap().count(), 3);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
