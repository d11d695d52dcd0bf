//! As much of Rust's grammar as the house rules need.

/// Blanks comments, strings and characters, and leaves the lines as they are.
pub fn without_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let length = skipped(&chars, at);
        if length == 0 {
            code.push(chars[at]);
            at += 1;
        } else {
            let blank = |&c: &char| if c == '\n' { '\n' } else { ' ' };
            code.extend(chars[at..at + length].iter().map(blank));
            at += length;
        }
    }
    code
}

/// Length of the comment, string or character that begins here, or 0.
fn skipped(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    let until = |from: usize, end: &str| {
        let end: Vec<char> = end.chars().collect();
        let found = rest[from..].windows(end.len()).position(|w| w == end);
        found.map_or(rest.len(), |position| from + position + end.len())
    };
    let follows_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match rest {
        ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => until(2, "*/"),
        ['r', '"' | '#', ..] if !follows_word => {
            let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
            match rest.get(1 + hashes) {
                Some('"') => until(2 + hashes, &format!("\"{}", "#".repeat(hashes))),
                _ => 0,
            }
        }
        ['"', ..] => {
            let mut length = 1;
            while length < rest.len() && rest[length] != '"' {
                length += if rest[length] == '\\' { 2 } else { 1 };
            }
            length + 1
        }
        ['\'', '\\', ..] => until(3, "'"),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

pub fn words(code: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
        let in_word = c.is_alphanumeric() || c == '_';
        match (start, in_word) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                words.push((from, &code[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// First and last line of every function with a body, by name.
pub fn functions(code: &str) -> Vec<(String, usize)> {
    let words = words(code);
    let names = words
        .windows(2)
        .filter(|pair| pair[0].1 == "fn" && !pair[1].1.is_empty());
    let lengths = names.filter_map(|pair| {
        let (start, name) = (pair[0].0, pair[1].1);
        let open = start + end_of_signature(&code[start..])?;
        let is_body = code[open..].starts_with('{');
        is_body.then(|| {
            let end = open + block(&code[open..]);
            (name.to_string(), code[start..end].lines().count())
        })
    });
    lengths.collect()
}

/// Where a signature's body begins, or its semicolon stands.
pub fn end_of_signature(code: &str) -> Option<usize> {
    let mut depth = 0;
    let ends = |(_, c): &(usize, char)| {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ => {}
        }
        depth == 0 && matches!(c, '{' | ';')
    };
    code.char_indices().find(ends).map(|(at, _)| at)
}

/// Length of a block in braces from its opening one on.
pub fn block(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The code without the items that only tests have.
pub fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut left = String::new();
    let mut rest = code;
    while let Some(at) = rest.find(TEST) {
        left.push_str(&rest[..at]);
        rest = &rest[at + TEST.len()..];
        let open = end_of_signature(rest).unwrap_or(rest.len());
        let length = if rest[open..].starts_with('{') {
            open + block(&rest[open..])
        } else {
            open + 1
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    left.push_str(rest);
    left
}

/// Modules that are open around a place, below the file's own.
pub fn inline_depth(code: &str, place: usize) -> usize {
    let mut open: Vec<bool> = Vec::new();
    let mut is_module = false;
    for (at, c) in code[..place].char_indices() {
        match c {
            '{' => {
                open.push(is_module);
                is_module = false;
            }
            '}' => {
                open.pop();
            }
            ';' => is_module = false,
            'm' if code[at..].starts_with("mod ") => {
                let before = code[..at].chars().next_back();
                is_module |= before.is_none_or(char::is_whitespace);
            }
            _ => {}
        }
    }
    open.iter().filter(|&&module| module).count()
}
