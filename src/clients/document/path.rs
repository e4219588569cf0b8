//! The way to a value in a document: `redis.primary.url`, `servers.0.host`, `redis."my.key".url`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest path, in bytes.
const LENGTH_MAX: usize = 256;

/// The keys that lead to a value, from the outermost one. In a list a number is a position, from 0.
///
/// Between dots stands a key as it is, or one in double quotes, which may hold dots, commas and
/// blanks, and `\"` and `\\` for a quote and a backslash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyPath {
    text: String,
    segments: Vec<String>,
}

/// Why a text is no [`KeyPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidKeyPath {
    /// Nothing between two dots, or nothing at all.
    #[error("a part of the path is empty: write KEY.KEY, and \"\" around a key with a dot in it")]
    Empty,
    /// A quote without its fellow.
    #[error("a quote in the path is not closed")]
    Unclosed,
    /// A quote in the middle of a key, or text behind a closing one.
    #[error("a quote stands within a key: put quotes around the whole key")]
    StrayQuote,
    /// A character that only a quoted key may hold.
    #[error("a key of the path holds a blank or a control character: put double quotes around it")]
    Blank,
    /// Beyond what anybody writes.
    #[error("the path is longer than {LENGTH_MAX} bytes")]
    TooLong,
}

impl KeyPath {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The keys, without quotes.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The way to an item of the list that this leads to.
    pub(super) fn item(&self, position: usize) -> Self {
        let number = position.to_string();
        let segments = self.segments.iter().chain([&number]);
        Self {
            text: format!("{}.{number}", self.text),
            segments: segments.cloned().collect(),
        }
    }

    /// The document of a file that holds several, counted from 0: that of `---1.redis.url` is 1.
    pub(super) fn document(&self) -> Option<usize> {
        let first = self.segments.first().filter(|_| self.segments.len() > 1)?;
        let number = first.strip_prefix("---")?;
        // Quoted it is a key like any other.
        position(number).filter(|_| self.text.starts_with('-'))
    }

    /// The keys within the document.
    pub(super) fn within(&self) -> &[String] {
        &self.segments[usize::from(self.document().is_some())..]
    }

    /// The path in a format that has no paths: all of it is one key.
    pub(super) fn flat(&self) -> String {
        self.within().join(".")
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for KeyPath {
    type Err = InvalidKeyPath;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LENGTH_MAX {
            return Err(InvalidKeyPath::TooLong);
        }
        let mut segments = Vec::new();
        let mut rest = text;
        loop {
            let (segment, behind) = match rest.strip_prefix('"') {
                Some(quoted) => quoted_segment(quoted)?,
                None => bare_segment(rest)?,
            };
            segments.push(segment);
            match behind {
                "" => break,
                behind => rest = behind.strip_prefix('.').ok_or(InvalidKeyPath::StrayQuote)?,
            }
        }
        let text = text.to_owned();
        Ok(Self { text, segments })
    }
}

/// The position in a list that a part of a path names.
pub(super) fn position(segment: &str) -> Option<usize> {
    let position: usize = segment.parse().ok()?;
    (position.to_string() == segment).then_some(position)
}

/// Such keys as a path.
pub(super) fn written<'s>(segments: impl Iterator<Item = &'s String>) -> String {
    let is_odd =
        |letter: char| letter.is_whitespace() || letter.is_control() || ".,\"".contains(letter);
    let part = |segment: &String| {
        if !segment.is_empty() && !segment.contains(is_odd) {
            return segment.clone();
        }
        let escaped = segment.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    };
    segments.map(part).collect::<Vec<_>>().join(".")
}

/// Divides several paths at the commas that are not in quotes.
#[must_use]
pub fn split_paths(text: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let is_comma = |letter: char| {
        let ends = letter == ',' && !is_quoted;
        is_quoted ^= letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && is_quoted && !is_escaped;
        ends
    };
    text.split(is_comma).map(str::trim).collect()
}

fn bare_segment(text: &str) -> Result<(String, &str), InvalidKeyPath> {
    let (segment, behind) = text.split_at(text.find('.').unwrap_or(text.len()));
    if segment.is_empty() {
        return Err(InvalidKeyPath::Empty);
    }
    if segment.contains('"') {
        return Err(InvalidKeyPath::StrayQuote);
    }
    if segment.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(InvalidKeyPath::Blank);
    }
    Ok((segment.to_owned(), behind))
}

/// The key up to its closing quote, and what stands behind that.
fn quoted_segment(text: &str) -> Result<(String, &str), InvalidKeyPath> {
    let mut segment = String::new();
    let mut letters = text.char_indices();
    while let Some((position, letter)) = letters.next() {
        match letter {
            '"' => return Ok((segment, &text[position + 1..])),
            '\\' => segment.extend(letters.next().map(|(_, escaped)| escaped)),
            letter => segment.push(letter),
        }
    }
    Err(InvalidKeyPath::Unclosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_keys_between_dots_some_of_them_quoted() {
        for (text, segments) in [
            ("REDIS_URL", vec!["REDIS_URL"]),
            ("redis.primary.url", vec!["redis", "primary", "url"]),
            ("servers.0.host", vec!["servers", "0", "host"]),
            (r#"redis."my.key".url"#, vec!["redis", "my.key", "url"]),
            (r#""a, b"."""#, vec!["a, b", ""]),
            (r#""say \"x\\\"""#, vec![r#"say "x\""#]),
            ("größe", vec!["größe"]),
        ] {
            let path: KeyPath = text.parse().unwrap();
            assert_eq!(path.segments(), segments, "{text}");
            assert_eq!(path.to_string(), text);
            let again: KeyPath = written(path.segments().iter()).parse().unwrap();
            assert_eq!(again.segments(), segments, "{text}");
        }
    }

    #[test]
    fn a_path_may_begin_with_the_number_of_a_document() {
        for (text, document, within) in [
            ("---0.a.b", Some(0), vec!["a", "b"]),
            ("---12.a", Some(12), vec!["a"]),
            ("a.---1", None, vec!["a", "---1"]),
            ("---1", None, vec!["---1"]),
            ("---01.a", None, vec!["---01", "a"]),
            ("--1.a", None, vec!["--1", "a"]),
            ("\"---1\".a", None, vec!["---1", "a"]),
        ] {
            let path: KeyPath = text.parse().unwrap();
            assert_eq!(
                (path.document(), path.within()),
                (
                    document,
                    &within.iter().map(ToString::to_string).collect::<Vec<_>>()[..]
                )
            );
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        use InvalidKeyPath as Invalid;
        for (text, error) in [
            ("", Invalid::Empty),
            (".a", Invalid::Empty),
            ("a.", Invalid::Empty),
            ("a..b", Invalid::Empty),
            ("a b", Invalid::Blank),
            ("a\n", Invalid::Blank),
            ("a\"b", Invalid::StrayQuote),
            ("\"a\"b", Invalid::StrayQuote),
            ("\"a", Invalid::Unclosed),
            ("\"a\\", Invalid::Unclosed),
            (&"x".repeat(257), Invalid::TooLong),
        ] {
            assert_eq!(text.parse::<KeyPath>(), Err(error), "{text}");
        }
    }

    #[test]
    fn commas_in_quotes_divide_nothing() {
        for (text, paths) in [
            ("a.b, c", vec!["a.b", "c"]),
            (r#""a,b".c,d"#, vec![r#""a,b".c"#, "d"]),
            (r#""a\",b",c"#, vec![r#""a\",b""#, "c"]),
            ("a,,b", vec!["a", "", "b"]),
        ] {
            assert_eq!(split_paths(text), paths, "{text}");
        }
    }
}
