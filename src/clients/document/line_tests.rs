//! INI, properties and JSON with comments in many shapes: only the value changes, or nothing does.

use super::path_tests::{edited, text_of};
use super::*;

#[test]
fn only_the_value_changes_in_every_shape_of_document() {
    let shapes: &[(Format, &str, &str, &str)] = &[
        (Format::Ini, "k", "k=a:1", "k=b:2"),
        (Format::Ini, "s.k", "[s]\nk = a:1\n", "[s]\nk = b:2\n"),
        (
            Format::Ini,
            "s.k",
            "[s]\r\nk: a:1 \r\n",
            "[s]\r\nk: b:2 \r\n",
        ),
        (
            Format::Ini,
            "s.k",
            "\u{FEFF}; x\nk=a:1\n[ s ]\n[s] # y\n\tK2=1\n\tk = 'a:1' ; z\n",
            "\u{FEFF}; x\nk=a:1\n[ s ]\n[s] # y\n\tK2=1\n\tk = 'b:2' ; z\n",
        ),
        (
            Format::Ini,
            "Session.\"session.save_path\"",
            "[Session]\nsession.save_handler = redis\nsession.save_path = \"tcp://a:1?auth=x;y#z\"\n",
            "[Session]\nsession.save_handler = redis\nsession.save_path = \"tcp://b:2?auth=x;y#z\"\n",
        ),
        (
            Format::Ini,
            "s.host, s.port, t.url",
            "[t]\nurl: redis://u:%(pw)s@a:1/${db}\n[s]\nport=6379;\nhost=a\t# x\n",
            "",
        ),
        (
            Format::Ini,
            "s.host, s.port, t.url",
            "[t]\nurl: redis://u:%(pw)s@a:1/${db}\n[s]\nport=6379\nflag\nhost=a\t# x\n\n  # y\n",
            "[t]\nurl: redis://u:%(pw)s@b:2/${db}\n[s]\nport=2\nflag\nhost=b\t# x\n\n  # y\n",
        ),
        (
            Format::Ini,
            "s.k",
            "[s]\nother = 1\n  2\nk = a:1\n[s2]\nk=a:1\nk=a:1\n",
            "[s]\nother = 1\n  2\nk = b:2\n[s2]\nk=a:1\nk=a:1\n",
        ),
        (Format::Properties, "k", "k=a:1", "k=b:2"),
        (Format::Properties, "k", "k a:1\n", "k b:2\n"),
        (Format::Properties, "k", "k : a\\:1\r\n", "k : b:2\r\n"),
        (
            Format::Properties,
            "spring.redis.url",
            "# x\nspring.redis.url = redis\\://u\\:p\\=w\\u0040@a\\:1/0?x\\=y  \n! k=1\n",
            "# x\nspring.redis.url = redis\\://u\\:p\\=w\\u0040@b:2/0?x\\=y  \n! k=1\n",
        ),
        (
            Format::Properties,
            "spring.redis.url",
            "# x\nspring.redis.url = redis\\://u\\:p\\=w\\u00e9@a\\:1/0?x\\=y  \n! k=1\n",
            "# x\nspring.redis.url = redis\\://u\\:p\\=w\\u00e9@b:2/0?x\\=y  \n! k=1\n",
        ),
        (
            Format::Properties,
            "\"a b\", c:d",
            "\u{FEFF}\t a\\ b\\u003d\\\n  x\na\\ b\ta:1\nc\\:d=1\n",
            "\u{FEFF}\t a\\ b\\u003d\\\n  x\na\\ b\tb:2\nc\\:d=2\n",
        ),
        (
            Format::Properties,
            "---1.redis.host, redis.port",
            "redis.host=a\n#---\nredis.host=a\nredis.port=1\n#---\n# x\n#---\nredis.host=a\n",
            "redis.host=a\n#---\nredis.host=b\nredis.port=2\n#---\n# x\n#---\nredis.host=a\n",
        ),
        (
            Format::Properties,
            "---1.k, ---2.k",
            "# x\n#---\nk=a:1\n!---\nk=a:1\n #---\n#---\nk=a:1\n",
            "# x\n#---\nk=a:1\n!---\nk=b:2\n #---\n#---\nk=b:2\n",
        ),
        (
            Format::Properties,
            "k",
            "j=x\\\n  k=a:1\\\n#k=a:1\nk=redis://:${P:x:y}@a:1\n",
            "j=x\\\n  k=a:1\\\n#k=a:1\nk=redis://:${P:x:y}@b:2\n",
        ),
        (
            Format::Jsonc,
            "redis.url, redis.list.0",
            "\u{FEFF}// \"redis\": 1\r\n{ /* {\" */ \"redis\": {\"url\": \"redis:\\/\\/a:1//2\", // x\r\n\"list\": [1,],},}\r\n",
            "\u{FEFF}// \"redis\": 1\r\n{ /* {\" */ \"redis\": {\"url\": \"redis:\\/\\/b:2//2\", // x\r\n\"list\": [2,],},}\r\n",
        ),
        (Format::Jsonc, "a", "{\"a\":\"a,password=x,\"}", ""),
        (
            Format::Jsonc,
            "a",
            "{\"a\":\"a:1,password=x,ssl=true\"}",
            "{\"a\":\"b:2,password=x,ssl=true\"}",
        ),
    ];
    for (format, paths, old, new) in shapes {
        match edited(*format, old.as_bytes(), paths, "b:2") {
            Ok(bytes) => assert_eq!(String::from_utf8(bytes).unwrap(), *new, "{old:?}"),
            Err(error) => assert_eq!("", *new, "{old:?}: {}", text_of(&error)),
        }
    }
}

