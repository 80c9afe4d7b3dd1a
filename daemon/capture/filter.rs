//! What the kernel passes on: a static filter in classic BPF (networking/filter in the kernel's documentation).
//!
//! Passed: UDP, TCP from or to the ports of SIP and of Homer agents, tunnels, and fragments of these, over IPv4 and IPv6, behind up to two tags (802.1Q, 802.1ad) beside the
//! one that the kernel has already taken off, so that no look at the kernel's own record of it is needed. What a few instructions cannot tell
//! (MPLS, a third tag, IPv6 extension headers) passes too, and [`Decap`](crate::Decap) tells it. Which of the UDP is of a call, nobody can say
//! without having followed the signalling: that selection is made later.

use std::ops::RangeInclusive;

use crate::decap::Link;

/// So many ranges of ports at most: the program must stay far below the kernel's limit of 4,096 instructions.
const PORT_RANGES: usize = 64;

/// One instruction, as the kernel takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    /// Instructions that are stepped over where a comparison holds.
    pub(crate) jump_true: u8,
    /// Instructions that are stepped over where it does not.
    pub(crate) jump_false: u8,
    pub(crate) k: u32,
}

const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
/// From where the index register points, plus `k`.
const LOAD_HALF_AT: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
const LOAD_BYTE_AT: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
const SET_INDEX: u16 = (libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM) as u16;
const TO_INDEX: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
const FROM_INDEX: u16 = (libc::BPF_MISC | libc::BPF_TXA) as u16;
const AND: u16 = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
const SHIFT_LEFT: u16 = (libc::BPF_ALU | libc::BPF_LSH | libc::BPF_K) as u16;
const ADD: u16 = (libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K) as u16;
const ADD_INDEX: u16 = (libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X) as u16;
const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// The whole frame.
const ACCEPT: u32 = u32::MAX;
const REJECT: u32 = 0;

const TAGS: [u32; 3] = [0x8100, 0x88a8, 0x9100];
const MPLS: [u32; 2] = [0x8847, 0x8848];
const TCP: u32 = 6;
/// UDP, and what may have it inside: IP in IP, IPv6 in IP, GRE.
const OVER_IPV4: [u32; 4] = [17, 4, 41, 47];
/// The same, and what stands before it: hop-by-hop options, routing, fragment, authentication, destination options, mobility.
const OVER_IPV6: [u32; 10] = [17, 4, 41, 47, 0, 43, 44, 51, 60, 135];

/// The program for frames of one link; `None` where the list of ports is too long, or the link is none that an interface has.
pub(crate) fn program(link: Link, sip_ports: &[RangeInclusive<u16>]) -> Option<Vec<Instruction>> {
    if sip_ports.len() > PORT_RANGES {
        return None;
    }
    let mut program = Program::default();
    match link {
        Link::Ethernet => program.ethernet(),
        Link::Ip => program.ip(),
        Link::Sll | Link::Sll2 | Link::Loopback => return None,
    }
    program.ipv4();
    program.ipv6();
    program.ports(sip_ports);
    program.finish()
}

/// Where a jump leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    FirstTag,
    SecondTag,
    Types,
    Ipv4,
    Ipv4Tcp,
    Ipv6,
    Ipv6Tcp,
    Ports,
}

/// Instructions, and the jumps that wait until it is known how far they are.
#[derive(Default)]
struct Program {
    instructions: Vec<Instruction>,
    jumps: Vec<(usize, To)>,
    places: Vec<(To, usize)>,
}

impl Program {
    /// The index register is left at the network header. Of each tag, the last two bytes say what comes next.
    fn ethernet(&mut self) {
        self.push(SET_INDEX, 14);
        self.push(LOAD_HALF, 12);
        self.jump_if_any(TAGS, To::FirstTag);
        self.jump(To::Types);

        self.here(To::FirstTag);
        self.push(SET_INDEX, 18);
        self.push(LOAD_HALF, 16);
        self.jump_if_any(TAGS, To::SecondTag);
        self.jump(To::Types);

        self.here(To::SecondTag);
        self.push(SET_INDEX, 22);
        self.push(LOAD_HALF, 20);
        self.accept_if_any(TAGS);

        self.here(To::Types);
        self.jump_if_any([0x0800], To::Ipv4);
        self.jump_if_any([0x86dd], To::Ipv6);
        self.accept_if_any(MPLS);
        self.push(RETURN, REJECT);
    }

