//! Agents by marks: keyed hashes of their identity, with a key that stays on the box.

use sha2::{Digest, Sha256};
use sotto_charter::Mark;

/// SHA-256's block, bytes.
const BLOCK: usize = 64;

/// Makes marks with one key. Whoever has a mark and not the key cannot tell whose it is, even by trying every extension.
#[derive(Clone)]
pub struct Pseudonyms {
    key: [u8; 32],
}

impl Pseudonyms {
    /// `key` was drawn at random for this box.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The mark of a party's identity: of its user and host, whatever else the URI says. The first 16 bytes of HMAC-SHA-256.
    #[must_use]
    pub fn mark(&self, identity: &str) -> Mark {
        let hash = hmac(&self.key, canonical(identity).as_bytes());
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash[..16]);
        Mark(mark)
    }
}

/// HMAC-SHA-256 (RFC 2104), for keys of at most a block.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Pseudonyms")
    }
}

/// `sip:1001@pbx.example` for `<SIPS:1001@PBX.example:5061;user=phone>` too: the same agent behind another port is the same.
fn canonical(identity: &str) -> String {
    let bare = identity.trim().trim_start_matches('<').trim_end_matches('>');
    let bare = bare.split([';', '?']).next().unwrap_or_default();
    let bare = bare.split_once(':').filter(|(scheme, _)| matches!(scheme.to_ascii_lowercase().as_str(), "sip" | "sips" | "tel")).map_or(bare, |(_, rest)| rest);
    let (user, host) = bare.rsplit_once('@').map_or((bare, ""), |(user, host)| (user, host));
    let host = host.split_once(':').filter(|_| !host.starts_with('[')).map_or(host, |(host, _)| host);
    format!("{user}@{}", host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_has_one_mark_and_another_key_another() {
        let marks = Pseudonyms::new([7; 32]);
        let mark = marks.mark("sip:1001@pbx.example");
        for same in ["<sips:1001@PBX.example:5061;user=phone>", "1001@pbx.example"] {
            assert_eq!(marks.mark(same), mark, "{same}");
        }
        for other in ["sip:1002@pbx.example", "sip:1001@other.example", ""] {
            assert_ne!(marks.mark(other), mark, "{other}");
        }
        assert_ne!(Pseudonyms::new([8; 32]).mark("sip:1001@pbx.example"), mark);
    }

    /// RFC 4231 section 4.3.
    #[test]
    fn it_is_hmac() {
        let hash = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hash[..8], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]);
        assert_eq!(hash[24..], [0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43]);
    }
}
