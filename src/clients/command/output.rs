//! What a command printed: only its end is kept, and nothing that may be a password.

use std::collections::VecDeque;

/// How much is kept, in bytes.
const LENGTH_MAX: usize = 4096;

/// The last bytes of a stream.
#[derive(Default)]
pub(super) struct Tail {
    bytes: VecDeque<u8>,
    is_cut: bool,
}

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        if let Some(excess) = self.bytes.len().checked_sub(LENGTH_MAX + 1) {
            self.is_cut = true;
            self.bytes.drain(..=excess);
        }
    }

    /// As text that a terminal can take: without control characters, and what may be a password hidden.
    pub(super) fn text(mut self) -> String {
        let bytes: &[u8] = self.bytes.make_contiguous();
        // The first line of the rest may begin within a password.
        let whole = match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) if self.is_cut => &bytes[end + 1..],
            _ if self.is_cut => b"",
            Some(_) | None => bytes,
        };
        let text = String::from_utf8_lossy(whole);
        let lines = text.lines().map(|line| hide_user_info(&printable(line)));
        let lines: Vec<String> = lines.collect();
        let cut = if self.is_cut { "...\n" } else { "" };
        format!("{cut}{}", lines.join("\n")).trim_end().to_owned()
    }
}

fn printable(line: &str) -> String {
    let is_bad = |letter: char| letter.is_control() && letter != '\t';
    line.replace(is_bad, "\u{FFFD}")
}

/// Hides what stands before the `@` of each URL.
fn hide_user_info(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some(scheme_end) = rest.find("://") {
        let (before, behind) = rest.split_at(scheme_end + 3);
        // A password may hold any letter but a blank.
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        shown.push_str(before);
        match behind[..end].rfind('@') {
            Some(at) => {
                shown.push_str("***");
                rest = &behind[at..];
            }
            None => rest = behind,
        }
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &[u8]) -> String {
        let mut tail = Tail::default();
        for chunk in text.chunks(7) {
            tail.push(chunk);
        }
        tail.text()
    }

    #[test]
    fn short_output_is_kept_as_printable_text() {
        for (printed, text) in [
            (&b""[..], ""),
            (b"one\ntwo\n\n", "one\ntwo"),
            (b"\x1b[2Jcaf\xe9\r\n", "\u{FFFD}[2Jcaf\u{FFFD}"),
            (
                b"bad url redis://u:p@ss@a:1/0 and 'tcp://b:1' x@y\n",
                "bad url redis://***@a:1/0 and 'tcp://b:1' x@y",
            ),
        ] {
            assert_eq!(kept(printed), text);
        }
    }

    #[test]
    fn of_long_output_the_last_whole_lines_are_kept() {
        let printed: Vec<u8> = (0..5000)
            .flat_map(|it| format!("line {it}\n").into_bytes())
            .collect();
        let text = kept(&printed);
        assert!(
            text.starts_with("...\nline 4") && text.ends_with("\nline 4999"),
            "{text}"
        );
        assert!(text.len() <= LENGTH_MAX + 4 && text.len() > LENGTH_MAX - 20);
        assert_eq!(kept(&[b'x'; 10_000]), "...");
    }
}
