//! The notice: what is measured of whom, why, on what basis, who sees it, how long, how sure it is, and what people can do about it.
//!
//! It is made from the charter that is in force, so that it cannot say anything else than what is done. [`of`] writes it as a [`Document`];
//! [`Document::text`], [`Document::markdown`] and [`Document::html`] set it. [`dpia`](impact::of) fills the impact assessment from the same facts.

pub mod document;
pub mod impact;
mod phrases;

use crate::agreement::{Charter, Group};
use crate::consent::{AgentBasis, CustomerBasis};
use crate::people::{Language, Output};
use crate::profile::Profile;
use document::{Block, Document, Section};
use phrases::{Tongue, group};

/// What the notice says beside the charter: of the box that runs it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The site's and the box's name.
    pub site: String,
    /// See `site`.
    pub node: String,
    /// The model pack and its digest, where one is needed.
    pub models: Option<(String, String)>,
    /// For each metric: the probability that a number lies within the margin that it carries, as measured.
    pub confidence: Vec<(Group, f64)>,
    /// Digest of the charter.
    pub charter: String,
    /// The software's version.
    pub version: String,
    /// Whether the charter is signed by both sides; `None` where the site does not ask for it.
    pub is_signed: Option<bool>,
}

/// Writes the notice. With `onboarding` a page follows on which a new colleague confirms to have read it.
#[must_use]
pub fn of(charter: &Charter, facts: &Facts, language: Language, onboarding: bool) -> Document {
    let say = Tongue(language);
    let mut document = Document {
        language,
        title: say.t("What is measured in our calls", "Was in unseren Gesprächen gemessen wird").to_owned(),
        sections: vec![
            in_short(charter, say),
            responsible(charter, facts, say),
            measured(charter, facts, say),
            whose(charter, say),
            never(charter, say),
            seen_by(charter, say),
            kept(charter, say),
            how(charter, facts, say),
            rights(charter, say),
            which(charter, facts, say),
        ],
    };
    if onboarding {
        document.sections.push(receipt(charter, say));
    }
    document
}

fn in_short(charter: &Charter, say: Tongue) -> Section {
    let count = charter.kpis.len();
    let mut blocks = vec![Block::Text(
        say.t(
            "A computer in our own server room listens in while a call runs. It counts a few things and forgets the rest at once. No sound is kept. Nothing that was said is written down. Nothing goes to the internet.",
            "Ein Rechner in unserem eigenen Serverraum hört mit, während ein Gespräch läuft. Er zählt ein paar Dinge und vergisst den Rest sofort. Es wird kein Ton aufbewahrt. Nichts Gesagtes wird aufgeschrieben. Nichts geht ins Internet.",
        )
        .to_owned(),
    )];
    blocks.push(Block::Text(if count == 0 {
        say.t("At present nothing of what is said is measured: only how the line works.", "Zurzeit wird nichts vom Gesagten gemessen: nur, ob die Leitung funktioniert.").to_owned()
    } else {
        say.f(
            format!("At present {count} things are measured. The numbers serve to help people do their work well. They are not marks, and nobody is ranked by them."),
            format!("Zurzeit werden {count} Dinge gemessen. Die Zahlen sollen helfen, gut zu arbeiten. Sie sind keine Noten, und niemand wird danach in eine Rangfolge gebracht."),
        )
    }));
    Section { heading: say.t("In short", "Kurz gesagt").to_owned(), blocks }
}

