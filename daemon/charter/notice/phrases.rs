//! The words for what is measured, in both languages, for people who do not measure.

use crate::agreement::Group;
use crate::people::Language;
use crate::profile::Profile;

/// Chooses between a text in English and one in German.
#[derive(Clone, Copy)]
pub(super) struct Tongue(pub(super) Language);

impl Tongue {
    pub(super) const fn t(self, english: &'static str, german: &'static str) -> &'static str {
        match self.0 {
            Language::English => english,
            Language::German => german,
        }
    }

    pub(super) fn f(self, english: String, german: String) -> String {
        match self.0 {
            Language::English => english,
            Language::German => german,
        }
    }
}

/// A metric in plain words.
pub(super) struct GroupWords {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// What detail adds; empty where there is none.
    pub(super) detail: &'static str,
}

pub(super) fn group(group: Group, say: Tongue) -> GroupWords {
    let (name, what, detail) = match group {
        Group::TalkBalance => (
            say.t("Who talks how much", "Wer wie viel spricht"),
            say.t("How long the agent and the customer talk in a call.", "Wie lange Agent und Kunde in einem Gespräch sprechen."),
            say.t("Also how fast both speak, and the agent's longest stretch without a pause.", "Auch, wie schnell beide sprechen, und die längste Zeit am Stück, die der Agent spricht."),
        ),
        Group::Interruptions => (
            say.t("Cutting in", "Ins Wort fallen"),
            say.t("How often one cuts in on the other. A short \"mhm\" does not count.", "Wie oft einer dem anderen ins Wort fällt. Ein kurzes „mhm“ zählt nicht."),
            say.t("Also how long both talk at once.", "Auch, wie lange beide zugleich sprechen."),
        ),
        Group::Silence => (
            say.t("Silence", "Stille"),
            say.t("How long nobody talks, in gaps of more than three seconds. It belongs to the call, not to a person: often a system is slow.", "Wie lange niemand spricht, in Pausen über drei Sekunden. Das gehört zum Gespräch, nicht zu einer Person: oft ist ein System langsam."),
            say.t("Also how many such gaps there are.", "Auch, wie viele solche Pausen es gibt."),
        ),
        Group::SentimentCustomer => (
            say.t("How the customer's words sound", "Wie die Worte des Kunden klingen"),
            say.t("Whether the customer's words are rather content or rather upset. Never the agent's.", "Ob die Worte des Kunden eher zufrieden oder eher verärgert sind. Nie die des Agenten."),
            say.t("Also how that changes in the course of the call.", "Auch, wie sich das im Lauf des Gesprächs ändert."),
        ),
        Group::ToneCustomer => (
            say.t("How the customer's voice sounds", "Wie die Stimme des Kunden klingt"),
            say.t("Whether the customer's voice grows calmer or more excited. Only of customers who said yes in the call. Never the agent's.", "Ob die Stimme des Kunden ruhiger oder erregter wird. Nur bei Kunden, die im Gespräch Ja gesagt haben. Nie die des Agenten."),
            say.t("Also in which direction it changes.", "Auch, in welche Richtung es sich ändert."),
        ),
        Group::DeliveryAgent => (
            say.t("How loud the headset is", "Wie laut das Headset ist"),
            say.t("Whether the agent can be heard well: too quiet, right, too loud. It is about the headset.", "Ob man den Agenten gut hört: zu leise, richtig, zu laut. Es geht um das Headset."),
            say.t("Also how fast and how lively the agent speaks.", "Auch, wie schnell und wie lebhaft der Agent spricht."),
        ),
        Group::Keywords => (
            say.t("Topics", "Themen"),
            say.t("Whether words of agreed lists came up, yes or no. Which words it was is not kept.", "Ob Wörter aus vereinbarten Listen vorkamen, ja oder nein. Welche es waren, wird nicht behalten."),
            say.t("Also how many steps of the agreed playbook came up.", "Auch, wie viele Schritte des vereinbarten Ablaufs vorkamen."),
        ),
        Group::Resolution => (
            say.t("Was it settled", "Wurde es geklärt"),
            say.t("Whether the customer's matter was settled in the call: yes, no, or not known.", "Ob das Anliegen im Gespräch geklärt wurde: ja, nein oder nicht bekannt."),
            say.t("Also whether somebody had called before about it.", "Auch, ob deswegen schon einmal angerufen wurde."),
        ),
        Group::Sensitive => (
            say.t("Sensitive things said aloud", "Heikles, das laut gesagt wurde"),
            say.t("How often a card number, an illness or an identity number was said aloud. What was said is wiped first.", "Wie oft eine Kartennummer, eine Krankheit oder eine Ausweisnummer laut gesagt wurde. Das Gesagte wird vorher gelöscht."),
            "",
        ),
    };
    GroupWords { name, what, detail }
}

pub(super) const fn place(profile: Profile, say: Tongue) -> &'static str {
    match profile {
        Profile::Strict => say.t("the strictest of all", "die strengsten von allen"),
        Profile::Eu => say.t("European Union", "Europäische Union"),
        Profile::Uk => say.t("United Kingdom", "Vereinigtes Königreich"),
        Profile::UsAllParty => say.t("US states with all-party consent", "US-Staaten mit Zustimmung aller"),
        Profile::UsOneParty => say.t("US states with one-party consent", "US-Staaten mit Zustimmung eines Teils"),
    }
}
