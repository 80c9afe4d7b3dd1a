use super::*;
use crate::bert::tests::{pack, reference, sentences};

#[test]
fn a_span_is_not_printed() {
    let span = Span { start: 3, end: 9, kind: Kind::Surname, digits: 0 };
    assert_eq!(format!("{span:?}"), "Span");
}

#[test]
fn labels_are_read() {
    assert_eq!(label("O"), Some(None));
    assert_eq!(label("I-ZIP_CODE"), Some(Some((Kind::ZipCode, false))));
    assert_eq!(label("B-SHOE_SIZE"), None);
    assert_eq!(label("ZIP_CODE"), None);
}

/// Piece by piece what onnxruntime says of the published file, where it is sure.
#[test]
fn spans_are_those_of_the_published_network() {
    let Some(pack) = pack() else { return };
    let finder = pack.pii().unwrap();
    let rampart = finder.rampart();
    for (text, expected) in sentences().iter().zip(reference()["pii"].as_array().unwrap()) {
        let pieces = rampart.bert.pieces(text);
        let ids: Vec<u64> = expected["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        assert_eq!(pieces.iter().map(|piece| u64::from(piece.id)).collect::<Vec<_>>(), ids[1..ids.len() - 1], "{text}");
        for (piece, offsets) in pieces.iter().zip(expected["offsets"].as_array().unwrap()) {
            // Hugging Face counts characters.
            assert_eq!(text[..piece.start].chars().count() as u64, offsets[0].as_u64().unwrap(), "{text}");
            assert_eq!(text[..piece.end].chars().count() as u64, offsets[1].as_u64().unwrap(), "{text}");
        }
        let encoded = rampart.bert.encode_pieces(pieces).unwrap();
        for (index, row) in encoded.rows.chunks_exact(encoded.width).skip(1).take(encoded.pieces.len()).enumerate() {
            if expected["probabilities"][index].as_f64().unwrap() < 0.8 {
                continue;
            }
            let found = rampart.label_of(row).map_or_else(|| "O".to_owned(), |(kind, begins)| format!("{}-{}", if begins { "B" } else { "I" }, kind.name()));
            assert_eq!(found, expected["labels"][index].as_str().unwrap(), "{text}: piece {index}");
        }
    }
}

#[test]
fn what_is_in_the_second_window_is_found_too() {
    let Some(pack) = pack() else { return };
    let text = format!("{}My name is Maria Jensen.", "it was a long day and then ".repeat(90));
    let spans = pack.pii().unwrap().rampart().find(&text).unwrap();
    let found: Vec<&str> = spans.iter().map(|span| &text[span.start..span.end]).collect();
    assert_eq!(found, ["Maria", "Jensen"]);
}
