//! Signatures under the charter: the employer's and the representatives' (minisign: Ed25519 over BLAKE2b).
//!
//! A charter that is not signed as the site demands measures nothing; the box goes on with signalling ([`Charter::standing_down`](crate::Charter)).

use std::fmt;

use minisign_verify::{PublicKey, Signature};

/// Who signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The employer; `charter.toml.minisig`.
    Employer,
    /// Those who speak for the employees; `charter.toml.representatives.minisig`.
    Representatives,
}

impl Signer {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Employer, Self::Representatives];

    /// What is added to the charter's file name for the file of the signature.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Employer => "minisig",
            Self::Representatives => "representatives.minisig",
        }
    }

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Employer => "the employer",
            Self::Representatives => "the representatives",
        }
    }
}

/// A public key of a signer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(PublicKey);

/// A text that is no public key of minisign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyError;

impl fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("must be a public key of minisign: the second line of its .pub file")
    }
}

impl std::error::Error for KeyError {}

impl std::str::FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        PublicKey::from_base64(text.trim()).map(Self).map_err(|_| KeyError)
    }
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// It is no signature of minisign.
    Unreadable,
    /// It is one of something else, or by another key.
    Wrong,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unreadable => "no signature of minisign",
            Self::Wrong => "a signature of something else, or by another key",
        })
    }
}

impl std::error::Error for SignatureError {}

impl Key {
    /// Whether `signature`, the content of a signature's file, is this key's under `text`. Signatures of the old form (no prehash) are refused:
    /// minisign has not made them since 2019.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, text: &[u8], signature: &str) -> Result<(), SignatureError> {
        let signature = Signature::decode(signature).map_err(|_| SignatureError::Unreadable)?;
        self.0.verify(text, &signature, false).map_err(|_| SignatureError::Wrong)
    }
}

/// Why a charter does not count as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// The site demands signatures and names no key of this signer.
    NoKey(Signer),
    /// There is no signature of this signer.
    Absent(Signer),
    /// What stands there is no signature of minisign.
    Unreadable(Signer),
    /// It is a signature of something else or by somebody else: the charter was changed, or the key.
    Wrong(Signer),
}

impl fmt::Display for Unsigned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey(signer) => write!(formatter, "[approval] names no key of {}", signer.name()),
            Self::Absent(signer) => write!(formatter, "{} did not sign: charter.toml.{} is absent", signer.name(), signer.suffix()),
            Self::Unreadable(signer) => write!(formatter, "charter.toml.{} is no signature of minisign", signer.suffix()),
            Self::Wrong(signer) => write!(formatter, "{} signed another text: the charter was changed since, or the key is another", signer.name()),
        }
    }
}

/// The keys that the site names, by [`Signer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The employer's.
    pub employer: Option<Key>,
    /// The representatives'.
    pub representatives: Option<Key>,
}

impl Keys {
    /// Whether `text` is signed by both sides. `signatures` are the contents of the signature files, the employer's first.
    ///
    /// # Errors
    /// Which signature does not hold, and why.
    pub fn verify(&self, text: &[u8], signatures: [Option<&str>; 2]) -> Result<(), Unsigned> {
        let keys = [&self.employer, &self.representatives];
        for ((signer, key), signature) in Signer::BOTH.into_iter().zip(keys).zip(signatures) {
            let key = key.as_ref().ok_or(Unsigned::NoKey(signer))?;
            let signature = signature.ok_or(Unsigned::Absent(signer))?;
            key.verify(text, signature).map_err(|error| match error {
                SignatureError::Unreadable => Unsigned::Unreadable(signer),
                SignatureError::Wrong => Unsigned::Wrong(signer),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
