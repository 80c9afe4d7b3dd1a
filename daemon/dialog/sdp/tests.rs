use super::*;

fn one(text: &str) -> Endpoint {
    let description = parse(text.as_bytes()).unwrap();
    assert_eq!(description.audio.len(), 1, "{text}");
    description.audio.into_iter().next().unwrap()
}

const OFFER: &str = "v=0\r\n\
    o=alice 2890844526 2890844526 IN IP4 host.example\r\n\
    s=-\r\n\
    c=IN IP4 192.0.2.1\r\n\
    t=0 0\r\n\
    m=audio 49170 RTP/AVP 0 8 97 101\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:97 opus/48000/2\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=sendrecv\r\n\
    m=video 51372 RTP/AVP 31\r\n\
    a=rtpmap:31 H261/90000\r\n";

#[test]
fn an_offer_says_where_in_what_and_which_way() {
    let endpoint = one(OFFER);
    assert_eq!(endpoint.address, Some("192.0.2.1:49170".parse().unwrap()));
    assert_eq!(endpoint.direction, Direction::SendRecv);
    let payloads = [
        (0, Coding::Sound(Codec::Pcmu, Encoding::Pcmu)),
        (8, Coding::Sound(Codec::Pcma, Encoding::Pcma)),
        (97, Coding::Sound(Codec::Opus, Encoding::Opus)),
        (101, Coding::Event),
    ];
    assert_eq!(endpoint.payloads, payloads);
    assert!(!endpoint.secured && !endpoint.keyed);
}

#[test]
fn the_media_level_goes_before_the_session_level() {
    let text = OFFER.replace("a=rtpmap:0 PCMU/8000", "c=IN IP6 2001:db8::5/1\r\nc=IN IP4 192.0.2.99").replace("t=0 0", "t=0 0\r\na=recvonly");
    let endpoint = one(&text);
    assert_eq!(endpoint.address, Some("[2001:db8::5]:49170".parse().unwrap()));
    assert_eq!(endpoint.direction, Direction::SendRecv);
    assert_eq!(one(&text.replace("a=sendrecv\r\n", "")).direction, Direction::RecvOnly);
}

#[test]
fn hold_is_understood_in_both_its_forms() {
    assert_eq!(one(&OFFER.replace("sendrecv", "sendonly")).direction, Direction::SendOnly);
    let old = one(&OFFER.replace("192.0.2.1", "0.0.0.0"));
    assert_eq!((old.address, old.direction), (None, Direction::SendOnly));
    let refused = one(&OFFER.replace("49170", "0"));
    assert_eq!((refused.address, refused.direction), (None, Direction::Inactive));
}

