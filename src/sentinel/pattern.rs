//! Patterns of channels, as `PSUBSCRIBE` takes them: `*`, `?`, `[…]` and `\`.

/// Whether `text` is what `pattern` means. Takes time in proportion to the product of both lengths at most.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut text_at) = (0, 0);
    // Where to go on when what follows the last `*` does not fit: it takes one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while text_at < text.len() {
        match one(&pattern[at..], text[text_at]) {
            One::Star => {
                at += 1;
                retry = Some((at, text_at));
            }
            One::Fits(length) => {
                at += length;
                text_at += 1;
            }
            One::Differs => match retry {
                Some((after_star, taken)) => {
                    at = after_star;
                    text_at = taken + 1;
                    retry = Some((after_star, text_at));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// What the first item of a pattern is to one byte.
enum One {
    /// It is a `*`.
    Star,
    /// It means that byte, and is so long.
    Fits(usize),
    /// It means another one, or there is none.
    Differs,
}

fn one(pattern: &[u8], byte: u8) -> One {
    let fits = |does, length| {
        if does {
            One::Fits(length)
        } else {
            One::Differs
        }
    };
    match pattern {
        [] => One::Differs,
        [b'*', ..] => One::Star,
        [b'?', ..] => One::Fits(1),
        [b'[', rest @ ..] => {
            let (does, length) = class(rest, byte);
            fits(does, length + 1)
        }
        [b'\\', escaped, ..] => fits(*escaped == byte, 2),
        [same, ..] => fits(*same == byte, 1),
    }
}

/// Whether a class, behind its `[`, holds the byte, and how long it is with its `]`, which may be missing.
fn class(class: &[u8], byte: u8) -> (bool, usize) {
    let (negated, mut at) = match class {
        [b'^', ..] => (true, 1),
        _ => (false, 0),
    };
    let mut holds = false;
    while at < class.len() {
        match &class[at..] {
            [b']', ..] => return (holds != negated, at + 1),
            [b'\\', escaped, ..] => {
                holds |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                holds |= (*from.min(to)..=*from.max(to)).contains(&byte);
                at += 3;
            }
            [same, ..] => {
                holds |= *same == byte;
                at += 1;
            }
            [] => break,
        }
    }
    (holds != negated, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_redis_takes_it_for() {
        for (pattern, text, is_meant) in [
            ("*", "", true),
            ("*", "+switch-master", true),
            ("+switch-master", "+switch-master", true),
            ("switch-master", "+switch-master", false),
            ("[-+]sdown", "+sdown", true),
            ("[-+]sdown", "-sdown", true),
            ("[-+]sdown", "sdown", false),
            ("[^-]sdown", "+sdown", true),
            ("[^-]sdown", "-sdown", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("+*-*", "+slave-reconf-done", true),
            ("*down", "+sdown", true),
            ("*down", "+sdowns", false),
            ("a*b*c", "axxbyybzzc", true),
            ("a*b*c", "axxbyybzz", false),
            ("", "", true),
            ("", "x", false),
            ("[", "x", false),
            ("[x", "x", true),
            ("a**", "a", true),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                is_meant,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn a_pattern_made_to_take_long_does_not() {
        let pattern = "*a".repeat(100) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(200).as_bytes()));
    }
}
