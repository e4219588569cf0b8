//! Commands as clients send them: arrays of bulk strings, or a line of words.

use thiserror::Error;

/// Longest command in bytes, with all that frames it.
pub const COMMAND_LENGTH_MAX: usize = 64 * 1024;
/// Most arguments of a command, its name included.
pub const ARGUMENTS_MAX: usize = 1024;
/// Longest line that says how much follows.
const HEADER_LENGTH_MAX: usize = 32;

/// A command: its name and its arguments. Never empty.
pub type Words<'a> = Vec<&'a [u8]>;

/// What the bytes of a client begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A command, and how many bytes it takes.
    Command(Words<'a>, usize),
    /// So many bytes that ask for nothing: an empty line, an empty array.
    Nothing(usize),
    /// Not all of a command has come yet.
    Incomplete,
}

/// Why bytes are no command. Nothing behind them can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// The number of arguments.
    #[error(
        "Protocol error: invalid multibulk length, at most {ARGUMENTS_MAX} arguments are taken"
    )]
    Count,
    /// What an argument begins with.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0).escape_default())]
    Argument(u8),
    /// The length of an argument.
    #[error("Protocol error: invalid bulk length")]
    Length,
    /// All of it.
    #[error("Protocol error: a command is longer than {COMMAND_LENGTH_MAX} bytes")]
    TooLong,
    /// What stands behind an argument or a number.
    #[error("Protocol error: a line does not end where it should")]
    Ending,
    /// A line of words with quotes, which is not taken apart here.
    #[error("Protocol error: a line of words with quotes is not read here, send an array")]
    Quotes,
}

/// Reads the first command of `bytes`.
///
/// # Errors
/// [`Unreadable`], as soon as no further byte could make it a command within the bounds.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Unreadable> {
    match bytes.first() {
        None => Ok(Parsed::Incomplete),
        Some(b'*') => parse_array(bytes),
        Some(_) => parse_line(bytes),
    }
}

fn parse_array(bytes: &[u8]) -> Result<Parsed<'_>, Unreadable> {
    let Some((count, mut at)) = parse_number(bytes, 1, Unreadable::Count)? else {
        return Ok(Parsed::Incomplete);
    };
    let count = match usize::try_from(count) {
        Err(_) | Ok(0) => return Ok(Parsed::Nothing(at)),
        Ok(count) if count > ARGUMENTS_MAX => return Err(Unreadable::Count),
        Ok(count) => count,
    };
    // Not more than can have come: whoever only says that there are many has us keep nothing.
    let mut words = Words::with_capacity(count.min(bytes.len() / 4 + 1));
    for _ in 0..count {
        match bytes.get(at) {
            None => return incomplete(bytes, at),
            Some(b'$') => {}
            Some(other) => return Err(Unreadable::Argument(*other)),
        }
        let Some((length, start)) = parse_number(bytes, at + 1, Unreadable::Length)? else {
            return incomplete(bytes, at);
        };
        let length = usize::try_from(length).map_err(|_| Unreadable::Length)?;
        if length > COMMAND_LENGTH_MAX || start + length + 2 > COMMAND_LENGTH_MAX {
            return Err(Unreadable::TooLong);
        }
        let Some(ending) = bytes.get(start + length..start + length + 2) else {
            return Ok(Parsed::Incomplete);
        };
        if ending != b"\r\n" {
            return Err(Unreadable::Ending);
        }
        words.push(&bytes[start..start + length]);
        at = start + length + 2;
    }
    Ok(Parsed::Command(words, at))
}

fn incomplete(bytes: &[u8], needed_from: usize) -> Result<Parsed<'_>, Unreadable> {
    if needed_from.max(bytes.len()) >= COMMAND_LENGTH_MAX {
        return Err(Unreadable::TooLong);
    }
    Ok(Parsed::Incomplete)
}

/// The number from `start` to the end of its line, and where the next line begins.
fn parse_number(
    bytes: &[u8],
    start: usize,
    wrong: Unreadable,
) -> Result<Option<(i64, usize)>, Unreadable> {
    let rest = bytes.get(start..).unwrap_or_default();
    let window = &rest[..rest.len().min(HEADER_LENGTH_MAX)];
    let Some(length) = window.iter().position(|byte| *byte == b'\r') else {
        return match window.len() {
            HEADER_LENGTH_MAX => Err(wrong),
            _ => Ok(None),
        };
    };
    let digits = std::str::from_utf8(&window[..length]).map_err(|_| wrong)?;
    let is_number = digits.bytes().skip(1).all(|byte| byte.is_ascii_digit());
    let number = digits.parse().map_err(|_| wrong)?;
    match rest.get(length + 1) {
        _ if !is_number => Err(wrong),
        None => Ok(None),
        Some(b'\n') => Ok(Some((number, start + length + 2))),
        Some(_) => Err(Unreadable::Ending),
    }
}