#[test]
fn bytes_beyond_ascii_stay_as_they_are() {
    for format in [Format::Ini, Format::Properties] {
        let old = b"# \xe9\nj=\xff\xa0\nk=redis://:\xe9\xa0@a:1 \xe9=\n";
        assert!(edited(format, old, "k", "b:2").is_err());
        let old = b"# \xe9\nj=\xff\xa0\nk=redis://:\xe9\xa0@a:1/0\n\xa0=1\n";
        let new = b"# \xe9\nj=\xff\xa0\nk=redis://:\xe9\xa0@b:2/0\n\xa0=1\n";
        assert_eq!(edited(format, old, "k", "b:2").unwrap(), new);
    }
}

#[test]
fn an_empty_value_is_filled_where_its_kind_is_stated() {
    for (format, old, new) in [
        (Format::Ini, "k=", "k=b:2"),
        (Format::Ini, "k = \r\n", "k = b:2\r\n"),
        (Format::Ini, "k = ; later\n", "k =b:2 ; later\n"),
        (Format::Ini, "k:\"\"\n", "k:\"b:2\"\n"),
        (Format::Properties, "k", "kb:2"),
        (Format::Properties, "k=", "k=b:2"),
        (Format::Properties, "k : \n", "k : b:2\n"),
    ] {
        let edit = Edit {
            keys: &["k".parse().unwrap()],
            value: Some(ValueKind::Endpoint),
            master: &"b:2".parse().unwrap(),
            readers: &[],
        };
        match super::edit(format, old.as_bytes(), edit) {
            Ok(edited) => assert_eq!(String::from_utf8(edited.into_bytes()).unwrap(), new),
            // A key without a separator would grow longer.
            Err(error) => assert!(old == "k", "{old:?}: {error}"),
        }
    }
}

