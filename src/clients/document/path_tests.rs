//! JSON and TOML documents in many shapes: only the value's bytes change, or nothing does.

use proptest::prelude::*;

use super::*;

const MASTER: &str = "b.example:7001";

pub(super) fn edited(
    format: Format,
    text: &[u8],
    paths: &str,
    master: &str,
) -> Result<Vec<u8>, EditError> {
    let keys: Vec<KeyPath> = split_paths(paths)
        .into_iter()
        .map(|path| path.parse().unwrap())
        .collect();
    let edit = Edit {
        keys: &keys,
        value: None,
        master: &master.parse().unwrap(),
        readers: &[],
    };
    super::edit(format, text, edit).map(Edited::into_bytes)
}

pub(super) fn text_of(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", text_of(source)),
        None => error.to_string(),
    }
}

#[test]
fn only_the_value_of_a_path_changes() {
    for (format, paths, old, new) in [
        (
            Format::Json,
            "a",
            r#"{"a":"x:1"}"#,
            r#"{"a":"b.example:7001"}"#,
        ),
        (
            Format::Json,
            "redis.primary.url",
            "{\r\n\t\"redis\" : { \"primary\" :{\"url\":  \"redis://:p@x:1/0\" ,\"k\":1e30}, \"z\":[ ] }\r\n}\r\n",
            "{\r\n\t\"redis\" : { \"primary\" :{\"url\":  \"redis://:p@b.example:7001/0\" ,\"k\":1e30}, \"z\":[ ] }\r\n}\r\n",
        ),
        (
            Format::Json,
            "servers.1.host, servers.1.port, servers.0",
            r#"{"servers":["x:1",{"port":6379,"host":"x"}]}"#,
            r#"{"servers":["b.example:7001",{"port":7001,"host":"b.example"}]}"#,
        ),
        (
            Format::Json,
            r#""my.key"."a, b""#,
            r#"{"my.key":{"a, b":"6379"},"my":{"key":1}}"#,
            r#"{"my.key":{"a, b":"7001"},"my":{"key":1}}"#,
        ),
        (
            Format::Json,
            "url",
            "{\"url\":\"redis:\\/\\/u:p\\u0040@x:1\\/0\",\"n\":\"\\ud83d\\ude00 é\"}",
            "{\"url\":\"redis:\\/\\/u:p\\u0040@b.example:7001\\/0\",\"n\":\"\\ud83d\\ude00 é\"}",
        ),
        (
            Format::Json,
            "1",
            "\u{FEFF}[0, \"x\"]\n",
            "\u{FEFF}[0, \"b.example\"]\n",
        ),
        (
            Format::Json,
            "\"\"",
            "{\"\":\"x:1\"}",
            "{\"\":\"b.example:7001\"}",
        ),
        (
            Format::Toml,
            "redis.url",
            "# top\r\n[redis] # cache\r\nurl   =  'redis://:p@x:1/0'  # why\r\nsince = 2024-01-01T00:00:00Z\r\n",
            "# top\r\n[redis] # cache\r\nurl   =  'redis://:p@b.example:7001/0'  # why\r\nsince = 2024-01-01T00:00:00Z\r\n",
        ),
        (
            Format::Toml,
            "a.b.host, a.b.port",
            "a.b = { port = 6379, host = \"x\" }\n\n\n[z]",
            "a.b = { port = 7001, host = \"b.example\" }\n\n\n[z]",
        ),
        (
            Format::Toml,
            "servers.1.addr, servers.0.list.0",
            "[[servers]]\nlist = [ # first\n  \"x:1\",\n]\n[[servers]]\naddr=\"x:1\"",
            "[[servers]]\nlist = [ # first\n  \"b.example:7001\",\n]\n[[servers]]\naddr=\"b.example:7001\"",
        ),
        (
            Format::Toml,
            "\"my.key\".url",
            "\u{FEFF}'my.key'.url = \"redis://\\u0075:\\\"@x:1\"\nodd = 1_000\nf = 1.0\n",
            "\u{FEFF}'my.key'.url = \"redis://\\u0075:\\\"@b.example:7001\"\nodd = 1_000\nf = 1.0\n",
        ),
        (
            Format::Toml,
            "a",
            "a = \"b.example:7001\"",
            "a = \"b.example:7001\"",
        ),
    ] {
        let bytes = edited(format, old.as_bytes(), paths, MASTER).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), new);
    }
}