#[test]
fn keys_are_noticed_and_never_told() {
    assert!(one(&OFFER.replace("49170 RTP/AVP", "49170 RTP/SAVP")).secured);
    assert!(one(&OFFER.replace("49170 RTP/AVP", "49170 UDP/TLS/RTP/SAVPF")).secured);
    let keyed = one(&OFFER.replace("a=sendrecv", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:secret"));
    assert!(keyed.keyed && !keyed.secured);
    assert!(!format!("{keyed:?}").contains("secret"));
}

#[test]
fn each_codec_has_its_own_clock() {
    let coding = |name: &str| one(&OFFER.replace("opus/48000/2", name)).payloads[2].1;
    assert_eq!(coding("G722/8000"), Coding::Sound(Codec::G722, Encoding::G722));
    assert_eq!(coding("L16/44100/2"), Coding::Sound(Codec::Linear, Encoding::L16 { rate: 44_100, channels: 2 }));
    assert_eq!(coding("L16/16000"), Coding::Sound(Codec::Linear, Encoding::L16 { rate: 16_000, channels: 1 }));
    assert_eq!((coding("CN/16000"), coding("speex/16000")), (Coding::Silent, Coding::Undecodable(Codec::Other, 16_000)));
    assert_eq!((coding("opus/8000"), coding("L16/8000/9")), (Coding::Undecodable(Codec::Opus, 8_000), Coding::Undecodable(Codec::Linear, 8_000)));
    let clocks = [9, 10, 11].map(|number| static_coding(number).clock());
    assert_eq!(clocks, [Some(8_000), Some(44_100), Some(44_100)]);
}

#[test]
fn where_rtcp_goes_is_read_where_it_is_said() {
    let rtcp = |line: &str| one(&OFFER.replace("a=sendrecv", line)).rtcp;
    assert_eq!(rtcp("a=rtcp:53020"), Some("192.0.2.1:53020".parse().unwrap()));
    assert_eq!(rtcp("a=rtcp:53020 IN IP6 2001:db8::9"), Some("[2001:db8::9]:53020".parse().unwrap()));
    for nowhere in ["a=sendrecv", "a=rtcp:", "a=rtcp:0", "a=rtcp:70000", "a=rtcp-mux"] {
        assert_eq!(rtcp(nowhere), None, "{nowhere}");
    }
}

#[test]
fn lines_that_do_not_matter_cannot_lose_a_call() {
    let odd = OFFER
        .replace("o=alice 2890844526 2890844526 IN IP4 host.example", "o=not as it should be")
        .replace("t=0 0", "t=\r\nb=X\r\nz=\r\nk=\r\nr=7d\r\nq\r\n=\r\na=\r\na=unknown:\u{fffd}")
        .replace("s=-\r\n", "");
    assert_eq!(one(&odd), one(OFFER));
    assert_eq!(one(&OFFER.replace("v=0\r\n", "").replace("\r\n", "\n")), one(OFFER));
    assert_eq!(one(&OFFER.replace("a=rtpmap:0 PCMU/8000", "a=rtpmap:0 pcmu/8000 ").replace("sendrecv", "SendRecv")), one(OFFER));
    assert_eq!(one(&OFFER.replace("192.0.2.1", "phone.example")).address, None);
}

#[test]
fn an_error_names_the_line_of_the_whole() {
    let number = |text: &str| parse(text.as_bytes()).unwrap_err().line;
    assert_eq!(number(&OFFER.replace("49170", "70000")), 6);
    assert_eq!(number(&OFFER.replace("c=IN IP4 192.0.2.1", "c=IN")), 4);
    assert_eq!(number(&OFFER.replace("RTP/AVP 0", &"RTP/AVP 0".repeat(200))), 6);
    assert_eq!(parse(&OFFER.replace("49170", "70000").into_bytes()).unwrap_err().to_string(), "SDP, line 6: cannot be read (RFC 8866 section 5)");
}

#[test]
fn ten_thousand_media_lines_cost_what_sixteen_do() {
    let text = format!("{OFFER}{}", "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n".repeat(9_998));
    let description = parse(text.as_bytes()).unwrap();
    assert_eq!((description.audio.len(), description.media_left_out), (MEDIA - 1, 10_000 - MEDIA));
    let filtered = Filtered::of(text.as_bytes()).unwrap();
    assert!(filtered.bytes.len() < 2_000 && filtered.numbers.len() < 64, "what the parser sees is bounded");
    let attributes = format!("{OFFER}{}", "a=rtpmap:0 PCMU/8000\r\n".repeat(10_000));
    assert!(Filtered::of(attributes.as_bytes()).unwrap().numbers.len() < ATTRIBUTES + 16);
    let types = OFFER.replace("0 8 97 101", &(0..200).map(|number| number.to_string()).collect::<Vec<_>>().join(" "));
    assert_eq!(parse(types.as_bytes()).unwrap().audio.first().map(|endpoint| endpoint.payloads.len()), Some(PAYLOADS));
}

#[test]
fn a_description_cut_at_any_byte_does_not_panic() {
    for length in 0..OFFER.len() {
        let _ = parse(&OFFER.as_bytes()[..length]);
    }
}
