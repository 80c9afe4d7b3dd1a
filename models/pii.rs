//! What identifies somebody, or is nobody's business, in what was said.
//!
//! Two look: [`Rampart`], a network that was trained on written text, and the recognisers of [`spoken`](self), rules for what a
//! recogniser of speech writes: numbers as words, read digit by digit, in groups that it split or merged, spelled names,
//! addresses spoken letter by letter. What either finds is found. It errs towards finding: what is blanked in vain costs
//! a word, what is missed may be a card.

mod atoms;
mod health;
mod letters;
mod numbers;
mod rampart;
mod spoken;

use std::fmt;

use crate::error::ModelError;
use crate::gguf::Tensors;
pub use rampart::Rampart;

/// What a span of text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The number of a payment card: 13 to 19 digits, whatever their check digit says.
    Card,
    /// A date of birth, or one that could be.
    DateOfBirth,
    /// A telephone number.
    Phone,
    /// A number that names an account, an order, a house or a person: which, was not said.
    Number,
    /// A name, spelled.
    Spelled,
    /// A condition, a treatment or a drug.
    Health,
    /// A first name.
    GivenName,
    /// A family name.
    Surname,
    /// An e-mail address.
    Email,
    /// An address on the web.
    Url,
    /// A tax number.
    TaxId,
    /// A bank account.
    BankAccount,
    /// A bank's number.
    RoutingNumber,
    /// An identity card or social security number.
    GovernmentId,
    /// A passport.
    Passport,
    /// A driving licence.
    DriversLicense,
    /// A house number.
    BuildingNumber,
    /// A street.
    StreetName,
    /// A flat or a floor.
    SecondaryAddress,
    /// A town.
    City,
    /// A state or province.
    State,
    /// A postcode.
    ZipCode,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Card,
        Self::DateOfBirth,
        Self::Phone,
        Self::Number,
        Self::Spelled,
        Self::Health,
        Self::GivenName,
        Self::Surname,
        Self::Email,
        Self::Url,
        Self::TaxId,
        Self::BankAccount,
        Self::RoutingNumber,
        Self::GovernmentId,
        Self::Passport,
        Self::DriversLicense,
        Self::BuildingNumber,
        Self::StreetName,
        Self::SecondaryAddress,
        Self::City,
        Self::State,
        Self::ZipCode,
    ];

    /// Its name; where Rampart has the kind, as in Rampart's labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Card => "CARD",
            Self::DateOfBirth => "DATE_OF_BIRTH",
            Self::Phone => "PHONE",
            Self::Number => "NUMBER",
            Self::Spelled => "SPELLED",
            Self::Health => "HEALTH",
            Self::GivenName => "GIVEN_NAME",
            Self::Surname => "SURNAME",
            Self::Email => "EMAIL",
            Self::Url => "URL",
            Self::TaxId => "TAX_ID",
            Self::BankAccount => "BANK_ACCOUNT",
            Self::RoutingNumber => "ROUTING_NUMBER",
            Self::GovernmentId => "GOVERNMENT_ID",
            Self::Passport => "PASSPORT",
            Self::DriversLicense => "DRIVERS_LICENSE",
            Self::BuildingNumber => "BUILDING_NUMBER",
            Self::StreetName => "STREET_NAME",
            Self::SecondaryAddress => "SECONDARY_ADDRESS",
            Self::City => "CITY",
            Self::State => "STATE",
            Self::ZipCode => "ZIP_CODE",
        }
    }
}

/// A part of a text that identifies somebody or is nobody's business.
#[derive(Clone, Copy, PartialEq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
    /// Digits that were said in it.
    pub digits: u32,
}

/// Both who look.
#[derive(Debug)]
pub struct Finder {
    rampart: Rampart,
}

impl Finder {
    /// Reads Rampart's weights; the recognisers have none.
    ///
    /// # Errors
    ///
    /// As [`Rampart::load`].
    pub fn load(tensors: &Tensors<'_>) -> Result<Self, ModelError> {
        Ok(Self {
            rampart: Rampart::load(tensors)?,
        })
    }

    /// The spans of what was said in one turn, in their order; they do not overlap. Where both found something, the
    /// recognisers' word counts for its kind, and what Rampart found around it is in the span. Of letters and numbers in words Rampart
    /// knows nothing, and its guesses there are left out.
    ///
    /// # Errors
    ///
    /// A product fails: a bug.
    pub fn find(&self, text: &str) -> Result<Vec<Span>, ModelError> {
        let mut spans = spoken(text);
        let written = self.rampart.find(text)?;
        spans.extend(written.into_iter().filter(|span| spoken::has_written_words(&text[span.start..span.end])));
        spans.sort_by_key(|span| (span.start, span.end));
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut().filter(|last| span.start < last.end) {
                Some(last) => {
                    // The enum's order is the recognisers' first.
                    last.kind = last.kind.min(span.kind);
                    last.end = last.end.max(span.end);
                    last.digits = last.digits.max(span.digits);
                }
                None => merged.push(span),
            }
        }
        Ok(merged)
    }

    /// Rampart alone.
    #[must_use]
    pub fn rampart(&self) -> &Rampart {
        &self.rampart
    }
}

/// What the recognisers alone find, in their order.
#[must_use]
pub fn spoken(text: &str) -> Vec<Span> {
    spoken::find(text)
}

/// What somebody gave away is private: nothing prints it.
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Span")
    }
}
