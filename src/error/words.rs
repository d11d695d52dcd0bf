//! Pieces of messages.

use std::path::Path;

use crate::shape::Shape;

use super::hint::WeightHint;

/// A text with its control characters as `\u{1b}`: printed, they would move the
/// cursor or change the colors of a terminal.
pub(crate) fn printable(text: impl Into<String>) -> String {
    let text = text.into();
    if !text.contains(char::is_control) {
        return text;
    }
    let shown = text.chars().map(|c| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    shown.collect()
}

/// A path for a message, without control characters.
pub(crate) fn shown(path: &Path) -> String {
    printable(path.display().to_string())
}

pub(super) fn quoted(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

pub(super) fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; near it: {}", quoted(names)),
    }
}

pub(super) fn or_list(nearest: &[String]) -> String {
    match nearest {
        [] => "; summary() lists them".to_string(),
        names => did_you_mean(names),
    }
}

pub(super) fn not_on_hub(missing: Option<&str>) -> &'static str {
    match missing {
        Some("file") => "the repository has no such file",
        Some("revision") => "the repository has no such branch, tag or commit",
        Some(_) => "there is no such repository, or it is private: check the name, or set HF_TOKEN",
        None => "check the name, or set HF_TOKEN if it is private",
    }
}

pub(super) fn of_example(example: Option<usize>) -> String {
    example.map_or_else(String::new, |index| format!(" of example {index}"))
}

/// What white pixels of a mask may be.
pub(super) fn of_white(class: usize) -> &'static str {
    match class {
        255 => {
            "; in a mask, 255 may be white (read it with fractions()) or no class \
             (ignore_class(255))"
        }
        _ => "",
    }
}

pub(super) fn tried_and_near(tried: &[String], nearest: &[String]) -> String {
    let also = match tried {
        [] => String::new(),
        [first, second, third, rest @ ..] if !rest.is_empty() => format!(
            " (also tried \"{first}\", \"{second}\", \"{third}\" and {} more)",
            rest.len()
        ),
        names => format!(" (also tried {})", quoted(names)),
    };
    also + &did_you_mean(nearest)
}

pub(super) fn ambiguous(key: &str, file: &str, candidates: &[String]) -> String {
    let candidates = quoted(candidates);
    format!(
        "\"{key}\" could be any of {candidates} in {file}; choose with WeightSet::strip_prefix or \
         rename"
    )
}

pub(super) fn and(hint: &Option<Box<WeightHint>>) -> String {
    hint.as_ref()
        .map_or_else(String::new, |hint| format!("; {hint}"))
}

/// How a tensor whose axes are in another order, or that lacks the batch, becomes
/// an input.
pub(super) fn axes(expected: &Shape, actual: &[usize]) -> &'static str {
    let channels = expected.channels();
    match (expected, actual) {
        (Shape::Map { .. }, &[first, _, _]) if first == channels => {
            "; add the batch with unsqueeze(0)"
        }
        (Shape::Map { .. }, &[_, _, last]) if last == channels => {
            "; put the channels first and add the batch with permute((2, 0, 1)) and unsqueeze(0)"
        }
        (Shape::Map { .. }, &[_, second, _, last]) if second != channels && last == channels => {
            "; put the channels first with permute((0, 3, 1, 2))"
        }
        (Shape::Vector { .. }, &[only]) if only == channels => "; add the batch with unsqueeze(0)",
        _ => "",
    }
}

pub(super) fn inner(shape: &Shape) -> String {
    let shown = shape.to_string();
    shown
        .trim_start_matches('(')
        .trim_end_matches(')')
        .to_string()
}
