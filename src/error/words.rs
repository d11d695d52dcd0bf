//! Pieces of messages.

use crate::shape::Shape;

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

pub(super) fn also_tried(tried: &[String]) -> String {
    match tried {
        [] => String::new(),
        names => format!(" (also tried {})", quoted(names)),
    }
}

pub(super) fn inner(shape: &Shape) -> String {
    let shown = shape.to_string();
    shown
        .trim_start_matches('(')
        .trim_end_matches(')')
        .to_string()
}
