//! Env documents in many shapes, and what a loader makes of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn edited(text: &[u8], keys: &[&str], master: &str) -> Result<Vec<u8>, EditError> {
    let keys: Vec<KeyPath> = keys.iter().map(|key| key.parse().unwrap()).collect();
    let edit = Edit {
        keys: &keys,
        value: None,
        master: &master.parse().unwrap(),
        readers: &[],
    };
    super::edit(Format::Env, text, edit).map(|edited| edited.bytes().to_vec())
}

#[test]
fn only_the_address_changes_in_every_shape_of_document() {
    let shapes: &[(&str, &str)] = &[
        ("K=a:1", "K=b:2"),
        ("K=a:1\n", "K=b:2\n"),
        ("K=a:1\r\n", "K=b:2\r\n"),
        ("\r\nK=a:1\r\n\r\n", "\r\nK=b:2\r\n\r\n"),
        ("\u{FEFF}K=a:1\n", "\u{FEFF}K=b:2\n"),
        ("export K=a:1\n", "export K=b:2\n"),
        ("export \t K=a:1\n", "export \t K=b:2\n"),
        ("  K=a:1\n", "  K=b:2\n"),
        ("\tK = a:1 \n", "\tK = b:2 \n"),
        ("K=\"a:1\"\n", "K=\"b:2\"\n"),
        ("K='a:1'\n", "K='b:2'\n"),
        ("K= 'a:1' \r\n", "K= 'b:2' \r\n"),
        ("K=a:1 # why\n", "K=b:2 # why\n"),
        ("K=\"a:1\" # it's\nJ=1\n", "K=\"b:2\" # it's\nJ=1\n"),
        ("# K=a:1\n; K=a:1\nK=a:1\n", "# K=a:1\n; K=a:1\nK=b:2\n"),
        ("#K=a:1\nK=a:1", "#K=a:1\nK=b:2"),
        ("K=a:1\nJ=a:1\nK=c:3\n", "K=b:2\nJ=a:1\nK=b:2\n"),
        (
            "KK=a:1\nK=a:1\nK_=a:1\nk=a:1\n",
            "KK=a:1\nK=b:2\nK_=a:1\nk=a:1\n",
        ),
        ("J=K=a:1\nK=a:1\n", "J=K=a:1\nK=b:2\n"),
        ("J=\"x\ny\"\nK=a:1\n", "J=\"x\ny\"\nK=b:2\n"),
        ("J='x\n'y\nK=a:1\n", "J='x\n'y\nK=b:2\n"),
        ("J=x\\\ny\nK=a:1\n", "J=x\\\ny\nK=b:2\n"),
        ("J=\"\\\"\"\nK=a:1\n", "J=\"\\\"\"\nK=b:2\n"),
        ("J=C:\\x\\\r\nK=a:1\r\n", "J=C:\\x\\\r\nK=b:2\r\n"),
        ("J=it's\nK=a:1\n", "J=it's\nK=b:2\n"),
        (
            "no assignment\nexport K\nK=a:1\n",
            "no assignment\nexport K\nK=b:2\n",
        ),
        ("J=$K${K}\nK=a:1\n", "J=$K${K}\nK=b:2\n"),
        ("K=redis://a:1/0?x=y\n", "K=redis://b:2/0?x=y\n"),
        ("K=redis://u:p=w@a:1\n", "K=redis://u:p=w@b:2\n"),
        (
            "K=\"redis://u:p\\\"w\\$x@a:1/0\"\n",
            "K=\"redis://u:p\\\"w\\$x@b:2/0\"\n",
        ),
        ("K='redis://:$ecret@a:1/0'\n", "K='redis://:$ecret@b:2/0'\n"),
        ("K=redis://:$@a:1/0\n", "K=redis://:$@b:2/0\n"),
        ("K='redis://:`x$(y)@a:1'\n", "K='redis://:`x$(y)@b:2'\n"),
        ("K=redis://:${P}@a:1/0\n", "K=redis://:${P}@b:2/0\n"),
        (
            "K=\"redis://$U:${P_2}x@a:1/$D?n=${N}#$F\"\n",
            "K=\"redis://$U:${P_2}x@b:2/$D?n=${N}#$F\"\n",
        ),
        ("K=\"redis://:$P@a:1\"\n", "K=\"redis://:$P@b:2\"\n"),
        ("K=\"redis://:\\\\$P@a\"\n", "K=\"redis://:\\\\$P@b:2\"\n"),
        ("K=redis://a:1/${D} # $(x)\n", "K=redis://b:2/${D} # $(x)\n"),
        (
            "K=\"redis://:\\$(x\\`@a:1\"\n",
            "K=\"redis://:\\$(x\\`@b:2\"\n",
        ),
        ("K=\"redis://a:1/0#x\"\n", "K=\"redis://b:2/0#x\"\n"),
        ("K=10.0.0.1\n", "K=b\n"),
        ("K=1\n", "K=2\n"),
        ("K=b:2\n", "K=b:2\n"),
    ];
    for (old, new) in shapes {
        let new_bytes = edited(old.as_bytes(), &["K"], "b:2").unwrap();
        assert_eq!(String::from_utf8(new_bytes).unwrap(), *new, "{old:?}");
    }
}

