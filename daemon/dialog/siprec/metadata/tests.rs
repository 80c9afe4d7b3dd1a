use super::*;

fn read_error(document: &str) -> MetadataError {
    Metadata::default().update(document.as_bytes()).unwrap_err()
}

fn ids(texts: &[Text]) -> Vec<&str> {
    texts.iter().map(|text| text.expose().as_str()).collect()
}

const DRAFT: &str = "\n<?xml version='1.0'?><x:recording xmlns:x='urn:ietf:params:xml:ns:recording'><x:datamode>complete</x:datamode>\
    <x:participant id='p1' session='s'><x:nameID aor='sip:9000@h'><x:name>&lt;9000&#62;</x:name></x:nameID><x:send>t1</x:send>\
    <x:extensiondata><y:callingParty>false</y:callingParty></x:extensiondata></x:participant>\
    <x:participant id='p2'><x:nameID aor='sip:1002@h'/><x:send>t2</x:send></x:participant>\
    <x:stream id='t1'><x:label><![CDATA[16777227]]></x:label></x:stream><x:stream id='t2'><x:label> b&amp;c </x:label></x:stream></x:recording>";

#[test]
fn a_draft_with_prefixes_says_the_same() {
    let mut metadata = Metadata::default();
    metadata.update(DRAFT.as_bytes()).unwrap();
    let [first, second] = &metadata.participants[..] else { panic!() };
    assert_eq!((first.address.expose().as_str(), ids(&first.sends), first.is_calling), ("sip:9000@h", vec!["t1"], Some(false)));
    assert_eq!((second.address.expose().as_str(), ids(&second.sends), second.is_calling), ("sip:1002@h", vec!["t2"], None));
    let labels: Vec<&str> = metadata.streams.iter().map(|stream| stream.label.expose().as_str()).collect();
    assert_eq!(labels, ["16777227", "b&c"]);
    assert_eq!(metadata.seats.each_ref().map(|seat| seat.as_ref().unwrap().expose().as_str()), ["p2", "p1"], "as the client marks them");
}

#[test]
fn partial_updates_change_what_they_name() {
    let mut metadata = Metadata::default();
    metadata.update(DRAFT.as_bytes()).unwrap();
    let partial = |rest: &str| format!("<recording><datamode>partial</datamode>{rest}</recording>");
    metadata.update(partial("<participantstreamassoc participant_id='p1'><recv>t2</recv></participantstreamassoc>").as_bytes()).unwrap();
    assert_eq!(ids(&metadata.participants[0].sends), [""; 0]);
    metadata.update(partial("<participantstreamassoc participant_id='p1'><send>t1</send></participantstreamassoc>").as_bytes()).unwrap();
    assert_eq!(ids(&metadata.participants[0].sends), ["t1"]);
    metadata.update(partial("<participantstreamassoc participant_id='p1'/>").as_bytes()).unwrap();
    assert_eq!(ids(&metadata.participants[0].sends), ["t1"], "one that says nothing changes nothing");
    metadata.update(partial("<participantsessionassoc participant_id='p1'><disassociate-time>x</disassociate-time></participantsessionassoc>").as_bytes()).unwrap();
    assert!(metadata.participants[0].has_left && metadata.participants.len() == 2);
    metadata.update(b"<recording><participant participant_id='p9'/></recording>").unwrap();
    assert_eq!((metadata.participants.len(), metadata.streams.len()), (1, 0), "a complete one takes the place of all");
}

