//! A recording's metadata (RFC 7865 section 8; the RFC 8068 call flows): who takes part, which stream carries whose sound.
//!
//! Read as clients write it: any namespace and prefix, the drafts' attribute names, a participant's streams in an association or
//! within the participant. What is unknown is stepped over. What a document type could bring never comes: it is refused.

use std::fmt;

use quick_xml::{Reader, XmlVersion};
use quick_xml::events::{BytesStart, Event};
use sotto_private::Private;

/// The most bytes of one document.
const DOCUMENT: usize = 64 << 10;
/// The deepest element.
const DEPTH: usize = 16;
/// The most attributes of one element.
const ATTRIBUTES: usize = 32;
/// Participants, and streams, that are kept of one session.
const MOST: usize = 32;
/// Elements below the recording that are read of one document: for each participant and stream that is kept, one that says who it is, one that
/// it is there, and two that tell of its streams. What follows is stepped over.
const ELEMENTS: usize = 4 * 2 * MOST;
/// The most bytes of an id, a label or a name; what is longer names nobody.
const NAME: usize = 512;

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataFault {
    /// Over 64 KiB.
    TooLong,
    /// A document type definition, which nobody needs and which can hold bombs.
    DocumentType,
    /// Deeper than 16 elements.
    TooDeep,
    /// Over 32 attributes.
    TooManyAttributes,
    /// Not XML.
    Syntax,
    /// XML, and no recording.
    NoRecording,
}

/// Where a document cannot be read, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataError {
    /// Bytes from the document's start.
    pub offset: usize,
    /// What is wrong there.
    pub fault: MetadataFault,
}

impl fmt::Display for MetadataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            MetadataFault::TooLong => "over 64 KiB",
            MetadataFault::DocumentType => "a document type, which is not read",
            MetadataFault::TooDeep => "over 16 elements deep",
            MetadataFault::TooManyAttributes => "over 32 attributes",
            MetadataFault::Syntax => "not well formed",
            MetadataFault::NoRecording => "no recording element (RFC 7865 section 8)",
        };
        write!(formatter, "metadata, byte {}: {what}", self.offset)
    }
}

impl std::error::Error for MetadataError {}

/// A text that names a person or their stream.
pub(crate) type Text = Private<String>;

/// Somebody in the recorded session.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    pub(crate) id: Text,
    /// The address of record of the first nameID; empty where there is none.
    pub(crate) address: Text,
    /// Whether it is the calling party, where the client's extension says so.
    pub(crate) is_calling: Option<bool>,
    /// The streams that it sends.
    pub(crate) sends: Vec<Text>,
    /// Whether anything said which streams it sends.
    pub(crate) is_associated: bool,
    pub(crate) has_left: bool,
}

/// A stream of the recording session, by the label of its media line (RFC 4574).
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) id: Text,
    pub(crate) label: Text,
}

/// What is known of a recorded session.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) participants: Vec<Participant>,
    pub(crate) streams: Vec<Stream>,
    /// The participants who are the calling and the called side.
    pub(crate) seats: [Option<Text>; 2],
}

impl Metadata {
    /// Reads a document and lays it over what was known: a complete one takes its place, a partial one changes what it names
    /// (RFC 7865 section 8.1). Nothing changes where it cannot be read.
    ///
    /// # Errors
    /// Where it is not well formed, is no recording, or exceeds a bound.
    pub(crate) fn update(&mut self, document: &[u8]) -> Result<(), MetadataError> {
        let update = read(document)?;
        if !update.is_partial {
            *self = Self { seats: std::mem::take(&mut self.seats), ..Self::default() };
        }
        for change in update.changes {
            self.apply(change);
        }
        self.seat();
        Ok(())
    }