fn responsible(charter: &Charter, facts: &Facts, say: Tongue) -> Section {
    let mut entries = Vec::new();
    if let Some(controller) = &charter.controller {
        entries.push((say.t("Responsible", "Verantwortlich").to_owned(), controller.name.clone()));
        entries.push((say.t("Questions and requests to", "Fragen und Anträge an").to_owned(), controller.contact.clone()));
        if let Some(officer) = &controller.officer {
            entries.push((say.t("Data protection officer", "Datenschutz").to_owned(), officer.clone()));
        }
        if let Some(reviewer) = &controller.reviewer {
            entries.push((say.t("Reviews contested numbers", "Prüft beanstandete Zahlen").to_owned(), reviewer.clone()));
        }
    }
    if let Some(agreement) = &charter.agreement {
        let until = agreement.until.map_or_else(String::new, |until| say.f(format!(", until {until}"), format!(", bis {until}")));
        entries.push((
            say.t("Agreed in", "Vereinbart in").to_owned(),
            say.f(
                format!("{}, between {}, signed on {}{until}", agreement.name, agreement.parties.join(say.t(" and ", " und ")), agreement.signed),
                format!("{}, zwischen {}, unterschrieben am {}{until}", agreement.name, agreement.parties.join(" und "), agreement.signed),
            ),
        ));
    }
    if let Some(is_signed) = facts.is_signed {
        let text = if is_signed {
            say.t("The box has checked the signatures of both sides.", "Das Gerät hat die Unterschriften beider Seiten geprüft.")
        } else {
            say.t("Not signed by both sides: nothing of what is said is measured.", "Nicht von beiden Seiten unterschrieben: vom Gesagten wird nichts gemessen.")
        };
        entries.push((say.t("Signatures", "Unterschriften").to_owned(), text.to_owned()));
    }
    if entries.is_empty() {
        entries.push((say.t("Responsible", "Verantwortlich").to_owned(), say.t("Not named in the charter.", "In der Vereinbarung nicht genannt.").to_owned()));
    }
    Section { heading: say.t("Who answers for it", "Wer dafür einsteht").to_owned(), blocks: vec![Block::Entries(entries)] }
}

fn measured(charter: &Charter, facts: &Facts, say: Tongue) -> Section {
    let mut blocks = Vec::new();
    for purpose in charter.purposes.iter().filter(|purpose| charter.names(purpose.metric)) {
        let words = group(purpose.metric, say);
        let mut entries = vec![
            (say.t("What", "Was").to_owned(), words.what.to_owned()),
            (say.t("Why", "Warum").to_owned(), purpose.why.clone()),
            (say.t("Allowed by", "Erlaubt durch").to_owned(), purpose.basis.clone()),
            (say.t("Reviewed by", "Geprüft bis").to_owned(), say.f(format!("{}; after that day it stops", purpose.review_by), format!("{}; danach hört es auf", purpose.review_by))),
        ];
        if charter.has_detail(purpose.metric) && !words.detail.is_empty() {
            entries.insert(1, (say.t("In detail", "Im Einzelnen").to_owned(), words.detail.to_owned()));
        }
        if let Some((_, confidence)) = facts.confidence.iter().find(|(group, _)| *group == purpose.metric) {
            let of_ten = (confidence * 10.0).round();
            entries.push((
                say.t("How sure", "Wie sicher").to_owned(),
                say.f(
                    format!("In our tests {of_ten:.0} of 10 numbers were right within the margin that each one carries. The others were not."),
                    format!("In unseren Tests stimmten {of_ten:.0} von 10 Zahlen innerhalb der Spanne, die jede trägt. Die anderen nicht."),
                ),
            ));
        }
        blocks.push(Block::Titled(words.name.to_owned(), entries));
    }
    blocks.push(Block::Titled(
        say.t("The line", "Die Leitung").to_owned(),
        vec![(
            say.t("What", "Was").to_owned(),
            say.t(
                "Of every call: when it began and ended, how long it rang and was on hold, and how well the line carried it. For this nobody's words are listened to.",
                "Von jedem Gespräch: wann es begann und endete, wie lange es klingelte und gehalten wurde, und wie gut die Leitung war. Dafür wird niemandes Gesagtes angehört.",
            )
            .to_owned(),
        )],
    ));
    Section { heading: say.t("What is measured, and why", "Was gemessen wird, und warum").to_owned(), blocks }
}

