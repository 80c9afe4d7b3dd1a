//! The fuzz targets, with the decoders compiled from their own source: the crate that they live in brings the models along.

#[allow(dead_code)]
#[path = "../../daemon/measure/conceal.rs"]
mod conceal;
#[allow(dead_code)]
#[path = "../../daemon/measure/decode/mod.rs"]
mod decode;
pub mod targets;

pub use decode::decode_stream;
