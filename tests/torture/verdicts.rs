//! What each message of RFC 4475 and RFC 5118 comes to, and why. The class is the RFC's: `valid`, `invalid`, or the layer that it tries.

use sotto_dialog::sip::SipFault;

use super::Fields;

/// What a message comes to.
pub(crate) struct Expected {
    /// The RFC's word for it.
    pub(crate) class: &'static str,
    pub(crate) verdict: Verdict,
    /// The events of the listener, its end left out.
    pub(crate) said: &'static [&'static str],
    pub(crate) why: &'static str,
}

pub(crate) enum Verdict {
    /// It is read; what must be read of it, where the RFC says what it is.
    Read(Option<&'static Fields>),
    Refused(SipFault),
}

pub(crate) const fn read_as(class: &'static str, fields: &'static Fields, said: &'static [&'static str], why: &'static str) -> Expected {
    Expected { class, verdict: Verdict::Read(Some(fields)), said, why }
}

pub(crate) const fn read(class: &'static str, said: &'static [&'static str], why: &'static str) -> Expected {
    Expected { class, verdict: Verdict::Read(None), said, why }
}

pub(crate) const fn refused(class: &'static str, fault: SipFault, why: &'static str) -> Expected {
    Expected { class, verdict: Verdict::Refused(fault), said: &[], why }
}

/// By name, as the RFC's archive has them.
#[rustfmt::skip]
pub(crate) const RFC_4475: &[(&str, Expected)] = &[
    ("badaspec", read("invalid", &[], "space around an address is left away")),
    ("badbranch", read("transaction-layer", &[], "as in RFC 2543, the branch alone does not name a transaction; Call-ID, tags and CSeq do")),
    ("baddate", read("invalid", &["offered"], "Date is not read")),
    ("baddn", refused("invalid", SipFault::Cut, "no empty line ends its headers")),
    ("badinv01", read("invalid", &["offered"], "empty values between commas are stepped over; its 400 will be heard")),
    ("badvers", refused("invalid", SipFault::StartLine, "another protocol")),
    ("bcast", read("application-layer", &["offered", "answered"], "where it goes back to is not for a listener to judge; tags and a description: a call that was running")),
    ("bext01", read("application-layer", &[], "a listener supports everything; its 420 will be heard")),
    ("bigcode", refused("invalid", SipFault::StartLine, "no status code")),
    ("clerr", read("invalid", &["offered"], "the headers are read, the body that is cut is not used; its 400 will be heard")),
    ("cparam01", read("application-layer", &[], "a REGISTER opens nothing")),
    ("cparam02", read("application-layer", &[], "a REGISTER opens nothing")),
    (
        "dblreq",
        read_as(
            "valid",
            &Fields {
                start: ("REGISTER", "sip:example.com"),
                call_id: "dblreq.0ha0isndaksdj99sdfafnl3lk233412",
                cseq: 8,
                from: ("sip:j.user@example.com", "43251j3j324"),
                to: ("sip:j.user@example.com", ""),
                branch: "z9hG4bKkdjuw23492",
                body: Some(0),
            },
            &[],
            "what follows the length is left out of the datagram",
        ),
    ),
    (
        "esc01",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:sips%3Auser%40example.com@example.net"),
                call_id: "esc01.239409asdfakjkn23onasd0-3234",
                cseq: 234234,
                from: ("sip:I%20have%20spaces@example.net", "938"),
                to: ("sip:%75se%72@example.com", ""),
                branch: "z9hG4bKkdjuw",
                body: Some(150),
            },
            &["offered"],
            "escapes stay as they are written; the user part is resolved for matching alone",
        ),
    ),
    (
        "esc02",
        read_as(
            "valid",
            &Fields {
                start: ("RE%47IST%45R", "sip:registrar.example.com"),
                call_id: "esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf",
                cseq: 29344,
                from: ("sip:resource@example.com", "f232jadfj23"),
                to: ("sip:resource@example.com", ""),
                branch: "z9hG4bK209%fzsnel234",
                body: Some(0),
            },
            &[],
            "an escape in a method is no escape",
        ),
    ),
    (
        "escnull",
        read_as(
            "valid",
            &Fields {
                start: ("REGISTER", "sip:example.com"),
                call_id: "escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd",
                cseq: 14398234,
                from: ("sip:null-%00-null@example.com", "839923423"),
                to: ("sip:null-%00-null@example.com", ""),
                branch: "z9hG4bKkdjuw",
                body: Some(0),
            },
            &[],
            "an escaped null is a character like any other",
        ),
    ),
    ("escruri", read("invalid", &["offered"], "headers in the URI change nothing for a listener; its 400 will be heard")),
    ("insuf", refused("application-layer", SipFault::CallId, "without Call-ID, From and To there is no dialog")),
    (
        "intmeth",
        read_as(
            "valid",
            &Fields {
                start: ("!interesting-Method0123456789_*+`.%indeed'~", "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com"),
                call_id: "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
                cseq: 139122385,
                from: ("sip:mundane@example.com", "_token~1'+`*%!-."),
                to: ("sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com", ""),
                branch: "z9hG4bK-.!%66*_+`'~",
                body: Some(0),
            },
            &[],
            "a method of odd signs is a method; no INVITE, so nothing is said",
        ),
    ),
    ("inv2543", read("rfc2543-compat", &["offered"], "no tag, no branch, no length: the body ends with the datagram")),
    ("invut", read("application-layer", &["offered"], "the call is offered, its body is none that is read")),
    (
        "longreq",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:user@example.com"),
                call_id: "longreq.onereallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyreallyre\
                allyreallyreallyreallylongcallid",
                cseq: 3882340,
                from: ("sip:amazinglylongcallernameamazinglylongcallernameamazinglylongcallernameamazinglylongcallernameamazinglylong\
                callername@example.net", "1298298298298298298298298298298298298298298298298298298298298298298298298298298298298298298298298298298298298\
                2982982982982982982982982982982982982982982424"),
                to: ("sip:user@example.com:6000", ""),
                branch: "",
                body: Some(150),
            },
            &["offered"],
            "long, and within the bounds of 8 KiB a header and 128 headers",
        ),
    ),
    ("ltgtruri", read("invalid", &["offered"], "the RFC allows to take the brackets off; To names the called party")),
    (
        "lwsdisp",
        read_as(
            "valid",
            &Fields {
                start: ("OPTIONS", "sip:user@example.com"),
                call_id: "lwsdisp.1234abcd@funky.example.com",
                cseq: 60,
                from: ("sip:caller@example.com", "323"),
                to: ("sip:user@example.com", ""),
                branch: "z9hG4bKkdjuw",
                body: Some(0),
            },
            &[],
            "a display name needs no space before the bracket",
        ),
    ),
    ("lwsruri", read("invalid", &["offered", "answered"], "the words between method and version are the URI; tags on both sides: a call that was running")),
    ("lwsstart", read("invalid", &["offered"], "the RFC allows to read it")),
    ("mcl01", read("application-layer", &[], "two lengths are none: the body is not used")),
    ("mismatch01", refused("invalid", SipFault::CSeq, "two methods: nobody knows which transaction it belongs to")),
    ("mismatch02", refused("invalid", SipFault::CSeq, "two methods: nobody knows which transaction it belongs to")),
    (
        "mpart01",
        read_as(
            "valid",
            &Fields {
                start: ("MESSAGE", "sip:kumiko@example.org"),
                call_id: "3d9485ad0c49859b@Zmx1ZmZ5LW1hYy0xNi5sb2NhbA..",
                cseq: 1,
                from: ("sip:fluffy@example.com", "2fb0dcc9"),
                to: ("sip:kumiko@example.org", ""),
                branch: "z9hG4bK-d87543-4dade06d0bdb11ee-1--d87543-",
                body: Some(553),
            },
            &[],
            "a body of several parts is one body",
        ),
    ),
    ("multi01", refused("application-layer", SipFault::Repeated, "a second name could move the message into another dialog")),
    ("ncl", read("invalid", &["offered"], "a length that is no number says nothing in a datagram; on a stream it is refused")),
    (
        "noreason",
        read_as(
            "valid",
            &Fields {
                start: ("100", ""),
                call_id: "noreason.asndj203insdf99223ndf",
                cseq: 35,
                from: ("sip:user@example.com", "39ansfi3"),
                to: ("sip:user@example.edu", "902jndnke3"),
                branch: "z9hG4bK2398ndaoe",
                body: Some(0),
            },
            &[],
            "nor missed",
        ),
    ),
    ("novelsc", read("application-layer", &[], "whom it goes to is not for a listener to judge")),
    ("quotbal", read("invalid", &["offered"], "nobody knows where the address begins, so the Request-URI names the called party; its 400 will be heard")),
    ("regaut01", read("application-layer", &[], "credentials are not read")),
    ("regbadct", read("invalid", &[], "a REGISTER opens nothing")),
    ("regescrt", read("application-layer", &[], "a REGISTER opens nothing")),
    ("scalar02", refused("invalid", SipFault::CSeq, "a CSeq beyond 32 bits names no transaction")),
    ("scalarlg", refused("invalid", SipFault::CSeq, "a CSeq beyond 32 bits names no transaction")),
    ("sdp01", read("application-layer", &["offered"], "Accept is not read; its 406 will be heard")),
    (
        "semiuri",
        read_as(
            "valid",
            &Fields {
                start: ("OPTIONS", "sip:user;par=u%40example.net@example.com"),
                call_id: "semiuri.0ha0isndaksdj",
                cseq: 8,
                from: ("sip:caller@example.org", "33242"),
                to: ("sip:j_user@example.com", ""),
                branch: "z9hG4bKkdjuw",
                body: Some(0),
            },
            &[],
            "a semicolon before the @ belongs to the user",
        ),
    ),
    (
        "transports",
        read_as(
            "valid",
            &Fields {
                start: ("OPTIONS", "sip:user@example.com"),
                call_id: "transports.kijh4akdnaqjkwendsasfdj",
                cseq: 60,
                from: ("sip:caller@example.com", "323"),
                to: ("sip:user@example.com", ""),
                branch: "z9hG4bKkdjuw",
                body: Some(0),
            },
            &[],
            "the transport of a Via says nothing to a listener",
        ),
    ),
    ("trws", read("invalid", &[], "the RFC allows to read it")),
    ("unkscm", read("application-layer", &[], "whom it goes to is not for a listener to judge")),
    ("unksm2", read("application-layer", &[], "an identity of any scheme is an identity")),
    (
        "unreason",
        read_as(
            "valid",
            &Fields {
                start: ("200", ""),
                call_id: "unreason.1234ksdfak3j2erwedfsASdf",
                cseq: 35,
                from: ("sip:user@example.com", "11141343"),
                to: ("sip:user@example.edu", "2229"),
                branch: "z9hG4bK1324923",
                body: Some(154),
            },
            &["offered", "answered"],
            "the reason is not read; tags on both sides and a description: a call that was running",
        ),
    ),
    (
        "wsinv",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:vivekg@chair-dnrc.example.com;unknownparam"),
                call_id: "wsinv.ndaksdj@192.0.2.1",
                cseq: 9,
                from: ("sip:jdrosen@example.com", "98asjd8"),
                to: ("sip:vivekg@chair-dnrc.example.com", "1918181833n"),
                branch: "390skdjuw",
                body: Some(150),
            },
            &["offered", "answered"],
            "folded, compact, any case, space everywhere; tags on both sides and a description: a call that was running",
        ),
    ),
    ("zeromf", read("application-layer", &[], "it was sent; its 483 will be heard")),
];

