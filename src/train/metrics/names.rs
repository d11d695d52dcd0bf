use crate::error::Result;
use crate::optim::require;

use super::metric::Metric;

/// Names with another meaning in a history or in the header of its table.
const RESERVED: [&str; 5] = ["loss", "learning_rate", "epoch", "seconds", "from_cache"];

/// Refuses metrics whose names can't be reported.
pub(in crate::train) fn check_metrics(metrics: &[Metric]) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for metric in metrics {
        let name = metric.name();
        let is_separator = |c: char| c == ',' || c == '"' || c.is_control();
        let is_reserved = RESERVED.contains(&name.as_str()) || name.starts_with("val_");
        let rules = [
            (
                !matches!(metric, Metric::TopAccuracy(0)),
                "is always 0; take at least 1 class",
            ),
            (!name.is_empty(), "has no name to be reported under"),
            (
                !name.contains(is_separator),
                "has a comma, quote or line end in its name",
            ),
            (
                !is_reserved,
                "has the name of something else that is reported; use another name",
            ),
            (
                !names.contains(&name),
                "is there twice; leave one out or rename it",
            ),
        ];
        for (is_kept, rule) in rules {
            require(is_kept, || format!("the metric {name:?}"), rule)?;
        }
        names.push(name);
    }
    Ok(())
}