#[test]
fn bytes_that_are_no_text_stay_as_they_are() {
    let old = b"J=\xff\xfe\n# \xe9\nK=redis://:\xff@a:1/0 # \xe9\n";
    let new = b"J=\xff\xfe\n# \xe9\nK=redis://:\xff@b:2/0 # \xe9\n";
    assert_eq!(edited(old, &["K"], "b:2").unwrap(), new);
}

#[test]
fn several_keys_each_take_what_their_old_value_held() {
    let old = b"HOST=a\nPORT=1\nURL='redis://a'\nADDRESS=\"[::1]:1\"\n";
    let new = b"HOST=b\nPORT=2\nURL='redis://b:2'\nADDRESS=\"b:2\"\n";
    let keys = ["PORT", "HOST", "URL", "ADDRESS"];
    assert_eq!(edited(old, &keys, "b:2").unwrap(), new);
}

#[test]
fn an_empty_value_is_filled_where_its_kind_is_stated() {
    let keys = ["K".parse().unwrap()];
    let master = "b:2".parse().unwrap();
    for (old, new) in [
        ("K=", "K=b:2"),
        ("K=\n", "K=b:2\n"),
        ("K=\r\n", "K=b:2\r\n"),
        ("K=  # later\n", "K=b:2  # later\n"),
        ("K=\"\"\n", "K=\"b:2\"\n"),
    ] {
        let edit = Edit {
            keys: &keys,
            value: Some(ValueKind::Endpoint),
            master: &master,
            readers: &[],
        };
        let edited = super::edit(Format::Env, old.as_bytes(), edit).unwrap();
        assert_eq!(edited.bytes(), new.as_bytes(), "{old:?}");
    }
}

