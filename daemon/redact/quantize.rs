//! From private enums and exact numbers to the coarse ones that leave.

use sotto_private::{Codec, EndCause, Estimate, Measured, Reason, Wall};
use sotto_report as report;
use sotto_report::{Field, Millis, Score};

pub(crate) fn millis(wall: Wall) -> Millis {
    Millis::rounded(wall.millis())
}

pub(crate) fn milliseconds(micros: i64) -> f64 {
    micros.max(0) as f64 / 1_000.0
}

pub(crate) fn estimate(score: &mut Score, field: Field, measured: Measured<Estimate>) {
    match measured {
        Ok(Estimate { value, plus_minus }) => score.set_estimate(field, value, plus_minus),
        Err(why) => score.set_unavailable(field, reason(why)),
    }
}

pub(crate) const fn end_cause(cause: EndCause) -> report::EndCause {
    match cause {
        EndCause::HungUp => report::EndCause::HungUp,
        EndCause::Cancelled => report::EndCause::Cancelled,
        EndCause::Rejected => report::EndCause::Rejected,
        EndCause::SilenceTimeout => report::EndCause::SilenceTimeout,
        EndCause::CaptureEnded => report::EndCause::CaptureEnded,
        EndCause::Stopped => report::EndCause::Stopped,
        EndCause::Evicted => report::EndCause::Evicted,
        EndCause::Transferred => report::EndCause::Transferred,
        EndCause::SameCall => report::EndCause::SameCall,
    }
}

pub(crate) const fn codec(codec: Codec) -> report::MediaCodec {
    match codec {
        Codec::Pcmu => report::MediaCodec::Pcmu,
        Codec::Pcma => report::MediaCodec::Pcma,
        Codec::G722 => report::MediaCodec::G722,
        Codec::G729 => report::MediaCodec::G729,
        Codec::Gsm => report::MediaCodec::Gsm,
        Codec::Ilbc => report::MediaCodec::Ilbc,
        Codec::Amr => report::MediaCodec::Amr,
        Codec::Opus => report::MediaCodec::Opus,
        Codec::Linear => report::MediaCodec::Linear,
        Codec::Other => report::MediaCodec::Other,
    }
}

pub(crate) const fn reason(reason: Reason) -> report::Reason {
    match reason {
        Reason::Consent => report::Reason::Consent,
        Reason::ReviewOverdue => report::Reason::ReviewOverdue,
        Reason::Unlabelled => report::Reason::Unlabelled,
        Reason::OneLegged => report::Reason::OneLegged,
        Reason::NoAudio => report::Reason::NoAudio,
        Reason::CodecUnsupported => report::Reason::CodecUnsupported,
        Reason::Loss => report::Reason::Loss,
        Reason::Jitter => report::Reason::Jitter,
        Reason::TooShort => report::Reason::TooShort,
        Reason::LowConfidence => report::Reason::LowConfidence,
        Reason::Shed => report::Reason::Shed,
        Reason::NoRtcp => report::Reason::NoRtcp,
        Reason::NoModel => report::Reason::NoModel,
        Reason::Language => report::Reason::Language,
        Reason::Encrypted => report::Reason::Encrypted,
        Reason::Paused => report::Reason::Paused,
        Reason::Mixed => report::Reason::Mixed,
    }
}