#[test]
fn a_value_that_readers_take_differently_is_refused() {
    use ValueProblem as Problem;
    for (format, text, line, problem) in [
        (Format::Ini, "k=a:1\\\n", 1, Problem::Continuation),
        (Format::Ini, "j=x\\\nk=a:1\n", 2, Problem::Continued),
        (Format::Ini, "j=1\n k=a:1\n", 2, Problem::Indented),
        (Format::Ini, "j=1\n\n # x\n k=a:1\n", 4, Problem::Indented),
        (Format::Ini, "k=a:1\n\n  b:1\n", 1, Problem::IndentedBehind),
        (Format::Ini, " k=a:1\n  [s]\n", 1, Problem::IndentedBehind),
        (Format::Ini, "k=\"a:1\n\"\n", 1, Problem::SpansLines),
        (Format::Ini, "k='a:1'x\n", 1, Problem::TextBehindQuote),
        (Format::Ini, "k='a:1';x\n", 1, Problem::TextBehindQuote),
        (
            Format::Ini,
            "k=redis://:p;w@a:1\n",
            1,
            Problem::UnquotedSemicolon,
        ),
        (Format::Ini, "k=redis://a:1#f\n", 1, Problem::UnquotedHash),
        (Format::Ini, "k=a 1\n", 1, Problem::UnquotedSpace),
        (Format::Ini, "k=\n", 1, Problem::Empty),
        (Format::Ini, "k=%(host)s:1\n", 1, Problem::Reference),
        (Format::Ini, "k=redis://${host}:1\n", 1, Problem::Reference),
        (
            Format::Ini,
            "k=redis://${host:1\n",
            1,
            Problem::Substitution,
        ),
        (Format::Ini, "k=a:1 ; {{ x }}\n", 1, Problem::Template),
        (Format::Ini, "k=\"a\t\"\n", 1, Problem::Control),
        (
            Format::Properties,
            "j=1\nk=a\\\n :1\n",
            2,
            Problem::Continuation,
        ),
        (Format::Properties, "k=\\u00g0\n", 1, Problem::Unrecognised),
        (Format::Properties, "k=\\ud83d\n", 1, Problem::Unrecognised),
        (Format::Properties, "k=a\\n:1\n", 1, Problem::Control),
        (Format::Properties, "k=\n", 1, Problem::Empty),
        (Format::Properties, "k=${H:a}:1\n", 1, Problem::Reference),
        (Format::Properties, "k=<%= a %>\n", 1, Problem::Template),
        (Format::Properties, "k=\"a:1\"\n", 1, Problem::Unrecognised),
    ] {
        let error = edited(format, text.as_bytes(), "k", "b:2").unwrap_err();
        let key = "k".to_owned();
        assert_eq!(error, EditError::Value { key, line, problem }, "{text:?}");
    }
}

#[test]
fn what_is_missing_or_there_twice_is_named() {
    for (format, path, text, message) in [
        (
            Format::Ini,
            "s.k",
            "k=a:1\n[t]\nk=a:1\n",
            "s.k leads nowhere, for there is no section [s]: add it, or correct EDIT",
        ),
        (
            Format::Ini,
            "s.k",
            "[s]\nK=a:1\n[t]\nk=a:1\n",
            "s.k leads nowhere, for there is no k: add it, or correct EDIT",
        ),
        (
            Format::Ini,
            "k",
            "[t]\nk=a:1\n",
            "k leads nowhere, for there is no k: add it, or correct EDIT",
        ),
        (
            Format::Ini,
            "s.k",
            "[s]\nk=a:1\nK=a:1\n",
            "line 3 gives k a second time, on the way to s.k: remove one of them",
        ),
        (
            Format::Ini,
            "s.k",
            "[s]\nk=a:1\n[t]\n[s]\n",
            "line 4 gives [s] a second time, on the way to s.k: remove one of them",
        ),
        (
            Format::Ini,
            "k",
            "k=a:1\rx",
            "line 1 holds a carriage return that no line feed follows: remove it",
        ),
        (
            Format::Properties,
            "a.k",
            "# a.k=a:1\na.kk=a:1\nx=\\\na.k=a:1\n",
            "no line assigns a.k: add one, or correct EDIT",
        ),
        (
            Format::Properties,
            "a.k",
            "a.k=a:1\na\\u002ek=a:1\n",
            "line 2 gives a.k a second time, on the way to a.k: remove one of them",
        ),
        (
            Format::Properties,
            "a.k",
            "a.k=a:1\n#---\na.k=a:1\n",
            "documents 0 and 1 of the file (line 3) both have a.k: say which one is meant, as ---1.a.k",
        ),
        (
            Format::Properties,
            "---2.a.k",
            "a.k=a:1\n#---\na.k=a:1\n",
            "no line assigns ---2.a.k: add one, or correct EDIT",
        ),
        (
            Format::Properties,
            "k",
            "k=a:1\n\0",
            "line 2 holds a NUL byte: save it as UTF-8 text",
        ),
        (
            Format::Jsonc,
            "k",
            "{// x\n\"k\": 1 /* x",
            "line 2 is no JSON with comments (it breaks off there): correct the file, or FORMAT",
        ),
        (
            Format::Jsonc,
            "k",
            "[,]",
            "line 1 is no JSON with comments (it cannot be read): correct the file, or FORMAT",
        ),
        (
            Format::Jsonc,
            "k",
            "{\"k\": 1, // x\n\"k\": 2}",
            "line 2 gives k a second time, on the way to k: remove one of them",
        ),
    ] {
        let error = edited(format, text.as_bytes(), path, "b:2").unwrap_err();
        assert_eq!(text_of(&error), message, "{text:?}");
    }
}