#[test]
fn a_value_that_readers_take_differently_is_refused_with_its_line() {
    use ValueProblem as Problem;
    for (text, line, problem) in [
        ("K=\n", 1, Problem::Empty),
        ("K=a:1\n\nK=\n", 3, Problem::Empty),
        ("J=1\nK=a:1\\\n\n", 2, Problem::Continuation),
        ("K=a:1\\", 1, Problem::Continuation),
        ("K=a:1\\\r\n", 1, Problem::Continuation),
        ("K=\"a:1\" \\\nx\n", 1, Problem::Continuation),
        ("K=\"a:1\" # x \\\nx\n", 1, Problem::Continuation),
        ("J='\n\n'\nK=\"a:1\n\"\n", 4, Problem::SpansLines),
        ("K=\"a:1\n", 1, Problem::SpansLines),
        ("K=\"a:1\"x\n", 1, Problem::TextBehindQuote),
        ("K='a'':1'\n", 1, Problem::TextBehindQuote),
        ("K=\"a:1\"#x\n", 1, Problem::TextBehindQuote),
        ("K=\"a:1\"; export K\n", 1, Problem::TextBehindQuote),
        ("K=a:1; export K\n", 1, Problem::UnquotedSpace),
        ("K=a:1 J=2\n", 1, Problem::UnquotedSpace),
        ("K=redis://a:1/0#x\n", 1, Problem::UnquotedHash),
        ("K=#x\n", 1, Problem::UnquotedHash),
        ("K=${A}\n", 1, Problem::Reference),
        ("K=$A\n", 1, Problem::Reference),
        ("K=a:$PORT\n", 1, Problem::Reference),
        ("K=${A}:1\n", 1, Problem::Reference),
        ("K=redis://$HOST:1\n", 1, Problem::Reference),
        ("K=redis://:p@${HOST}:1/0\n", 1, Problem::Reference),
        ("K=redis://a:${PORT}/0\n", 1, Problem::Reference),
        ("K=redis://a:1$PORT/0\n", 1, Problem::Reference),
        ("K=redis://${USER_AT}a:1/0\n", 1, Problem::Reference),
        ("K=redis://a$PATH\n", 1, Problem::Reference),
        ("K=\"redis$S://:$P@a:1\"\n", 1, Problem::Reference),
        ("K=${S}://a:1\n", 1, Problem::Reference),
        ("K='redis://$HOST:1'\n", 1, Problem::Authority),
        ("K=`cat x`\n", 1, Problem::UnquotedSpace),
        ("K=\"$(cat x)\"\n", 1, Problem::Substitution),
        ("K=redis://:$(pass)@a:1\n", 1, Problem::Substitution),
        ("K=redis://a:1/`db`\n", 1, Problem::Substitution),
        ("K=redis://:${P:-x}@a:1\n", 1, Problem::Substitution),
        ("K=redis://${U:-x:p@a:1/0}\n", 1, Problem::Substitution),
        ("K=redis://:${P@a:1}\n", 1, Problem::Substitution),
        ("K=redis://:${}@a:1\n", 1, Problem::Substitution),
        ("K=redis://a:1/${1}\n", 1, Problem::Substitution),
        ("K=redis://a:1/${\n", 1, Problem::Substitution),
        ("K='redis://:\u{7}@a:1'\n", 1, Problem::Control),
        ("K='redis://:p#w@a:1/0'\n", 1, Problem::StrayAt),
        ("K=/run/redis.sock\n", 1, Problem::Socket),
    ] {
        let error = edited(text.as_bytes(), &["K"], "b:2").unwrap_err();
        let key = "K".to_owned();
        assert_eq!(error, EditError::Value { key, line, problem }, "{text:?}");
    }
}

