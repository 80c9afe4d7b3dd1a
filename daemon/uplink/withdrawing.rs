//! Tombstones on their way out: one at a time, each until the broker has acknowledged it.

use std::path::Path;

use sotto_spool::{Rights, SpoolError, Withdrawal};

use crate::egress::Counting;

/// The queue of withdrawals, and the one that is being told.
#[derive(Debug)]
pub(crate) struct Withdrawing {
    rights: Option<Rights>,
    telling: Option<Withdrawal>,
    is_acknowledged: bool,
}

impl Withdrawing {
    /// The rights file lies at `path`; without one nothing is ever withdrawn.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, SpoolError> {
        Ok(Self { rights: path.map(Rights::open).transpose()?, telling: None, is_acknowledged: false })
    }

    /// What is to be told, or told again.
    pub(crate) fn next(&mut self) -> Result<Option<Withdrawal>, SpoolError> {
        if self.telling.is_none()
            && let Some(rights) = &self.rights
        {
            self.telling = rights.withdrawals(0, 1)?.pop();
        }
        Ok(self.telling)
    }

    /// The broker has it.
    pub(crate) const fn acknowledged(&mut self) {
        self.is_acknowledged = true;
    }

    /// The broker has not taken it, or nobody subscribes: it stays in the queue.
    pub(crate) const fn unheard(&mut self) {
        self.telling = None;
    }

    /// Makes durable that it was told; `true` where that was so, and there may be another.
    pub(crate) fn settle(&mut self) -> Result<bool, SpoolError> {
        let (true, Some(withdrawal), Some(rights)) = (self.is_acknowledged, self.telling, &mut self.rights) else { return Ok(false) };
        rights.withdrawals_sent(&[withdrawal.row])?;
        (self.telling, self.is_acknowledged) = (None, false);
        Ok(true)
    }

    /// Whether something waits to be told.
    pub(crate) fn is_waiting(&self) -> Result<bool, SpoolError> {
        match (&self.telling, &self.rights) {
            // It is on its way already.
            (Some(_), _) | (_, None) => Ok(false),
            (None, Some(rights)) => rights.withdrawals(0, 1).map(|waiting| !waiting.is_empty()),
        }
    }

    /// Writes down what was handed over.
    pub(crate) fn count(&mut self, counting: &mut Counting) -> Result<(), SpoolError> {
        let Some(rights) = &mut self.rights else { return Ok(()) };
        let counts = counting.take();
        if counts.is_empty() { Ok(()) } else { rights.count_egress(&counts) }
    }

    /// Where the audit chain stands; nothing where there is none.
    pub(crate) fn anchor(&self) -> Result<Option<sotto_spool::Anchor>, SpoolError> {
        self.rights.as_ref().map(Rights::anchor).transpose()
    }
}
