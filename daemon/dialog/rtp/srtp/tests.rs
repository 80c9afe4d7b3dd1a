use super::*;
use crate::rtp::{Kind, kind};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter_map(|sign| char::from(sign).to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn header(bytes: &[u8]) -> Header {
    match kind(bytes) {
        Kind::Rtp(header) => header,
        other => panic!("{other:?}"),
    }
}

fn encoded(bytes: &[u8]) -> String {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|at| char::from(SIGNS[(word >> (18 - 6 * at) & 63) as usize])));
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// The master key and salt of RFC 3711 appendix B.3.
const MASTER: &str = "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6";

fn key(suite: &str, material: &[u8], rest: &str) -> Key {
    let keys = Key::all(&format!("1 {suite} inline:{}{rest}", encoded(material)));
    assert_eq!(keys.len(), 1, "{suite}{rest}");
    keys.into_iter().next().unwrap()
}

fn session(keys: &[Key]) -> Session {
    let mut session = Session::default();
    session.rekey(keys.iter());
    session
}

/// What a sender with this context would send.
fn protect(context: &Context, plain: &[u8], index: u64) -> Vec<u8> {
    let (mut bytes, header) = (plain.to_vec(), header(plain));
    let mki = vec![9; context.key.mki];
    match &context.rtp.cipher {
        Cipher::Counter { cipher, mac, tag } => {
            cipher.apply(context.rtp.counter(header.ssrc, index), &mut bytes[header.payload.start..]);
            let rollover = ((index >> 16) as u32).to_be_bytes();
            let sealed = mac.clone().chain_update(&bytes).chain_update(rollover).finalize().into_bytes();
            bytes.extend(mki);
            bytes.extend(&sealed[..*tag]);
        }
        cipher => {
            let iv = context.rtp.iv(header.ssrc, index);
            let (about, text) = bytes.split_at_mut(header.payload.start);
            let sealed = match cipher {
                Cipher::Galois128(cipher) => cipher.encrypt_inout_detached((&iv).into(), about, text.into()).unwrap(),
                Cipher::Galois256(cipher) => cipher.encrypt_inout_detached((&iv).into(), about, text.into()).unwrap(),
                Cipher::Counter { .. } => unreachable!(),
            };
            bytes.extend(sealed.as_slice());
            bytes.extend(mki);
        }
    }
    bytes
}

fn packet(sequence: u16) -> Vec<u8> {
    let mut bytes = hex("8000 0000 00000000 cafebabe");
    bytes[2..4].copy_from_slice(&sequence.to_be_bytes());
    bytes.extend((0..160u8).map(|at| at.wrapping_mul(sequence as u8)));
    bytes
}

fn open(session: &mut Session, bytes: &[u8]) -> Result<Vec<u8>, Opened> {
    let mut bytes = bytes.to_vec();
    let header = header(&bytes);
    match session.open(&mut bytes, &header) {
        Opened::Plain(payload) => Ok(bytes[payload].to_vec()),
        other => Err(other),
    }
}