#[test]
fn hostile_documents_are_refused_at_their_place() {
    let error = |offset, fault| MetadataError { offset, fault };
    assert_eq!(read_error("<!DOCTYPE recording [<!ENTITY a 'aaaa'>]><recording>&a;</recording>"), error(0, MetadataFault::DocumentType));
    assert_eq!(read_error("<recording><!DOCTYPE x></recording>"), error(11, MetadataFault::DocumentType));
    let attributes: String = (0..80_000 / 8).map(|number| format!(" a{number}='1'")).collect();
    assert!(attributes.len() > DOCUMENT);
    assert_eq!(read_error(&format!("<recording{attributes}/>")), error(DOCUMENT, MetadataFault::TooLong));
    let attributes = attributes.get(..attributes.find(" a5000=").unwrap()).unwrap();
    assert_eq!(read_error(&format!("<recording><stream{attributes}/></recording>")), error(11, MetadataFault::TooManyAttributes));
    assert_eq!(read_error(&format!("<recording>{}", "<a>".repeat(16))), error(11 + 3 * 15, MetadataFault::TooDeep));
    assert_eq!(read_error(&"<recording>".repeat(5_000)), error(11 * 16, MetadataFault::TooDeep));
    assert_eq!(read_error("<recording><stream></recording>").fault, MetadataFault::Syntax);
    assert_eq!(read_error("<recording><stream>"), error(19, MetadataFault::Syntax));
    assert_eq!(read_error("<html/>").fault, MetadataFault::NoRecording);
    assert_eq!(read_error(""), error(0, MetadataFault::NoRecording));
    // What is not defined says nothing.
    Metadata::default().update(b"<recording>&bomb;<stream stream_id='&bomb;'/></recording>").unwrap();
}

#[test]
fn what_is_kept_is_bounded() {
    let mut metadata = Metadata::default();
    for round in 0..20 {
        let many: String = (0..200).map(|number| format!("<participant participant_id='{round}.{number}'/><stream stream_id='{round}.{number}'/>")).collect();
        metadata.update(format!("<recording><datamode>partial</datamode>{many}</recording>").as_bytes()).unwrap();
    }
    assert_eq!((metadata.participants.len(), metadata.streams.len()), (MOST, MOST));
    let long = "x".repeat(NAME + 1);
    metadata.update(format!("<recording><participant participant_id='p'><nameID aor='{long}'/></participant><stream stream_id='t'><label>{long}</label></stream></recording>").as_bytes()).unwrap();
    assert_eq!((metadata.participants[0].address.expose().as_str(), metadata.streams[0].label.expose().as_str()), ("", ""));
}

#[test]
fn of_more_elements_than_any_recording_has_the_first_count() {
    let presence = |id: &str| format!("<participantsessionassoc participant_id='{id}'><disassociate-time>x</disassociate-time></participantsessionassoc>");
    let people = "<participant participant_id='p1'/><participant participant_id='p2'/>";
    let mut metadata = Metadata::default();
    let many = presence("p3").repeat(ELEMENTS - 3);
    metadata.update(format!("<recording>{people}{many}{}{}<datamode>partial</datamode></recording>", presence("p1"), presence("p2")).as_bytes()).unwrap();
    assert_eq!(metadata.participants.iter().map(|known| known.has_left).collect::<Vec<_>>(), [true, false]);
    // How it is to be taken is read wherever it stands.
    let stream = "<recording><stream stream_id='s'/>";
    let many = "<stream stream_id='t'/>".repeat(ELEMENTS);
    metadata.update(format!("{stream}{many}<datamode>partial</datamode></recording>").as_bytes()).unwrap();
    assert_eq!((metadata.participants.len(), metadata.streams.len()), (2, 2));
}

#[test]
fn space_around_a_name_is_none_of_it() {
    let mut metadata = Metadata::default();
    let blank = "&#32;\n".repeat(2 * NAME);
    metadata.update(format!("<recording><stream stream_id='s'><label>{blank}a &amp;&#x20;b{}</label></stream></recording>", "\n&#32;").as_bytes()).unwrap();
    assert_eq!(metadata.streams[0].label.expose(), "a & b");
}

#[test]
fn the_first_of_the_names_an_attribute_has_had_goes_before_the_others() {
    let mut metadata = Metadata::default();
    metadata.update(b"<r:recording xmlns:r='urn:x'><r:participant id='old' participant_id='new'/><r:participant r:id='alone'/></r:recording>").unwrap();
    assert_eq!(metadata.participants.iter().map(|known| known.id.expose().as_str()).collect::<Vec<_>>(), ["new", "alone"]);
}
