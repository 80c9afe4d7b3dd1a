//! Server transactions (RFC 3261 section 17.2): a request that comes again gets the same answer, and an answer to an INVITE is said
//! again until it is acknowledged (section 13.3.1.4).

use std::collections::{BTreeSet, HashMap, VecDeque};

use sotto_private::{Reply, Transport, Wall};

use super::Errand;

/// Transactions that are remembered; the oldest goes.
const MOST: usize = 16_384;
/// T1 and T2 (RFC 3261 appendix A), microseconds.
const T1: i64 = 500_000;
const T2: i64 = 4_000_000;
/// How long an answer is kept, and repeated, microseconds: 64*T1.
const LIFE: i64 = 64 * T1;

#[derive(Debug)]
struct Transaction {
    reply: Reply,
    begun: Wall,
    /// When it is said again, and how long after that once more.
    next: Option<(Wall, i64)>,
}

/// All that were answered lately.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    known: HashMap<u64, Transaction>,
    /// The oldest first.
    order: VecDeque<(Wall, u64)>,
    repeats: BTreeSet<(Wall, u64)>,
}

impl Transactions {
    /// The answer that was given.
    pub(super) fn again(&self, key: u64) -> Option<Reply> {
        self.known.get(&key).map(|transaction| transaction.reply.clone())
    }

    /// Keeps an answer. One to an INVITE is repeated until it is acknowledged; a refusal over TCP need not be (section 17.2.1).
    pub(super) fn answered(&mut self, key: u64, at: Wall, reply: Reply, is_invite: bool) {
        if self.known.len() >= MOST {
            self.forget_oldest();
        }
        let is_success = reply.payload().starts_with(b"SIP/2.0 2");
        let next = (is_invite && (is_success || reply.transport == Transport::Udp)).then(|| (at.plus(T1), 2 * T1));
        self.repeats.extend(next.map(|(next, _)| (next, key)));
        self.known.insert(key, Transaction { reply, begun: at, next });
        self.order.push_back((at, key));
    }

    /// An answer has arrived.
    pub(super) fn acknowledged(&mut self, key: u64) {
        if let Some(transaction) = self.known.get_mut(&key)
            && let Some((next, _)) = transaction.next.take()
        {
            self.repeats.remove(&(next, key));
        }
    }

    /// Says again what is due, and forgets what is old.
    pub(super) fn advance(&mut self, now: Wall, errands: &mut VecDeque<Errand>) {
        while let Some((due, key)) = self.repeats.first().copied().filter(|(due, _)| *due <= now) {
            self.repeats.remove(&(due, key));
            let Some(transaction) = self.known.get_mut(&key) else { continue };
            let Some((_, wait)) = transaction.next.take() else { continue };
            if now.since(transaction.begun) < LIFE {
                errands.push_back(Errand::Send(transaction.reply.clone()));
                let next = now.plus(wait);
                transaction.next = Some((next, (2 * wait).min(T2)));
                self.repeats.insert((next, key));
            }
        }
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= LIFE) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front()
            && let Some(gone) = self.known.remove(&key)
            && let Some((next, _)) = gone.next
        {
            self.repeats.remove(&(next, key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Reply {
        let address = "192.0.2.1:5060".parse().unwrap();
        Reply::new(address, address, Transport::Udp, text.into())
    }

    #[test]
    fn an_answer_is_repeated_ever_slower_until_its_ack() {
        let mut transactions = Transactions::default();
        transactions.answered(1, Wall::default(), reply("SIP/2.0 200 OK"), true);
        transactions.answered(2, Wall::default(), reply("SIP/2.0 200 OK"), false);
        let mut errands = VecDeque::new();
        let mut times = Vec::new();
        for step in 0..700 {
            let now = Wall::default().plus(step * 50_000);
            transactions.advance(now, &mut errands);
            times.extend(errands.drain(..).map(|_| now.millis()));
        }
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert!(transactions.known.is_empty() && transactions.repeats.is_empty() && transactions.order.is_empty());

        transactions.answered(3, Wall::default(), reply("SIP/2.0 488 No"), true);
        transactions.acknowledged(3);
        transactions.advance(Wall::default().plus(5_000_000), &mut errands);
        assert!(errands.is_empty() && transactions.again(3).is_some());
    }

    #[test]
    fn the_table_is_bounded() {
        let mut transactions = Transactions::default();
        for key in 0..2 * MOST as u64 {
            transactions.answered(key, Wall::default(), reply("SIP/2.0 200 OK"), true);
        }
        assert_eq!((transactions.known.len(), transactions.repeats.len()), (MOST, MOST));
        assert!(transactions.again(0).is_none());
    }
}
