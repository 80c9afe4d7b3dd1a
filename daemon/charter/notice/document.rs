//! A document of sections, and three ways to set it.

use std::fmt::Write as _;

use crate::people::Language;

/// A document for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its language.
    pub language: Language,
    /// Its title.
    pub title: String,
    /// In order.
    pub sections: Vec<Section>,
}

/// A part with a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// In order.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A list.
    Points(Vec<String>),
    /// Terms and what is said of each.
    Entries(Vec<(String, String)>),
    /// The same, below a title of their own.
    Titled(String, Vec<(String, String)>),
    /// Lines to be filled in by hand.
    Lines(Vec<String>),
}

/// Columns of plain text.
const WIDTH: usize = 76;

impl Document {
    /// Plain text of 76 columns.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}\n{}\n", self.title, "=".repeat(self.title.chars().count()));
        for section in &self.sections {
            let _ = write!(out, "\n{}\n{}\n", section.heading, "-".repeat(section.heading.chars().count()));
            for block in &section.blocks {
                match block {
                    Block::Text(text) => wrap(&mut out, text, "", ""),
                    Block::Points(points) => points.iter().for_each(|point| wrap(&mut out, point, "* ", "  ")),
                    Block::Entries(entries) => entries.iter().for_each(|(term, text)| wrap(&mut out, &format!("{term}: {text}"), "", "    ")),
                    Block::Titled(title, entries) => {
                        let _ = writeln!(out, "\n{title}");
                        entries.iter().for_each(|(term, text)| wrap(&mut out, &format!("{term}: {text}"), "  ", "      "));
                    }
                    Block::Lines(lines) => lines.iter().for_each(|line| {
                        let _ = write!(out, "\n{line}: {}\n", "_".repeat(40));
                    }),
                }
            }
        }
        out
    }

    /// Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n", mark(&self.title));
        for section in &self.sections {
            let _ = write!(out, "\n## {}\n\n", mark(&section.heading));
            for block in &section.blocks {
                match block {
                    Block::Text(text) => {
                        let _ = write!(out, "{}\n\n", mark(text));
                    }
                    Block::Points(points) => points.iter().for_each(|point| {
                        let _ = writeln!(out, "- {}", mark(point));
                    }),
                    Block::Entries(entries) => entries.iter().for_each(|(term, text)| {
                        let _ = writeln!(out, "- **{}:** {}", mark(term), mark(text));
                    }),
                    Block::Titled(title, entries) => {
                        let _ = write!(out, "### {}\n\n", mark(title));
                        entries.iter().for_each(|(term, text)| {
                            let _ = writeln!(out, "- **{}:** {}", mark(term), mark(text));
                        });
                        out.push('\n');
                    }
                    Block::Lines(lines) => lines.iter().for_each(|line| {
                        let _ = write!(out, "{}: {}\n\n", mark(line), "\\_".repeat(40));
                    }),
                }
            }
        }
        out
    }

    /// One page of HTML that needs nothing else: no script, no font, no address on the net.
    #[must_use]
    pub fn html(&self) -> String {
        let title = escape(&self.title);
        let mut out = format!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
            self.language.tag()
        );
        for section in &self.sections {
            let is_form = section.blocks.iter().any(|block| matches!(block, Block::Lines(_)));
            let _ = write!(out, "<section{}>\n<h2>{}</h2>\n", if is_form { " class=\"form\"" } else { "" }, escape(&section.heading));
            for block in &section.blocks {
                match block {
                    Block::Text(text) => {
                        let _ = writeln!(out, "<p>{}</p>", escape(text));
                    }
                    Block::Points(points) => {
                        let items: String = points.iter().map(|point| format!("<li>{}</li>\n", escape(point))).collect();
                        let _ = write!(out, "<ul>\n{items}</ul>\n");
                    }
                    Block::Entries(entries) => out.push_str(&list(entries)),
                    Block::Titled(title, entries) => {
                        let _ = write!(out, "<article>\n<h3>{}</h3>\n{}</article>\n", escape(title), list(entries));
                    }
                    Block::Lines(lines) => lines.iter().for_each(|line| {
                        let _ = writeln!(out, "<p class=\"line\"><span>{}</span></p>", escape(line));
                    }),
                }
            }
            out.push_str("</section>\n");
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}

/// Readable on a phone and on paper; dark where the reader's device is.
const STYLE: &str = "\
:root { color-scheme: light dark; --ink: #1c1c1a; --soft: #5b5b55; --paper: #fdfdfb; --rule: #d9d9d2; --card: #f4f4ef; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececE6; --soft: #a9a9a0; --paper: #191917; --rule: #3a3a36; --card: #232320; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 Georgia, 'Liberation Serif', 'DejaVu Serif', serif; overflow-wrap: break-word; hyphens: auto; }
main { max-width: 42rem; margin: 0 auto; padding: 1.5rem 1.1rem 4rem; }
h1, h2, h3, dt { font-family: system-ui, 'Liberation Sans', 'DejaVu Sans', sans-serif; line-height: 1.25; hyphens: auto; }
h1 { font-size: 1.9rem; margin: 0.5rem 0 1.5rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 0.7rem; padding-top: 0.7rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 0 0 0.5rem; }
p { margin: 0 0 0.8rem; }
ul { margin: 0 0 0.8rem; padding-left: 1.2rem; }
li { margin-bottom: 0.4rem; }
article { background: var(--card); border-radius: 0.5rem; padding: 0.9rem 1rem; margin-bottom: 0.9rem; break-inside: avoid; }
dl { margin: 0; display: grid; grid-template-columns: 9.5rem 1fr; gap: 0.35rem 1rem; }
dt { color: var(--soft); font-size: 0.9rem; padding-top: 0.2rem; }
dd { margin: 0; }
.line { border-bottom: 1px solid var(--ink); height: 3rem; display: flex; align-items: flex-end; }
.line span { color: var(--soft); font-size: 0.9rem; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 0.55rem; } }
@media print { :root { --ink: #000; --soft: #333; --paper: #fff; --rule: #999; --card: #fff; } body { font-size: 10.5pt; } main { max-width: none; padding: 0; } h2 { break-after: avoid; } article { border: 1px solid #999; } .form { break-before: page; } @page { margin: 18mm; } }
";

fn list(entries: &[(String, String)]) -> String {
    let items: String = entries.iter().map(|(term, text)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(term), escape(text))).collect();
    format!("<dl>\n{items}</dl>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What would be Markdown in a site's own words is text.
fn mark(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        if matches!(sign, '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' | '|' | '\\') {
            out.push('\\');
        }
        out.push(sign);
    }
    out
}

fn wrap(out: &mut String, text: &str, first: &str, further: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(line.trim_end());
            out.push('\n');
            line = further.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
}
