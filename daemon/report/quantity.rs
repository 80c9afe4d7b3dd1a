//! Bounded numbers in coarse steps.

use std::fmt;

use serde_json::Number;

/// What a number counts, in which steps and up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Milliseconds in steps of 100, to 24 hours.
    Time,
    /// A count, to 9,999.
    Count,
    /// Words a minute, whole, to 600.
    Speed,
    /// Mean opinion score 1.0 to 5.0 in steps of 0.1.
    Mos,
    /// Parts in a million, in steps of 100, to 1,000,000.
    Ppm,
    /// 0 to 1 in steps of 0.01.
    Ratio,
    /// -5 to 5 in steps of 0.5.
    Sentiment,
    /// True or false.
    Flag,
    /// Whether a matter was settled.
    Resolution,
    /// From where that is known.
    Source,
}

impl Kind {
    /// The names of a choice's values, in the order of its steps; empty for numbers and flags.
    #[must_use]
    pub const fn choices(self) -> &'static [&'static str] {
        match self {
            Self::Resolution => &["resolved", "unresolved", "unknown"],
            Self::Source => &["heard", "crm"],
            _ => &[],
        }
    }

    /// (value of one step, least step, greatest step)
    const fn scale(self) -> (f64, i32, i32) {
        match self {
            Self::Time => (100.0, 0, 864_000),
            Self::Count => (1.0, 0, 9_999),
            Self::Speed => (1.0, 0, 600),
            Self::Mos => (0.1, 10, 50),
            Self::Ppm => (100.0, 0, 10_000),
            Self::Ratio => (0.01, 0, 100),
            Self::Sentiment => (0.5, -10, 10),
            Self::Flag => (1.0, 0, 1),
            Self::Resolution | Self::Source => (1.0, 0, self.choices().len() as i32 - 1),
        }
    }

    /// The value of one step.
    #[must_use]
    pub const fn step(self) -> f64 {
        self.scale().0
    }

    /// The least value.
    #[must_use]
    pub const fn least(self) -> f64 {
        self.scale().0 * self.scale().1 as f64
    }

    /// The greatest value.
    #[must_use]
    pub const fn greatest(self) -> f64 {
        self.scale().0 * self.scale().2 as f64
    }

    /// Whether its values are whole numbers.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        !matches!(self, Self::Mos | Self::Ratio | Self::Sentiment)
    }
}

/// A number that fits its kind: so many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    kind: Kind,
    steps: i32,
}

/// A value outside its kind's bounds or between its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantityError(pub Kind);

impl fmt::Display for QuantityError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "must be {} to {} in steps of {}", self.0.least(), self.0.greatest(), self.0.step())
    }
}

impl std::error::Error for QuantityError {}

impl Quantity {
    /// The nearest step within the bounds. What is not a number becomes the least value.
    #[must_use]
    pub fn nearest(kind: Kind, value: f64) -> Self {
        let (step, least, greatest) = kind.scale();
        let steps = (value / step).round();
        let steps = if steps.is_nan() { least } else { steps.clamp(f64::from(least), f64::from(greatest)) as i32 };
        Self { kind, steps }
    }

    /// The next step at or above: for a plus-minus, which must not be made smaller by rounding.
    #[must_use]
    pub fn at_least(kind: Kind, value: f64) -> Self {
        let (step, least, greatest) = kind.scale();
        let steps = (value / step - 1e-9).ceil();
        let steps = if steps.is_nan() { least } else { steps.clamp(f64::from(least), f64::from(greatest)) as i32 };
        Self { kind, steps }
    }

    /// True or false.
    #[must_use]
    pub const fn flag(value: bool) -> Self {
        Self { kind: Kind::Flag, steps: value as i32 }
    }

    /// A value that must already lie on a step within the bounds.
    ///
    /// # Errors
    /// It does not.
    pub fn exact(kind: Kind, value: f64) -> Result<Self, QuantityError> {
        let nearest = Self::nearest(kind, value);
        if (nearest.value() - value).abs() < 1e-6 { Ok(nearest) } else { Err(QuantityError(kind)) }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// Its value in the kind's unit.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.steps) * self.kind.step()
    }

    /// As JSON: whole numbers as integers, tenths and hundredths as the shortest decimal, flags as booleans.
    #[must_use]
    pub fn to_json(self) -> serde_json::Value {
        match self.kind {
            Kind::Flag => (self.steps == 1).into(),
            Kind::Mos => decimal(self.steps, 10.0),
            Kind::Ratio => decimal(self.steps, 100.0),
            Kind::Sentiment => decimal(self.steps, 2.0),
            Kind::Time | Kind::Count | Kind::Speed | Kind::Ppm => (i64::from(self.steps) * self.kind.step() as i64).into(),
            Kind::Resolution | Kind::Source => {
                let choice = usize::try_from(self.steps).ok().and_then(|step| self.kind.choices().get(step));
                choice.copied().unwrap_or_default().into()
            }
        }
    }
}

/// Dividing (not multiplying by 0.1) gives the double nearest to the decimal, which prints as `4.1` and not `4.1000000000000005`.
fn decimal(steps: i32, divisor: f64) -> serde_json::Value {
    Number::from_f64(f64::from(steps) / divisor).map_or(serde_json::Value::Null, serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_bounded_and_in_steps() {
        assert_eq!(Quantity::nearest(Kind::Time, 1_449.0).value(), 1_400.0);
        assert_eq!(Quantity::nearest(Kind::Time, 1e12).value(), 86_400_000.0);
        assert_eq!(Quantity::nearest(Kind::Mos, f64::NAN).value(), 1.0);
        assert_eq!(Quantity::at_least(Kind::Time, 101.0).value(), 200.0);
        assert_eq!(Quantity::at_least(Kind::Time, 200.0).value(), 200.0);
        assert!(Quantity::exact(Kind::Time, 150.0).is_err());
        assert!(Quantity::exact(Kind::Count, 10_000.0).is_err());
        assert!(Quantity::exact(Kind::Mos, 4.1).is_ok());
        assert_eq!(Quantity::nearest(Kind::Sentiment, -7.0).value(), -5.0);
        assert_eq!(Quantity::nearest(Kind::Sentiment, -1.3).to_json().to_string(), "-1.5");
        assert_eq!(Quantity::nearest(Kind::Resolution, 1.0).to_json(), "unresolved");
    }

    #[test]
    fn decimals_print_short() {
        for steps in 10..=50 {
            let text = Quantity { kind: Kind::Mos, steps }.to_json().to_string();
            assert!(text.len() <= 3, "{text}");
        }
        assert_eq!(Quantity::nearest(Kind::Ratio, 0.29).to_json().to_string(), "0.29");
    }
}