fn whose(charter: &Charter, say: Tongue) -> Section {
    let mut points = Vec::new();
    for rule in &charter.consent {
        let calls = match (rule.pattern.to_string().as_str(), &rule.trunk) {
            ("*", None) => say.t("Every call", "Jedes Gespräch").to_owned(),
            ("*", Some(trunk)) => say.f(format!("Calls that come by {trunk}"), format!("Gespräche über {trunk}")),
            (pattern, _) => say.f(format!("Calls with numbers {pattern}"), format!("Gespräche mit Nummern {pattern}")),
        };
        let customer = match (rule.customer, &rule.notice) {
            (CustomerBasis::Notice, Some(notice)) => say.f(format!("the announcement {notice} has told the customer"), format!("die Ansage {notice} es der Kundin oder dem Kunden gesagt hat")),
            (CustomerBasis::Notice, None) => say.t("an announcement has told the customer", "eine Ansage es der Kundin oder dem Kunden gesagt hat").to_owned(),
            (CustomerBasis::Given, _) => say.t("the customer has said yes in this very call", "die Kundin oder der Kunde in eben diesem Gespräch Ja gesagt hat").to_owned(),
        };
        let agent = match rule.agent {
            AgentBasis::Agreement => say.t("by the agreement with the representatives", "nach der Vereinbarung mit der Vertretung der Beschäftigten"),
            AgentBasis::Acknowledged => say.t("if the agent has confirmed this very version", "wenn die Agentin oder der Agent eben diese Fassung bestätigt hat"),
        };
        points.push(say.f(format!("{calls}: once {customer}, and {agent}."), format!("{calls}: sobald {customer}, und {agent}.")));
    }
    points.push(if charter.consent.is_empty() {
        say.t("No call: there is no rule that allows it.", "Kein Gespräch: es gibt keine Regel, die es erlaubt.").to_owned()
    } else {
        say.t("No other call. Before the yes nothing is listened to, and nothing of it later.", "Kein anderes Gespräch. Vor dem Ja wird nichts angehört, auch später nicht.").to_owned()
    });
    if charter.sampling_percent < 100 {
        let percent = charter.sampling_percent;
        points.push(say.f(
            format!("Spot checks: of those calls {percent} in 100 are drawn by lot. Nobody can tell which."),
            format!("Stichproben: von diesen Gesprächen werden {percent} von 100 ausgelost. Niemand weiß, welche."),
        ));
    }
    let exclude = &charter.exclude;
    if !exclude.lines.is_empty() {
        let lines = exclude.lines.join(", ");
        points.push(say.f(format!("Never the lines {lines}."), format!("Nie die Leitungen {lines}.")));
    }
    if !exclude.numbers.is_empty() {
        points.push(say.f(format!("Never {} numbers that the charter lists.", exclude.numbers.len()), format!("Nie {} Nummern, die die Vereinbarung nennt.", exclude.numbers.len())));
    }
    if !exclude.agents.is_empty() {
        points.push(say.t("Never the calls of representatives and of those who objected.", "Nie die Gespräche der Vertretung und derer, die widersprochen haben.").to_owned());
    }
    Section { heading: say.t("Whose calls", "Wessen Gespräche").to_owned(), blocks: vec![Block::Points(points)] }
}

fn never(charter: &Charter, say: Tongue) -> Section {
    let mut points = vec![
        say.t("No recording, no transcript, no quotation. The words are gone as soon as they were counted.", "Keine Aufnahme, keine Mitschrift, kein Zitat. Die Wörter sind weg, sobald sie gezählt sind."),
        say.t("No ranking of people, no pass or fail, no timeline of somebody's day.", "Keine Rangfolge von Menschen, kein Bestanden oder Nicht bestanden, kein Verlauf eines Arbeitstags."),
        say.t("No decision about pay, shifts or jobs by these numbers alone.", "Keine Entscheidung über Lohn, Schichten oder Stellen allein nach diesen Zahlen."),
        say.t("Nobody is recognised by the voice.", "Niemand wird an der Stimme erkannt."),
        say.t("Keys that are pressed, such as a card number, are not read.", "Gedrückte Tasten, etwa eine Kartennummer, werden nicht gelesen."),
    ];
    if matches!(charter.profile, Profile::Eu | Profile::Strict) {
        points.push(say.t("Nobody's feelings are read from an agent's voice.", "Aus der Stimme einer Agentin oder eines Agenten werden keine Gefühle gelesen."));
    }
    Section { heading: say.t("What is never done", "Was nie geschieht").to_owned(), blocks: vec![Block::Points(points.into_iter().map(str::to_owned).collect())] }
}

