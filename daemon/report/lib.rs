//! The only shapes that may leave the box, and the one that may come in ([`Ack`]).
//!
//! There is no `String` here, no list and no map of open keys: a report is made of enums, ids into the site's charter, and
//! bounded numbers in coarse steps. What a listener could ever learn from a report can be counted, field by field, in
//! [`field::Field`]. The JSON Schemas of [`schema`] are made from the same table.

mod ack;
pub mod field;
mod id;
mod ledger;
pub mod messages;
mod quantity;
pub mod schema;
mod score;

pub use ack::{Ack, Orders};
pub use field::{Direction, EndCause, Field, Group, MediaCodec, Outcome, Reason};
pub use id::{CallId, Fingerprint, Id, IdError, Millis};
pub use ledger::{Closing, Decided, Evidence, Opening, Standing};
pub use quantity::{Kind, Quantity, QuantityError};
pub use score::{Score, Use, ValidatedOn};
