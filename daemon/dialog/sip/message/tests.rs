use super::*;

const INVITE: &str = "INVITE sip:1002@pbx.example SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;rport, SIP/2.0/UDP second;branch=other\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice, of\" <sip:1001@pbx.example>;tag=a\r\n\
    To: <sip:1002@pbx.example>\r\n\
    Call-ID: one@192.0.2.1\r\n\
    CSeq: 314159 INVITE\r\n\
    P-Asserted-Identity: <sip:+15551001@carrier.example>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\
    \r\n\
    v=0\r\n";

fn fault(text: &str) -> SipError {
    parse(text.as_bytes()).unwrap_err()
}

#[test]
fn the_parts_are_spans_of_the_message() {
    let message = parse(INVITE.as_bytes()).unwrap();
    assert_eq!(message.start, Start::Request { method: b"INVITE", uri: b"sip:1002@pbx.example" });
    assert_eq!(message.call_id, b"one@192.0.2.1");
    assert_eq!((message.cseq, message.method), (314_159, b"INVITE".as_slice()));
    assert_eq!(message.branch, b"z9hG4bK776asdhds");
    assert_eq!(message.asserted, Some(b"<sip:+15551001@carrier.example>".as_slice()));
    assert_eq!(message.sdp(), Some(b"v=0\r\n".as_slice()));
}

#[test]
fn phones_write_as_they_like() {
    let text = "\r\n\r\ninvite   sip:1002@pbx.example   sip/2.0\n\
        v : SIP / 2.0 / UDP host\n ; BRANCH = z9hG4bK1\n\
        this line has no colon\n\
        f:sip:1001@pbx.example\n\t;tag=a\n\
        T: <sip:1002@pbx.example>\r\n\
        I:one\n\
        cSeQ: 0007\n invite\n\
        e: gzip\n\
        c: application/SDP ; charset=x\n\
        l: nonsense\n\n\
        \x20folded? No, the body\n";
    let message = parse(text.as_bytes()).unwrap();
    assert_eq!(message.branch, b"z9hG4bK1");
    assert_eq!((message.cseq, message.method, message.call_id), (7, b"invite".as_slice(), b"one".as_slice()));
    assert_eq!(message.body, Some(b" folded? No, the body\n".as_slice()));
    assert_eq!(message.sdp(), None, "what is compressed is not read");
}

#[test]
fn a_second_header_cannot_move_a_message() {
    for line in ["To: <sip:other@example>;tag=x", "i: other", "cseq: 314160 INVITE", "From: <sip:1001@pbx.example>;tag=b"] {
        let text = INVITE.replace("Max-Forwards: 70", line);
        assert_eq!(fault(&text).fault, SipFault::Repeated, "{line}");
    }
    let said_again = INVITE.replace("Max-Forwards: 70", "i: one@192.0.2.1\r\nvia: SIP/2.0/UDP third;branch=third\r\nContact: <sip:a@h>\r\nm: <sip:b@h>");
    let message = parse(said_again.as_bytes()).unwrap();
    assert_eq!((message.branch, message.contact), (b"z9hG4bK776asdhds".as_slice(), Some(b"<sip:a@h>".as_slice())));
}

#[test]
fn two_lengths_are_no_length() {
    let text = INVITE.replace("Max-Forwards: 70", "l: 3");
    assert_eq!(parse(text.as_bytes()).unwrap().body, None);
    assert_eq!(parse_on_stream(text.as_bytes()).unwrap_err().fault, SipFault::Length);
    let agreed = INVITE.replace("Max-Forwards: 70", "l: 5");
    assert_eq!(parse_on_stream(agreed.as_bytes()).unwrap().body, Some(b"v=0\r\n".as_slice()));
}

#[test]
fn on_a_stream_the_length_is_what_is_believed() {
    let without: String = INVITE.split_inclusive("\r\n").filter(|line| !line.starts_with("Content-Length")).collect();
    assert_eq!(parse_on_stream(without.as_bytes()).unwrap_err().fault, SipFault::Length);
    assert_eq!(parse_on_stream(INVITE.replace("Length: 5", "Length: -5").as_bytes()).unwrap_err().fault, SipFault::Length);
    let two = format!("{INVITE}{INVITE}");
    let message = parse_on_stream(two.as_bytes()).unwrap();
    assert_eq!((message.head, message.body), (INVITE.len() - 5, Some(b"v=0\r\n".as_slice())));
    assert_eq!(parse_on_stream(&INVITE.as_bytes()[..INVITE.len() - 1]).unwrap().body, None);
}

#[test]
fn a_description_may_be_one_of_several_parts() {
    let read = |kind: &str, parts: &[&str]| {
        let mut body: String = parts.iter().map(|part| format!("--b 1\r\n{part}\r\n")).collect();
        body.push_str("--b 1--\r\n");
        let text = INVITE.replace("application/sdp", kind).replace("Content-Length: 5", &format!("Content-Length: {}", body.len())).replace("v=0\r\n", &body);
        parse(text.as_bytes()).unwrap().sdp().map(|sdp| String::from_utf8_lossy(sdp).into_owned())
    };
    let (isup, sdp) = ("Content-Type: application/ISUP\r\n\r\n\x01\x11", "c : application/SDP;x=y\r\nContent-Disposition: session\r\n\r\nv=0\r\n");
    let metadata = "Content-Type: application/rs-metadata+xml\r\n\r\n<recording/>";
    let mixed = "Multipart/Mixed; boundary=\"b 1\"";
    assert_eq!(read(mixed, &[isup, sdp]).as_deref(), Some("v=0\r\n\r\n"));
    assert_eq!(read(mixed, &[sdp, metadata]), None, "a recording is no call");
    assert_eq!((read(mixed, &[isup]), read("multipart/mixed", &[sdp]), read(mixed, &[])), (None, None, None));
}

