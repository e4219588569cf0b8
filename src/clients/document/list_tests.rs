//! Lists that grow and shrink, in every format that has them.

use super::path_tests::text_of;
use super::*;

fn listed(format: Format, old: &str, readers: &[&str]) -> Result<String, String> {
    let readers: Vec<Endpoint> = readers.iter().map(|it| it.parse().unwrap()).collect();
    let keys = ["r".parse().unwrap()];
    let master = "m:1".parse().unwrap();
    let edit = Edit {
        keys: &keys,
        value: None,
        master: &master,
        readers: &readers,
    };
    let edited = edit_lists(format, old.as_bytes(), edit);
    let edited = edited.map_err(|error| text_of(&error))?;
    assert_eq!(edited.is_changed(), edited.bytes() != old.as_bytes());
    let new = String::from_utf8(edited.into_bytes()).unwrap();
    let again = edit_lists(format, new.as_bytes(), edit).unwrap();
    assert!(!again.is_changed(), "{new}");
    Ok(new)
}

#[test]
fn who_is_named_stays_who_is_not_to_be_goes_and_who_is_missing_comes_last() {
    use Format::{Env, Ini, Json, Jsonc, Properties, Toml, Yaml};
    for (format, old, readers, new) in [
        (Env, "r=b:1,a:1", &["a:1", "b:1"][..], "r=b:1,a:1"),
        (Env, "r=a:1", &["a:1", "b:2"], "r=a:1,b:2"),
        (Env, "r='a:1, b:1, c:1' # x", &["c:1"], "r='c:1' # x"),
        (Env, "r=\"a:1, b:1\"", &["b:1", "d:1"], "r=\"b:1, d:1\""),
        (Env, "r=", &["a:1", "b:1"], "r=a:1,b:1"),
        (Env, "r=a,b", &["b:6379", "c:6379"], "r=b,c"),
        (
            Env,
            "r=redis://:pw@a:1/0,redis://:pw@b:1/0",
            &["b:1", "c:7"],
            "r=redis://:pw@b:1/0,redis://:pw@c:7/0",
        ),
        (
            Ini,
            "r = \"a:1 , b:1\" ; x",
            &["c:1", "d:1"],
            "r = \"c:1 , d:1\" ; x",
        ),
        (Properties, "r: a\\:1,b\\:1", &["b:1"], "r: b:1"),
        (
            Json,
            r#"{"r": "a:1,b:1"}"#,
            &["b:1", "c:1"],
            r#"{"r": "b:1,c:1"}"#,
        ),
        (
            Json,
            r#"{"r": ["a:1"]}"#,
            &["a:1", "b:1"],
            r#"{"r": ["a:1", "b:1"]}"#,
        ),
        (
            Json,
            r#"{"r":["a:1","b:1","c:1"]}"#,
            &["b:1"],
            r#"{"r":["b:1"]}"#,
        ),
        (
            Json,
            "{\"r\": [\n    \"a:1\"\n  ]}",
            &["b:1", "[::2]:3"],
            "{\"r\": [\n    \"b:1\",\n    \"[::2]:3\"\n  ]}",
        ),
        (
            Jsonc,
            "{\"r\": [\n  \"a:1\",\n  \"b:1\", // last\n]}",
            &["b:1", "c:1", "d:1"],
            "{\"r\": [\n  \"b:1\",\n  \"c:1\",\n  \"d:1\", // last\n]}",
        ),
        (Toml, "r = ['a:1', 'b:1']", &["c:1"], "r = ['c:1']"),
        (
            Toml,
            "r = [\n  \"redis://u:p@a:1\",\n]",
            &["a:1", "b:2"],
            "r = [\n  \"redis://u:p@a:1\",\n  \"redis://u:p@b:2\",\n]",
        ),
        (Yaml, "r: [a:1, b:1]", &["b:1"], "r: [b:1]"),
        (Yaml, "r: a:1,b:1", &["b:1", "a:1"], "r: a:1,b:1"),
        (
            Yaml,
            "r:\n  - a:1\nz: 1\n",
            &["a:1", "b:1"],
            "r:\n  - a:1\n  - b:1\nz: 1\n",
        ),
        (
            Yaml,
            "r:\r\n- a:1\r\n",
            &["b:1", "c:1"],
            "r:\r\n- b:1\r\n- c:1\r\n",
        ),
        (
            Yaml,
            "r:\n- 'a:1'\n\n- 'b:1' # the last\n",
            &["a:1", "b:1", "c:1"],
            "r:\n- 'a:1'\n\n- 'b:1'\n\n- 'c:1' # the last\n",
        ),
        (
            Yaml,
            "x: 1\n---\nr: [a:1]\n",
            &["b:1"],
            "x: 1\n---\nr: [b:1]\n",
        ),
        (Yaml, "r: [a]", &["[::2]:6379"], "r: [\"::2\"]"),
    ] {
        assert_eq!(listed(format, old, readers).as_deref(), Ok(new), "{old}");
    }
}

