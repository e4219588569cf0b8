//! What a program may put in place of a part of a value: `${NAME}`, `#{…}`, `%{…}`, `%(name)s`; and
//! templates, in place of which anything may be put.

use std::ops::Range;

use super::ValueProblem;

const TEMPLATES: [&[u8]; 3] = [b"<%", b"{{", b"{%"];

/// Finds each reference in `value`, in the order of the text.
///
/// # Errors
/// [`ValueProblem`] when one does not end, or a template is there.
pub(super) fn find(value: &[u8]) -> Result<Vec<Range<usize>>, ValueProblem> {
    if is_template(value) {
        return Err(ValueProblem::Template);
    }
    let mut references = Vec::new();
    let mut position = 0;
    while let Some(rest) = value.get(position..).filter(|rest| !rest.is_empty()) {
        let length = match rest {
            [b'$' | b'#' | b'%', b'{', ..] => length(rest, b'{', b'}')?,
            [b'%', b'(', ..] => length(rest, b'(', b')')?,
            _ => 0,
        };
        if length > 0 {
            references.push(position..position + length);
        }
        position += length.max(1);
    }
    Ok(references)
}

/// Whether ERB, Jinja, or what looks like them makes something of `text`.
pub(super) fn is_template(text: &[u8]) -> bool {
    let holds = |mark: &&[u8]| text.windows(mark.len()).any(|window| window == *mark);
    TEMPLATES.iter().any(holds)
}

/// Up to the bracket that closes the first one.
fn length(text: &[u8], open: u8, close: u8) -> Result<usize, ValueProblem> {
    let mut depth = 0;
    for (position, byte) in text.iter().enumerate() {
        if *byte == open {
            depth += 1;
        } else if *byte == close {
            depth -= 1;
            if depth == 0 {
                return Ok(position + 1);
            }
        }
    }
    Err(ValueProblem::Substitution)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_whole() {
        for (value, found) in [
            ("redis://a:1/0", vec![]),
            ("${A}", vec![(0, 4)]),
            ("x${A:${B:c}}y#{d}", vec![(1, 12), (13, 17)]),
            ("%(host)s:%{port}", vec![(0, 7), (9, 16)]),
            ("$A {b} %41 #", vec![]),
        ] {
            let references = find(value.as_bytes()).unwrap();
            let places: Vec<_> = references
                .iter()
                .map(|place| (place.start, place.end))
                .collect();
            assert_eq!(places, found, "{value}");
        }
    }

    #[test]
    fn what_does_not_end_and_templates_are_refused() {
        for (value, problem) in [
            ("redis://${A:1", ValueProblem::Substitution),
            ("%(a", ValueProblem::Substitution),
            ("<%= a %>", ValueProblem::Template),
            ("redis://{{ a }}", ValueProblem::Template),
            ("{% if a %}b", ValueProblem::Template),
        ] {
            assert_eq!(find(value.as_bytes()), Err(problem), "{value}");
        }
    }
}