#[test]
fn the_headers_of_transfers_and_timers() {
    let text = INVITE.replace("Max-Forwards: 70", "x: 1800 ;refresher=uac\r\nr: <sip:1003@pbx.example>\r\nReplaces: a@b;to-tag=1;from-tag=2");
    let message = parse(text.as_bytes()).unwrap();
    assert_eq!((message.session_expires, message.refer_to), (Some(1_800), Some(b"<sip:1003@pbx.example>".as_slice())));
    assert_eq!(message.replaces, Some(b"a@b;to-tag=1;from-tag=2".as_slice()));
    assert!(!format!("{message:?}").contains("1003"));
}

#[test]
fn a_body_that_is_cut_is_told_from_one_that_is_short() {
    for (length, body) in [("5", Some(5)), ("3", Some(3)), ("0", Some(0)), ("6", None), ("99999999999999999999", Some(5)), ("-1", Some(5))] {
        let text = INVITE.replace("Content-Length: 5", &format!("Content-Length: {length}"));
        assert_eq!(parse(text.as_bytes()).unwrap().body.map(<[u8]>::len), body, "{length}");
    }
}

#[test]
fn a_message_cut_at_any_byte_of_its_headers_says_where() {
    let headers = INVITE.len() - 5;
    for length in 0..headers {
        let error = parse(&INVITE.as_bytes()[..length]).unwrap_err();
        assert!(error.offset <= length, "cut to {length}: {error}");
        assert!(matches!(error.fault, SipFault::Cut | SipFault::StartLine), "cut to {length}: {error}");
    }
    for length in headers..INVITE.len() {
        assert_eq!(parse(&INVITE.as_bytes()[..length]).unwrap().body, None);
    }
}

#[test]
fn what_is_missing_or_too_much_is_named_with_its_clause() {
    let without = |name: &str| {
        let lines: String = INVITE.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect();
        fault(&lines).to_string()
    };
    assert!(without("Call-ID").contains("no Call-ID (RFC 3261 section 8.1.1.4)"));
    assert!(without("CSeq").contains("no usable CSeq"));
    assert!(without("To").contains("no From or no To"));
    assert!(without("From").contains("no From or no To"));
    let swapped = INVITE.replace("314159 INVITE", "314159 BYE");
    assert_eq!(fault(&swapped).offset, INVITE.find("CSeq").unwrap());
    assert_eq!(fault(&INVITE.replace("314159", "99999999999")).fault, SipFault::CSeq);
    assert_eq!(fault(&INVITE.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia")).fault, SipFault::StartLine);
    assert_eq!(fault(&INVITE.replace("Max-Forwards: 70", &"x: y\r\n".repeat(200))).fault, SipFault::TooManyHeaders);
    assert_eq!(fault(&INVITE.replace("70", &"7".repeat(9_000))).fault, SipFault::HeaderTooLong);
    assert_eq!(fault(&INVITE.replace("70", &" \r\n 7".repeat(3_000))).fault, SipFault::HeaderTooLong);
    assert_eq!(fault(&format!("{INVITE}{}", "x".repeat(70_000))).fault, SipFault::TooLong);
    assert!(!without("Call-ID").contains("pbx"), "an error quotes nothing");
}

#[test]
fn responses_have_codes() {
    let code = |first: &str| match parse(INVITE.replace("INVITE sip:1002@pbx.example SIP/2.0", first).as_bytes()) {
        Ok(Message { start: Start::Response { code }, .. }) => Some(code),
        _ => None,
    };
    assert_eq!(code("SIP/2.0 180 Ringing at last"), Some(180));
    assert_eq!(code("SIP/2.0 200"), Some(200));
    assert_eq!(["99", "700", "4294967297", "", "2x0"].map(|odd| code(&format!("SIP/2.0 {odd} Odd"))), [None; 5]);
}

#[test]
fn sip_is_known_by_its_first_line() {
    assert!(looks_like_sip(INVITE.as_bytes()) && looks_like_sip(b"\r\nSIP/2.0 200 OK\r\n"));
    for other in [b"".as_slice(), b"\r\n\r\n", b"GET / HTTP/1.1\r\n", b"\x00\x01\x00\x00", b"NOTIFY * HTTP/1.1\r\n\r\nSIP/2.0"] {
        assert!(!looks_like_sip(other));
    }
}

#[test]
fn values_and_parameters_end_outside_quotes_alone() {
    assert_eq!(first_value(b" \"a, b\" <sip:x,y@h> , second"), b"\"a, b\" <sip:x,y@h>");
    assert_eq!(parameter(b"\"x;tag=no\" <sip:h;tag=no>;a=1;Tag = yes ", b"tag"), Some(b"yes".as_slice()));
    assert_eq!(parameter(b"<sip:h>;tagged=1", b"tag"), None);
    assert_eq!(parameter(b"\"never closed;tag=no", b"tag"), None);
}
