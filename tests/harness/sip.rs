//! The signalling of a call as two user agents would send it over UDP (RFC 3261, RFC 3264, RFC 8866).

use std::net::{IpAddr, SocketAddr};

use crate::random::Random;
use crate::script::{Call, Codec, Outcome, Who};
use crate::truth::Segment;

/// From the INVITE to the 100, microseconds.
const TRYING_AFTER_US: i64 = 4_000;

/// From the INVITE to the 180, microseconds.
pub(crate) const RINGING_AFTER_US: i64 = 20_000;

/// From a request inside the dialog to its answer, microseconds.
const ANSWER_AFTER_US: i64 = 20_000;

/// From a final answer to its ACK, microseconds.
const ACK_AFTER_US: i64 = 8_000;

/// A SIP message on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// When, microseconds from the INVITE.
    pub(crate) at_us: i64,
    /// Who sends it.
    pub(crate) from: Who,
    /// The text.
    pub(crate) text: String,
}

/// A party as signalling names it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) uri: String,
    pub(crate) asserted: Option<String>,
    pub(crate) signalling: SocketAddr,
    pub(crate) media: SocketAddr,
}

/// A call's signalling: who, and where the times lie.
pub(crate) struct Signalling<'a> {
    pub(crate) call: &'a Call,
    pub(crate) call_id: &'a str,
    /// The agent, then the customer.
    pub(crate) endpoints: &'a [Endpoint; 2],
    /// Times from the answer, milliseconds.
    pub(crate) holds: &'a [Segment],
    pub(crate) duration_ms: u32,
}

/// When the call is answered (or given up), microseconds from the INVITE.
pub(crate) const fn answered_after_us(call: &Call) -> i64 {
    RINGING_AFTER_US + call.ring_ms as i64 * 1_000
}

impl Signalling<'_> {
    /// All messages of the call, in order of time.
    pub(crate) fn messages(&self, random: &mut Random) -> Vec<Message> {
        let mut writer = Writer {
            signalling: self,
            tags: Who::BOTH.map(|_| format!("{:08x}", random.bits() as u32)),
            sessions: Who::BOTH.map(|_| (random.bits() as u32, 0)),
            cseqs: [0, 0],
            branch_seed: random.bits() as u32,
            branches: 0,
            answered: false,
            messages: Vec::new(),
        };
        writer.call();
        writer.messages
    }
}

struct Writer<'a> {
    signalling: &'a Signalling<'a>,
    tags: [String; 2],
    /// Session id and version of each party's SDP.
    sessions: [(u32, u32); 2],
    cseqs: [u32; 2],
    branch_seed: u32,
    branches: u32,
    /// Whether the callee's tag is known to the caller yet.
    answered: bool,
    messages: Vec<Message>,
}

/// What an answer has to repeat of its request (RFC 3261 section 8.2.6.2).
#[derive(Clone)]
struct Request {
    from: Who,
    method: &'static str,
    target: String,
    cseq: u32,
    via: String,
    to_tag: bool,
}