#[test]
fn what_cannot_be_changed_surely_is_refused_with_its_line_and_path() {
    for (format, paths, text, message) in [
        (
            Format::Json,
            "a",
            "{\"a\":1",
            "line 1 is no JSON (it ends too soon): correct the file, or FORMAT",
        ),
        (
            Format::Json,
            "a",
            "{\n\"a\":1,}",
            "line 2 is no JSON (it breaks off there): correct the file, or FORMAT",
        ),
        (
            Format::Json,
            "a",
            "{\"a\":1} // x",
            "line 1 is no JSON (it breaks off there): correct the file, or FORMAT",
        ),
        (
            Format::Json,
            "a",
            "",
            "line 1 is no JSON (it ends too soon): correct the file, or FORMAT",
        ),
        (
            Format::Json,
            "a",
            "K=hunter2",
            "line 1 is no JSON (it breaks off there): correct the file, or FORMAT",
        ),
        (
            Format::Json,
            "a.b.c",
            "{\"a\":{}}",
            "a.b.c leads nowhere, for there is no a.b: add it, or correct EDIT",
        ),
        (
            Format::Json,
            "a.b",
            "{\"a\":\"x\"}",
            "a.b leads nowhere, for there is no a.b: add it, or correct EDIT",
        ),
        (
            Format::Json,
            "a.00",
            "{\"a\":[1]}",
            "a.00 leads nowhere, for there is no a.00: add it, or correct EDIT",
        ),
        (
            Format::Json,
            "a.1",
            "{\"a\":[1]}",
            "a.1 leads nowhere, for there is no a.1: add it, or correct EDIT",
        ),
        (
            Format::Json,
            "a.b",
            "{\"a\":{\"b\":1,\n\"b\":2}}",
            "line 2 gives b a second time, on the way to a.b: remove one of them",
        ),
        (
            Format::Json,
            "a",
            "{\n\"a\":null}",
            "line 2 has null at a, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Json,
            "a",
            "{\"a\":[]}",
            "line 1 has a list at a, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Json,
            "a",
            "{\"a\":{}}",
            "line 1 has an object at a, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Json,
            "a",
            "{\"a\":true}",
            "line 1 has a truth value at a, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Json,
            "a",
            "{\"a\":6379.0}",
            "line 1 assigns a in a way that cannot be changed safely: the number is no port in plain digits: write it so, or write the value as a text",
        ),
        (
            Format::Json,
            "a",
            "{\"a\":\"p w\"}",
            "line 1 assigns a in a way that cannot be changed safely: the value is no URL, host:port, host or port",
        ),
        (
            Format::Json,
            "a",
            "{\"a\":\"redis://x\\u000a:1\"}",
            "line 1 assigns a in a way that cannot be changed safely: the URL holds no valid host and port: percent-encode the password, or correct the host",
        ),
        (Format::Toml, "a", "a = ", "line 1 is no TOML ("),
        (
            Format::Toml,
            "a",
            "x = 1\na = 1\na = 2",
            "line 3 is no TOML (duplicate key): correct the file, or FORMAT",
        ),
        (
            Format::Toml,
            "a.b",
            "[a]\nc = 1",
            "a.b leads nowhere, for there is no a.b: add it, or correct EDIT",
        ),
        (
            Format::Toml,
            "a",
            "\n[a]\nc = 1",
            "line 2 has a table at a, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Toml,
            "a",
            "\n[[a]]\nc = 1",
            "line 2 has a list of tables at a, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Toml,
            "a.0",
            "\n[[a]]\nc = 1",
            "line 2 has a table at a.0, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Toml,
            "a",
            "a = 2024-01-01",
            "line 1 has a date at a, where a text or a port belongs: correct EDIT",
        ),
        (
            Format::Toml,
            "a",
            "a = 0x18EB",
            "line 1 assigns a in a way that cannot be changed safely: the number is no port in plain digits: write it so, or write the value as a text",
        ),
        (Format::Toml, "a", "a = 1\nb=2\na2 = '''x:1'''", ""),
        (
            Format::Toml,
            "a",
            "a = '''x:1'''",
            "line 1 assigns a in a way that cannot be changed safely: the value is a text of several lines: write it on one line, with one pair of quotes",
        ),
    ] {
        match edited(format, text.as_bytes(), paths, MASTER) {
            Ok(_) => assert_eq!(message, "", "{text}"),
            Err(error) => {
                let error = text_of(&error);
                assert!(
                    !message.is_empty() && error.starts_with(message),
                    "{text}: {error}"
                );
                assert!(!error.contains("hunter2"));
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    for format in [Format::Json, Format::Jsonc, Format::Toml] {
        let error = edited(format, b"\n\"\xe9\"", "a", MASTER).unwrap_err();
        assert_eq!(error, EditError::NotUtf8 { line: 2 });
    }
}

#[test]
fn a_document_that_goes_very_deep_is_refused() {
    for (format, text) in [
        (Format::Json, "[".repeat(500_000)),
        (Format::Json, "{\"a\":".repeat(100_000)),
        (Format::Jsonc, "[//\n".repeat(200_000)),
        (Format::Toml, format!("a = {}", "[".repeat(500_000))),
        (Format::Toml, format!("a = {}", "{a=".repeat(200_000))),
        (Format::Toml, format!("{}a = 1", "a.".repeat(200_000))),
    ] {
        let error = edited(format, text.as_bytes(), "a", MASTER).unwrap_err();
        assert!(matches!(error, EditError::Syntax { .. }), "{error}");
    }
}

#[test]
fn the_second_reading_sees_every_unwanted_change() {
    for (format, old, new, range, seen) in [
        (
            Format::Json,
            r#"{"K":"a:1","x":1}"#,
            r#"{"K":"b:2","x":2}"#,
            6..9,
            Discrepancy::Outside,
        ),
        (
            Format::Json,
            r#"{"K":"a:1","x":1}"#,
            r#"{"K":"b:3","x":1}"#,
            6..9,
            Discrepancy::ValueAt {
                key: "K".to_owned(),
            },
        ),
        (
            Format::Json,
            r#"{"K":"a:1","x":"a:1"}"#,
            r#"{"K":"b:2","x":"b:2"}"#,
            6..19,
            Discrepancy::Elsewhere,
        ),
        (
            Format::Json,
            r#"{"K":"a:1"}"#,
            r#"{"K":"b:2}"#,
            6..10,
            Discrepancy::Unreadable { format: "JSON" },
        ),
        (
            Format::Toml,
            "K='a:1'\nx=1",
            "K='b:2'\nx=2",
            3..11,
            Discrepancy::Elsewhere,
        ),
        (
            Format::Toml,
            "K='a:1'",
            "K=['b:2']",
            2..7,
            Discrepancy::ValueAt {
                key: "K".to_owned(),
            },
        ),
        (
            Format::Toml,
            "K='a:1'",
            "K='b:2",
            3..7,
            Discrepancy::Unreadable { format: "TOML" },
        ),
    ] {
        let growth = new.len() as isize - old.len() as isize;
        let end = (range.end as isize + growth) as usize;
        let splices = [Splice {
            text: new[range.start..end].to_owned(),
            range,
        }];
        let keys = ["K".parse().unwrap()];
        let edit = Edit {
            keys: &keys,
            value: None,
            master: &"b:2".parse().unwrap(),
            readers: &[],
        };
        let checked = format.check(old.as_bytes(), new.as_bytes(), &splices, edit);
        assert_eq!(checked, Err(seen), "{old} to {new}");
    }
}

pub(super) fn json_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("x:1")),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z. \"\\\\é]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn in_any_json_document_just_the_value_changes(
        before in json_value(), after in json_value(), is_pretty in any::<bool>(),
    ) {
        let document = serde_json::json!({"before": before, "K": {"url": "redis://x:1/0"}, "z": after});
        let write = |value: &serde_json::Value| match is_pretty {
            true => serde_json::to_string_pretty(value).unwrap(),
            false => value.to_string(),
        };
        let mut wanted = document.clone();
        wanted["K"]["url"] = "redis://b.example:7001/0".into();
        let bytes = edited(Format::Json, write(&document).as_bytes(), "K.url", MASTER).unwrap();
        prop_assert_eq!(String::from_utf8(bytes).unwrap(), write(&wanted));
    }

    #[test]
    fn no_text_makes_the_editing_panic(text in "\\PC{0,80}", format in prop::sample::select(&Format::ALL[..])) {
        let _ = edited(format, text.as_bytes(), "a.0, b", MASTER);
    }

    #[test]
    fn no_near_document_makes_the_editing_panic(
        text in "[a0\"'={}\\[\\]:,.# \\\\u\n]{0,40}", format in prop::sample::select(&Format::ALL[..]),
    ) {
        let _ = edited(format, text.as_bytes(), "a.0, a", MASTER);
    }
}
