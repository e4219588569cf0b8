//! Files of variables, as systemd reads them with `EnvironmentFile=`.
//!
//! The same file can so be given to systemd, or be read by the daemon itself, which can then read it
//! again while it runs. Source of the rules: systemd.exec(5) and, for what it leaves open, `env-file.c`.

use super::mistakes::Problem;

/// A line `NAME=VALUE`, the value without its quotes and escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) name: String,
    pub(super) value: String,
    /// From 1; the one in which it begins.
    pub(super) line: usize,
}

/// Where in a value the next character stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but blanks since `=` or a closing quote.
    Before,
    Plain,
    Single,
    Double,
}

/// Reads all assignments. What is neither one, nor a comment, nor blank, is an error with its line.
pub(super) fn parse(text: &str) -> Result<Vec<Assignment>, (Problem, usize)> {
    let mut assignments = Vec::new();
    let mut rest = Scan {
        characters: text.chars().peekable(),
        line: 1,
    };
    while let Some(name) = rest.name()? {
        let line = rest.line;
        let value = rest.value(line)?;
        assignments.push(Assignment { name, value, line });
    }
    Ok(assignments)
}

/// What is left of the text.
struct Scan<'a> {
    characters: std::iter::Peekable<std::str::Chars<'a>>,
    line: usize,
}

impl Scan<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.characters.next();
        self.line += usize::from(character == Some('\n'));
        character
    }

    /// The name of the next assignment, with its `=` taken.
    fn name(&mut self) -> Result<Option<String>, (Problem, usize)> {
        loop {
            match self.characters.peek() {
                None => return Ok(None),
                Some(character) if character.is_whitespace() => drop(self.next()),
                Some('#' | ';') => self.skip_comment(),
                Some(_) => break,
            }
        }
        let line = self.line;
        let refuse = || {
            let reason = "a line is NAME=VALUE, or a comment that begins with #".to_owned();
            (Problem::NotVariables { reason }, line)
        };
        let mut name = String::new();
        loop {
            match self.next() {
                Some('=') => break,
                None | Some('\n') => return Err(refuse()),
                Some(character) => name.push(character),
            }
        }
        let name = name.trim().to_owned();
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        match !name.is_empty() && name.chars().all(is_name) {
            true => Ok(Some(name)),
            false => Err(refuse()),
        }
    }

    /// To the end of the line; a backslash before it takes the next line in, too.
    fn skip_comment(&mut self) {
        loop {
            match self.next() {
                None | Some('\n') => return,
                Some('\\') => drop(self.next()),
                Some(_) => {}
            }
        }
    }

    fn value(&mut self, line: usize) -> Result<String, (Problem, usize)> {
        let mut value = String::new();
        // Blanks at the end of a plain value are not part of it.
        let mut kept = 0;
        let mut state = State::Before;
        while let Some(character) = self.next() {
            match (state, character) {
                (State::Before | State::Plain, '\n' | '\r') => break,
                (State::Before, '\'') => state = State::Single,
                (State::Before, '"') => state = State::Double,
                (State::Before, ' ' | '\t') => {}
                (State::Before | State::Plain, '\\') => {
                    state = State::Plain;
                    if let Some(escaped) = self.next().filter(|escaped| *escaped != '\n') {
                        value.push(escaped);
                        kept = value.len();
                    }
                }
                (State::Before | State::Plain, character) => {
                    state = State::Plain;
                    value.push(character);
                    if !character.is_whitespace() {
                        kept = value.len();
                    }
                }
                (State::Single, '\'') | (State::Double, '"') => {
                    state = State::Before;
                    kept = value.len();
                }
                (State::Single, character) => value.push(character),
                (State::Double, '\\') => match self.next() {
                    Some('\n') | None => {}
                    Some(escaped @ ('"' | '\\' | '$' | '`')) => value.push(escaped),
                    Some(other) => value.extend(['\\', other]),
                },
                (State::Double, character) => value.push(character),
            }
        }
        if matches!(state, State::Single | State::Double) {
            let reason = "a quote is not closed".to_owned();
            return Err((Problem::NotVariables { reason }, line));
        }
        value.truncate(kept);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_systemd_takes_it_for() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("A = b c  \r\n", "b c"),
            ("\n# c\n; c \\\n still c\n  A=b\n", "b"),
            ("A='b  # c' \n", "b  # c"),
            ("A=\"b \\\"c\\\" \\d\"", "b \"c\" \\d"),
            ("A=b\\ c\\\nd", "b cd"),
            ("A='b''c'", "bc"),
            ("A='b\nc'", "b\nc"),
            ("A=sh -c \"x y\"", "sh -c \"x y\""),
            ("A=http://h:1/#f", "http://h:1/#f"),
        ] {
            let assignments = parse(text).unwrap();
            assert_eq!(assignments.len(), 1, "{text:?}");
            assert_eq!(assignments[0].name, "A", "{text:?}");
            assert_eq!(assignments[0].value, value, "{text:?}");
        }
    }

    #[test]
    fn lines_are_counted_and_what_is_no_assignment_is_named_by_its_line() {
        let lines = |text| {
            let assignments = parse(text).unwrap();
            Vec::from_iter(assignments.iter().map(|it| it.line))
        };
        assert_eq!(lines("A=1\n\nB='x\ny'\nC=2"), [1, 3, 5]);
        for (text, line) in [
            ("A=1\nB", 2),
            ("export A=1", 1),
            ("A=1\n\nB='x\n\n", 3),
            ("=1", 1),
            ("[groups]\nA=1", 1),
        ] {
            assert_eq!(parse(text).unwrap_err().1, line, "{text:?}");
        }
    }
}
