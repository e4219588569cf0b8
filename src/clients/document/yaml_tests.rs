//! YAML in many shapes: only the value changes, or nothing does.

use super::path_tests::{edited, text_of};
use super::*;

const SHAPES: &[(&str, &str, &str)] = &[
    ("a", "a: x:1", "a: b:2"),
    ("a.0", "a:\n- x:1 # y\n", "a:\n- b:2 # y\n"),
    (
        "redis.url",
        "\u{FEFF}# é\r\nredis:\r\n  url:   \"redis://:p\\u0040\\x41w@x:1/0\"   # ü\r\n  é: [1, 2.0]\r\n",
        "\u{FEFF}# é\r\nredis:\r\n  url:   \"redis://:p\\u0040\\x41w@b:2/0\"   # ü\r\n  é: [1, 2.0]\r\n",
    ),
    (
        "s.0.host, s.0.port, s.1",
        "s: [ {host: x, port: 6379}, 'x:1' ]\n",
        "s: [ {host: b, port: 2}, 'b:2' ]\n",
    ),
    (
        "a",
        "a: 'redis://:it''s@x:1'\n",
        "a: 'redis://:it''s@b:2'\n",
    ),
    ("a.b", "a: !x {b: !!str 6379}", "a: !x {b: !!str 2}"),
    ("a", "a: &u x:1\nb: *u\n", "a: &u b:2\nb: *u\n"),
    (
        "default.url",
        "default: &d\n  url: redis://x\nprod:\n  <<: *d\n  db: 1\n",
        "default: &d\n  url: redis://b:2\nprod:\n  <<: *d\n  db: 1\n",
    ),
    (
        "prod.url",
        "default: &d {url: redis://x}\nprod:\n  <<: [*d]\n  url: redis://y:1\n",
        "default: &d {url: redis://x}\nprod:\n  <<: [*d]\n  url: redis://b:2\n",
    ),
    (
        "\"spring.redis\".host",
        "---\nspring.redis:\n  host: x\n...\n---\nother: 1\n",
        "---\nspring.redis:\n  host: b\n...\n---\nother: 1\n",
    ),
    (
        "---1.h, ---2.h",
        "h: x\n---\nh: x\n--- # y\nh: x\n---\n",
        "h: x\n---\nh: b\n--- # y\nh: b\n---\n",
    ),
    (
        "production.url",
        "production:\n  url: redis://x:1/1\n  pool: <%= ENV.fetch(\"N\") { 5 } %>\n  # <%# no %>\n",
        "production:\n  url: redis://b:2/1\n  pool: <%= ENV.fetch(\"N\") { 5 } %>\n  # <%# no %>\n",
    ),
    (
        "data.url",
        "data:\n  text: |\n    url: x:1\n  more: >-\n    x\n    y\n  url: x:1\n  \"k\": ? z\n",
        "",
    ),
    (
        "data.url",
        "data:\n  text: |\n    url: x:1\n  more: >-\n    x\n    y\n  url: x:1\n  'quo''ted': z\n? [x, y]\n: 1\n",
        "data:\n  text: |\n    url: x:1\n  more: >-\n    x\n    y\n  url: b:2\n  'quo''ted': z\n? [x, y]\n: 1\n",
    ),
    (
        "online_store.connection_string",
        "online_store:\n    type: redis\n    connection_string: x:1,ssl=true,password=${PW}\n",
        "online_store:\n    type: redis\n    connection_string: b:2,ssl=true,password=${PW}\n",
    ),
    ("\"\"", "\"\": x:1\n", "\"\": b:2\n"),
    ("1", "- [x]\n- x\n", "- [x]\n- b\n"),
    ("a", "{a: x:1, \"b\":1}", "{a: b:2, \"b\":1}"),
    ("a", "a: x:1\nb: |\n  last", "a: b:2\nb: |\n  last"),
    (
        "a",
        "a: x:1\nz: 2024-01-01\nz: ~\n",
        "a: b:2\nz: 2024-01-01\nz: ~\n",
    ),
];

#[test]
fn only_the_value_changes_in_every_shape_of_document() {
    for (paths, old, new) in SHAPES {
        match edited(Format::Yaml, old.as_bytes(), paths, "b:2") {
            Ok(bytes) => assert_eq!(String::from_utf8(bytes).unwrap(), *new, "{old:?}"),
            Err(error) => assert_eq!("", *new, "{old:?}: {}", text_of(&error)),
        }
    }
}

#[test]
fn an_address_that_cannot_stand_plain_gets_quotes() {
    for (old, master, new) in [
        ("a: x:1 # y", "[fd77::2]:2", "a: \"[fd77::2]:2\" # y"),
        ("{a: x}", "[::2]:2", "{a: \"::2\"}"),
        ("a: x", "off:2", "a: \"off\""),
        ("a: 'x'", "[::2]:2", "a: '::2'"),
        ("a: 6379", "[::2]:2", "a: 2"),
        ("a: redis://x/0", "[::2]:2", "a: \"redis://[::2]:2/0\""),
    ] {
        let bytes = edited(Format::Yaml, old.as_bytes(), "a", master).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), new, "{old:?}");
    }
}