fn seen_by(charter: &Charter, say: Tongue) -> Section {
    let who = |output: Output| match output {
        Output::Scores if charter.names_agents => say.t("the numbers of single calls, with the team and the agent", "die Zahlen einzelner Gespräche, mit Team und Agent"),
        Output::Scores => say.t("the numbers of single calls, with the team and without the agent's name", "die Zahlen einzelner Gespräche, mit dem Team und ohne den Namen der Agentin oder des Agenten"),
        Output::Rollups => say.t("numbers of whole teams of at least five", "Zahlen ganzer Teams von mindestens fünf"),
        Output::Box => say.t("how the box itself is doing", "wie es dem Gerät selbst geht"),
        Output::Notice => say.t("this notice", "diesen Aushang"),
    };
    let mut entries: Vec<_> = charter
        .audiences
        .iter()
        .map(|audience| {
            let outputs: Vec<&str> = audience.outputs.iter().map(|output| who(*output)).collect();
            (audience.name.clone(), format!("{}. {}", outputs.join("; "), audience.why))
        })
        .collect();
    entries.push((
        say.t("Nobody else", "Niemand sonst").to_owned(),
        say.t("Who is not named here has no access. No firm outside has any, nor the maker of the software.", "Wer hier nicht steht, hat keinen Zugang. Keine fremde Firma hat ihn, auch nicht, wer die Software macht.").to_owned(),
    ));
    Section { heading: say.t("Who sees it", "Wer es sieht").to_owned(), blocks: vec![Block::Entries(entries)] }
}

fn kept(charter: &Charter, say: Tongue) -> Section {
    let days = |days: u32| if days == 1 { say.t("1 day", "1 Tag").to_owned() } else { say.f(format!("{days} days"), format!("{days} Tage")) };
    let retention = charter.retention;
    let entries = vec![
        (say.t("Sound and words", "Ton und Wörter").to_owned(), say.t("not kept: seconds, in memory alone", "nicht aufbewahrt: Sekunden, nur im Arbeitsspeicher").to_owned()),
        (say.t("Numbers of a call", "Zahlen eines Gesprächs").to_owned(), days(retention.scores_days)),
        (say.t("Objections to a number", "Beanstandungen").to_owned(), days(retention.contests_days)),
        (say.t("The record of what the box did, without content", "Das Protokoll dessen, was das Gerät tat, ohne Inhalt").to_owned(), days(retention.audit_days)),
    ];
    Section { heading: say.t("How long it is kept", "Wie lange es bleibt").to_owned(), blocks: vec![Block::Entries(entries)] }
}

fn how(charter: &Charter, facts: &Facts, say: Tongue) -> Section {
    let mut points = vec![
        say.t(
            "The box separates the two parties by their telephone lines, never by their voices. If it cannot tell who is who, it gives no number of a person.",
            "Das Gerät trennt die beiden Seiten nach ihren Leitungen, nie nach ihren Stimmen. Kann es nicht sagen, wer wer ist, nennt es keine Zahl einer Person.",
        )
        .to_owned(),
        say.t(
            "Each number says how sure it is. Where the box does not know, it says why and does not guess.",
            "Jede Zahl sagt, wie sicher sie ist. Wo das Gerät etwas nicht weiß, sagt es warum und rät nicht.",
        )
        .to_owned(),
        say.t(
            "The tests were made with scripted calls in English, clean and on bad lines. With accents, dialects and background noise it errs more often.",
            "Geprüft wurde mit gestellten englischen Gesprächen, auf guten und schlechten Leitungen. Bei Akzenten, Dialekten und Lärm irrt es sich öfter.",
        )
        .to_owned(),
    ];
    if let Some((pack, digest)) = &facts.models {
        points.push(if charter.needs_words() {
            say.f(format!("Models: speech detection and speech recognition, pack {pack}, {digest}."), format!("Modelle: Sprach-Erkennung ja/nein und Worterkennung, Paket {pack}, {digest}."))
        } else {
            say.f(format!("Models: speech detection alone, pack {pack}, {digest}. No words are recognised."), format!("Modelle: nur die Erkennung, ob gesprochen wird, Paket {pack}, {digest}. Es werden keine Wörter erkannt."))
        });
    }
    Section { heading: say.t("How the numbers are made", "Wie die Zahlen entstehen").to_owned(), blocks: vec![Block::Points(points)] }
}

