//! Replies as they go over the wire, in the protocol that a client speaks.

use std::fmt::Display;
use std::io::Write;

/// Which replies a client understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// What every client speaks.
    Resp2,
    /// With maps and pushes: asked for by `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// `2` or `3`.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// Writes replies behind what is there.
#[derive(Debug)]
pub struct Replies<'a> {
    protocol: Protocol,
    bytes: &'a mut Vec<u8>,
}

impl<'a> Replies<'a> {
    /// Replies for a client that speaks `protocol`.
    pub fn new(protocol: Protocol, bytes: &'a mut Vec<u8>) -> Self {
        Self { protocol, bytes }
    }

    /// In another protocol from here on.
    pub fn switch(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn header(&mut self, kind: u8, number: impl Display) {
        self.bytes.push(kind);
        // A Vec takes all that it is given.
        drop(write!(self.bytes, "{number}\r\n"));
    }

    /// `count` replies follow.
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// `count` pairs follow.
    pub fn map(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', count * 2),
            Protocol::Resp3 => self.header(b'%', count),
        }
    }

    /// `count` replies follow that belong to no command.
    pub fn push(&mut self, count: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', count),
            Protocol::Resp3 => self.header(b'>', count),
        }
    }

    /// Any bytes.
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// Something as a text: Sentinel gives numbers so.
    pub fn shown(&mut self, value: impl Display) {
        self.text(&value.to_string());
    }

    /// A field and its value.
    pub fn pair(&mut self, field: &str, value: impl Display) {
        self.text(field);
        self.shown(value);
    }

    /// A long text for people.
    pub fn page(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.text(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.bytes.extend_from_slice(b"txt:");
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A number.
    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// `+OK` and the like.
    pub fn status(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// `-ERR …` and the like: the first word is its kind.
    pub fn error(&mut self, text: impl Display) {
        self.line(b'-', &text.to_string());
    }

    /// No text.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No array.
    pub fn null_array(&mut self) {
        self.bytes.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// What is in it may come from a client, and must not end the line.
    fn line(&mut self, kind: u8, text: &str) {
        self.bytes.push(kind);
        let bytes = text.bytes();
        self.bytes.extend(bytes.map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            other => other,
        }));
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Replies<'_>)) -> String {
        let mut bytes = Vec::new();
        write(&mut Replies::new(protocol, &mut bytes));
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_kind_of_reply_is_written_in_both_protocols() {
        type Write = fn(&mut Replies<'_>);
        let cases: [(Write, &str, &str); 11] = [
            (|it| it.array(2), "*2\r\n", "*2\r\n"),
            (|it| it.map(2), "*4\r\n", "%2\r\n"),
            (|it| it.push(3), "*3\r\n", ">3\r\n"),
            (|it| it.text("é"), "$2\r\né\r\n", "$2\r\né\r\n"),
            (
                |it| it.pair("quorum", 2),
                "$6\r\nquorum\r\n$1\r\n2\r\n",
                "$6\r\nquorum\r\n$1\r\n2\r\n",
            ),
            (|it| it.page("a\nb"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n"),
            (|it| it.integer(-7), ":-7\r\n", ":-7\r\n"),
            (|it| it.status("OK"), "+OK\r\n", "+OK\r\n"),
            (
                |it| it.error("ERR a\r\n+b"),
                "-ERR a  +b\r\n",
                "-ERR a  +b\r\n",
            ),
            (|it| it.null(), "$-1\r\n", "_\r\n"),
            (|it| it.null_array(), "*-1\r\n", "_\r\n"),
        ];
        for (write, resp2, resp3) in cases {
            assert_eq!(written(Protocol::Resp2, write), resp2);
            assert_eq!(written(Protocol::Resp3, write), resp3);
        }
    }
}
