//! Epochs as comma-separated values.

use super::epoch_record::EpochRecord;

pub(in crate::train) fn csv_header(names: &[String]) -> String {
    let names = names.join(",");
    format!("epoch,learning_rate,seconds,from_cache,{names}\n")
}

/// The values of an epoch; empty where it has none.
pub(in crate::train) fn csv_line(record: &EpochRecord, names: &[String]) -> String {
    let EpochRecord {
        epoch: number,
        learning_rate,
        seconds,
        from_cache,
        ..
    } = record;
    let mut line = format!("{number},{learning_rate},{seconds:.3},{from_cache}");
    for name in names {
        line.push(',');
        if let Some(value) = record.get(name) {
            line.push_str(&value.to_string());
        }
    }
    line.push('\n');
    line
}
