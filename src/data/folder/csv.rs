//! Comma-separated values: RFC 4180, with any separator.

/// A row and the line that it begins on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// A row that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadRecord {
    pub(super) line: usize,
    pub(super) reason: &'static str,
}

struct Reader<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    separator: char,
    line: usize,
}

/// The rows, without empty lines. Fields with the separator, a quote or a line end
/// are in quotes, and quotes in them are doubled.
pub(super) fn records(text: &str, separator: char) -> Result<Vec<Record>, BadRecord> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        rest: text.chars().peekable(),
        separator,
        line: 1,
    };
    let mut records = Vec::new();
    while reader.rest.peek().is_some() {
        let record = reader.record()?;
        if record.fields.iter().any(|field| !field.trim().is_empty()) {
            records.push(record);
        }
    }
    Ok(records)
}

impl Reader<'_> {
    fn record(&mut self) -> Result<Record, BadRecord> {
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            fields.push(match self.rest.next_if_eq(&'"') {
                Some(_) => self.quoted()?,
                None => self.plain()?,
            });
            let next = self.rest.next();
            if next == Some('\r') {
                self.rest.next_if_eq(&'\n');
            }
            match next {
                Some(c) if c == self.separator => {}
                Some('\n' | '\r') => {
                    self.line += 1;
                    break;
                }
                Some(_) => return Err(self.bad("has text after a quoted field")),
                None => break,
            }
        }
        Ok(Record { line, fields })
    }

    fn plain(&mut self) -> Result<String, BadRecord> {
        let separator = self.separator;
        let mut field = String::new();
        while let Some(c) = self
            .rest
            .next_if(|&c| c != separator && c != '\n' && c != '\r')
        {
            if c == '"' {
                return Err(self.bad("has a quote inside a field that does not begin with one"));
            }
            field.push(c);
        }
        Ok(field)
    }

    /// After the opening quote.
    fn quoted(&mut self) -> Result<String, BadRecord> {
        let begin = self.line;
        let mut field = String::new();
        while let Some(c) = self.rest.next() {
            if c == '"' && self.rest.next_if_eq(&'"').is_none() {
                return Ok(field);
            }
            self.line += usize::from(c == '\n');
            field.push(c);
        }
        Err(BadRecord {
            line: begin,
            reason: "has a quote that is never closed",
        })
    }

    fn bad(&self, reason: &'static str) -> BadRecord {
        BadRecord {
            line: self.line,
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        let records = records(text, ',').unwrap().into_iter();
        records.map(|record| record.fields).collect()
    }

    /// As Python's `csv.reader` reads it with `strict=True`.
    #[test]
    fn fields_are_pythons() {
        assert_eq!(fields("a,b\nc,d\n"), [["a", "b"], ["c", "d"]]);
        assert_eq!(fields("\u{feff}a,b\r\n\r\nc,\r\n"), [["a", "b"], ["c", ""]]);
        assert_eq!(fields("\"a,b\",\"say \"\"x\"\"\""), [["a,b", "say \"x\""]]);
        assert_eq!(fields("\"a\nb\",c"), [["a\nb", "c"]]);
        assert_eq!(fields("a b, c"), [["a b", " c"]]);
        assert!(fields("").is_empty() && fields("\n,\n").is_empty());
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let records = records("a\n\n\"b\nc\"\nd", ',').unwrap();
        let lines: Vec<usize> = records.iter().map(|record| record.line).collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    #[test]
    fn broken_quotes_are_refused() {
        for (text, line) in [("a\n\"b", 2), ("\"a\"b", 1), ("a\nb\"c\"", 2)] {
            assert_eq!(records(text, ',').unwrap_err().line, line, "{text}");
        }
    }
}