#[test]
fn what_cannot_be_changed_surely_is_refused_with_its_line() {
    use ValueProblem as Problem;
    for (text, line, problem) in [
        ("k: |\n  a:1\n", 2, Problem::SeveralLines),
        ("\nk: >-\n  a:1\n", 3, Problem::SeveralLines),
        ("k: a\n  b\n", 1, Problem::SeveralLines),
        ("k: \"a\n  b\"\n", 1, Problem::SeveralLines),
        ("k: 'a\n  b'\n", 1, Problem::SeveralLines),
        ("k: 0x18EB\n", 1, Problem::Number),
        ("k: 6_379\n", 1, Problem::Number),
        ("k: 190:20\n", 1, Problem::Number),
        ("k: !env REDIS\n", 1, Problem::Tagged),
        ("k: !!binary YToxCg==\n", 1, Problem::Tagged),
        ("k: <%= ENV['R'] %>\n", 1, Problem::Template),
        ("k: a:1 # <%= x %>\n", 1, Problem::Template),
        ("k: \"{{ redis }}\"\n", 1, Problem::Template),
        ("k: redis://:<%= pw %>@a:1\n", 1, Problem::Template),
        ("k: ${REDIS_HOST:a}\n", 1, Problem::Reference),
        ("k: redis://#{host}:1\n", 1, Problem::Authority),
        ("k: \"\"\n", 1, Problem::Empty),
        ("k: \"\\_\"\n", 1, Problem::Unrecognised),
        ("k: a b\n", 1, Problem::Unrecognised),
    ] {
        let error = edited(Format::Yaml, text.as_bytes(), "k", "b:2").unwrap_err();
        let key = "k".to_owned();
        assert_eq!(error, EditError::Value { key, line, problem }, "{text:?}");
    }
}

#[test]
fn what_stands_elsewhere_is_told_with_its_path() {
    for (path, text, message) in [
        (
            "b.c",
            "a: {x.y: &u {c: x:1}}\nb: *u\n",
            "line 2 takes b.c from another place of the file: set EDIT to a.\"x.y\".c, which changes all that is taken from there",
        ),
        (
            "b",
            "a: [&u x:1]\nb: *u\n",
            "line 2 takes b from another place of the file: set EDIT to a.0, which changes all that is taken from there",
        ),
        (
            "p.url",
            "d: &d\n  url: x:1\np:\n  <<: *d\n",
            "line 4 takes p.url from another place of the file: set EDIT to d.url, which changes all that is taken from there",
        ),
        (
            "p.url",
            "a: &a\n  url: x:1\nb: &b\n  <<: [*a, *a]\np:\n  <<: [*b, *a]\n",
            "line 6 takes p.url from another place of the file: set EDIT to a.url, which changes all that is taken from there",
        ),
        (
            "p.db",
            "a: &a\n  url: x:1\np:\n  <<: *a\n",
            "p.db leads nowhere, for there is no p.db: add it, or correct EDIT",
        ),
        (
            "h",
            "h: x\n---\nh: x\n",
            "documents 0 and 1 of the file (line 3) both have h: say which one is meant, as ---1.h",
        ),
        (
            "---2.h",
            "h: x\n---\nh: x\n",
            "---2.h leads nowhere, for there is no such document: add it, or correct EDIT",
        ),
        (
            "h",
            "",
            "h leads nowhere, for there is no such document: add it, or correct EDIT",
        ),
        (
            "h",
            "# <% if a %>\nh: x\n# <% end %>\n",
            "line 1 holds a statement of a template ('<%', '{%'), by which lines come and go: nothing can be edited in it",
        ),
        (
            "h",
            "h: x\n\"y\": '{% if a %}'\n",
            "line 2 holds a statement of a template ('<%', '{%'), by which lines come and go: nothing can be edited in it",
        ),
        (
            "a.h",
            "a:\n  h: x\n  \"h\": y\n",
            "line 3 gives h a second time, on the way to a.h: remove one of them",
        ),
        (
            "a",
            "a:\n",
            "line 1 has nothing at a, where a text or a port belongs: correct EDIT",
        ),
        (
            "a",
            "\na: ~",
            "line 2 has nothing at a, where a text or a port belongs: correct EDIT",
        ),
        (
            "a",
            "a: No",
            "line 1 has a truth value at a, where a text or a port belongs: correct EDIT",
        ),
        (
            "a",
            "a: 2026-11-21",
            "line 1 has a date at a, where a text or a port belongs: correct EDIT",
        ),
        (
            "a",
            "a: [x]",
            "line 1 has a list at a, where a text or a port belongs: correct EDIT",
        ),
        (
            "a",
            "a: {x: y}",
            "line 1 has a mapping at a, where a text or a port belongs: correct EDIT",
        ),
        (
            "a",
            "é: 1\nb: [",
            "line 2 is no YAML (it cannot be read from there on): correct the file, or FORMAT",
        ),
        (
            "a",
            "a: *b\n",
            "line 1 is no YAML (it cannot be read from there on): correct the file, or FORMAT",
        ),
    ] {
        let error = edited(Format::Yaml, text.as_bytes(), path, "b:2").unwrap_err();
        assert_eq!(text_of(&error), message, "{text:?}");
    }
}

