//! Generated documents: whatever stands around a value, its bytes change and no others.

use proptest::prelude::*;

use super::path_tests::{edited, json_value};
use super::*;

/// Values, and how they read with the master `b:2`.
const VALUES: [(&str, &str); 6] = [
    ("a:1", "b:2"),
    ("10.0.0.1", "b"),
    ("6379", "2"),
    ("redis://u:p@a:1/0?x=y", "redis://u:p@b:2/0?x=y"),
    ("rediss://[::1]", "rediss://b:2"),
    ("a:1,ssl=true,password=p", "b:2,ssl=true,password=p"),
];

fn value() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(&VALUES[..])
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&["\n", "\r\n"][..])
}

/// Lines, each with its end, the last one perhaps without.
fn joined(lines: &[String], end: &str, is_closed: bool) -> String {
    let text = lines.join(end);
    if is_closed { text + end } else { text }
}

/// Stands for the value in the shape of a document; none of the generated parts holds it.
const SPOT: &str = "§§";

/// Edits a document of such a shape, and demands that nothing else changes.
fn assert_only_the_value_changes(
    format: Format,
    path: &str,
    shape: &str,
    (old, new): (&str, &str),
) -> Result<(), TestCaseError> {
    let (old, new) = (shape.replace(SPOT, old), shape.replace(SPOT, new));
    let bytes = edited(format, old.as_bytes(), path, "b:2");
    let bytes = bytes.map_err(|error| TestCaseError::fail(format!("{error:?} in {old:?}")))?;
    prop_assert_eq!(String::from_utf8(bytes).unwrap(), new);
    Ok(())
}

fn ini_lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        "[;#][ -~]{0,12}".prop_filter("a backslash goes on", |line| !line.ends_with('\\')),
        // No `k`: some readers do not tell it from `K`.
        "[a-j]{1,5}[ ]?[=:][ ]?[a-z0-9 .\"';#]{0,8}",
        "[a-j]{1,8}",
        "[ ]{0,2}",
    ];
    prop::collection::vec(line, 0..6)
}

fn properties_lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        "[ ]?[#!][ -~]{0,12}",
        "[ ]?[a-z]{1,5}[=: ][ -\\[\\]-~]{0,8}",
        "[a-z]{1,3}=[a-z]{0,3}\\\\\n[ ]{0,2}K=[a-z]{0,3}",
        "[a-z]{1,3}\\\\u00[4-6]1[a-z\\\\=]{0,1}x",
        "[ ]{0,2}",
    ];
    prop::collection::vec(line, 0..6)
}

proptest! {
    #[test]
    fn in_any_ini_document_just_the_value_changes(
        before in ini_lines(), within in ini_lines(), after in ini_lines(), value in value(),
        end in line_end(), is_closed in any::<bool>(), has_mark in any::<bool>(),
        (assign, behind) in prop::sample::select(&[
            ("K=", ""), ("K = ", " "), ("K: ", " ; x"), ("K =\"", "\" # x"), ("K='", "'"),
        ][..]),
    ) {
        let target = vec![format!("{assign}{SPOT}{behind}")];
        let sections = [vec!["[T]".to_owned()], before, vec!["[S] ; x".to_owned()], within, target, after];
        let text = joined(&sections.concat(), end, is_closed);
        let mark = if has_mark { "\u{FEFF}" } else { "" };
        assert_only_the_value_changes(Format::Ini, "S.K", &format!("{mark}{text}"), value)?;
    }

    #[test]
    fn in_any_properties_document_just_the_value_changes(
        before in properties_lines(), after in properties_lines(), value in value(),
        end in line_end(), is_closed in any::<bool>(),
        assign in prop::sample::select(&["K=", "K = ", "\tK: ", "K ", "\\u004b = ", "\\K:"][..]),
    ) {
        let lines = [before, vec![format!("{assign}{SPOT}")], after].concat();
        let text = joined(&lines, end, is_closed);
        assert_only_the_value_changes(Format::Properties, "K", &text, value)?;
    }

    #[test]
    fn in_any_json_with_comments_just_the_value_changes(
        before in json_value(), after in json_value(), value in value(),
        comment in "//[ -~é]{0,8}|/\\*[ -.0-~]{0,8}\\*/",
    ) {
        let document = serde_json::json!({"before": before, "K": {"url": SPOT}, "z": after});
        let text = serde_json::to_string_pretty(&document).unwrap();
        // No text holds an end of a line; a bracket behind one closes what has an item.
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for index in 1..lines.len() {
            if lines[index].trim_start().starts_with([']', '}']) {
                lines[index - 1].push(',');
            }
            lines[index - 1] = format!("{} {comment}", lines[index - 1]);
        }
        let text = lines.join("\n");
        assert_only_the_value_changes(Format::Jsonc, "K.url", &text, value)?;
    }

    #[test]
    fn json_is_yaml_and_just_the_value_changes(
        before in json_value(), after in json_value(), value in value(), is_pretty in any::<bool>(),
    ) {
        let document = serde_json::json!({"before": before, "K": {"url": SPOT}, "z": after});
        let text = match is_pretty {
            true => serde_json::to_string_pretty(&document).unwrap(),
            false => document.to_string(),
        };
        // A text may look like a template, or hold what only one of the parsers accepts.
        prop_assume!(!text.contains("{%") && !text.contains("<%") && !text.contains("{{"));
        let is_common = |letter: char| matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{2fff}');
        prop_assume!(text.chars().all(is_common));
        assert_only_the_value_changes(Format::Yaml, "K.url", &text, value)?;
    }

    #[test]
    fn in_any_yaml_document_just_the_value_changes(
        before in yaml_entries("b"), within in yaml_entries("w"), after in yaml_entries("a"),
        value in value(), end in line_end(), is_closed in any::<bool>(), has_mark in any::<bool>(),
        (assign, behind) in prop::sample::select(&[
            ("K: ", ""), ("K:   ", " # x"), ("K: \"", "\""), ("'K': '", "' # y"), ("\"K\" : &k ", ""),
        ][..]),
        opening in prop::sample::select(&["S:", "S: # x", "---\nS:", "x: 1\n---\nS: &s"][..]),
    ) {
        let indent = |lines: Vec<String>| lines.into_iter().map(|line| format!("  {line}"));
        let mut lines: Vec<String> = opening.lines().map(str::to_owned).collect();
        lines.extend(indent(within));
        lines.push(format!("  {assign}{SPOT}{behind}"));
        lines.extend(indent(before));
        lines.extend(after);
        let mark = if has_mark { "\u{FEFF}" } else { "" };
        let text = format!("{mark}{}", joined(&lines, end, is_closed));
        assert_only_the_value_changes(Format::Yaml, "S.K", &text, value)?;
    }
}

/// Entries of a mapping, with keys that begin so.
fn yaml_entries(name: &'static str) -> impl Strategy<Value = Vec<String>> {
    const VALUES: &[&str] = &[
        "1",
        "~",
        "'it''s'",
        "\"a\\n\"",
        "[1, x, {y: z}]",
        "{ }",
        "\n      - x\n      - y: z",
        "|\n      K: a:1\n\n      x",
        ">-\n      # no comment\n      x",
        "# x",
        "!t x",
        "redis://x:1",
        "\n      K: a:1",
        "é",
        "a #b",
    ];
    let entries = prop::collection::vec(prop::sample::select(VALUES), 0..5);
    entries.prop_map(move |values| {
        let entry = |(index, value): (usize, &str)| format!("{name}{index}: {value}");
        values.into_iter().enumerate().map(entry).collect()
    })
}
