//! From, To and P-Asserted-Identity: the address in them and its tag.

use std::fmt;
use std::net::IpAddr;

use sotto_private::Party;

use super::message::{first_value, parameter, position_outside};

/// A name-addr or addr-spec (RFC 3261 section 20.10) with its tag.
#[derive(Clone, Copy, Default)]
pub struct Address<'a> {
    /// The URI without its parameters and headers.
    pub uri: &'a [u8],
    /// The tag; empty where there is none.
    pub tag: &'a [u8],
    /// The whole URI, with them.
    whole: &'a [u8],
}

impl fmt::Debug for Address<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Address")
    }
}

impl<'a> Address<'a> {
    /// The first of the addresses in the value of a header that may hold several (Contact, P-Asserted-Identity).
    #[must_use]
    pub fn first(value: &'a [u8]) -> Self {
        Self::of(first_value(value))
    }

    /// The address in the value of a header that holds one (From, To, Refer-To); a comma in its display name is no end. What cannot
    /// be read is empty.
    #[must_use]
    pub fn of(value: &'a [u8]) -> Self {
        let value = value.trim_ascii();
        let tag = parameter(value, b"tag").unwrap_or_default();
        let uri = match position_outside(value, b'<') {
            Some(open) => {
                let rest = value.get(open + 1..).unwrap_or_default();
                rest.split(|byte| *byte == b'>').next().unwrap_or_default()
            }
            // A display name that never ends: who knows what of it is the address.
            None if value.first() == Some(&b'"') => b"",
            None => value,
        };
        Self { uri: bare(uri), tag, whole: uri.trim_ascii() }
    }

    /// The user part, as [`Party`] has it: for telephone numbers, the number.
    pub(crate) fn user(&self) -> String {
        user(self.uri)
    }

    /// A parameter of the URI (RFC 3261 section 19.1.1).
    pub(crate) fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        let rest = self.whole.get(self.uri.len()..)?;
        parameter(rest.split(|byte| *byte == b'?').next()?, name)
    }

    /// A header in the URI (RFC 3261 section 19.1.1), with its escapes resolved: `?Replaces=…` of a Refer-To.
    pub(crate) fn header(&self, name: &[u8]) -> Option<Vec<u8>> {
        let rest = self.whole.get(self.uri.len()..)?;
        let question = rest.iter().position(|byte| *byte == b'?')?;
        let headers = rest.get(question + 1..)?;
        headers.split(|byte| *byte == b'&').find_map(|header| {
            let equals = header.iter().position(|byte| *byte == b'=')?;
            let (key, value) = header.split_at(equals);
            key.eq_ignore_ascii_case(name).then(|| unescaped(value.get(1..).unwrap_or_default()))
        })
    }

    /// The host part, where it is an address.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        let at = self.uri.iter().position(|byte| matches!(byte, b'@')).or_else(|| self.uri.iter().position(|byte| *byte == b':'))?;
        let host = self.uri.get(at + 1..)?;
        let host = match host.strip_prefix(b"[") {
            Some(rest) => rest.split(|byte| *byte == b']').next()?,
            None => host.split(|byte| *byte == b':').next()?,
        };
        std::str::from_utf8(host).ok()?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
    }
}

/// Who a party is, by From or To and, where it is there, P-Asserted-Identity (RFC 3325 section 9.1).
pub(crate) fn party(address: &[u8], asserted: Option<&[u8]>) -> Party {
    let asserted = asserted.map(|value| Address::first(value).uri).filter(|uri| !uri.is_empty());
    let text = String::from_utf8_lossy(address);
    let asserted_text = asserted.map(String::from_utf8_lossy);
    Party::new(&text, asserted_text.as_deref(), &user(asserted.unwrap_or(address)))
}

/// A URI without parameters and headers: `sip:1001@pbx.example`.
fn bare(uri: &[u8]) -> &[u8] {
    let uri = uri.trim_ascii();
    // The user part may hold both signs as its own; they end the URI only after it (RFC 3261 section 19.1.1).
    let host = uri.iter().position(|byte| *byte == b'@').map_or(0, |at| at + 1);
    let end = uri.iter().skip(host).position(|byte| matches!(byte, b';' | b'?')).map_or(uri.len(), |end| host + end);
    uri.get(..end).unwrap_or_default().trim_ascii_end()
}

/// The user part, without password and parameters, with its escapes resolved; for `tel:` the number. Empty where there is none.
fn user(uri: &[u8]) -> String {
    let colon = uri.iter().position(|byte| *byte == b':').map_or(0, |colon| colon + 1);
    let (scheme, rest) = uri.split_at(colon);
    let part = match rest.iter().position(|byte| *byte == b'@') {
        Some(at) => rest.get(..at).unwrap_or_default(),
        None if scheme.eq_ignore_ascii_case(b"tel:") => rest,
        None => return String::new(),
    };
    let part = part.split(|byte| matches!(byte, b';' | b':')).next().unwrap_or_default();
    String::from_utf8_lossy(&unescaped(part)).into_owned()
}

