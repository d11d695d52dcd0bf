//! The labels of images, from a CSV or JSON file.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::error::{DataError, Error, Result, printable};

use super::csv::{Record, records};
use super::files::is_image;

/// How the columns of a CSV file are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    /// A comma by default, and a tab in a file named `.tsv`.
    pub(super) separator: Option<char>,
    /// Between the labels of one column; a semicolon by default.
    pub(super) delimiter: Option<char>,
    pub(super) file: Option<String>,
    pub(super) labels: Option<Vec<String>>,
    pub(super) is_one_hot: Option<bool>,
    /// Whether an image has one label: a single column names it.
    pub(super) has_classes: bool,
}

/// An image and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LabeledName {
    /// The row's line, if there are lines.
    pub(super) line: Option<usize>,
    pub(super) image: String,
    pub(super) labels: Vec<String>,
}

impl LabeledName {
    /// Labels are spelled as in [`Labels`](crate::Labels).
    fn new(line: Option<usize>, image: String, labels: Vec<String>) -> Self {
        let labels = labels.into_iter().map(printable).collect();
        Self {
            line,
            image,
            labels,
        }
    }
}

/// The images in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LabelTable {
    pub(super) rows: Vec<LabeledName>,
    /// The names of the columns, if these are the labels.
    pub(super) names: Option<Vec<String>>,
}

/// Reads a file; `is_file` is whether a first field names an image although it does
/// not look like one.
pub(super) fn read_labels(
    path: &Path,
    columns: &Columns,
    is_file: impl Fn(&str) -> bool,
) -> Result<LabelTable> {
    let bytes = crate::files::read(path)?;
    let refuse = |line, reason: String| {
        let (file, reason) = (path.to_path_buf(), printable(reason));
        Error::Data(DataError::LabelFile { file, line, reason })
    };
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| refuse(None, "is not text in UTF-8".to_string()))?;
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    if ending == "json" {
        let images: JsonImages = serde_json::from_str(&text).map_err(|error| {
            let reason =
                format!("needs lists of labels by file, {{\"a.jpg\": [\"cat\"]}}: {error}");
            refuse(None, reason)
        })?;
        return Ok(LabelTable {
            rows: images.0,
            names: None,
        });
    }
    let default = if ending == "tsv" { '\t' } else { ',' };
    let separator = columns.separator.unwrap_or(default);
    let rows =
        records(&text, separator).map_err(|bad| refuse(Some(bad.line), bad.reason.into()))?;
    let has_header = rows.first().and_then(|row| row.fields.first());
    let has_header = has_header.is_some_and(|first| !is_image(Path::new(first)) && !is_file(first));
    let sheet = Sheet::new(rows, has_header, columns);
    sheet
        .and_then(|sheet| sheet.table(columns))
        .map_err(|Bad { line, reason }| refuse(line, reason))
}

struct Bad {
    line: Option<usize>,
    reason: String,
}

impl Bad {
    fn at(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            reason: reason.into(),
        }
    }

    fn of_file(reason: impl Into<String>) -> Self {
        Self {
            line: None,
            reason: reason.into(),
        }
    }
}

/// A CSV file with its columns chosen.
struct Sheet {
    header: Option<Record>,
    rows: Vec<Record>,
    file: usize,
    /// The columns of the labels; `None` for all fields after the first.
    labels: Option<Vec<usize>>,
}

impl Sheet {
    fn new(mut rows: Vec<Record>, has_header: bool, columns: &Columns) -> Result<Self, Bad> {
        let header = has_header.then(|| rows.remove(0));
        if header.is_none() && (columns.file.is_some() || columns.labels.is_some()) {
            return Err(Bad::at(
                1,
                "has no header, which file_column(..) and label_columns(..) need",
            ));
        }
        let mut sheet = Self {
            header,
            rows,
            file: 0,
            labels: None,
        };
        let Some(header) = &sheet.header else {
            return Ok(sheet);
        };
        let width = header.fields.len();
        if let Some(row) = sheet.rows.iter().find(|row| row.fields.len() != width) {
            let reason = format!(
                "has {} fields, but the header has {width}; put a field with separators into \
                 quotes",
                row.fields.len()
            );
            return Err(Bad::at(row.line, reason));
        }
        let file = columns.file.as_deref().map(|name| column(header, name));
        let file = file.transpose()?.unwrap_or(0);
        let labels = match &columns.labels {
            Some(names) => {
                let chosen = names.iter().map(|name| column(header, name));
                chosen.collect::<Result<_, Bad>>()?
            }
            None => (0..width).filter(|&index| index != file).collect(),
        };
        (sheet.file, sheet.labels) = (file, Some(labels));
        Ok(sheet)
    }

    fn table(&self, columns: &Columns) -> Result<LabelTable, Bad> {
        let widest = self.rows.iter().map(|row| row.fields.len()).max();
        if widest.is_some_and(|widest| widest < 2) {
            return Err(Bad::of_file(
                "has a single column; is the separator another one? separator(';') sets it",
            ));
        }
        match (&self.header, &self.labels) {
            (Some(header), Some(labels)) if self.is_one_hot(labels, columns)? => {
                self.one_hot(header, labels)
            }
            (None, _) if columns.is_one_hot == Some(true) => Err(Bad::at(
                1,
                "has no header, which names the labels of one-hot columns",
            )),
            _ => self.lists(columns.delimiter),
        }
    }

