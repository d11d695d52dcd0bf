//! Pieces of messages.

use crate::shape::Shape;

pub(super) fn quoted(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

fn did_you_mean(nearest: &[String]) -> String {
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

pub(super) fn tried_and_near(tried: &[String], nearest: &[String]) -> String {
    let also = match tried {
        [] => String::new(),
        names => format!(" (also tried {})", quoted(names)),
    };
    also + &did_you_mean(nearest)
}

pub(super) fn inner(shape: &Shape) -> String {
    let shown = shape.to_string();
    shown
        .trim_start_matches('(')
        .trim_end_matches(')')
        .to_string()
}
