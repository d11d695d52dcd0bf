//! Settings that are not legal: one way to refuse them, for every family.

use super::data::DataError;
use super::explain::ExplainError;
use super::healing::HealingError;
use super::kinds::Error;
use super::training::TrainingError;

macro_rules! refusing {
    ($($family:ty: $variant:ident),*) => {$(
        impl $family {
            /// Refuses a setting, named with its value, by the rule it breaks.
            pub(crate) fn setting(setting: impl Into<String>, reason: &'static str) -> Error {
                let setting = setting.into();
                Self::$variant { setting, reason }.into()
            }
        }
    )*};
}

refusing!(
    DataError<Error>: InvalidSetting,
    ExplainError: Setting,
    HealingError: Setting,
    TrainingError<Error>: Setting
);

impl ExplainError {
    /// Refuses 0.
    pub(crate) fn at_least_one(name: &str, value: usize) -> Result<(), Error> {
        if value > 0 {
            return Ok(());
        }
        Err(Self::setting(format!("{name} 0"), "must be at least 1"))
    }
}
