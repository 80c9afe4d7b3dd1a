//! Messages of our own, of the shapes of those in the RFCs: what a clone without those has.

use sotto_dialog::sip::SipFault;

use super::Fields;
use super::verdicts::{Expected, read, read_as, refused};

/// Name, bytes, and what they come to.
#[rustfmt::skip]
pub(crate) const OURS: &[(&str, &[u8], Expected)] = &[
    (
        "plain_invite",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          Max-Forwards: 70\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Contact: <sip:lea@198.51.100.7:5060>\r\n\
          Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE\r\n\
          User-Agent: desk phone\r\n\
          P-Asserted-Identity: <tel:+49891234>\r\n\
          Content-Type: application/sdp\r\n\
          Content-Length: 96\r\n\r\n\
          v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:noor@shop.example"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:noor@shop.example", ""),
                branch: "z9hG4bKours1",
                body: Some(96),
            },
            &["offered"],
            "nothing is odd about it",
        ),
    ),
    (
        "folds_and_compact_names",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          v  :  SIP / 2.0\r\n\
          \x20/UDP\r\n\
          \t198.51.100.7 ; branch =\r\n\
          \x20z9hG4bKours1 , SIP/2.0/TCP second;branch=other\r\n\
          F : \"Lea, of \\\"Sales\\\" <x>\" <sip:lea@shop.example>\r\n\
          \x20 ;tag = l1\r\n\
          TO:\r\n\
          \x20sip:noor@shop.example\r\n\
          i:ours-1@198.51.100.7\r\n\
          cSEQ: 0012\r\n\
          \tINVITE\r\n\
          NewHeader: ;;,,;,\r\n\
          c: Application/SDP ; x=y\r\n\
          l:96\r\n\r\n\
          v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:noor@shop.example"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:noor@shop.example", ""),
                branch: "z9hG4bKours1",
                body: Some(96),
            },
            &["offered"],
            "folded, compact, any case",
        ),
    ),
    (
        "odd_method_and_signs",
        b"X-.!%*_+`'~ sip:a;b?c/d&e=f:g@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: \"\x01 \xd0\xb6 \" <sip:a;b?c/d&e=f@shop.example;user=phone?Subject=x>\r\n\
          Call-ID: ()<>:\\/?[]{}\r\n\
          CSeq: 4294967295 X-.!%*_+`'~\r\n\
          Content-Length: 0\r\n\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("X-.!%*_+`'~", "sip:a;b?c/d&e=f:g@shop.example"),
                call_id: "()<>:\\/?[]{}",
                cseq: 4294967295,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:a;b?c/d&e=f@shop.example", ""),
                branch: "z9hG4bKours1",
                body: Some(0),
            },
            &[],
            "every sign that a token may hold",
        ),
    ),
    (
        "escapes",
        b"INVITE sip:sips%3Anoor%40home@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: sip:%6cea%00%zz@shop.example;tag=%31\r\n\
          To: <sip:n%6For@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Length: 0\r\n\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:sips%3Anoor%40home@shop.example"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:%6cea%00%zz@shop.example", "%31"),
                to: ("sip:n%6For@shop.example", ""),
                branch: "z9hG4bKours1",
                body: Some(0),
            },
            &["offered"],
            "escapes stay as they are written",
        ),
    ),
    (
        "no_space_before_the_bracket",
        b"OPTIONS sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: lea<sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 OPTIONS\r\n\
          l: 0\r\n\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("OPTIONS", "sip:noor@shop.example"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:noor@shop.example", ""),
                branch: "z9hG4bKours1",
                body: Some(0),
            },
            &[],
            "a display name ends at the bracket",
        ),
    ),
    (
        "a_second_message_behind_the_first",
        b"REGISTER sip:shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 REGISTER\r\n\
          Content-Length: 0\r\n\r\n\
          INVITE sip:x SIP/2.0\r\nCall-ID: other\r\n\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("REGISTER", "sip:shop.example"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:noor@shop.example", ""),
                branch: "z9hG4bKours1",
                body: Some(0),
            },
            &[],
            "one datagram, one message",
        ),
    ),
    (
        "a_reason_of_any_signs",
        b"SIP/2.0 183 = 2**2 * \xd0\xb8 \xff\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>;tag=n1\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Length: 0\r\n\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("183", ""),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:noor@shop.example", "n1"),
                branch: "z9hG4bKours1",
                body: Some(0),
            },
            &[],
            "the reason is not read",
        ),
    ),
    (
        "no_reason",
        b"SIP/2.0 200\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>;tag=n1\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Type: application/sdp\r\n\
          Content-Length: 96\r\n\r\n\
          v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("200", ""),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:noor@shop.example", "n1"),
                branch: "z9hG4bKours1",
                body: Some(96),
            },
            &["offered", "answered"],
            "a call that was running",
        ),
    ),
    (
        "a_comma_in_a_bare_name",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: Bell, Lea <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Length: 0\r\n\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:noor@shop.example"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", "l1"),
                to: ("sip:noor@shop.example", ""),
                branch: "z9hG4bKours1",
                body: Some(0),
            },
            &["offered"],
            "From holds one address, whatever its name",
        ),
    ),
    (
        "six",
        b"INVITE sip:noor@[2001:db8::7]:5060 SIP/2.0\r\n\
          Via: SIP/2.0/UDP [2001:db8::9];received=2001:db8::a;branch=z9hG4bKours1\r\n\
          From: <sip:lea@[2001:db8::9]>;tag=l1\r\n\
          To: <sip:noor@[2001:db8::7]:5060;transport=udp>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Length: 0\r\n\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:noor@[2001:db8::7]:5060"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@[2001:db8::9]", "l1"),
                to: ("sip:noor@[2001:db8::7]:5060", ""),
                branch: "z9hG4bKours1",
                body: Some(0),
            },
            &["offered"],
            "addresses of IPv6 in every place",
        ),
    ),
    (
        "old_style",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP old.example\r\n\
          From: sip:lea@shop.example\r\n\
          To: sip:noor@shop.example;user=phone\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Type: application/sdp\r\n\r\n\
          v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n",
        read_as(
            "valid",
            &Fields {
                start: ("INVITE", "sip:noor@shop.example"),
                call_id: "ours-1@198.51.100.7",
                cseq: 12,
                from: ("sip:lea@shop.example", ""),
                to: ("sip:noor@shop.example", ""),
                branch: "",
                body: Some(96),
            },
            &["offered"],
            "no tag, no branch, no length (RFC 2543)",
        ),
    ),
    (
        "a_length_that_exceeds_the_datagram",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Type: application/sdp\r\n\
          Content-Length: 9999\r\n\r\n\
          v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n",
        read("invalid", &["offered"], "the body that is cut is not used"),
    ),
    (
        "a_negative_length",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Type: application/sdp\r\n\
          Content-Length: -1\r\n\r\n\
          v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n",
        read("invalid", &["offered"], "it says nothing in a datagram"),
    ),
    (
        "two_lengths",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Content-Type: application/sdp\r\n\
          l: 10\r\n\
          Content-Length: 96\r\n\r\n\
          v=0\r\no=- 7 7 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\n",
        read("invalid", &["offered"], "two lengths are none: the body is not used"),
    ),
    (
        "a_name_that_never_ends",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: \"Noor <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        read("invalid", &["offered"], "the Request-URI names the called party"),
    ),
    (
        "brackets_around_the_uri",
        b"INVITE <sip:noor@shop.example> SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        read("invalid", &["offered"], "To names the called party"),
    ),
    (
        "too_much_space",
        b"INVITE  sip:noor@shop.example; lr   SIP/2.0  \r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        read("invalid", &["offered"], "the words between method and version are the URI"),
    ),
    (
        "empty_values",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;;,;,,\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Contact: \"\" <> ;,,\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        read("invalid", &["offered"], "empty values are stepped over"),
    ),
    (
        "a_line_without_a_colon",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          what is this\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        read("invalid", &["offered"], "it is stepped over"),
    ),
    (
        "a_cseq_beyond_its_bounds",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 4294967296 INVITE\r\n\
          l: 0\r\n\r\n",
        refused("invalid", SipFault::CSeq, "it names no transaction"),
    ),
    (
        "two_methods",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 OPTIONS\r\n\
          l: 0\r\n\r\n",
        refused("invalid", SipFault::CSeq, "nobody knows which transaction it belongs to"),
    ),
    (
        "a_code_beyond_its_bounds",
        b"SIP/2.0 4294967496 OK\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        refused("invalid", SipFault::StartLine, "no status code"),
    ),
    (
        "another_version",
        b"INVITE sip:noor@shop.example SIP/8.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        refused("invalid", SipFault::StartLine, "another protocol"),
    ),
    (
        "no_names",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          CSeq: 12 INVITE\r\n\
          l: 0\r\n\r\n",
        refused("invalid", SipFault::CallId, "without Call-ID, From and To there is no dialog"),
    ),
    (
        "two_names",
        b"INVITE sip:noor@shop.example SIP/2.0\r\n\
          Via: SIP/2.0/UDP 198.51.100.7;branch=z9hG4bKours1\r\n\
          From: <sip:lea@shop.example>;tag=l1\r\n\
          To: <sip:noor@shop.example>\r\n\
          Call-ID: ours-1@198.51.100.7\r\n\
          CSeq: 12 INVITE\r\n\
          Call-ID: ours-2@198.51.100.7\r\n\
          l: 0\r\n\r\n",
        refused("invalid", SipFault::Repeated, "it could move the message into another dialog"),
    ),
];