impl Writer<'_> {
    fn call(&mut self) {
        let (call, caller) = (self.signalling.call, self.signalling.call.caller());
        let callee = caller.other();
        let offer = self.sdp(caller, "sendrecv", false);
        let invite = self.request(0, caller, "INVITE", Some(offer));
        self.response(TRYING_AFTER_US, &invite, 100, None);
        if call.outcome == Outcome::Rejected && call.ring_ms == 0 {
            self.reject(TRYING_AFTER_US * 2, &invite, call.reject_status);
            return;
        }
        self.response(RINGING_AFTER_US, &invite, 180, None);
        let decided_us = answered_after_us(call);
        match call.outcome {
            Outcome::Unanswered => {}
            Outcome::Rejected => self.reject(decided_us, &invite, call.reject_status),
            Outcome::Cancelled => {
                let cancel = Request {
                    method: "CANCEL",
                    ..invite.clone()
                };
                self.send_request(decided_us, &cancel, None);
                self.response(decided_us + 2_000, &cancel, 200, None);
                self.reject(decided_us + 4_000, &invite, 487);
            }
            Outcome::Answered | Outcome::NoBye => {
                let answer = self.sdp(callee, "sendrecv", true);
                self.response(decided_us, &invite, 200, Some(answer));
                self.answered = true;
                self.acknowledge(decided_us + ACK_AFTER_US, &invite);
                for (hold, script) in self.signalling.holds.iter().zip(&call.hold) {
                    for (at_ms, held) in [(hold.start_ms, true), (hold.end_ms, false)] {
                        self.reinvite(decided_us + i64::from(at_ms) * 1_000, script.by, held);
                    }
                }
                for press in &call.press {
                    for (key, at_ms) in press.keys.chars().zip((press.at_ms..).step_by(100)) {
                        let at_us = decided_us + i64::from(at_ms) * 1_000;
                        let info = self.request(at_us, press.who, "INFO", Some(format!("Signal={key}\r\nDuration=80\r\n")));
                        self.response(at_us + ANSWER_AFTER_US, &info, 200, None);
                    }
                }
                if call.outcome == Outcome::Answered {
                    let end_us = decided_us + i64::from(self.signalling.duration_ms) * 1_000;
                    let bye = self.request(end_us, call.ended_by, "BYE", None);
                    self.response(end_us + ANSWER_AFTER_US, &bye, 200, None);
                }
            }
        }
        self.messages.sort_by_key(|message| message.at_us);
    }

    /// Hold and its end (RFC 3264 section 8.4).
    fn reinvite(&mut self, at_us: i64, by: Who, held: bool) {
        let (offered, answered) = if held {
            ("sendonly", "recvonly")
        } else {
            ("sendrecv", "sendrecv")
        };
        let offer = self.sdp(by, offered, true);
        let invite = self.request(at_us, by, "INVITE", Some(offer));
        let answer = self.sdp(by.other(), answered, true);
        self.response(at_us + ANSWER_AFTER_US, &invite, 200, Some(answer));
        self.acknowledge(at_us + ANSWER_AFTER_US + ACK_AFTER_US, &invite);
    }

    fn reject(&mut self, at_us: i64, invite: &Request, status: u16) {
        self.response(at_us, invite, status, None);
        // The ACK to a rejection belongs to the INVITE's own transaction (RFC 3261 section 17.1.1.3).
        self.send_request(
            at_us + ACK_AFTER_US,
            &Request {
                method: "ACK",
                to_tag: true,
                ..invite.clone()
            },
            None,
        );
    }

    fn acknowledge(&mut self, at_us: i64, invite: &Request) {
        let (via, target) = (self.via(invite.from), self.target(invite.from));
        self.send_request(
            at_us,
            &Request {
                method: "ACK",
                via,
                target,
                to_tag: true,
                ..invite.clone()
            },
            None,
        );
    }

    /// Sends a new request, with the sender's next number.
    fn request(
        &mut self,
        at_us: i64,
        from: Who,
        method: &'static str,
        body: Option<String>,
    ) -> Request {
        self.cseqs[from.index()] += 1;
        let request = Request {
            from,
            method,
            target: self.target(from),
            cseq: self.cseqs[from.index()],
            via: self.via(from),
            to_tag: self.answered,
        };
        self.send_request(at_us, &request, body);
        request
    }

    fn send_request(&mut self, at_us: i64, request: &Request, body: Option<String>) {
        let us = &self.signalling.endpoints[request.from.index()];
        let mut text = format!(
            "{} {} SIP/2.0\r\n{}Max-Forwards: 70\r\n{}",
            request.method,
            request.target,
            request.via,
            self.parties(request.from, request.to_tag)
        );
        text += &format!("CSeq: {} {}\r\n", request.cseq, request.method);
        if request.method == "INVITE" {
            text += &format!(
                "Contact: <sip:{}>\r\nAllow: INVITE, ACK, CANCEL, BYE\r\n",
                us.signalling
            );
            text += &asserted(us);
            if let Some(header) = &self.signalling.call.header {
                text += &format!("{header}\r\n");
            }
        }
        self.push(at_us, request.from, text, body);
    }

    fn response(&mut self, at_us: i64, request: &Request, status: u16, body: Option<String>) {
        let from = request.from.other();
        let us = &self.signalling.endpoints[from.index()];
        let mut text = format!(
            "SIP/2.0 {status} {}\r\n{}{}CSeq: {} {}\r\n",
            reason(status),
            request.via,
            self.parties(request.from, status > 100),
            request.cseq,
            request.method
        );
        if request.method == "INVITE" && (status == 180 || status == 200) {
            text += &format!("Contact: <sip:{}>\r\n", us.signalling);
            text += &asserted(us);
        }
        self.push(at_us, from, text, body);
    }

    /// Where a request goes: inside the dialog to the other's Contact (RFC 3261 section 12.2.1.1), before it to the other's URI.
    fn target(&self, from: Who) -> String {
        let them = &self.signalling.endpoints[from.other().index()];
        if self.answered {
            format!("sip:{}", them.signalling)
        } else {
            them.uri.clone()
        }
    }

    /// From, To and Call-ID of a request by `from` and of its answers.
    fn parties(&self, from: Who, with_to_tag: bool) -> String {
        let endpoints = self.signalling.endpoints;
        let (us, them) = (from.index(), from.other().index());
        let to_tag = if with_to_tag {
            format!(";tag={}", self.tags[them])
        } else {
            String::new()
        };
        format!(
            "From: <{}>;tag={}\r\nTo: <{}>{to_tag}\r\nCall-ID: {}\r\n",
            endpoints[us].uri, self.tags[us], endpoints[them].uri, self.signalling.call_id
        )
    }

    fn via(&mut self, from: Who) -> String {
        self.branches += 1;
        let address = self.signalling.endpoints[from.index()].signalling;
        // The magic cookie says that the branch is unique (RFC 3261 section 8.1.1.7).
        format!(
            "Via: SIP/2.0/UDP {address};branch=z9hG4bK{:08x}{}\r\n",
            self.branch_seed, self.branches
        )
    }

    fn sdp(&mut self, of: Who, mode: &str, chosen: bool) -> String {
        let (id, version) = &mut self.sessions[of.index()];
        *version += 1;
        let endpoint = &self.signalling.endpoints[of.index()];
        let (family, address) = match endpoint.media.ip() {
            IpAddr::V4(address) => ("IP4", address.to_string()),
            IpAddr::V6(address) => ("IP6", address.to_string()),
        };
        let call = self.signalling.call;
        let second = if call.codec == Codec::Pcmu { Codec::Pcma } else { Codec::Pcmu };
        let offered = [call.codec, second].map(Codec::rtpmap);
        let codecs = if chosen { &offered[..1] } else { &offered };
        let types: Vec<String> = codecs.iter().map(|(payload_type, _)| payload_type.to_string()).collect();
        let mut text = format!(
            "v=0\r\no=- {id} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\nm=audio {} RTP/AVP {}\r\n",
            endpoint.media.port(),
            types.join(" ")
        );
        for (payload_type, name) in codecs {
            text += &format!("a=rtpmap:{payload_type} {name}\r\n");
        }
        text + &format!("a=ptime:{}\r\na={mode}\r\n", call.ptime_ms)
    }

    fn push(&mut self, at_us: i64, from: Who, mut text: String, body: Option<String>) {
        let body = body.unwrap_or_default();
        if !body.is_empty() {
            text += if body.starts_with("Signal=") { "Content-Type: application/dtmf-relay\r\n" } else { "Content-Type: application/sdp\r\n" };
        }
        text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        self.messages.push(Message { at_us, from, text });
    }
}

fn asserted(endpoint: &Endpoint) -> String {
    endpoint.asserted.as_ref().map_or_else(String::new, |uri| {
        format!("P-Asserted-Identity: <{uri}>\r\n")
    })
}

const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        302 => "Moved Temporarily",
        404 => "Not Found",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        503 => "Service Unavailable",
        603 => "Decline",
        _ => "Not Accepted",
    }
}
