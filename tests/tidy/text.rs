//! Reading Rust source as far as the rules need it: code without comments, strings and tests.

/// The code of `text`: comments and the insides of literals become blanks, line ends stay.
pub fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped_length(rest, code.chars().next_back());
        let (taken, after) = rest.split_at(skipped.unwrap_or(first.len_utf8()));
        if skipped.is_some() {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(first);
        }
        rest = after;
    }
    code
}

/// How long the comment or literal is that `rest` begins with, if it begins with one.
fn skipped_length(rest: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    if !in_word && (rest.starts_with("r\"") || rest.starts_with("r#") || rest.starts_with("br")) {
        return raw_length(rest);
    }
    if rest.starts_with('\'') {
        return character_length(rest);
    }
    None
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn raw_length(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches('b').strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    if !body[hashes..].starts_with('"') {
        return None; // a raw identifier, or a word such as `break`
    }
    let start = rest.len() - body.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(
        rest[start..]
            .find(&end)
            .map_or(rest.len(), |at| start + at + end.len()),
    )
}

/// A character literal, not a lifetime.
fn character_length(rest: &str) -> Option<usize> {
    let mut characters = rest.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        return Some(quoted_length(rest, '\''));
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 1)
}

/// The code up to the tests at the bottom of the file.
pub fn without_tests(code: &str) -> &str {
    let marks = [
        "#[cfg(test)]\nmod tests {",
        "#[cfg(test)]\npub(crate) mod tests {",
    ];
    let end = marks.iter().filter_map(|mark| code.find(mark)).min();
    &code[..end.unwrap_or(code.len())]
}

/// Where `word` stands in `code` as a whole word or path, as byte positions.
pub fn find_word<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let positions = code.match_indices(word).map(|(at, _)| at);
    positions.filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[*at + word.len()..].chars().next();
        let goes_on_before = word.starts_with(is_part) && before.is_some_and(is_part);
        let goes_on_after = word.ends_with(is_part) && after.is_some_and(is_part);
        !goes_on_before && !goes_on_after
    })
}

/// The number of the line in which position `at` lies, from 1.
pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[test]
fn comments_and_literals_are_blanked_and_code_stays() {
    for (text, expected) in [
        ("let a = 1; // tokio", "let a = 1;         "),
        ("/// tokio\nuse b;", "         \nuse b;"),
        ("f(\"a \\\" tokio\", x)", "f(            , x)"),
        ("f(r#\"a \" b\"#, x)", "f(          , x)"),
        ("a /* tokio */ b", "a             b"),
        ("f('\"', '\\'', x)", "f(   ,     , x)"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("for break_ in r", "for break_ in r"),
    ] {
        assert_eq!(code_only(text), expected);
    }
}

#[test]
fn tests_at_the_bottom_are_no_part_of_the_code() {
    assert_eq!(
        without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n}"),
        "fn a() {}\n"
    );
    assert_eq!(
        without_tests("#[cfg(test)]\nmod a_tests;\nfn a() {}"),
        "#[cfg(test)]\nmod a_tests;\nfn a() {}"
    );
}

#[test]
fn a_word_is_not_found_inside_another() {
    assert_eq!(
        find_word("tokio::x tokio_util my_tokio", "tokio").collect::<Vec<_>>(),
        [0]
    );
}
