//! Which numbers at a site may be its agents': what `sotto setup` proposes. Numbers are looked at while it listens, and wiped; what comes out
//! is a pattern in which every digit is masked that differs between at least [`LEAST_MEMBERS`] of them, so that it points at nobody.

use std::collections::{BTreeMap, BTreeSet};

use sotto_charter::Glob;
use sotto_private::{CallEvent, Party, Private};

/// A pattern of fewer different numbers would say too much of each.
pub const LEAST_MEMBERS: usize = 20;

/// Calls that are looked at; further ones are not, and a pattern is as clear by then as it will be.
const MOST_CALLS: usize = 20_000;
/// Patterns that are proposed at most.
const MOST_PROPOSALS: usize = 3;
/// A pattern that tells the agent in fewer of the calls is none of agents, percent.
const LEAST_LABELLED: usize = 50;
/// Digits of a number (E.164 has 15), and at least so many that some can be masked.
const DIGITS: std::ops::RangeInclusive<usize> = 2..=15;

/// Looks at calls' parties and tells what their numbers have in common.
#[derive(Debug, Default)]
pub struct Proposer {
    calls: Vec<[Option<Number>; 2]>,
}

/// One pattern for `[[agents]] match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The glob: `sip:1???@*`.
    pub pattern: String,
    /// How many different numbers fell under it: [`LEAST_MEMBERS`] or more.
    pub members: usize,
    /// Of the calls seen, those in which exactly one party falls under it, percent.
    pub labelled_percent: usize,
}

/// A telephone number as a URI carries it.
#[derive(Clone, Debug)]
struct Number {
    identity: Private<String>,
    /// Where its digits begin in it, and how many there are.
    first: usize,
    digits: usize,
}

impl Proposer {
    /// Looks at one event; those that name no parties are nothing to it.
    pub fn see(&mut self, event: &CallEvent) {
        let CallEvent::Offered { calling, called, .. } = event else { return };
        if self.calls.len() < MOST_CALLS {
            self.calls.push([calling, called].map(Number::of));
        }
    }

    /// Calls whose parties were seen.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The patterns that may be agents', the likeliest first: those that tell one party from the other in most calls, and of these the shorter
    /// numbers, as a site's own are shorter than the world's.
    #[must_use]
    pub fn proposals(&self) -> Vec<Proposal> {
        let mut found: Vec<Proposal> = self.patterns().into_iter().map(|(pattern, members)| self.weigh(pattern, members)).collect();
        found.retain(|proposal| proposal.labelled_percent >= LEAST_LABELLED);
        // The count of masked digits is that of the pattern's question marks: fewer is narrower.
        found.sort_by_key(|proposal| (100 - proposal.labelled_percent / 5 * 5, proposal.pattern.len(), proposal.pattern.matches('?').count()));
        found.truncate(MOST_PROPOSALS);
        found
    }

    /// Every pattern that enough numbers share, with how many do.
    fn patterns(&self) -> BTreeMap<String, usize> {
        let numbers: BTreeMap<&str, &Number> = self.calls.iter().flatten().flatten().map(|number| (number.identity.expose().as_str(), number)).collect();
        let mut groups: BTreeMap<(usize, usize, &str), BTreeSet<&str>> = BTreeMap::new();
        for number in numbers.values() {
            let (start, text) = number.split();
            for kept in 0..number.digits {
                groups.entry((start.len(), number.digits, &number.identity.expose()[..start.len() + kept])).or_default().insert(text);
            }
        }
        let groups = groups.into_iter().filter(|(_, members)| members.len() >= LEAST_MEMBERS);
        groups
            .filter_map(|((start, digits, kept), members)| {
                let common = common_digits(&members);
                let masked = "?".repeat(digits - common);
                let shared = members.first()?.get(..common)?;
                let (scheme, tail) = (kept.get(..start)?, if kept.starts_with("tel:") { "" } else { "@*" });
                Some((format!("{scheme}{shared}{masked}{tail}"), members.len()))
            })
            .collect()
    }

    fn weigh(&self, pattern: String, members: usize) -> Proposal {
        let glob = Glob::new(&pattern);
        let falls = |number: &Option<Number>| number.as_ref().is_some_and(|number| glob.matches(number.identity.expose()));
        let labelled = self.calls.iter().filter(|[calling, called]| falls(calling) != falls(called)).count();
        Proposal { pattern, members, labelled_percent: labelled * 100 / self.calls.len().max(1) }
    }
}

impl Number {
    fn of(party: &Party) -> Option<Self> {
        let identity = party.identity();
        let user = identity.find(':')? + 1;
        let first = user + usize::from(identity.get(user..)?.starts_with('+'));
        let rest = identity.get(first..)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let is_whole = matches!(rest.as_bytes().get(digits), None | Some(b'@'));
        (is_whole && DIGITS.contains(&digits)).then(|| Self { identity: Private::new(identity.to_owned()), first, digits })
    }

    /// What stands before the digits, and the digits.
    fn split(&self) -> (&str, &str) {
        let (start, rest) = self.identity.expose().split_at(self.first);
        (start, rest.get(..self.digits).unwrap_or(rest))
    }
}

/// How many digits all of them begin with. Of twenty that differ, two are masked at least.
fn common_digits(members: &BTreeSet<&str>) -> usize {
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return 0 };
    // They are sorted: what the first and the last share, all share.
    first.bytes().zip(last.bytes()).take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use sotto_private::{Call, Origin, Wall};

    use super::*;

    fn call(calling: &str, called: &str) -> CallEvent {
        let party = |identity: &str| Party::new(identity, None, "");
        CallEvent::Offered { call: Call(1), at: Wall::from_micros(0), calling: party(calling), called: party(called), origin: Origin::Invite, continues: None }
    }

    fn heard(agents: u32, calls: u32) -> Proposer {
        let mut proposer = Proposer::default();
        for number in 0..calls {
            let agent = format!("sip:{}@pbx.example", 1_100 + number % agents);
            let customer = format!("sip:+49{}@carrier.example", 170_000_000 + u64::from(number) * 7_919 % 90_000_000);
            proposer.see(&if number % 3 == 0 { call(&agent, &customer) } else { call(&customer, &agent) });
        }
        proposer
    }

    #[test]
    fn agents_are_told_by_what_their_numbers_share() {
        let found = heard(30, 200).proposals();
        assert_eq!(found[0], Proposal { pattern: "sip:11??@*".to_owned(), members: 30, labelled_percent: 100 });
    }

    #[test]
    fn nineteen_are_not_enough() {
        assert!(heard(19, 200).proposals().iter().all(|proposal| !proposal.pattern.starts_with("sip:1")), "{:?}", heard(19, 200).proposals());
        assert!(heard(19, 19).proposals().is_empty());
        assert!(heard(20, 20).proposals().iter().any(|proposal| proposal.pattern == "sip:11??@*"));
    }

    #[test]
    fn what_comes_out_holds_no_number() {
        for proposal in heard(100, 5_000).proposals() {
            assert!(proposal.members >= LEAST_MEMBERS && proposal.pattern.matches('?').count() >= 2, "{proposal:?}");
        }
        assert!(!format!("{:?}", heard(30, 30)).contains("110"));
    }

    #[test]
    fn names_and_odd_identities_are_left_alone() {
        let mut proposer = Proposer::default();
        for identity in ["", "sip:", "sip:alice@pbx", "sip:1@pbx", "tel:+", "sip:12345678901234567890@pbx", "sip:10a2@pbx", "ü"] {
            proposer.see(&call(identity, identity));
        }
        assert_eq!((proposer.calls(), proposer.proposals()), (8, Vec::new()));
    }
}
