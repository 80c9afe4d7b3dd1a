//! What calls are measured by. A call keeps to what was in force when it began, whatever the site agrees on meanwhile.

use std::sync::Arc;

use sotto_charter::{Charter, Site};

use crate::categories::Lists;

/// Which terms: the first are 0, and each that takes their place is one more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edition(u32);

impl Edition {
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A charter and a site, and what follows from them.
pub(crate) struct Terms {
    pub(crate) edition: Edition,
    pub(crate) charter: Arc<Charter>,
    pub(crate) site: Arc<Site>,
    pub(crate) lists: Lists,
}

impl Terms {
    pub(crate) fn new(edition: Edition, charter: Arc<Charter>, site: Arc<Site>) -> Self {
        Self { edition, lists: Lists::new(&charter.categories), charter, site }
    }
}