    /// Who is the calling side, and who the called: as the client marks them, else in their order. A side is kept for as long as its
    /// participant stays; who comes takes the place of who left.
    fn seat(&mut self) {
        let present: Vec<&Participant> = self.participants.iter().filter(|known| !known.has_left).collect();
        let is_present = |id: &Text| present.iter().any(|known| known.id.expose() == id.expose());
        self.seats.iter_mut().for_each(|seat| *seat = seat.take().filter(is_present));
        for (side, is_calling) in [(0, true), (1, false)] {
            let is_free = |known: &Participant| !self.seats.iter().flatten().any(|id| id.expose() == known.id.expose());
            let mut free = present.iter().filter(|known| is_free(known));
            let marked = free.clone().find(|known| known.is_calling == Some(is_calling));
            let chosen = marked.or_else(|| free.clone().find(|known| known.is_calling.is_none())).or_else(|| free.next());
            if self.seats[side].is_none() {
                self.seats[side] = chosen.map(|known| known.id.clone());
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Participant { id, address, is_calling, sends } => {
                let Some(known) = self.participant(&id) else { return };
                if !address.expose().is_empty() {
                    known.address = address;
                }
                known.is_calling = is_calling.or(known.is_calling);
                known.has_left = false;
                if !sends.is_empty() {
                    (known.sends, known.is_associated) = (sends, true);
                }
            }
            Change::Stream { id, label } => {
                if let Some(known) = self.streams.iter_mut().find(|stream| stream.id.expose() == id.expose()) {
                    if !label.expose().is_empty() {
                        known.label = label;
                    }
                } else if self.streams.len() < MOST {
                    self.streams.push(Stream { id, label });
                }
            }
            Change::Presence { id, has_left } => {
                if let Some(known) = self.participants.iter_mut().find(|known| known.id.expose() == id.expose()) {
                    known.has_left = has_left;
                }
            }
            // An association tells all that the participant sends and receives from now on (RFC 7865 section 6.8).
            Change::Sends { id, sends, is_over, is_empty } => {
                let Some(known) = self.participant(&id) else { return };
                if is_over {
                    known.sends.retain(|send| !sends.iter().any(|gone| gone.expose() == send.expose()));
                } else if !is_empty {
                    (known.sends, known.is_associated) = (sends, true);
                }
            }
        }
    }

    fn participant(&mut self, id: &Text) -> Option<&mut Participant> {
        let found = self.participants.iter().position(|known| known.id.expose() == id.expose());
        if let Some(found) = found {
            return self.participants.get_mut(found);
        }
        if self.participants.len() >= MOST {
            return None;
        }
        let address = Private::new(String::new());
        self.participants.push(Participant { id: id.clone(), address, is_calling: None, sends: Vec::new(), is_associated: false, has_left: false });
        self.participants.last_mut()
    }
}

/// One thing that a document says.
enum Change {
    Participant { id: Text, address: Text, is_calling: Option<bool>, sends: Vec<Text> },
    Stream { id: Text, label: Text },
    Presence { id: Text, has_left: bool },
    Sends { id: Text, sends: Vec<Text>, is_over: bool, is_empty: bool },
}

#[derive(Default)]
struct Update {
    is_partial: bool,
    changes: Vec<Change>,
}

impl Update {
    const fn is_full(&self) -> bool {
        self.changes.len() >= ELEMENTS
    }
}

/// The element right below the recording that is being read.
enum Open {
    Participant { id: Text, address: Text, is_calling: Option<bool>, sends: Vec<Text> },
    Stream { id: Text, label: Text },
    Presence { id: Text, has_left: bool },
    Association { id: Text, sends: Vec<Text>, is_over: bool, is_empty: bool },
    Other,
}

fn read(document: &[u8]) -> Result<Update, MetadataError> {
    if document.len() > DOCUMENT {
        return Err(MetadataError { offset: DOCUMENT, fault: MetadataFault::TooLong });
    }
    // Clients put empty lines before the declaration, which XML does not allow.
    let blank = document.len() - document.trim_ascii_start().len();
    let text = String::from_utf8_lossy(document.get(blank..).unwrap_or_default());
    let mut reader = Reader::from_str(&text);
    let mut update = Update::default();
    let (mut depth, mut is_recording, mut open) = (0_usize, false, Open::Other);
    // The text of the innermost element.
    let mut said = Private::new(String::new());
    loop {
        let offset = blank + usize::try_from(reader.buffer_position()).unwrap_or(DOCUMENT);
        let at = |fault| MetadataError { offset, fault };
        let event = reader.read_event().map_err(|_| MetadataError {
            offset: blank + usize::try_from(reader.error_position()).unwrap_or(DOCUMENT),
            fault: MetadataFault::Syntax,
        })?;
        match event {
            Event::Start(element) => {
                depth += 1;
                started(&element, depth, &mut is_recording, &mut open, update.is_full()).map_err(at)?;
                clear(&mut said);
            }
            Event::Empty(element) => {
                started(&element, depth + 1, &mut is_recording, &mut open, update.is_full()).map_err(at)?;
                ended(local(element.name().as_ref()), depth + 1, "", &mut open, &mut update);
            }
            Event::End(element) => {
                if is_recording {
                    ended(local(element.name().as_ref()), depth, said.expose().trim(), &mut open, &mut update);
                }
                depth = depth.saturating_sub(1);
                clear(&mut said);
            }
            Event::Text(text) => say(&mut said, &text.into_inner()),
            Event::CData(text) => say(&mut said, &text.into_inner()),
            Event::GeneralRef(_) if is_long(&said) => {}
            Event::GeneralRef(reference) => {
                let resolved = reference.resolve_char_ref().ok().flatten();
                let known = || quick_xml::escape::resolve_predefined_entity(&reference.borrow().into_inner()).and_then(|text| text.chars().next());
                if let Some(sign) = resolved.or_else(known) {
                    say(&mut said, sign.encode_utf8(&mut [0; 4]));
                }
            }
            Event::DocType(_) => return Err(at(MetadataFault::DocumentType)),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if depth > 0 => return Err(at(MetadataFault::Syntax)),
            Event::Eof if !is_recording => return Err(at(MetadataFault::NoRecording)),
            Event::Eof => return Ok(update),
        }
    }
}

fn started(element: &BytesStart<'_>, depth: usize, is_recording: &mut bool, open: &mut Open, is_full: bool) -> Result<(), MetadataFault> {
    if depth > DEPTH {
        return Err(MetadataFault::TooDeep);
    }
    let mut attributes = element.attributes();
    let found = attributes.with_checks(false).take(ATTRIBUTES + 1).filter(Result::is_ok).count();
    if found > ATTRIBUTES {
        return Err(MetadataFault::TooManyAttributes);
    }
    let qualified = element.name();
    let name = local(qualified.as_ref());
    if depth == 1 {
        // BroadWorks' draft calls it recording_metadata.
        *is_recording |= matches(name, "recording") || matches(name, "recording_metadata");
        return if *is_recording { Ok(()) } else { Err(MetadataFault::NoRecording) };
    }
    let is_below = depth == 2 && *is_recording;
    match open {
        _ if is_below => *open = if is_full { Open::Other } else { opened(name, element) },
        Open::Participant { address, .. } if matches(name, "nameID") && address.expose().is_empty() => {
            *address = attribute(element, &["aor"]);
        }
        _ => {}
    }
    Ok(())
}

fn opened(name: &str, element: &BytesStart<'_>) -> Open {
    let participant = || attribute(element, &["participant_id", "participant"]);
    if matches(name, "participant") {
        let (address, sends) = (Private::new(String::new()), Vec::new());
        Open::Participant { id: attribute(element, &["participant_id", "id"]), address, is_calling: None, sends }
    } else if matches(name, "stream") {
        Open::Stream { id: attribute(element, &["stream_id", "id"]), label: Private::new(String::new()) }
    } else if matches(name, "participantsessionassoc") {
        Open::Presence { id: participant(), has_left: false }
    } else if matches(name, "participantstreamassoc") {
        Open::Association { id: participant(), sends: Vec::new(), is_over: false, is_empty: true }
    } else {
        Open::Other
    }
}

/// An element ended; `said` is the text in it.
fn ended(name: &str, depth: usize, said: &str, open: &mut Open, update: &mut Update) {
    if depth == 2 {
        if matches(name, "datamode") {
            update.is_partial = said.eq_ignore_ascii_case("partial");
        }
        let change = match std::mem::replace(open, Open::Other) {
            Open::Participant { id, address, is_calling, sends } => Change::Participant { id, address, is_calling, sends },
            Open::Stream { id, label } => Change::Stream { id, label },
            Open::Presence { id, has_left } => Change::Presence { id, has_left },
            Open::Association { id, sends, is_over, is_empty } => Change::Sends { id, sends, is_over, is_empty },
            Open::Other => return,
        };
        update.changes.push(change);
        return;
    }
    match open {
        Open::Participant { is_calling, .. } if matches(name, "callingParty") => *is_calling = Some(said.eq_ignore_ascii_case("true")),
        Open::Participant { sends, .. } if depth == 3 && matches(name, "send") => add(sends, said),
        Open::Stream { label, .. } if depth == 3 && matches(name, "label") => *label = text(said),
        Open::Presence { has_left, .. } if depth == 3 && matches(name, "disassociate-time") => *has_left = true,
        Open::Association { is_over, .. } if depth == 3 && matches(name, "disassociate-time") => *is_over = true,
        Open::Association { sends, is_empty, .. } if depth == 3 && (matches(name, "send") || matches(name, "recv")) => {
            *is_empty = false;
            if matches(name, "send") {
                add(sends, said);
            }
        }
        _ => {}
    }
}

fn add(sends: &mut Vec<Text>, said: &str) {
    if sends.len() < MOST {
        sends.push(text(said));
    }
}

fn text(said: &str) -> Text {
    Private::new(if said.len() > NAME { String::new() } else { said.to_owned() })
}

fn say(said: &mut Private<String>, more: &str) {
    if is_long(said) {
        return;
    }
    // Space before a name is none of it, and there may be much.
    let more = if said.expose().is_empty() { more.trim_start() } else { more };
    said.expose_mut().push_str(more.get(..NAME + 1).unwrap_or(more));
}

/// What is longer names nobody; one byte more tells that it was.
const fn is_long(said: &Private<String>) -> bool {
    said.expose().len() > NAME
}

fn clear(said: &mut Private<String>) {
    if !said.expose().is_empty() {
        *said = Private::new(String::new());
    }
}

/// The first of these attributes, whatever its prefix.
fn attribute(element: &BytesStart<'_>, names: &[&str]) -> Text {
    let mut attributes = element.attributes();
    let attributes = attributes.with_checks(false).take(ATTRIBUTES).flatten();
    // Of several, the first name's first.
    let ranked = attributes.filter_map(|attribute| Some((names.iter().position(|name| matches(local(attribute.key.as_ref()), name))?, attribute)));
    let value = ranked.min_by_key(|(rank, _)| *rank).map(|(_, attribute)| attribute);
    let value = value.and_then(|attribute| attribute.normalized_value(XmlVersion::Implicit1_0).ok());
    value.map_or_else(|| Private::new(String::new()), |value| text(value.trim()))
}

/// A name without its prefix.
fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or_default()
}

fn matches(name: &str, known: &str) -> bool {
    name.eq_ignore_ascii_case(known)
}

#[cfg(test)]
mod tests;
