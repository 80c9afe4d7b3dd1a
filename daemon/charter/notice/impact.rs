//! The impact assessment (GDPR 35) and instructions for use (AI Act 13), filled from the charter in force.
//!
//! What only the site can know is asked for, and never guessed.

use super::document::{Block, Document, Section};
use super::phrases::{Tongue, group};
use super::{Facts, kept, measured, never, rights, seen_by, whose};
use crate::agreement::{Charter, Group};
use crate::people::Language;

/// Writes it.
#[must_use]
pub fn of(charter: &Charter, facts: &Facts, language: Language) -> Document {
    let say = Tongue(language);
    Document {
        language,
        title: say.t("Data protection impact assessment: sotto", "Datenschutz-Folgenabschätzung: sotto").to_owned(),
        sections: vec![
            asked(say),
            description(charter, facts, say),
            measured(charter, facts, say),
            whose(charter, say),
            necessity(charter, say),
            seen_by(charter, say),
            kept(charter, say),
            risks(charter, say),
            never(charter, say),
            rights(charter, say),
            instructions(charter, facts, say),
            law(charter, say),
        ],
    }
}

fn asked(say: Tongue) -> Section {
    let points = [
        (
            "Which workers and which customers are concerned, and about how many of each.",
            "Welche Beschäftigten und welche Kundinnen und Kunden betroffen sind, und ungefähr wie viele.",
        ),
        ("What the representatives said (GDPR 35(9)), and when.", "Was die Vertretung gesagt hat (DSGVO 35(9)), und wann."),
        ("What the data protection officer advised (GDPR 35(2)).", "Was die datenschutzbeauftragte Stelle geraten hat (DSGVO 35(2))."),
        ("Who may log in to the box and to the broker, and how that is controlled.", "Wer sich am Gerät und am Broker anmelden darf, und wie das geprüft wird."),
        ("Where else the numbers go from the broker, and how long they stay there: the box can only say when they expire.", "Wohin die Zahlen vom Broker aus noch gehen und wie lange sie dort bleiben: das Gerät kann nur sagen, wann sie ablaufen."),
        ("Whether the announcement that the charter names really plays before each of those calls is put through, and in which languages.", "Ob die genannte Ansage wirklich vor jedem dieser Gespräche läuft, und in welchen Sprachen."),
        ("Who decides, and by what day this is looked at again.", "Wer entscheidet, und bis wann dies wieder geprüft wird."),
    ];
    let mut blocks = vec![Block::Text(say.t("The box cannot know the following. Fill it in; without it the assessment is not complete.", "Folgendes kann das Gerät nicht wissen. Bitte ausfüllen; ohne das ist die Abschätzung nicht vollständig.").to_owned())];
    blocks.push(Block::Lines(points.map(|(en, de)| say.t(en, de).to_owned()).to_vec()));
    Section { heading: say.t("To be filled in by the site", "Vom Betrieb auszufüllen").to_owned(), blocks }
}

fn description(charter: &Charter, facts: &Facts, say: Tongue) -> Section {
    let responsible = charter.controller.as_ref().map_or_else(|| say.t("not named", "nicht genannt").to_owned(), |controller| format!("{}, {}", controller.name, controller.contact));
    let entries = vec![
        (say.t("Controller", "Verantwortlich").to_owned(), responsible),
        (say.t("Box", "Gerät").to_owned(), format!("{} / {}, sotto {}, {}", facts.site, facts.node, facts.version, facts.charter)),
        (
            say.t("Flow", "Ablauf").to_owned(),
            say.t(
                "Packets from the mirror port or the session border controller are followed in memory. Where consent is there they are decoded, measured, and wiped. What leaves is listed field by field in a schema: enums, ids and rounded numbers. One program hears and has no network; another has network and cannot hear.",
                "Pakete vom Spiegel-Port oder Session Border Controller werden im Arbeitsspeicher verfolgt. Wo eingewilligt ist, werden sie dekodiert, gemessen und gelöscht. Was hinausgeht, steht Feld für Feld in einem Schema: Aufzählungen, Nummern und gerundete Zahlen. Ein Programm hört und hat kein Netz; ein anderes hat Netz und kann nicht hören.",
            )
            .to_owned(),
        ),
        (say.t("Recipients outside", "Empfänger außerhalb").to_owned(), say.t("none; the box sends to the site's own broker alone and has no way to its maker", "keine; das Gerät sendet nur an den eigenen Broker und hat keinen Weg zum Hersteller").to_owned()),
    ];
    Section { heading: say.t("Description of the processing (GDPR 35(7)(a))", "Beschreibung der Verarbeitung (DSGVO 35(7)(a))").to_owned(), blocks: vec![Block::Entries(entries)] }
}