fn rights(charter: &Charter, say: Tongue) -> Section {
    let contact = charter.controller.as_ref().map_or_else(|| say.t("the employer", "den Arbeitgeber").to_owned(), |controller| controller.contact.clone());
    let keys = &charter.keys;
    let key = |sequence: &str, en: &str, de: &str| (!sequence.is_empty()).then(|| say.f(en.replace("{}", sequence), de.replace("{}", sequence)));
    let mut points: Vec<String> = [
        key(&keys.objection, "Say no during the call: press {}. What was heard is dropped at once. Both parties can.", "Im Gespräch Nein sagen: {} drücken. Was gehört wurde, wird sofort verworfen. Beide Seiten können das."),
        key(&keys.pause, "Pause during the call: press {}.", "Im Gespräch anhalten: {} drücken."),
        key(&keys.private, "Take a private call out: press {}. Nothing at all is kept of it.", "Ein privates Gespräch herausnehmen: {} drücken. Davon bleibt gar nichts."),
    ]
    .into_iter()
    .flatten()
    .collect();
    points.push(say.f(
        format!("See what is kept about you, have it corrected or deleted: ask {contact}."),
        format!("Sehen, was über Sie gespeichert ist, es berichtigen oder löschen lassen: {contact} fragen."),
    ));
    points.push(say.f(
        format!("Object to being measured, at any time and without giving a reason: tell {contact}."),
        format!("Der Messung widersprechen, jederzeit und ohne Grund: {contact} Bescheid geben."),
    ));
    let reviewer = charter.controller.as_ref().and_then(|controller| controller.reviewer.clone()).unwrap_or_else(|| say.t("a person", "ein Mensch").to_owned());
    points.push(say.f(
        format!("Contest a number: it is withdrawn at once, everywhere, and {reviewer} looks at it. Nobody has to prove anything."),
        format!("Eine Zahl beanstanden: sie wird sofort überall zurückgezogen, und {reviewer} prüft sie. Niemand muss etwas beweisen."),
    ));
    points.push(match charter.profile {
        Profile::Eu | Profile::Strict => say.t("Complain to the data protection authority.", "Sich bei der Datenschutzaufsicht beschweren."),
        Profile::Uk => say.t("Complain to the Information Commissioner's Office.", "Sich beim Information Commissioner's Office beschweren."),
        Profile::UsAllParty | Profile::UsOneParty => say.t("Ask your representatives, or the labor or privacy office of your state.", "Die Vertretung oder die Arbeits- oder Datenschutzbehörde des Bundesstaats fragen."),
    }
    .to_owned());
    Section { heading: say.t("What you can do", "Was Sie tun können").to_owned(), blocks: vec![Block::Points(points)] }
}

fn which(charter: &Charter, facts: &Facts, say: Tongue) -> Section {
    let text = say.f(
        format!("Made by the box {} of {} from the charter that is in force: version {}, {}, rules of: {}. sotto {}.", facts.node, facts.site, charter.version, facts.charter, charter.profile.place(), facts.version),
        format!("Geschrieben vom Gerät {} von {} aus der geltenden Vereinbarung: Fassung {}, {}, Regeln: {}. sotto {}.", facts.node, facts.site, charter.version, facts.charter, phrases::place(charter.profile, say), facts.version),
    );
    Section { heading: say.t("Which version this is", "Welche Fassung das ist").to_owned(), blocks: vec![Block::Text(text)] }
}

/// The page that a new colleague signs.
fn receipt(charter: &Charter, say: Tongue) -> Section {
    Section {
        heading: say.t("Receipt", "Empfangsbestätigung").to_owned(),
        blocks: vec![
            Block::Text(say.f(
                format!("I have read version {} of this notice and could ask questions. By signing I confirm that I know what is measured. I give up no right.", charter.version),
                format!("Ich habe Fassung {} dieses Aushangs gelesen und konnte Fragen stellen. Mit der Unterschrift bestätige ich, dass ich weiß, was gemessen wird. Ich verzichte auf kein Recht.", charter.version),
            )),
            Block::Lines([("Name", "Name"), ("Place and day", "Ort und Tag"), ("Signature", "Unterschrift"), ("Received by", "Entgegengenommen von")].map(|(en, de)| say.t(en, de).to_owned()).to_vec()),
        ],
    }
}

#[cfg(test)]
mod tests;