    /// Without a link header, IP's own first four bits tell its version.
    fn ip(&mut self) {
        self.push(SET_INDEX, 0);
        self.push(LOAD_BYTE, 0);
        self.push(AND, 0xf0);
        self.jump_if_any([0x40], To::Ipv4);
        self.jump_if_any([0x60], To::Ipv6);
        self.push(RETURN, REJECT);
    }

    fn ipv4(&mut self) {
        self.here(To::Ipv4);
        self.push(LOAD_BYTE_AT, 9);
        self.accept_if_any(OVER_IPV4);
        self.jump_if_any([TCP], To::Ipv4Tcp);
        self.push(RETURN, REJECT);

        self.here(To::Ipv4Tcp);
        // Of a fragmented packet, only the first piece has ports: more fragments to come, or an offset.
        self.push(LOAD_HALF_AT, 6);
        self.instructions.push(Instruction { code: ANY_BIT, jump_true: 0, jump_false: 1, k: 0x3fff });
        self.push(RETURN, ACCEPT);
        self.push(LOAD_BYTE_AT, 0);
        self.push(AND, 0x0f);
        self.push(SHIFT_LEFT, 2);
        self.push(ADD_INDEX, 0);
        self.push(TO_INDEX, 0);
        self.jump(To::Ports);
    }

    fn ipv6(&mut self) {
        self.here(To::Ipv6);
        self.push(LOAD_BYTE_AT, 6);
        self.accept_if_any(OVER_IPV6);
        self.jump_if_any([TCP], To::Ipv6Tcp);
        self.push(RETURN, REJECT);

        self.here(To::Ipv6Tcp);
        self.push(FROM_INDEX, 0);
        self.push(ADD, 40);
        self.push(TO_INDEX, 0);
    }

    /// The index register is at the TCP header: the source's port, then the destination's.
    fn ports(&mut self, sip_ports: &[RangeInclusive<u16>]) {
        self.here(To::Ports);
        for offset in [0, 2] {
            self.push(LOAD_HALF_AT, offset);
            for range in sip_ports {
                self.instructions.push(Instruction { code: AT_LEAST, jump_true: 0, jump_false: 2, k: u32::from(*range.start()) });
                self.instructions.push(Instruction { code: ABOVE, jump_true: 1, jump_false: 0, k: u32::from(*range.end()) });
                self.push(RETURN, ACCEPT);
            }
        }
        self.push(RETURN, REJECT);
    }

    fn push(&mut self, code: u16, k: u32) {
        self.instructions.push(Instruction { code, jump_true: 0, jump_false: 0, k });
    }

    fn accept_if_any<const N: usize>(&mut self, values: [u32; N]) {
        for k in values {
            self.instructions.push(Instruction { code: EQUAL, jump_true: 0, jump_false: 1, k });
            self.push(RETURN, ACCEPT);
        }
    }

    fn jump_if_any<const N: usize>(&mut self, values: [u32; N], to: To) {
        for k in values {
            self.instructions.push(Instruction { code: EQUAL, jump_true: 0, jump_false: 1, k });
            self.jump(to);
        }
    }

    fn jump(&mut self, to: To) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP, 0);
    }

    fn here(&mut self, place: To) {
        self.places.push((place, self.instructions.len()));
    }

    /// Only `JUMP` leads far, and its distance has 32 bits; the kernel knows no way back.
    fn finish(mut self) -> Option<Vec<Instruction>> {
        for (from, to) in self.jumps {
            let (_, place) = self.places.iter().find(|(place, _)| *place == to)?;
            self.instructions.get_mut(from)?.k = u32::try_from(place.checked_sub(from + 1)?).ok()?;
        }
        Some(self.instructions)
    }
}

#[cfg(test)]
mod tests;
