//! JSON with comments: `jsonc-parser` says where the values are; for the second reading comments and
//! commas behind a last item are taken out, and `serde_json` reads what is left.

use jsonc_parser::ParseOptions;

use super::json::{Place, check_syntax, read, strict};
use super::tree::{Tree, compare};
use super::verify::Discrepancy;
use super::{Edit, EditError, KeyPath, Slot, text_of};

const NAME: &str = "JSON with comments";

/// Finds the value of every path in `keys`.
///
/// # Errors
/// [`EditError`] when the text is no JSON, or a path leads to no value that can name a host.
pub(super) fn locate<'a>(text: &[u8], keys: &'a [KeyPath]) -> Result<Vec<Slot<'a>>, EditError> {
    let (document, mark) = text_of(text)?;
    check_syntax(&plain(document), NAME)?;
    let place = Place {
        text,
        document,
        mark,
    };
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        ..strict()
    };
    place.slots(&options, NAME, keys)
}

/// Demands that `new` is `old` but for the values of the keys, and that these name the master.
///
/// # Errors
/// [`Discrepancy`], the first one in the text.
pub(super) fn check(old: &[u8], new: &[u8], edit: Edit<'_>) -> Result<(), Discrepancy> {
    compare(reading(old)?, reading(new)?, edit)
}

/// What a text says.
///
/// # Errors
/// [`Discrepancy::Unreadable`]
pub(super) fn reading(text: &[u8]) -> Result<Tree, Discrepancy> {
    let unreadable = Discrepancy::Unreadable { format: NAME };
    let (document, _) = text_of(text).map_err(|_| unreadable.clone())?;
    read(&plain(document)).ok_or(unreadable)
}

/// The document without comments and without commas behind a last item, each byte where it was.
fn plain(document: &str) -> String {
    let mut plain = String::with_capacity(document.len());
    // Where the last comma is, while nothing but blanks and comments stands behind it.
    let mut comma = None;
    let mut rest = document;
    while let Some(letter) = rest.chars().next() {
        if let Some(length) = comment_length(rest) {
            let (comment, behind) = rest.split_at(length);
            plain.extend(comment.chars().flat_map(blank));
            rest = behind;
            continue;
        }
        let length = match letter {
            '"' => text_length(rest),
            letter => letter.len_utf8(),
        };
        let (part, behind) = rest.split_at(length);
        match letter {
            ']' | '}' => {
                if let Some(at) = comma.take() {
                    plain.replace_range(at..=at, " ");
                }
                plain.push(letter);
            }
            ',' => {
                comma = Some(plain.len());
                plain.push(letter);
            }
            letter => {
                let is_blank = letter.is_ascii_whitespace();
                comma = comma.filter(|_| is_blank);
                plain.push_str(part);
            }
        }
        rest = behind;
    }
    plain
}

/// Of the comment that a text begins with; none where none does, or where it does not end.
fn comment_length(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [b'/', b'/', ..] => Some(text.find('\n').unwrap_or(text.len())),
        [b'/', b'*', ..] => text[2..].find("*/").map(|end| end + 4),
        _ => None,
    }
}

/// A blank for each byte of a letter; ends of lines stay, so that errors name the right one.
fn blank(letter: char) -> impl Iterator<Item = char> {
    let kept = if matches!(letter, '\n' | '\r') {
        letter
    } else {
        ' '
    };
    std::iter::repeat_n(kept, letter.len_utf8())
}

/// Up to the closing quote, or to the end of the text where there is none.
fn text_length(text: &str) -> usize {
    let mut is_escaped = true; // the opening quote
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_last_commas_become_blanks() {
        for (written, left) in [
            ("{\"a\": 1, // é\n}", "{\"a\": 1       \n}"),
            ("[1,/* , ] */\r\n2 , ]", "[1,         \r\n2   ]"),
            ("{\"//\": \"/* \\\" */\",}", "{\"//\": \"/* \\\" */\" }"),
            ("[1,,]", "[1, ]"),
            ("[1,\"a\"]", "[1,\"a\"]"),
            ("[1, /* a", "[1, /* a"),
            ("[1,/]", "[1,/]"),
        ] {
            assert_eq!(plain(written), left);
            assert_eq!(plain(written).len(), written.len());
        }
    }
}