fn necessity(charter: &Charter, say: Tongue) -> Section {
    let mut points = vec![
        say.f(
            format!("{} of at most 5 metrics; each has one purpose and a day on which it stops unless it is renewed.", charter.kpis.len()),
            format!("{} von höchstens 5 Messgrößen; jede hat einen Zweck und einen Tag, an dem sie ohne Erneuerung aufhört.", charter.kpis.len()),
        ),
        say.f(
            format!("{} % of the calls that consent covers are drawn.", charter.sampling_percent),
            format!("{} % der Gespräche, die die Einwilligung deckt, werden ausgelost.", charter.sampling_percent),
        ),
        say.f(
            format!("Fewer than {} calls make no figure of one person.", charter.minimum_calls),
            format!("Weniger als {} Gespräche ergeben keine Zahl einer Person.", charter.minimum_calls),
        ),
    ];
    for purpose in charter.purposes.iter().filter(|purpose| charter.names(purpose.metric)) {
        points.push(format!("{}: {} ({})", group(purpose.metric, say).name, purpose.why, purpose.basis));
    }
    Section { heading: say.t("Necessity and proportion (GDPR 35(7)(b))", "Notwendigkeit und Verhältnismäßigkeit (DSGVO 35(7)(b))").to_owned(), blocks: vec![Block::Points(points)] }
}

fn risks(charter: &Charter, say: Tongue) -> Section {
    let agents = if charter.names_agents {
        say.t("Supervisors see who the agent was: both sides signed for it. Few metrics, no rank in the schema, a short time of keeping and the right to contest limit what can be made of it.", "Vorgesetzte sehen, wer am Apparat war: beide Seiten haben das unterschrieben. Wenige Größen, keine Rangfolge im Schema, kurze Aufbewahrung und das Recht zu beanstanden begrenzen, was daraus werden kann.")
    } else {
        say.t("Scores carry the team and never the agent. In a team of one or two everybody knows all the same: keep teams at five or more.", "Zahlen tragen das Team und nie die Person. In einem Team von einem oder zweien weiß es trotzdem jeder: Teams sollten fünf oder mehr haben.")
    };
    let entries = [
        (("Control of workers", "Kontrolle von Beschäftigten"), agents),
        (("A wrong number", "Eine falsche Zahl"), say.t("Each number carries its margin and how sure it is; where the sound is bad there is none, with the reason. A contested number is withdrawn at once.", "Jede Zahl trägt ihre Spanne und wie sicher sie ist; bei schlechtem Ton gibt es keine, mit dem Grund. Eine beanstandete Zahl wird sofort zurückgezogen.")),
        (("Sound or words get out", "Ton oder Wörter gelangen hinaus"), say.t("No type that leaves can hold them; the hearing program has no network; memory is not swapped or dumped. A test plants known words and searches everything that comes out.", "Kein Typ, der hinausgeht, kann sie halten; das hörende Programm hat kein Netz; Speicher wird nicht ausgelagert. Ein Test sät bekannte Wörter und sucht sie in allem, was herauskommt.")),
        (("Listening without consent", "Hören ohne Einwilligung"), say.t("Nothing is decoded before the charter's rule says yes, and nothing later. Whether the announcement really plays, only the site can see.", "Nichts wird dekodiert, bevor die Regel Ja sagt, auch nicht später. Ob die Ansage wirklich läuft, kann nur der Betrieb sehen.")),
        (("Unequal errors", "Ungleiche Fehler"), say.t("Speech recognition errs more with accents, dialects and other languages. Compare the share of missing numbers between teams before using any.", "Worterkennung irrt sich öfter bei Akzenten, Dialekten und anderen Sprachen. Vor der Nutzung den Anteil fehlender Zahlen zwischen Teams vergleichen.")),
        (("Health or faith in what is said", "Gesundheit oder Glauben im Gesagten"), say.t("Words are not kept and cannot leave. Word lists of the charter must not ask for such things.", "Wörter werden nicht behalten und können nicht hinaus. Wortlisten der Vereinbarung dürfen nicht danach fragen.")),
    ];
    let entries = entries.map(|((en, de), text)| (say.t(en, de).to_owned(), text.to_owned())).to_vec();
    Section { heading: say.t("Risks and what is done about them (GDPR 35(7)(c) and (d))", "Risiken und Abhilfe (DSGVO 35(7)(c) und (d))").to_owned(), blocks: vec![Block::Entries(entries)] }
}

