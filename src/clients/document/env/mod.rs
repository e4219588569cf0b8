//! Where the values are in a document of `KEY=value` lines, read as systemd's `EnvironmentFile=` is.
//!
//! Readers of such files differ: only some know `export`, comments behind a value, quotes over
//! several lines or a backslash at the end of one. This one follows systemd 255 to skip the lines
//! of others, and refuses a wanted value whose bounds two readers would see differently.

use std::ops::Range;

use super::{EditError, KeyPath, Letters, Slot, ValueProblem, address, check_lines, mark_length};

mod verify;

pub(super) use verify::check;

/// Finds every value of every key in `keys`, in the order of the text.
///
/// # Errors
/// [`EditError`] when the text is none, or a wanted value is written in a way that readers take
/// differently.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    check_lines(text)?;
    let mut scanner = Scanner::new(text);
    let mut slots = Vec::new();
    while let Some(assignment) = scanner.next_assignment() {
        let Some(key) = keys
            .iter()
            .find(|key| key.text().as_bytes() == assignment.key)
        else {
            continue;
        };
        let (range, references) =
            assignment
                .sure_value(text)
                .map_err(|problem| EditError::Value {
                    key: key.to_string(),
                    line: assignment.line,
                    problem,
                })?;
        slots.push(Slot {
            key,
            line: assignment.line,
            range,
            references,
            letters: Letters::AsWritten,
            rewriting: address::rewrite,
        });
    }
    Ok(slots)
}

/// Where a value is in the text, and where in the value a variable is referred to.
type Value = (Range<usize>, Vec<Range<usize>>);

/// One assignment as it stands in the text.
struct Assignment<'a> {
    key: &'a [u8],
    line: usize,
    /// From behind the `=` up to the line feed that ends the assignment, which may be lines later.
    right_side: Range<usize>,
}

struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
    line: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            position: mark_length(text),
            line: 1,
        }
    }

    fn next_assignment(&mut self) -> Option<Assignment<'a>> {
        while self.position < self.text.len() {
            let line = self.line;
            let start = self.position;
            let end = line_end(self.text, start);
            let content = self.text[start..end].trim_ascii_start();
            let is_comment = content.starts_with(b"#") || content.starts_with(b";");
            let equals = self.text[start..end].iter().position(|byte| *byte == b'=');
            match equals {
                Some(equals) if !is_comment => {
                    let value_start = start + equals + 1;
                    let value_end = self.value_end(value_start);
                    self.move_behind(value_end);
                    return Some(Assignment {
                        key: without_export(&self.text[start..start + equals]),
                        line,
                        right_side: value_start..value_end,
                    });
                }
                Some(_) | None => self.move_behind(end),
            }
        }
        None
    }

    fn move_behind(&mut self, end: usize) {
        let next = (end + 1).min(self.text.len());
        let passed = self.text[self.position..next].iter();
        self.line += passed.filter(|byte| **byte == b'\n').count();
        self.position = next;
    }

    /// The line feed that ends the value, past those in quotes and behind backslashes.
    fn value_end(&self, start: usize) -> usize {
        let mut position = start;
        loop {
            while self.text.get(position).is_some_and(|byte| is_blank(*byte)) {
                position += 1;
            }
            match self.text.get(position) {
                Some(quote @ (b'"' | b'\'')) => {
                    match closing_quote(self.text, position + 1, *quote) {
                        Some(closing) => position = closing + 1,
                        None => return self.text.len(),
                    }
                }
                Some(_) | None => return unquoted_end(self.text, position),
            }
        }
    }
}

impl Assignment<'_> {
    /// The bytes of the value without quotes, when all readers agree on them, and the references in it.
    fn sure_value(&self, text: &[u8]) -> Result<Value, ValueProblem> {
        let Range { start, end } = self.right_side.clone();
        let blanks = text[start..end]
            .iter()
            .take_while(|byte| is_blank(**byte))
            .count();
        let first = start + blanks;
        let value = match text[first..end].first() {
            Some(quote @ (b'"' | b'\'')) => quoted_value(text, first + 1, end, *quote)?,
            Some(_) | None => unquoted_value(text, start, first, end)?,
        };
        let bytes = &text[value.clone()];
        if bytes.iter().any(u8::is_ascii_control) {
            return Err(ValueProblem::Control);
        }
        let is_literal = text[value.start - 1] == b'\'';
        let references = if is_literal {
            Vec::new()
        } else {
            references(bytes)?
        };
        Ok((value, references))
    }
}

