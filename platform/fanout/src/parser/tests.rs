//! The parser against frames cut anywhere, and against each violation.

use super::*;
use proptest::prelude::*;

/// A client's frame, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        medium @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn parse(limit: usize, parts: &[&[u8]]) -> Result<Vec<Event>, Close> {
    let mut parser = Parser::new(limit);
    let mut events = Vec::new();
    for part in parts {
        let mut input = *part;
        while let Some(event) = parser.next(&mut input)? {
            events.push(event);
        }
        assert!(input.is_empty(), "`None` means all is used up");
    }
    Ok(events)
}

fn code_of(input: &[u8]) -> u16 {
    parse(1000, &[input]).expect_err("a violation").code
}

#[test]
fn the_masked_hello_of_the_rfc() {
    let input = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(parse(5, &[&input]).unwrap(), [Event::Message(Message::Text("Hello".into()))]);
}

#[test]
fn control_frames_may_stand_between_fragments() {
    let mut input = frame(0x01, b"Hel");
    input.extend(frame(0x89, b"are you there"));
    input.extend(frame(0x80, b"lo"));
    assert_eq!(
        parse(5, &[&input]).unwrap(),
        [Event::Ping(b"are you there".to_vec()), Event::Message(Message::Text("Hello".into())),]
    );
}

#[test]
fn violations_get_the_code_the_rfc_names() {
    assert_eq!(code_of(&[0x81, 0x05]), 1002, "no mask");
    assert_eq!(code_of(&[0x81, 0x7e, 0x01, 0x00]), 1002, "no mask, long form");
    assert_eq!(code_of(&frame(0xC1, b"x")), 1002, "reserved bit");
    assert_eq!(code_of(&frame(0x83, b"x")), 1002, "reserved opcode");
    assert_eq!(code_of(&frame(0x8B, b"x")), 1002, "reserved control opcode");
    assert_eq!(code_of(&frame(0x09, b"x")), 1002, "fragmented ping");
    assert_eq!(code_of(&frame(0x89, &[0; 126])), 1002, "long ping");
    assert_eq!(code_of(&frame(0x80, b"x")), 1002, "continuation of nothing");
    let mut nested = frame(0x01, b"a");
    nested.extend(frame(0x81, b"b"));
    assert_eq!(code_of(&nested), 1002, "message inside a message");
    assert_eq!(code_of(&[0x82, 0xFE, 0, 5, 0, 0, 0, 0]), 1002, "length in a long form");
    let huge = [0x82, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(code_of(&huge), 1002, "negative length");
    assert_eq!(code_of(&frame(0x88, b"x")), 1002, "half a close code");
    assert_eq!(code_of(&frame(0x88, &1005u16.to_be_bytes())), 1002, "code that must not travel");
    assert_eq!(code_of(&frame(0x88, b"\x03\xe8\xff")), 1007, "reason not UTF-8");
    assert_eq!(code_of(&frame(0x81, b"\xc3\x28")), 1007, "text not UTF-8");
}

#[test]
fn a_message_too_large_is_refused_from_its_header() {
    assert_eq!(code_of(&frame(0x82, &[0; 1001])[..8]), 1009);
    let mut fragments = frame(0x02, &[0; 600]);
    fragments.extend(&frame(0x80, &[0; 401])[..8]);
    assert_eq!(code_of(&fragments), 1009);
    assert!(parse(1000, &[&frame(0x82, &[0; 1000])]).is_ok());
}

#[derive(Clone, Debug)]
enum Sent {
    Text(String, usize),
    Binary(Vec<u8>, usize),
    Ping(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        (".{0,300}", 1usize..5).prop_map(|(text, cuts)| Sent::Text(text, cuts)),
        (prop::collection::vec(any::<u8>(), 0..70_000), 1usize..4)
            .prop_map(|(bytes, cuts)| Sent::Binary(bytes, cuts)),
        prop::collection::vec(any::<u8>(), 0..=125).prop_map(Sent::Ping),
    ]
}

fn write_fragments(stream: &mut Vec<u8>, opcode: u8, payload: &[u8], cuts: usize) {
    let size = (payload.len() / cuts).max(1);
    let parts: Vec<&[u8]> =
        if payload.is_empty() { vec![payload] } else { payload.chunks(size).collect() };
    for (index, part) in parts.iter().enumerate() {
        let first = if index == 0 { opcode } else { 0 };
        let last = if index + 1 == parts.len() { 0x80 } else { 0 };
        stream.extend(frame(first | last, part));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sent_arrives_however_the_stream_is_cut(
        messages in prop::collection::vec(sent(), 1..6),
        cuts in prop::collection::vec(1usize..4000, 1..40),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for message in messages {
            match message {
                Sent::Text(text, cuts) => {
                    write_fragments(&mut stream, 1, text.as_bytes(), cuts);
                    expected.push(Event::Message(Message::Text(text)));
                }
                Sent::Binary(bytes, cuts) => {
                    write_fragments(&mut stream, 2, &bytes, cuts);
                    expected.push(Event::Message(Message::Binary(bytes)));
                }
                Sent::Ping(payload) => {
                    stream.extend(frame(0x89, &payload));
                    expected.push(Event::Ping(payload));
                }
            }
        }
        let mut parts = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            parts.push(part);
            rest = after;
        }
        parts.push(rest);
        prop_assert_eq!(parse(1 << 20, &parts).unwrap(), expected);
    }

    #[test]
    fn no_input_panics_or_outgrows_the_limit(input in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut parser = Parser::new(100);
        let mut rest = input.as_slice();
        while let Ok(Some(_)) = parser.next(&mut rest) {}
        prop_assert!(parser.message.len() <= 100 && parser.control.len() <= 125);
    }
}