/// What a shell makes of `K` that reads the file, with P=secret and D=3 set.
fn shell_loads(text: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text).unwrap();
    let output = Command::new("sh")
        .args(["-c", ". \"$1\"; printf %s \"$K\"", "sh"])
        .arg(file.path())
        .envs([("P", "secret"), ("D", "3")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_shell_puts_the_same_variables_into_the_new_url() {
    for (text, before, after) in [
        (
            "K=redis://:${P}@a:1/$D\n",
            "redis://:secret@a:1/3",
            "redis://:secret@b:2/3",
        ),
        (
            "K=\"redis://:$P@a:1?n=${D}\" # $P\n",
            "redis://:secret@a:1?n=3",
            "redis://:secret@b:2?n=3",
        ),
        (
            "export K=\"redis://:\\$P@a:1\"\n",
            "redis://:$P@a:1",
            "redis://:$P@b:2",
        ),
        (
            "K='redis://:${P}@a:1'\n",
            "redis://:${P}@a:1",
            "redis://:${P}@b:2",
        ),
    ] {
        assert_eq!(shell_loads(text.as_bytes()), before);
        let new = edited(text.as_bytes(), &["K"], "b:2").unwrap();
        assert_eq!(shell_loads(&new), after, "{text:?}");
    }
}

#[test]
fn a_key_that_only_some_loaders_see_is_refused() {
    for (text, seen) in [
        ("J=\"x\nK=a:1\n\"\nK=a:1\n", 2),
        ("J='x\nK=a:1\nK=a:1\n'\nK=a:1\n", 3),
        ("J=x\\\nK=a:1\nK=a:1\n", 2),
        ("J='x' # y\\\nK=a:1\nK=a:1\n", 2),
    ] {
        let discrepancy = Discrepancy::Occurrences { seen, found: 1 };
        assert_eq!(
            edited(text.as_bytes(), &["K"], "b:2").unwrap_err(),
            EditError::Unverified { discrepancy },
            "{text:?}"
        );
    }
}

#[test]
fn what_is_no_document_or_lacks_the_key_says_so() {
    for (text, message) in [
        ("", "no line assigns K: add one, or correct EDIT"),
        (
            "# K=a:1\nexport K\nJ=1",
            "no line assigns K: add one, or correct EDIT",
        ),
        (
            "K=a:1\n\0",
            "line 2 holds a NUL byte: save it as UTF-8 text",
        ),
        (
            "K=a:1\rJ=1",
            "line 1 holds a carriage return that no line feed follows: remove it",
        ),
    ] {
        let error = edited(text.as_bytes(), &["K"], "b:2").unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(edited(b"K=a:1", &[], "b:2").unwrap_err(), EditError::NoKeys);
    assert_eq!(
        edited(b"K=a:1", &["K", "J"], "b:2").unwrap_err(),
        EditError::KeyMissing {
            key: "J".to_owned()
        }
    );
}

#[test]
fn no_message_and_no_debug_text_repeats_a_value() {
    for text in [
        "K=redis://:hunter2",
        "K=redis://:hunter2@",
        "K=redis://:hunter2/x@a:1",
        "K=redis://:hunter2#@a:1",
        "K='redis://:hunter2@a:1'x",
        "K=hunter2 hunter2",
        "K=redis://:hunter2@a:1,hunter2:2",
        "J='\nK=redis://:hunter2@a:1\n'\nK=redis://:hunter2@a:1",
        "K=redis://:hunter2@a:1",
    ] {
        let result = edited(text.as_bytes(), &["K"], "b:2").map(|_| ());
        if let Err(error) = &result {
            let source = std::error::Error::source(error).map(ToString::to_string);
            assert!(!format!("{error} {source:?}").contains("hunter2"), "{text}");
        }
        assert!(!format!("{result:?}").contains("hunter2"), "{text}");
    }
    let keys = ["K".parse().unwrap()];
    let edit = Edit {
        keys: &keys,
        value: None,
        master: &"b:2".parse().unwrap(),
        readers: &[],
    };
    let edited = super::edit(Format::Env, b"K=redis://:hunter2@a:1", edit);
    assert!(!format!("{edited:?}").contains("hunter2"));
}

/// What systemd 255 makes of a file: its `parse_env_file_internal`, state by state.
fn systemd_loads(text: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        BeforeKey,
        Key,
        BeforeValue,
        Value,
        ValueEscape,
        Single,
        Double,
        DoubleEscape,
        Comment,
    }
    let trimmed = |bytes: &[u8]| bytes.trim_ascii_end().to_vec();
    let mut loaded = BTreeMap::new();
    let (mut state, mut key, mut value, mut kept) = (State::BeforeKey, vec![], vec![], 0);
    for byte in text.iter().copied().chain([b'\n']) {
        let is_newline = byte == b'\n' || byte == b'\r';
        let is_blank = is_newline || byte == b' ' || byte == b'\t';
        state = match state {
            State::BeforeKey if byte == b'#' || byte == b';' => State::Comment,
            State::BeforeKey if is_blank => State::BeforeKey,
            State::BeforeKey => {
                (key, value, kept) = (vec![byte], vec![], 0);
                State::Key
            }
            State::Key if is_newline => State::BeforeKey,
            State::Key if byte == b'=' => State::BeforeValue,
            State::Key => {
                key.push(byte);
                State::Key
            }
            State::BeforeValue | State::Value if is_newline => {
                let end = kept.max(value.trim_ascii_end().len());
                loaded.insert(trimmed(&key), value[..end].to_vec());
                State::BeforeKey
            }
            State::BeforeValue if byte == b'\'' => State::Single,
            State::BeforeValue if byte == b'"' => State::Double,
            State::BeforeValue | State::Value if byte == b'\\' => State::ValueEscape,
            State::BeforeValue if is_blank => State::BeforeValue,
            State::BeforeValue | State::Value => {
                value.push(byte);
                State::Value
            }
            State::ValueEscape => {
                if !is_newline {
                    value.push(byte);
                    kept = value.len();
                }
                State::Value
            }
            State::Single if byte == b'\'' => State::BeforeValue,
            State::Double if byte == b'"' => State::BeforeValue,
            State::Double if byte == b'\\' => State::DoubleEscape,
            State::Single | State::Double => {
                value.push(byte);
                kept = value.len();
                state
            }
            State::DoubleEscape => {
                if !matches!(byte, b'"' | b'\\' | b'`' | b'$' | b'\n') {
                    value.push(b'\\');
                }
                if byte != b'\n' {
                    value.push(byte);
                }
                kept = value.len();
                State::Double
            }
            State::Comment if is_newline => State::BeforeKey,
            State::Comment => State::Comment,
        };
    }
    loaded
}

fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "K", "export K", " K ", "J", "KK", "# K", ";K", "no", "'K'",
    ]);
    let value = prop::sample::select(vec![
        "a:1",
        "redis://u:p@a:1/0",
        "redis://a",
        "",
        "x y",
        "\"",
        "'",
        "'x'",
        "\"a:1\"",
        "'a'",
        "a:1 # x",
        "'redis://:\\$#@a:1'",
        "a\\",
        "\\",
        "\\\"",
        "1",
        "a # 'x",
        "$K",
        "redis://:${P}@a:1/$D",
        "\"redis://:$P@a:1\"",
        "redis://${H}:1",
        "redis://${H:-a}@a:1",
        "\"redis://:$(x)@a:1\"",
        "\"redis://:\\\"@a:1/3\" # \"",
    ]);
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "\n\n", " \n", ""]);
    (key, prop::bool::weighted(0.9), value, end).prop_map(|(key, assigns, value, end)| {
        let equals = if assigns { "=" } else { "" };
        format!("{key}{equals}{value}{end}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn a_loader_sees_the_wanted_values_change_and_nothing_else(
        lines in prop::collection::vec(line(), 0..7),
    ) {
        let old = lines.concat();
        if let Ok(new) = edited(old.as_bytes(), &["K"], "b:2") {
            let (mut before, mut after) =
                (systemd_loads(old.as_bytes()), systemd_loads(&new));
            let old_value = before.remove(b"K".as_slice());
            let new_value = after.remove(b"K".as_slice());
            // systemd takes `export K` for a name of its own and drops it.
            before.remove(b"export K".as_slice());
            after.remove(b"export K".as_slice());
            prop_assert_eq!(before, after);
            prop_assert_eq!(old_value.is_some(), new_value.is_some());
            if let Some(value) = new_value {
                let text = String::from_utf8(value).unwrap();
                let address = text.split('#').next().unwrap().trim_end();
                let urls = [
                    "redis://b:2",
                    "redis://u:p@b:2/0",
                    "redis://:\"@b:2/3",
                    "redis://:${P}@b:2/$D",
                    "redis://:$P@b:2",
                ];
                let is_url = urls.iter().any(|url| address.starts_with(url));
                prop_assert!(is_url || ["b", "2", "b:2"].contains(&address), "{}", text);
            }
            prop_assert_eq!(edited(&new, &["K"], "b:2").unwrap(), new, "an edit is repeatable");
        }
    }

    #[test]
    fn no_bytes_make_an_edit_panic(
        text in prop::collection::vec(prop::sample::select(b"K=\"'\\\n\r #;a:1/@redis$`[]{}(\0\xff".to_vec()), 0..60),
    ) {
        let _ = edited(&text, &["K"], "b:2");
        let mut assigned = b"K=".to_vec();
        assigned.extend(text);
        let _ = edited(&assigned, &["K"], "[::1]:2");
    }
}
