//! The scalars of YAML: where a value is written, what it is taken for, and when it needs quotes.

use std::ops::Range;

use saphyr_parser::ScalarStyle;

use super::super::address::Rewrite;
use super::super::{Edit, Letters, ValueProblem, address};

/// What readers of YAML 1.1 or 1.2 take a plain scalar for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Nothing,
    Truth,
    /// In plain digits.
    Port,
    OtherNumber,
    Date,
    Text,
}

/// Some of them at least: `no` is a text for those of 1.2 only, and `12:30` too.
pub(super) fn meaning(text: &str) -> Meaning {
    const TRUTHS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "y", "n"];
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "" | "~" | "null") {
        return Meaning::Nothing;
    }
    if TRUTHS.contains(&lower.as_str()) {
        return Meaning::Truth;
    }
    let all = |text: &str, is_right: fn(&u8) -> bool| text.bytes().all(|byte| is_right(&byte));
    if all(text, u8::is_ascii_digit) {
        return Meaning::Port;
    }
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    let based = ["0x", "0o", "0b"]
        .iter()
        .find_map(|base| unsigned.strip_prefix(base));
    let is_based =
        based.is_some_and(|digits| all(digits, |byte| byte.is_ascii_hexdigit() || *byte == b'_'));
    let without_rules = unsigned.replace('_', "");
    let is_decimal = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && without_rules.parse::<f64>().is_ok();
    let is_named = matches!(unsigned, ".inf" | ".nan");
    if is_based || is_decimal || is_named || is_sexagesimal(&without_rules) {
        return Meaning::OtherNumber;
    }
    let is_short =
        |part: &str, max: usize| (1..=max).contains(&part.len()) && all(part, u8::is_ascii_digit);
    let mut parts = text.splitn(3, '-');
    let is_date = parts
        .next()
        .is_some_and(|year| is_short(year, 4) && year.len() == 4)
        && parts.next().is_some_and(|month| is_short(month, 2))
        && parts
            .next()
            .is_some_and(|day| day.starts_with(|first: char| first.is_ascii_digit()));
    if is_date {
        Meaning::Date
    } else {
        Meaning::Text
    }
}

/// `190:20:30`, which is a number to the base of 60 in YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_first = parts.next().is_some_and(is_digits);
    let mut count = 0;
    let are_right = parts.all(|part| {
        count += 1;
        is_digits(part) && part.parse().is_ok_and(|part: u32| part < 60)
    });
    is_first && are_right && count > 0 && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where a scalar's value is written in `document`, and with which letters.
///
/// # Errors
/// [`ValueProblem`] for what stands on several lines, or is not found as the parser read it.
pub(super) fn place(
    document: &str,
    start: usize,
    text: &str,
    style: ScalarStyle,
) -> Result<(Range<usize>, Letters), ValueProblem> {
    let written = document.get(start..).ok_or(ValueProblem::Unrecognised)?;
    let quote = match style {
        ScalarStyle::Literal | ScalarStyle::Folded => return Err(ValueProblem::SeveralLines),
        ScalarStyle::Plain => {
            let is_there = written.starts_with(text) && !text.contains('\n');
            let problem = ValueProblem::SeveralLines;
            let range = start..start + text.len();
            return is_there
                .then_some((range, Letters::AsWritten))
                .ok_or(problem);
        }
        ScalarStyle::SingleQuoted => '\'',
        ScalarStyle::DoubleQuoted => '"',
    };
    let inner = written
        .strip_prefix(quote)
        .ok_or(ValueProblem::Unrecognised)?;
    let inner = &inner[..quoted_length(inner, quote).ok_or(ValueProblem::SpansLines)?];
    if inner.contains('\n') {
        return Err(ValueProblem::SeveralLines);
    }
    let letters = match quote {
        '\'' => Letters::doubled(inner, text),
        _ => Letters::escaped(inner, text),
    };
    let range = start + 1..start + 1 + inner.len();
    Ok((range, letters.ok_or(ValueProblem::Unrecognised)?))
}