#[test]
fn a_document_that_is_long_or_deep_or_refers_to_itself_is_refused() {
    let aliases = |count: usize| -> String {
        let line = |index: usize| {
            format!(
                "a{index}: &a{index} [{}]\n",
                format!("*a{},", index - 1).repeat(9)
            )
        };
        let lines: String = (1..count).map(line).collect();
        format!("a0: &a0 [x]\n{lines}")
    };
    let merges = |count: usize| -> String {
        let line = |index: usize| {
            format!(
                "a{index}: &a{index} {{<<: [{}]}}\n",
                format!("*a{},", index - 1).repeat(9)
            )
        };
        let lines: String = (1..count).map(line).collect();
        format!("a0: &a0 {{y: x}}\n{lines}")
    };
    for text in [
        "[".repeat(200_000),
        "{a: ".repeat(60_000),
        "- ".repeat(100_000),
        "? ".repeat(100_000),
        "a: ".repeat(80_000),
        "[,".repeat(100_000),
        format!("k: {}", "x".repeat(300_000)),
        "\"".repeat(100_001),
        format!("&a {}", "*a ".repeat(50_000)),
        "!".repeat(200_000),
        "%TAG ! x\n".repeat(20_000),
        "#\n".repeat(100_000) + "a: [",
        "a:\n  ".repeat(30_000),
        "---\n".repeat(60_000),
        "&a *a".to_owned(),
        aliases(2_000),
        merges(1_500),
    ] {
        let error = edited(Format::Yaml, text.as_bytes(), "a1499.k", "b:2");
        assert!(error.is_err(), "{}", &text[..40.min(text.len())]);
    }
}

#[test]
fn many_aliases_cost_nothing_to_edit_around() {
    let bomb: String = (1..500)
        .map(|index| {
            format!(
                "a{index}: &a{index} [{}]\n",
                format!("*a{},", index - 1).repeat(20)
            )
        })
        .collect();
    let text = format!("a0: &a0 [x]\nk: x:1\n{bomb}");
    let bytes = edited(Format::Yaml, text.as_bytes(), "k", "b:2").unwrap();
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        text.replace("x:1", "b:2")
    );
}

#[test]
fn the_second_reading_sees_every_unwanted_change() {
    let at_k = || Discrepancy::ValueAt {
        key: "k".to_owned(),
    };
    let unreadable = || Discrepancy::Unreadable { format: "YAML" };
    for (old, new, range, seen) in [
        ("k: a:1\nj: 1", "k: b:2\nj: 2", 3..6, Discrepancy::Outside),
        (
            "k: a:1\nj: 1",
            "k: b:2\nj: 2",
            3..11,
            Discrepancy::Elsewhere,
        ),
        (
            "k: a:1\nj: 1",
            "k: b:2\nj: '1'",
            3..11,
            Discrepancy::Elsewhere,
        ),
        (
            "k: a:1\nj: &x 1",
            "k: b:2\nj: &y 1",
            3..14,
            Discrepancy::Elsewhere,
        ),
        (
            "k: a:1\nj: !x 1",
            "k: b:2\nj: !y 1",
            3..14,
            Discrepancy::Elsewhere,
        ),
        (
            "k: a:1\nj: 1\nj: 1",
            "k: b:2\nj: 2\nj: 1",
            3..16,
            Discrepancy::Elsewhere,
        ),
        ("k: a:1", "k: b:3", 3..6, at_k()),
        ("k: a:1", "k: [b:2]", 3..6, at_k()),
        ("k: a", "k: no", 3..4, at_k()),
        ("k: a:1", "k: b:2 c", 3..6, at_k()),
        ("k: a:1", "k: \"b:2", 3..6, unreadable()),
        ("k: a:1", "k: b:2: c", 3..6, unreadable()),
        ("k: a:1\n", "k: b:2\n---\n", 3..7, Discrepancy::Elsewhere),
    ] {
        let growth = new.len() as isize - old.len() as isize;
        let end = (range.end as isize + growth) as usize;
        let splices = [Splice {
            text: new[range.start..end].to_owned(),
            range,
        }];
        let master = if new.contains("no") { "no:2" } else { "b:2" };
        let edit = Edit {
            keys: &["k".parse().unwrap()],
            value: None,
            master: &master.parse().unwrap(),
            readers: &[],
        };
        let checked = Format::Yaml.check(old.as_bytes(), new.as_bytes(), &splices, edit);
        assert_eq!(checked, Err(seen), "{old:?} to {new:?}");
    }
}
