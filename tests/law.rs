//! The table of law in `daemon/charter/README.md`: no row is empty, and every function and test that it names is there.

use std::collections::BTreeSet;

use sotto_charter::RULES;
use sotto_tests::process::repository;

const MARKERS: [&str; 2] = ["<!-- law -->", "<!-- end of law -->"];

/// Cells of each row.
fn rows() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(repository().join("daemon/charter/README.md")).unwrap();
    let (_, rest) = text.split_once(MARKERS[0]).unwrap();
    let (table, _) = rest.split_once(MARKERS[1]).unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| L"));
    lines.map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The files that a cell names, each with the names that follow it up to the next file.
fn named(cell: &str) -> Vec<(String, Vec<String>)> {
    let mut files: Vec<(String, Vec<String>)> = Vec::new();
    for quoted in cell.split('`').skip(1).step_by(2) {
        if quoted.contains('/') {
            files.push((quoted.to_owned(), Vec::new()));
        } else if let Some((_, names)) = files.last_mut() {
            names.push(quoted.to_owned());
        }
    }
    files
}

#[test]
fn every_row_from_l1_to_l20_is_there_and_full() {
    let rows = rows();
    let names: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(names, (1..=20).map(|number| format!("L{number}")).collect::<Vec<_>>());
    for row in &rows {
        assert!(row.len() == 5 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        assert!(!named(&row[2]).is_empty() && !named(&row[3]).is_empty(), "{}: code and test", row[0]);
    }
}

#[test]
fn all_that_the_table_names_is_there() {
    for row in rows() {
        for (cell, what) in [(&row[2], "code"), (&row[3], "test")] {
            for (file, names) in named(cell) {
                let text = std::fs::read_to_string(repository().join(&file)).unwrap_or_else(|error| panic!("{}: {file}: {error}", row[0]));
                for name in names {
                    let is_there = if what == "test" {
                        text.contains(&format!("#[test]\nfn {name}(")) || text.contains(&format!("#[test]\n    fn {name}("))
                    } else {
                        // A function, a rule of the profile, or a key of a unit or message.
                        text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<")) || text.contains(&name)
                    };
                    assert!(is_there, "{}: {file} has no {what} `{name}`", row[0]);
                }
            }
        }
        assert!(named(&row[3]).iter().all(|(_, names)| !names.is_empty()), "{}: a test is named", row[0]);
    }
}

/// Each rule of the profiles is of a row of the table, and says where the law is.
#[test]
fn every_rule_of_the_profiles_has_its_row() {
    let known: BTreeSet<String> = rows().into_iter().map(|row| row[0].clone()).collect();
    for rule in RULES {
        assert!(known.contains(rule.row) && !rule.source.is_empty() && !rule.says.is_empty(), "{rule:?}");
    }
}