/// By name.
#[rustfmt::skip]
pub(crate) const RFC_5118: &[(&str, Expected)] = &[
    (
        "ipv4-mapped-ipv6",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:user@example.com"),
                call_id: "SSG9559905523997077@hlau_4100",
                cseq: 612,
                from: ("sip:user@east.example.com", "81x2"),
                to: ("sip:user@example.com", ""),
                branch: "z9hG4bKbh19",
                body: Some(236),
            },
            &["offered"],
            "a mapped address is the one that it maps",
        ),
    ),
    ("ipv6-bad", read("invalid", &[], "the URI is not taken apart: a REGISTER opens nothing")),
    ("ipv6-bug-abnf-3-colons", read("invalid", &[], "allowed by an old grammar; the RFC asks to accept it where it can be")),
    (
        "ipv6-correct-abnf-2-colons",
        read_as(
            "valid",
            &Fields {
                start: ("OPTIONS", "sip:user@[2001:db8::192.0.2.1]"),
                call_id: "G9559905523997077@hlau_4100",
                cseq: 689,
                from: ("sip:user@example.com", "810x2"),
                to: ("sip:user@[2001:db8::192.0.2.1]", ""),
                branch: "z9hG4bKas3-111",
                body: Some(0),
            },
            &[],
            "the corrected grammar",
        ),
    ),
    (
        "ipv6-good",
        read_as(
            "valid",
            &Fields {
                start: ("REGISTER", "sip:[2001:db8::10]"),
                call_id: "SSG9559905523997077@hlau_4100",
                cseq: 98176,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@example.com", ""),
                branch: "z9hG4bKas3-111",
                body: Some(0),
            },
            &[],
            "brackets hold the address",
        ),
    ),
    (
        "ipv6-in-sdp",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:user@[2001:db8::10]"),
                call_id: "SSG9559905523997077@hlau_4100",
                cseq: 8612,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@[2001:db8::10]", ""),
                branch: "z9hG4bKas3-111",
                body: None,
            },
            &["offered"],
            "its length exceeds what is printed, so the body is not used",
        ),
    ),
    (
        "mult-ip-in-header",
        read_as(
            "valid",
            &Fields {
                start: ("BYE", "sip:user@host.example.net"),
                call_id: "997077@lau_4100",
                cseq: 89187,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@example.net", "9817--94"),
                branch: "z9hG4bKas3-111",
                body: Some(0),
            },
            &[],
            "addresses of both families in one message; a BYE alone opens nothing",
        ),
    ),
    (
        "mult-ip-in-sdp",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:user@[2001:db8::10]"),
                call_id: "SSG9559905523997077@hlau_4100",
                cseq: 8912,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@[2001:db8::10]", ""),
                branch: "z9hG4bKas3-111",
                body: Some(181),
            },
            &["offered"],
            "addresses of both families in one description",
        ),
    ),
    (
        "port-ambiguous",
        read_as(
            "valid",
            &Fields {
                start: ("REGISTER", "sip:[2001:db8::10:5070]"),
                call_id: "SSG9559905523997077@hlau_4100",
                cseq: 98176,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@example.com", ""),
                branch: "z9hG4bKas3-111",
                body: Some(0),
            },
            &[],
            "the last part is read as part of the address, as the RFC says",
        ),
    ),
    (
        "port-unambiguous",
        read_as(
            "valid",
            &Fields {
                start: ("REGISTER", "sip:[2001:db8::10]:5070"),
                call_id: "SSG9559905523997077@hlau_4100",
                cseq: 98176,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@example.com", ""),
                branch: "z9hG4bKas3-111",
                body: Some(0),
            },
            &[],
            "the port stands behind the bracket",
        ),
    ),
    (
        "via-received-param-no-delim",
        read_as(
            "valid",
            &Fields {
                start: ("OPTIONS", "sip:[2001:db8::10]"),
                call_id: "SSG95523997077@hlau_4100",
                cseq: 921,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@example.com", ""),
                branch: "z9hG4bKas3",
                body: Some(0),
            },
            &[],
            "and one without",
        ),
    ),
    (
        "via-received-param-with-delim",
        read_as(
            "valid",
            &Fields {
                start: ("BYE", "sip:[2001:db8::10]"),
                call_id: "SSG9559905523997077@hlau_4100",
                cseq: 321,
                from: ("sip:user@example.com", "81x2"),
                to: ("sip:user@example.com", "bd76ya"),
                branch: "z9hG4bKas3-111",
                body: Some(0),
            },
            &[],
            "a received parameter in brackets; a BYE alone opens nothing",
        ),
    ),
];