#[test]
fn the_second_reading_sees_every_unwanted_change() {
    let at_k = || Discrepancy::ValueAt {
        key: "k".to_owned(),
    };
    for (format, old, new, range, seen) in [
        (
            Format::Ini,
            "k=a:1\nj=1",
            "k=b:2\nj=2",
            2..5,
            Discrepancy::Outside,
        ),
        (
            Format::Ini,
            "k=a:1\nj=1",
            "k=b:2\nj=2",
            2..9,
            Discrepancy::Elsewhere,
        ),
        (Format::Ini, "k=a:1\nj=1", "k=b:3\nj=1", 2..5, at_k()),
        (Format::Ini, "k=a:1", "k=b:2 x", 2..5, at_k()),
        (
            Format::Ini,
            "k=a:1\n",
            "j=b:2\n",
            0..5,
            Discrepancy::Elsewhere,
        ),
        (
            Format::Ini,
            "k=a:1\nk=b:2",
            "k=b:2\nk=b:2",
            2..5,
            Discrepancy::Occurrences { seen: 2, found: 1 },
        ),
        (
            Format::Ini,
            "k=a:1\nj=1",
            "k=b:2",
            2..9,
            Discrepancy::Elsewhere,
        ),
        (
            Format::Properties,
            "k=a:1\nj=1",
            "k=b:2\nj=2",
            2..9,
            Discrepancy::Elsewhere,
        ),
        (Format::Properties, "k=a:1", "k=b:2\\", 2..5, at_k()),
        (Format::Properties, "k=a:1 ", "k=b:2", 2..6, at_k()),
        (
            Format::Properties,
            "k=a:1\nj=1",
            "k=b:2\\\nj=1",
            2..5,
            Discrepancy::Elsewhere,
        ),
        (
            Format::Jsonc,
            "{\"k\":\"a:1\"}",
            "{\"k\":\"b:2\",//}",
            6..10,
            Discrepancy::Unreadable {
                format: "JSON with comments",
            },
        ),
    ] {
        let growth = new.len() as isize - old.len() as isize;
        let end = (range.end as isize + growth) as usize;
        let splices = [Splice {
            text: new[range.start..end].to_owned(),
            range,
        }];
        let edit = Edit {
            keys: &["k".parse().unwrap()],
            value: None,
            master: &"b:2".parse().unwrap(),
            readers: &[],
        };
        let checked = format.check(old.as_bytes(), new.as_bytes(), &splices, edit);
        assert_eq!(checked, Err(seen), "{old:?} to {new:?}");
    }
}