fn parse_line(bytes: &[u8]) -> Result<Parsed<'_>, Unreadable> {
    let window = &bytes[..bytes.len().min(COMMAND_LENGTH_MAX)];
    let Some(length) = window.iter().position(|byte| *byte == b'\n') else {
        return match window.len() {
            COMMAND_LENGTH_MAX => Err(Unreadable::TooLong),
            _ => Ok(Parsed::Incomplete),
        };
    };
    let line = &window[..length];
    if line.iter().any(|byte| matches!(byte, b'"' | b'\'')) {
        return Err(Unreadable::Quotes);
    }
    let words: Words<'_> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    match words.len() {
        0 => Ok(Parsed::Nothing(length + 1)),
        1..=ARGUMENTS_MAX => Ok(Parsed::Command(words, length + 1)),
        _ => Err(Unreadable::Count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<'a>(words: &[&'a str]) -> Words<'a> {
        words.iter().map(|word| word.as_bytes()).collect()
    }

    #[test]
    fn an_array_and_a_line_are_the_same_command() {
        for (bytes, taken) in [
            ("*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n*1\r\n", 22),
            ("PING hi\r\nPING", 9),
            ("  PING\t hi \nPING", 12),
        ] {
            let parsed = parse(bytes.as_bytes());
            assert_eq!(
                parsed,
                Ok(Parsed::Command(words(&["PING", "hi"]), taken)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn an_argument_holds_any_bytes() {
        let bytes = b"*1\r\n$6\r\n\r\n$3\xff\0\r\n";
        let word: &[u8] = b"\r\n$3\xff\0";
        assert_eq!(parse(bytes), Ok(Parsed::Command(vec![word], bytes.len())));
    }

    #[test]
    fn every_beginning_of_a_command_waits_for_its_rest() {
        let whole = b"*3\r\n$8\r\nSENTINEL\r\n$0\r\n\r\n$2\r\nme\r\n";
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Ok(Parsed::Incomplete), "{length}");
        }
        assert!(matches!(parse(whole), Ok(Parsed::Command(..))));
    }

    #[test]
    fn what_asks_for_nothing_is_passed_over() {
        for (bytes, taken) in [
            ("\r\n", 2),
            ("\n", 1),
            ("*0\r\n", 4),
            ("*-1\r\n", 5),
            (" \n", 2),
        ] {
            assert_eq!(
                parse(bytes.as_bytes()),
                Ok(Parsed::Nothing(taken)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_its_reason() {
        let long = format!("*1\r\n${}\r\n", COMMAND_LENGTH_MAX + 1);
        let endless = "x".repeat(COMMAND_LENGTH_MAX);
        let header = format!("*{}", "1".repeat(HEADER_LENGTH_MAX));
        for (bytes, reason) in [
            ("*x\r\n", Unreadable::Count),
            ("*1025\r\n", Unreadable::Count),
            ("*1x\r\n", Unreadable::Count),
            (header.as_str(), Unreadable::Count),
            ("*1\r\n:1\r\n", Unreadable::Argument(b':')),
            ("*1\r\n$-1\r\n", Unreadable::Length),
            ("*1\r\n$x\r\n", Unreadable::Length),
            ("*1\rx", Unreadable::Ending),
            ("*1\r\n$1\r\nabc\r\n", Unreadable::Ending),
            (&long, Unreadable::TooLong),
            (&endless, Unreadable::TooLong),
            ("PING \"hi\"\r\n", Unreadable::Quotes),
        ] {
            assert_eq!(parse(bytes.as_bytes()), Err(reason), "{bytes:.40?}");
        }
    }

    #[test]
    fn many_arguments_are_bounded_in_all() {
        let one = format!("${}\r\n{}\r\n", 600, "a".repeat(600));
        let many = format!("*200\r\n{}", one.repeat(200));
        assert_eq!(parse(many.as_bytes()), Err(Unreadable::TooLong));
    }
}