/// With `%` and two hexadecimal digits resolved (RFC 3261 section 19.1.2); what is no such thing stays as it is.
fn unescaped(part: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(part.len());
    let mut bytes = part.iter().copied();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = (byte == b'%').then(|| Some((hex(ahead.next()?)?, hex(ahead.next()?)?))).flatten();
        text.push(digits.map_or(byte, |(high, low)| high << 4 | low));
        if digits.is_some() {
            bytes = ahead;
        }
    }
    text
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_tag_are_found_in_every_form() {
        let cases: [(&[u8], &str, &str); 12] = [
            (b"\"A. G. Bell\" <sip:agb@bell-telephone.com> ;tag=a48s", "sip:agb@bell-telephone.com", "a48s"),
            (b"sip:+12125551212@server.phone2net.com;tag=887s", "sip:+12125551212@server.phone2net.com", "887s"),
            (b"<sip:200.57.7.195:55061;user=phone>;tag=GR52RWG346-34", "sip:200.57.7.195:55061", "GR52RWG346-34"),
            (b"\"quoted \\\" ; <x>\" <sip:u;p=1@h;user=phone?a=b>; TAG = 9", "sip:u;p=1@h", "9"),
            (b"<tel:+15551234;phone-context=example.com>", "tel:+15551234", ""),
            (b"Bell, Alexander <sip:a@h>;tag=2", "sip:a@h", "2"),
            (b" sip:a@h ;   tag    = 9", "sip:a@h", "9"),
            (b"\"never closed <sip:a@h>;tag=2", "", ""),
            (b"<sip:[2001:db8::9:1]:5060;lr>", "sip:[2001:db8::9:1]:5060", ""),
            (b"<sip:never closed;tag=1", "sip:never closed", ""),
            (b"sip:a@h;x;tag", "sip:a@h", ""),
            (b"", "", ""),
        ];
        for (value, uri, tag) in cases {
            let address = Address::of(value);
            assert_eq!((String::from_utf8_lossy(address.uri), String::from_utf8_lossy(address.tag)), (uri.into(), tag.into()));
        }
    }

    #[test]
    fn of_several_addresses_the_first_counts() {
        let address = Address::first(b"\"Desk, 2\" <sip:a@h>;q=1, <sip:b@h>;tag=2");
        assert_eq!((address.uri, address.tag), (b"sip:a@h".as_slice(), b"".as_slice()));
    }

    #[test]
    fn a_uri_has_parameters_headers_and_a_host() {
        let address = Address::of(b"<sip:u;p=1@192.0.2.1:5060;method=BYE?Replaces=a%40b%3Bto-tag%3D1&x=y>");
        assert_eq!(address.parameter(b"METHOD"), Some(b"BYE".as_slice()));
        assert_eq!(address.header(b"replaces").as_deref(), Some(b"a@b;to-tag=1".as_slice()));
        assert_eq!((address.header(b"none"), address.parameter(b"p")), (None, None));
        let host = |value: &'static str| Address::of(value.as_bytes()).ip().map(|ip| ip.to_string());
        assert_eq!(host("<sip:u@192.0.2.1:5060>").as_deref(), Some("192.0.2.1"));
        assert_eq!(host("sip:[2001:db8::9:1]:5060").as_deref(), Some("2001:db8::9:1"));
        assert_eq!(host("<sip:u@[::ffff:192.0.2.2]>").as_deref(), Some("192.0.2.2"));
        assert_eq!((host("sip:u@pbx.example"), host("sip:[2001:db8:::1]"), host("")), (None, None, None));
    }

    #[test]
    fn the_identity_that_the_network_vouches_for_counts() {
        let party = party(b"sip:anonymous@anonymous.invalid", Some(b"\"Desk\" <sip:1001@pbx.example;user=phone>, <tel:+15551001>"));
        assert_eq!(party.identity(), "sip:1001@pbx.example");
        assert_eq!(party.user.expose(), "1001");
        assert_eq!(party.address.expose(), "sip:anonymous@anonymous.invalid");
    }

    #[test]
    fn users_are_numbers_where_there_are_numbers() {
        let cases: [(&[u8], &str); 7] = [
            (b"sip:%2B1555@h", "+1555"),
            (b"sip:1555;npdi;isub=2@h", "1555"),
            (b"sip:user:secret@h", "user"),
            (b"tel:+1-555", "+1-555"),
            (b"sip:pbx.example", ""),
            (b"sip:100%@h", "100%"),
            (b"", ""),
        ];
        for (uri, expected) in cases {
            assert_eq!(user(uri), expected);
        }
    }
}
