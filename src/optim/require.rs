//! Rules that settings must keep.

use std::fmt::Display;

use crate::error::{Error, Result};

/// Refuses a setting that breaks its rule.
pub(crate) fn require(is_kept: bool, setting: impl Display, rule: &'static str) -> Result<()> {
    if is_kept {
        return Ok(());
    }
    Err(Error::setting(setting.to_string(), rule))
}

/// Refuses a value that is below zero or not finite.
pub(crate) fn non_negative(what: &str, value: f64) -> Result<()> {
    require(
        value.is_finite() && value >= 0.0,
        format_args!("{what} of {value}"),
        "must be finite and at least 0",
    )
}

/// Refuses a value that is not finite or that f32 has no normal number for: a
/// gradient of 0 over a divisor of 0 is NaN, and steps are taken in f32.
pub(super) fn above_zero_in_f32(what: &str, value: f64) -> Result<()> {
    require(
        value.is_finite() && value >= f64::from(f32::MIN_POSITIVE),
        format_args!("{what} of {value}"),
        "must be finite and at least f32::MIN_POSITIVE",
    )
}

pub(super) fn fraction(what: &str, value: f64) -> Result<()> {
    require(
        (0.0..=1.0).contains(&value),
        format_args!("{what} of {value}"),
        "must be from 0 to 1",
    )
}
