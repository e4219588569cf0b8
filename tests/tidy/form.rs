//! The form of a file: its first line, its length, its lines, and what may not stand in it.

use crate::checkout::SourceFile;
use crate::text::{code_only, find_word, line_of};

/// Lines that a file may have; there are usually two ideas in a longer one.
const LINES_MAX: usize = 500;

/// Characters that a line may have. rustfmt breaks code at 100; this is for what it leaves alone.
const WIDTH_MAX: usize = 110;

/// Files that are longer all the same, with the length that they may not pass. They wait to be split.
const LONG_FILES: &[(&str, usize)] = &[];

/// What tells that something was left for later.
const LEFTOVERS: &[&str] = &["todo!", "unimplemented!", "TODO", "FIXME", "XXX", "HACK"];

/// Names of modules that could hold anything.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];

/// The complaint of a file that does not begin with `//!` and its idea.
pub fn missing_idea(file: &SourceFile) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let idea = first.strip_prefix("//! ").unwrap_or_default();
    if idea.trim().is_empty() {
        return vec![format!(
            "{}:1: state the idea of the file here, after `//!`",
            file.path
        )];
    }
    Vec::new()
}

/// The complaint of a file that is too long, or that no longer needs its exception.
pub fn too_long(file: &SourceFile) -> Vec<String> {
    let exception = LONG_FILES.iter().find(|(path, _)| *path == file.path);
    complain_of_length(file, exception.map(|(_, lines)| *lines))
}

fn complain_of_length(file: &SourceFile, exception: Option<usize>) -> Vec<String> {
    let lines = file.text.lines().count();
    let path = &file.path;
    match exception {
        Some(_) if lines <= LINES_MAX => {
            vec![format!(
                "{path}: short enough now: take it out of LONG_FILES"
            )]
        }
        Some(most) if lines <= most => Vec::new(),
        None if lines <= LINES_MAX => Vec::new(),
        Some(_) | None => vec![format!("{path}: {lines} lines: split it by idea")],
    }
}

/// Lines with a tab, with blanks at their end, or too wide where they could be broken.
pub fn bad_lines(file: &SourceFile) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let mut complain = |what: &str| {
            complaints.push(format!("{}:{}: {what}", file.path, number + 1));
        };
        if line.contains('\t') {
            complain("a tab");
        }
        if line.ends_with(char::is_whitespace) {
            complain("blanks at the end");
        }
        if is_too_wide(line) {
            complain("too wide");
        }
    }
    complaints
}

/// Whether `line` is too wide, and no string, macro pattern, address or row of a table makes it so.
fn is_too_wide(line: &str) -> bool {
    let comment = line.trim_start().strip_prefix("//").unwrap_or_default();
    let is_row = comment.trim_start_matches(['/', '!', ' ']).starts_with('|');
    let is_unbreakable =
        is_row || line.contains("$(") || line.contains('"') || line.contains("://");
    line.chars().count() > WIDTH_MAX && !is_unbreakable
}

/// What was left for later.
pub fn leftovers(file: &SourceFile) -> Vec<String> {
    let complain = |word: &str, at| {
        format!(
            "{}:{}: `{word}`: do it, or file it",
            file.path,
            line_of(&file.text, at)
        )
    };
    let found = |word: &&'static str| {
        find_word(&file.text, word)
            .map(|at| complain(word, at))
            .collect::<Vec<_>>()
    };
    LEFTOVERS.iter().flat_map(found).collect()
}

/// Lints that are switched off without saying why.
pub fn allows_without_reason(file: &SourceFile) -> Vec<String> {
    let code = code_only(&file.text);
    let attributes = code.match_indices("#[").chain(code.match_indices("#!["));
    let is_unexplained = |(at, _): &(usize, &str)| {
        let attribute = bracketed(&code[*at..]);
        let switches_off = ["allow(", "expect("]
            .iter()
            .any(|word| find_word(attribute, word).next().is_some());
        switches_off && find_word(attribute, "reason").next().is_none()
    };
    let complain = |(at, _)| format!("{}:{}: add `reason = \"…\"`", file.path, line_of(&code, at));
    attributes.filter(is_unexplained).map(complain).collect()
}