/// Up to the closing quote: one that is not doubled, or not escaped.
fn quoted_length(text: &str, quote: char) -> Option<usize> {
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' && quote == '"' {
            letters.next();
        } else if letter == quote {
            let is_doubled =
                quote == '\'' && letters.peek().is_some_and(|(_, next)| *next == quote);
            if !is_doubled {
                return Some(at);
            }
            letters.next();
        }
    }
    None
}

/// [`address::rewrite`] for a plain scalar: it gets quotes where it would mean something else without.
pub(super) fn rewrite_plain(
    value: &[u8],
    references: &[Range<usize>],
    edit: Edit<'_>,
) -> Result<Rewrite, ValueProblem> {
    let rewrite = address::rewrite(value, references, edit)?;
    Ok(quoted_if_needed(value, rewrite))
}

/// Puts quotes around all of a plain scalar that could not stand without.
pub(in super::super) fn quoted_if_needed(value: &[u8], rewrite: Rewrite) -> Rewrite {
    let Ok(old) = std::str::from_utf8(value) else {
        return rewrite;
    };
    let mut new = old.to_owned();
    new.replace_range(rewrite.range.clone(), &rewrite.text);
    // IPv6 has colons and brackets, which begin other things in flow style, or at either end.
    let has_address = rewrite.text.matches(':').count() > 1;
    let is_plain = new.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !has_address && is_plain && meaning(old) == meaning(&new) {
        return rewrite;
    }
    let escaped = new.replace('\\', "\\\\").replace('"', "\\\"");
    Rewrite {
        range: 0..value.len(),
        text: format!("\"{escaped}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_scalar_is_what_any_reader_takes_it_for() {
        for (text, expected) in [
            ("", Meaning::Nothing),
            ("Null", Meaning::Nothing),
            ("No", Meaning::Truth),
            ("6379", Meaning::Port),
            ("06379", Meaning::Port),
            ("6_379", Meaning::OtherNumber),
            ("-1", Meaning::OtherNumber),
            ("0x18EB", Meaning::OtherNumber),
            ("1.5e3", Meaning::OtherNumber),
            (".5", Meaning::OtherNumber),
            ("+.inf", Meaning::OtherNumber),
            ("190:20", Meaning::OtherNumber),
            ("1:30:45.5", Meaning::OtherNumber),
            ("2026-11-21", Meaning::Date),
            ("2026-11-21T10:00:00Z", Meaning::Date),
            ("10.0.0.1", Meaning::Text),
            ("10.0.0.1:6379", Meaning::Text),
            ("190:6379", Meaning::Text),
            ("fd77::2", Meaning::Text),
            ("infinity", Meaning::Text),
            ("nan", Meaning::Text),
            ("e5", Meaning::Text),
            ("a:1", Meaning::Text),
            ("host-1-2", Meaning::Text),
        ] {
            assert_eq!(meaning(text), expected, "{text:?}");
        }
    }

    #[test]
    fn quotes_are_put_where_a_plain_scalar_would_mean_something_else() {
        for (old, master, new) in [
            ("a", "b:2", "b"),
            ("a:1", "10.0.0.2:2", "10.0.0.2:2"),
            ("1", "[fd77::2]:2", "2"),
            ("a", "[fd77::2]:2", "\"fd77::2\""),
            ("a:1", "[fd77::2]:2", "\"[fd77::2]:2\""),
            (
                "redis://:p\"w@a:1",
                "[::2]:2",
                "\"redis://:p\\\"w@[::2]:2\"",
            ),
            ("a", "no:2", "\"no\""),
            ("a", "1.5:2", "\"1.5\""),
            ("a:1", "190:20", "\"190:20\""),
            ("a", "_x:2", "\"_x\""),
        ] {
            let edit = Edit {
                keys: &[],
                value: None,
                master: &master.parse().unwrap(),
                readers: &[],
            };
            let rewrite = rewrite_plain(old.as_bytes(), &[], edit).unwrap();
            let mut text = old.to_owned();
            text.replace_range(rewrite.range, &rewrite.text);
            assert_eq!(text, new);
        }
    }
}