fn instructions(charter: &Charter, facts: &Facts, say: Tongue) -> Section {
    let mut points = vec![
        say.t("Intended purpose: coaching, and finding faults of one's own systems. Not for pay, discipline, shifts or dismissal.", "Zweck: Unterstützung, und Fehler der eigenen Systeme finden. Nicht für Lohn, Abmahnung, Schichten oder Kündigung.").to_owned(),
        say.t("A person looks before anything follows from a number, and may set it aside.", "Ein Mensch sieht hin, bevor aus einer Zahl etwas folgt, und darf sie verwerfen.").to_owned(),
        say.t("Input: two separate legs of a telephone call. Mixed or unlabelled legs give no number of a person.", "Eingabe: zwei getrennte Seiten eines Telefongesprächs. Gemischte oder unbenannte Seiten ergeben keine Zahl einer Person.").to_owned(),
        say.t("To stop it: systemctl stop sotto-tap. The box keeps no sound that could be heard later.", "Anhalten: systemctl stop sotto-tap. Das Gerät behält keinen Ton, der später gehört werden könnte.").to_owned(),
        say.f(format!("Records without content are kept for {} days (AI Act 12 and 26(6)).", charter.retention.audit_days), format!("Protokolle ohne Inhalt bleiben {} Tage (KI-Verordnung 12 und 26(6)).", charter.retention.audit_days)),
    ];
    for (metric, confidence) in facts.confidence.iter().filter(|(metric, _)| charter.names(*metric)) {
        points.push(say.f(
            format!("{}: {:.0} % of test values within the margin given (scripted calls, clean, and with noise and 3 % loss).", group(*metric, say).name, confidence * 100.0),
            format!("{}: {:.0} % der Testwerte innerhalb der genannten Spanne (gestellte Gespräche, sauber und mit Rauschen und 3 % Verlust).", group(*metric, say).name, confidence * 100.0),
        ));
    }
    if charter.names(Group::ToneCustomer) || charter.names(Group::SentimentCustomer) {
        points.push(say.t("Customers must be told that their words or voice are judged (AI Act 50(3)).", "Kundinnen und Kunden müssen erfahren, dass Worte oder Stimme bewertet werden (KI-Verordnung 50(3)).").to_owned());
    }
    Section { heading: say.t("Instructions for use (AI Act 13)", "Gebrauchsanweisung (KI-Verordnung 13)").to_owned(), blocks: vec![Block::Points(points)] }
}

/// The rules that the box holds the charter to.
fn law(charter: &Charter, say: Tongue) -> Section {
    let entries = charter.profile.rules(&charter.places).map(|rule| (rule.row.to_owned(), format!("{} ({})", rule.says, rule.source))).collect();
    Section { heading: say.t("Rules that the box holds the charter to", "Regeln, an die das Gerät die Vereinbarung bindet").to_owned(), blocks: vec![Block::Entries(entries)] }
}