fn quoted_value(
    text: &[u8],
    start: usize,
    end: usize,
    quote: u8,
) -> Result<Range<usize>, ValueProblem> {
    let closing = closing_quote(text, start, quote).ok_or(ValueProblem::SpansLines)?;
    if text[start..closing].contains(&b'\n') {
        return Err(ValueProblem::SpansLines);
    }
    let tail = &text[closing + 1..end];
    if tail.contains(&b'\n') || tail.trim_ascii_end().ends_with(b"\\") {
        return Err(ValueProblem::Continuation);
    }
    let comment = tail.trim_ascii_start();
    let is_comment = comment.len() < tail.len() && comment.starts_with(b"#");
    if !comment.is_empty() && !is_comment {
        return Err(ValueProblem::TextBehindQuote);
    }
    Ok(start..closing)
}

/// The value between `first` and a comment or `end`; an empty one is directly behind the `=`.
fn unquoted_value(
    text: &[u8],
    start: usize,
    first: usize,
    end: usize,
) -> Result<Range<usize>, ValueProblem> {
    let raw = &text[first..end];
    if raw.contains(&b'\n') || raw.trim_ascii_end().ends_with(b"\\") {
        return Err(ValueProblem::Continuation);
    }
    let hash = raw.iter().position(|byte| *byte == b'#');
    let value = match hash {
        Some(hash) if is_blank(text[first + hash - 1]) => &raw[..hash],
        Some(_) => return Err(ValueProblem::UnquotedHash),
        None => raw,
    };
    let value = value.trim_ascii_end();
    if value.iter().any(|byte| is_blank(*byte)) {
        return Err(ValueProblem::UnquotedSpace);
    }
    if value.is_empty() {
        return Ok(start..start);
    }
    Ok(first..first + value.len())
}

/// Finds each `$NAME` and `${NAME}`. What else a reader could put something in place of is refused:
/// `$(command)`, `` `command` `` and `${NAME:-text}`, in which the text may be part of the value.
fn references(value: &[u8]) -> Result<Vec<Range<usize>>, ValueProblem> {
    let mut references = Vec::new();
    let mut position = 0;
    while let Some(byte) = value.get(position) {
        let end = match byte {
            b'\\' => position + 2,
            b'`' => return Err(ValueProblem::Substitution),
            b'$' => reference_end(value, position)?,
            _ => position + 1,
        };
        if *byte == b'$' && end > position + 1 {
            references.push(position..end);
        }
        position = end;
    }
    Ok(references)
}

/// Where the reference ends that begins with the `$` at `start`; directly behind it when none does.
fn reference_end(value: &[u8], start: usize) -> Result<usize, ValueProblem> {
    let behind = &value[start + 1..];
    match behind.first() {
        Some(b'(') => Err(ValueProblem::Substitution),
        Some(b'{') => match name_length(&behind[1..]) {
            length @ 1.. if behind.get(1 + length) == Some(&b'}') => Ok(start + 3 + length),
            _ => Err(ValueProblem::Substitution),
        },
        Some(_) | None => Ok(start + 1 + name_length(behind)),
    }
}

fn name_length(text: &[u8]) -> usize {
    if text.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    text.iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count()
}

fn closing_quote(text: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut position = start;
    while let Some(byte) = text.get(position) {
        match byte {
            b'\\' if quote == b'"' => position += 1,
            byte if *byte == quote => return Some(position),
            _ => {}
        }
        position += 1;
    }
    None
}

fn unquoted_end(text: &[u8], start: usize) -> usize {
    let mut position = start;
    while let Some(byte) = text.get(position) {
        match byte {
            b'\n' => return position,
            b'\\' => position += 2,
            _ => position += 1,
        }
    }
    text.len()
}

fn line_end(text: &[u8], start: usize) -> usize {
    text[start..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(text.len(), |length| start + length)
}

fn without_export(left_side: &[u8]) -> &[u8] {
    let key = left_side.trim_ascii();
    match key.strip_prefix(b"export") {
        Some(rest) if rest.first().is_some_and(|byte| is_blank(*byte)) => rest.trim_ascii_start(),
        Some(_) | None => key,
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}