#[test]
fn a_list_that_cannot_be_changed_without_a_guess_stays() {
    use Format::{Env, Json, Toml, Yaml};
    for (format, old, reason) in [
        (Env, "r=a:1,,b:1", "is no URL, host:port, host or port"),
        (Env, "r=6379", "is no URL, host:port, host or port"),
        (Env, "r=$A,b:1", "refers to a variable"),
        (Env, "r=https://a:1", "scheme"),
        (Json, r#"{"r": []}"#, "the list is empty: write one address"),
        (Json, r#"{"r": ["a:1", null]}"#, "has null at r.1"),
        (Json, r#"{"r": [["a:1"]]}"#, "has a list at r.0"),
        (Json, r#"{"r": {"a": 1}}"#, "has an object at r"),
        (
            Toml,
            "r = [\n 'a:1', # one\n 'b:1',\n]",
            "between the items of the list",
        ),
        (Toml, "r = [ # one\n 'b:1',\n]", "before its only one"),
        (
            Yaml,
            "r:\n- a:1 # one\n- b:1\n",
            "between the items of the list",
        ),
        (Yaml, "r: &x [a:1]\ns: [*x]\n---\nr: [b:1]\n", "both have r"),
        (
            Yaml,
            "x: &x a:1\nr: [*x, b:1]\n",
            "takes r.0 from another place",
        ),
        (
            Yaml,
            "r: [&x a:1, b:1]\ny: *x\n",
            "did not pass its second reading",
        ),
    ] {
        let error = listed(format, old, &["c:1"]).unwrap_err();
        assert!(error.contains(reason), "{old}: {error}");
    }
}

#[test]
fn a_second_reading_demands_each_reader_once_and_nobody_else() {
    let readers: Vec<Endpoint> = ["a:1", "b:1"].map(|it| it.parse().unwrap()).into();
    let master = "m:1".parse().unwrap();
    let edit = Edit {
        keys: &[],
        value: None,
        master: &master,
        readers: &readers,
    };
    for (old, new, is_right) in [
        ("x:1", "a:1,b:1", true),
        ("x:1", "b:1, a:1", true),
        ("", "a:1,b:1", true),
        ("x:1", "a:1", false),
        ("x:1", "a:1,b:1,x:1", false),
        ("x:1", "a:1,a:1", false),
        ("x:1", "a:1,x:1", false),
        ("redis://:p@x:1", "redis://:p@a:1,redis://:p@b:1", true),
        ("redis://:p@x:1", "redis://:p@a:1,redis://b:1", false),
        ("redis://:p@x:1", "a:1,b:1", false),
    ] {
        let seen = list::is_listed(old.as_bytes(), new.as_bytes(), edit);
        assert_eq!(seen, is_right, "{old} {new}");
    }
}