    fn cell<'s>(&self, row: &'s Record, column: usize) -> &'s str {
        row.fields.get(column).map_or("", String::as_str).trim()
    }

    fn is_one_hot(&self, labels: &[usize], columns: &Columns) -> Result<bool, Bad> {
        if let Some(is_one_hot) = columns.is_one_hot {
            return Ok(is_one_hot);
        }
        let has_flags = |&column: &usize| {
            let mut cells = self.rows.iter().map(|row| self.cell(row, column));
            cells.all(|cell| flag(cell).is_some())
        };
        let of_flags = labels.iter().copied().find(has_flags);
        match (labels, of_flags) {
            _ if self.rows.is_empty() => Ok(false),
            (_, None) => Ok(false),
            ([_], Some(_)) if columns.has_classes => Ok(false),
            ([_], Some(_)) => Err(Bad::of_file(
                "has one column of 0 and 1, which may be a label's own or the names of two; say \
                 so with one_hot(true) or one_hot(false)",
            )),
            _ if labels.iter().all(has_flags) => Ok(true),
            (_, Some(flags)) => {
                let header = self.header.as_ref();
                let name = header.map_or("", |header| self.cell(header, flags));
                Err(Bad::of_file(format!(
                    "has 0 and 1 in column \"{name}\", but other values in others; choose those \
                     of the labels with label_columns([..])"
                )))
            }
        }
    }

    fn one_hot(&self, header: &Record, labels: &[usize]) -> Result<LabelTable, Bad> {
        let names: Vec<String> = labels
            .iter()
            .map(|&column| printable(self.cell(header, column)))
            .collect();
        if let Some(name) = repeated(&names) {
            let reason = format!("has two columns named \"{name}\"");
            return Err(Bad::at(header.line, reason));
        }
        let rows = self.rows.iter().map(|row| {
            let mut own = Vec::new();
            for (&column, name) in labels.iter().zip(&names) {
                let cell = self.cell(row, column);
                match flag(cell) {
                    Some(true) => own.push(name.clone()),
                    Some(false) => {}
                    None => {
                        let reason = format!("has \"{cell}\" for \"{name}\" instead of 0 or 1");
                        return Err(Bad::at(row.line, reason));
                    }
                }
            }
            Ok(self.named(row, own))
        });
        Ok(LabelTable {
            rows: rows.collect::<Result<_, Bad>>()?,
            names: Some(names),
        })
    }

    fn lists(&self, delimiter: Option<char>) -> Result<LabelTable, Bad> {
        let rows = self.rows.iter().map(|row| {
            let all = 1..row.fields.len();
            let columns = match &self.labels {
                Some(labels) => labels.clone(),
                None => all.collect(),
            };
            let mut own = Vec::new();
            for column in columns {
                let cell = self.cell(row, column);
                if delimiter.is_none() && (cell.contains([',', '|']) || cell.starts_with('[')) {
                    let reason = format!(
                        "has \"{cell}\", which may be several labels; separate them by \";\", or \
                         say what does with delimiter(..)"
                    );
                    return Err(Bad::at(row.line, reason));
                }
                let labels = cell.split(delimiter.unwrap_or(';')).map(str::trim);
                own.extend(labels.filter(|label| !label.is_empty()).map(String::from));
            }
            Ok(self.named(row, own))
        });
        Ok(LabelTable {
            rows: rows.collect::<Result<_, Bad>>()?,
            names: None,
        })
    }

    fn named(&self, row: &Record, labels: Vec<String>) -> LabeledName {
        let image = row.fields.get(self.file).cloned().unwrap_or_default();
        LabeledName::new(Some(row.line), image, labels)
    }
}

fn column(header: &Record, name: &str) -> Result<usize, Bad> {
    let found = header.fields.iter().position(|field| field.trim() == name);
    found.ok_or_else(|| {
        let fields = header.fields.join("\", \"");
        Bad::at(header.line, format!("has \"{fields}\", but no \"{name}\""))
    })
}

/// Whether a label is there, of a one-hot column.
fn flag(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "1" | "1.0" | "true" => Some(true),
        "0" | "0.0" | "false" => Some(false),
        _ => None,
    }
}

/// The first name that is there before.
pub(super) fn repeated<N: AsRef<str>>(names: &[N]) -> Option<&str> {
    let mut seen = HashMap::new();
    let mut names = names.iter().map(AsRef::as_ref);
    names.find(|&name| seen.insert(name, ()).is_some())
}

/// A JSON object, in its order and with keys that occur twice.
struct JsonImages(Vec<LabeledName>);

impl<'de> Deserialize<'de> for JsonImages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Images;

        impl<'de> Visitor<'de> for Images {
            type Value = JsonImages;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of lists")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonImages, A::Error> {
                let mut images = Vec::new();
                while let Some((image, labels)) = map.next_entry()? {
                    images.push(LabeledName::new(None, image, labels));
                }
                Ok(JsonImages(images))
            }
        }

        deserializer.deserialize_map(Images)
    }
}
