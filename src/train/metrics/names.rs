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
        let broken = match metric {
            Metric::TopAccuracy(0) => Some("is always 0; take at least 1 class"),
            _ if name.is_empty() => Some("has no name to be reported under"),
            _ if name.contains(is_separator) => Some("has a comma, quote or line end in its name"),
            _ if is_reserved => Some("has the name of something else that is reported; rename it"),
            _ if names.contains(&name) => Some("is there twice; leave one out or rename it"),
            _ => None,
        };
        let setting = || format!("the metric {name:?}");
        require(broken.is_none(), setting, broken.unwrap_or_default())?;
        names.push(name);
    }
    Ok(())
}
