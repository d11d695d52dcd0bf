//! An error as a program prints it whose `main` returns it.

use std::error::Error as _;
use std::fmt;

use super::kinds::Error;

/// Prints a variant with its fields, as `derive(Debug)` does.
macro_rules! print_fields {
    ($error:ident, $f:ident, $($tuple:ident),*; $($variant:ident: $($field:ident),*;)*) => {
        match $error {
            Error::UnknownNode => $f.write_str("UnknownNode"),
            $(Error::$tuple(inner) => $f.debug_tuple(stringify!($tuple)).field(inner).finish(),)*
            $(Error::$variant { $($field),* } => $f
                .debug_struct(stringify!($variant))
                $(.field(stringify!($field), $field))*
                .finish(),)*
        }
    };
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return print_fields(self, f);
        }
        write!(f, "{self}")?;
        let mut cause = self.source();
        if cause.is_some() {
            f.write_str("\n\nCaused by:")?;
        }
        while let Some(error) = cause {
            write!(f, "\n    {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

fn print_fields(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    print_fields! { error, f,
        Image, Data, Training, Explain, File, Healing, Candle;
        UnknownLayer: name, nearest;
        AmbiguousName: name, candidates;
        DuplicateName: name;
        InvalidName: name, reason;
        WrongKind: layer, expected, actual;
        EmptySelection: selection, layers;
        ReversedRange: first, last;
        IndexOutOfRange: start, end, layers;
        IllegalEdit: layer, reason;
        InvalidLayer: layer, reason;
        InputCount: layer, expected, actual;
        ShapeMismatch: layer, expected, actual;
        UnknownSize: layer, actual;
        InputTooSmall: layer, actual, minimum_height, minimum_width;
        InputShape: expected, actual;
        DetachedParameter: layer, parameter;
        MissingTensor: key, tried, file, nearest;
        TensorShape: key, file, expected, actual;
        TensorDtype: key, file, dtype;
        InvalidWeights: file, reason;
        HashMismatch: file, expected, actual;
        Io: path, reason;
        InvalidHubName: name, what, reason;
        HubNotFound: what;
        HubForbidden: what, status;
        HubRateLimited: what;
        HubResponse: what, reason;
        HubUnreachable: what, reason;
        Offline: what;
        MissingFeature: what, feature;
        InvalidPreprocessing: reason;
        LabelCount: names, synsets;
        Unsupported: what, reason;
        InvalidSetting: setting, reason;
        ClassOutOfRange: example, class, classes;
        Layer: layer, reason;
    }
}