#[test]
fn session_keys_are_those_of_rfc_3711_appendix_b_3() {
    let key = key("AES_CM_128_HMAC_SHA1_80", &hex(MASTER), "");
    let context = Context::new(&key, 0);
    assert_eq!(context.rtp.salt.expose(), &hex("30CBBC08863D8C85D49DB34A9AE1"));
    // The cipher key C61E7A93744F39EE10734AFE3FF7A087, seen by its key stream.
    let Cipher::Counter { cipher, mac, .. } = &context.rtp.cipher else { panic!() };
    let (mut ours, mut theirs) = ([0; 64], [0; 64]);
    cipher.apply([7; 16], &mut ours);
    Counter::new(&hex("C61E7A93744F39EE10734AFE3FF7A087")).apply([7; 16], &mut theirs);
    assert_eq!(ours, theirs);
    let expected: Hmac<Sha1> = KeyInit::new_from_slice(&hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")).unwrap();
    assert_eq!(mac.clone().chain_update(b"any").finalize().into_bytes(), expected.chain_update(b"any").finalize().into_bytes());
}

#[test]
fn the_key_stream_is_that_of_rfc_3711_appendix_b_2() {
    let mut stream = [0; 48];
    Counter::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).apply(*hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").first_chunk().unwrap(), &mut stream);
    assert_eq!(stream[..], hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0")[..]);
}

#[test]
fn a_packet_under_the_master_key_of_rfc_3711_is_opened() {
    // As the reference implementation of RFC 3711 protects it: 16 bytes of 0xab, sequence number 0x1234.
    let protected = hex("800f1234 decafbad cafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
    let mut session = session(&[key("AES_CM_128_HMAC_SHA1_80", &hex(MASTER), "")]);
    assert_eq!(open(&mut session, &protected), Ok(vec![0xab; 16]));
    for at in 0..protected.len() {
        let mut forged = protected.clone();
        forged[at] ^= 1;
        if let Kind::Rtp(header) = kind(&forged) {
            assert!(!matches!(session.open(&mut forged, &header), Opened::Plain(_)), "byte {at}");
        }
    }
}

/// The session keys and salt of RFC 7714 section 16 and 17.
fn galois(key: &str) -> Context {
    let material = [hex(key), hex("517569642070726f2071756f")].concat();
    let suite = if material.len() == 28 { "AEAD_AES_128_GCM" } else { "AEAD_AES_256_GCM" };
    let mut context = Context::new(&super::tests::key(suite, &material, ""), 0);
    for keys in [&mut context.rtp, &mut context.rtcp] {
        let mut salt = hex("517569642070726f2071756f");
        salt.resize(14, 0);
        *keys = Keys { cipher: Cipher::galois_of(&hex(key)), salt: Private::new(salt) };
    }
    context
}

#[test]
fn the_packets_of_rfc_7714_sections_16_and_17() {
    const SHORT: &str = "000102030405060708090a0b0c0d0e0f";
    const LONG: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let plain = hex("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let cases = [
        (SHORT, "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"),
        (LONG, "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"),
    ];
    for (key, protected) in cases {
        let mut bytes = hex(protected);
        let payload = galois(key).open(&mut bytes, &header(&hex(protected)), 0xf17b).unwrap();
        assert_eq!(bytes[..payload.end], plain[..]);
    }
    let compound = hex("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let mut bytes = hex(
        "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf872\
         45d9eade800005d4",
    );
    let plain = galois(SHORT).open_rtcp(&mut bytes).unwrap();
    assert_eq!(bytes[plain], compound[..]);
}

#[test]
fn every_suite_opens_what_its_sender_sealed_through_the_roll_over() {
    let suites = [
        ("AES_CM_128_HMAC_SHA1_80", 30),
        ("AES_CM_128_HMAC_SHA1_32", 30),
        ("AES_256_CM_HMAC_SHA1_80", 46),
        ("aes_256_cm_hmac_sha1_32", 46),
        ("AEAD_AES_128_GCM", 28),
        ("AEAD_AES_256_GCM", 44),
    ];
    for (suite, length) in suites {
        for rest in ["", "|2^20", "|2^20|1:4"] {
            let key = key(suite, &(0..length).collect::<Vec<u8>>(), rest);
            let (context, mut session) = (Context::new(&key, 0), session(&[key]));
            // Every pair comes the wrong way round, also where the numbers roll over.
            for index in (65_501u64..65_600).map(|index| if index % 2 == 1 { index + 1 } else { index - 1 }) {
                let plain = packet(index as u16);
                assert_eq!(open(&mut session, &protect(&context, &plain, index)), Ok(plain[12..].to_vec()), "{suite}{rest} {index}");
            }
        }
    }
}

#[test]
fn a_new_key_counts_anew_and_the_old_one_holds_for_what_is_on_its_way() {
    let [old, new] = [1u8, 2].map(|fill| key("AES_CM_128_HMAC_SHA1_80", &[fill; 30], ""));
    let [before, after] = [&old, &new].map(|key| Context::new(key, 0));
    let mut session = session(std::slice::from_ref(&old));
    for index in 65_530u64..65_540 {
        assert!(open(&mut session, &protect(&before, &packet(index as u16), index)).is_ok());
    }
    session.rekey([&old, &new].into_iter());
    assert!(open(&mut session, &protect(&before, &packet(4), 65_540)).is_ok());
    assert!(open(&mut session, &protect(&after, &packet(5), 5)).is_ok());
    assert!(open(&mut session, &protect(&after, &packet(6), 6)).is_ok());
    assert!(open(&mut session, &protect(&before, &packet(7), 7)).is_ok(), "one more under the old key");
    // Another source of the same side, and one that nobody knows.
    let mut other = packet(1);
    other[8] ^= 1;
    assert!(open(&mut session, &protect(&after, &other, 1)).is_ok());
    assert_eq!(open(&mut session, &packet(9)), Err(Opened::Forged));
}

#[test]
fn a_call_that_was_running_is_joined_after_its_counter_rolled_over() {
    let key = key("AES_CM_128_HMAC_SHA1_80", &hex(MASTER), "");
    let context = Context::new(&key, 0);
    let mut session = session(std::slice::from_ref(&key));
    let index = 5 << 16 | 77;
    assert!(open(&mut session, &protect(&context, &packet(77), index)).is_ok());
    assert!(open(&mut session, &protect(&context, &packet(78), index + 1)).is_ok());
    // Under another's key nothing is found, at a bounded price, and nothing is said against the sender.
    let mut stranger = super::tests::session(&[super::tests::key("AES_CM_128_HMAC_SHA1_80", &[3; 30], "")]);
    for number in 0..100 {
        assert_eq!(open(&mut stranger, &protect(&context, &packet(number), index)), Err(Opened::NoKey));
    }
    assert_eq!(stranger.searches, SEARCHES);
}

#[test]
fn only_what_is_understood_is_a_key() {
    let material = encoded(&[5; 30]);
    let none = [
        String::new(),
        "1".into(),
        "1 AES_CM_128_HMAC_SHA1_80".into(),
        format!("1 F8_128_HMAC_SHA1_80 inline:{material}"),
        format!("1 AES_CM_128_HMAC_SHA1_80 outline:{material}"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &material[4..]),
        "1 AES_CM_128_HMAC_SHA1_80 inline:not*base64".into(),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{material}|2^20|1:4000"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{material} UNAUTHENTICATED_SRTP"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{material} KDR=3"),
    ];
    for text in none {
        assert!(Key::all(&text).is_empty(), "{text}");
    }
    let two = Key::all(&format!("1 AES_CM_128_HMAC_SHA1_80 inline:{material}|2^20|1:4;inline:{material}|2^20|2:4 WSH=64 UNENCRYPTED_SRTCP"));
    assert_eq!((two.len(), two[0].mki), (2, 4));
    assert!(!format!("{:?} {:?}", two, session(&two)).contains('5'), "a key is never printed");
    let many = format!("1 AES_CM_128_HMAC_SHA1_80 {}", vec![format!("inline:{material}"); 1_000].join(";"));
    assert_eq!(Key::all(&many).len(), CONTEXTS);
}

#[test]
fn any_bytes_will_do() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut sessions: Vec<Session> =
        [("AES_CM_128_HMAC_SHA1_32", 30, "|1:4"), ("AEAD_AES_128_GCM", 28, "|1:2")].map(|(suite, length, rest)| session(&[key(suite, &vec![1; length], rest)])).into();
    for round in 0..20_000usize {
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(round % 80)
        .collect();
        if let Some(first) = bytes.first_mut() {
            *first = 0x80 | (*first & 0x3f);
        }
        for session in &mut sessions {
            if let Kind::Rtp(header) = kind(&bytes) {
                assert_eq!(session.open(&mut bytes, &header), Opened::NoKey);
            }
            assert_eq!(session.open_rtcp(&mut bytes), None);
        }
    }
}