/// What `text` begins with, up to the bracket that closes its first one.
fn bracketed(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return &text[..at],
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    text
}

/// The complaint of a module whose name says nothing.
pub fn empty_name(file: &SourceFile) -> Vec<String> {
    let names = file.module_path();
    let empty = names.iter().filter(|name| EMPTY_NAMES.contains(name));
    empty
        .map(|name| format!("{}: `{name}` names nothing", file.path))
        .collect()
}

#[cfg(test)]
fn file(text: &str) -> SourceFile {
    SourceFile {
        path: "src/redis/a.rs".to_owned(),
        text: text.to_owned(),
    }
}

#[test]
fn a_file_without_an_idea_is_found() {
    for text in [
        "",
        "use std::fmt;\n",
        "//!\n",
        "//! \n",
        "// An idea.\n",
        "\n//! An idea.\n",
    ] {
        assert_eq!(missing_idea(&file(text)).len(), 1, "{text:?}");
    }
    assert_eq!(missing_idea(&file("//! An idea.\n")), [""; 0]);
}

#[test]
fn a_file_is_too_long_from_one_line_over_the_limit() {
    for (lines, exception, expected) in [
        (500, None, 0),
        (501, None, 1),
        (501, Some(600), 0),
        (601, Some(600), 1),
        (500, Some(600), 1),
    ] {
        let complaints = complain_of_length(&file(&"\n".repeat(lines)), exception);
        assert_eq!(complaints.len(), expected, "{lines} lines, {exception:?}");
    }
}

#[test]
fn bad_lines_are_found() {
    let wide = format!("// {}", "word ".repeat(22).trim_end());
    let wide_code = format!("let a = {}1;", "1 + ".repeat(30));
    for text in ["\tlet a = 1;", "let a = 1; ", &wide, &wide_code] {
        assert_eq!(bad_lines(&file(text)).len(), 1, "{text:?}");
    }
}

#[test]
fn wide_strings_addresses_tables_and_narrow_lines_are_fine() {
    let word = "w".repeat(WIDTH_MAX);
    for text in [
        format!("let a = \"{word}\";"),
        format!("// https://example.org/{word}"),
        format!("/// | {word} | {word} |"),
        "é".repeat(WIDTH_MAX),
    ] {
        assert_eq!(bad_lines(&file(&text)), [""; 0], "{text}");
    }
}

#[test]
fn leftovers_are_found() {
    for text in [
        "fn a() { todo!() }",
        "unimplemented!()",
        "// FIXME: later",
        "// XXX",
        "// HACK",
    ] {
        assert_eq!(leftovers(&file(text)).len(), 1, "{text}");
    }
    assert_eq!(leftovers(&file("let XXXL = 1; // HACKED")), [""; 0]);
}

#[test]
fn an_allow_without_a_reason_is_found() {
    for text in [
        "#[allow(dead_code)]",
        "#![allow(clippy::unwrap_used)]",
        "#[expect(dead_code)]",
        "#![cfg_attr(test, allow(clippy::unwrap_used))]",
        "#[allow(\n    dead_code,\n)]",
        "#[allow(dead_code)] // reason = \"none\"",
    ] {
        assert_eq!(allows_without_reason(&file(text)).len(), 1, "{text}");
    }
    for text in [
        "#[allow(dead_code, reason = \"used on other machines\")]",
        "#![cfg_attr(\n    test,\n    allow(a, reason = \"b\")\n)]",
        "policy.allow(peer);",
    ] {
        assert_eq!(allows_without_reason(&file(text)), [""; 0], "{text}");
    }
}

#[test]
fn an_empty_name_is_found() {
    for path in [
        "src/utils.rs",
        "src/redis/helpers/mod.rs",
        "src/common/a.rs",
    ] {
        let file = SourceFile {
            path: path.to_owned(),
            text: String::new(),
        };
        assert_eq!(empty_name(&file).len(), 1, "{path}");
    }
}
