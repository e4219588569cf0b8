//! Every kind of mistake is told, with its place and a way out, and all are told together.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::super::*;
use super::Ground;

#[test]
fn each_mistake_names_its_place_and_a_way_out() {
    let table = include_str!("mistakes.txt");
    let rows = table.split("\n\n").skip(1);
    for row in rows.clone() {
        let mut ground = Ground::good();
        let mut expected = Vec::new();
        for line in row.lines() {
            match (line.strip_prefix("> "), line.strip_prefix('-')) {
                (Some(mistake), _) => expected.push(mistake),
                (None, Some(name)) => {
                    ground.unset(name);
                }
                (None, None) => {
                    let (name, value) = line.split_once('=').unwrap();
                    ground.set(name, value);
                }
            }
        }
        assert!(!expected.is_empty(), "{row}");
        assert_eq!(ground.mistakes(), expected, "{row}");
    }
    assert!(rows.count() > 80);
}

#[test]
fn each_mistake_in_a_file_names_its_line() {
    for (config, expected) in [
        (
            "\nnoed = 'a'",
            "DIR/promoterd.toml:2: noed: there is no such key; did you mean node?",
        ),
        (
            "[groups.features]\n\nquorm = 1",
            "DIR/promoterd.toml:3: groups.features.quorm: there is no such key; did you mean groups.features.quorum?",
        ),
        (
            "[groups.features]\npassword = 'p'",
            "DIR/promoterd.toml:2: groups.features.password: a secret is never given here: put it into a file and name that in groups.features.password_file",
        ),
        (
            "config = '/x'",
            "DIR/promoterd.toml:1: config: only the environment can say this: take it out of the file",
        ),
        (
            "\n[groups.other]",
            "DIR/promoterd.toml:2: groups.other: this table is empty: fill it or take it out",
        ),
        (
            "[groups.features]\nquorum = 1\nQuorum = 2",
            "DIR/promoterd.toml:3: groups.features.Quorum: this is given twice, the other time as groups.features.quorum in line 2: keep one",
        ),
        (
            "groups.features.quorum = [1]",
            "DIR/promoterd.toml:1: groups.features.quorum: one value is expected here; for example quorum = \"2\"",
        ),
        (
            "groups.features.exclude = [['h:1']]",
            "DIR/promoterd.toml:1: groups.features.exclude: a list of values is expected here; for example exclude = [\"10.0.0.9:6379\"]",
        ),
        (
            "[groups.features.exclude]\nh = 1",
            "DIR/promoterd.toml:2: groups.features.exclude.h: a list of values is expected here; for example exclude = [\"10.0.0.9:6379\"]",
        ),
        (
            "[[groups]]\nx = 1",
            "DIR/promoterd.toml:1: groups: there is no such key",
        ),
        (
            "\ngroups.features.down_after = 250",
            "DIR/promoterd.toml:2: groups.features.down_after: \"250\" is no span of time: write a number and a unit; for example down_after = \"1s\"",
        ),
        (
            "groups.features.lag_max = 1.5",
            "DIR/promoterd.toml:1: groups.features.lag_max: \"1.5\" is no size in bytes: write a number with no unit or with KiB, MiB, GiB, KB, MB or GB, or none; for example lag_max = \"10MiB\"",
        ),
        (
            "groups.features.exclude = []",
            "DIR/promoterd.toml:1: groups.features.exclude: the value is empty: leave the key out instead; for example exclude = [\"10.0.0.9:6379\"]",
        ),
        (
            "a = 1\n\nb = = 2",
            "DIR/promoterd.toml:3: this is no TOML: ",
        ),
        (
            "\"no\\nde\" = 1",
            "DIR/promoterd.toml:1: no\\nde: there is no such key; did you mean node?",
        ),
    ] {
        let mut ground = Ground::good();
        ground.config(config);
        let mistakes = ground.mistakes();
        assert_eq!(mistakes.len(), 1, "{config}: {mistakes:?}");
        // The words behind that are the TOML parser's.
        let is_start = expected.ends_with(": ") && mistakes[0].starts_with(expected);
        assert!(
            is_start || mistakes[0] == expected,
            "{config}: {mistakes:?}"
        );
    }
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_refused() {
    for (content, expected) in [
        (
            vec![b'#'; (1 << 20) + 1],
            "PROMOTERD_CONFIG: DIR/promoterd.toml is larger than 1048576 bytes: is it the right file?",
        ),
        (
            b"\xff".to_vec(),
            "PROMOTERD_CONFIG: this is no TOML: it is no UTF-8 text",
        ),
    ] {
        let mut ground = Ground::good();
        ground.write_for("CONFIG", "promoterd.toml", &content);
        assert_eq!(ground.mistakes(), [expected]);
    }
    let mut ground = Ground::good();
    ground.write_for("CONFIG", "promoterd.toml", &vec![b'#'; 1 << 20]);
    assert_eq!(ground.mistakes(), [""; 0]);
}

#[test]
fn what_an_unread_source_may_hold_is_not_called_missing() {
    let mut ground = Ground::new(&[("GROUPS__FEATURES__QUORUM", "no")]);
    ground.config("peers = = 1");
    let mistakes = ground.mistakes();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[0].contains("this is no TOML"), "{mistakes:?}");
    assert!(
        mistakes[1].contains("\"no\" is no whole number"),
        "{mistakes:?}"
    );
    ground.config("[peers]\na = '127.0.0.1:7400'");
    let mistakes = ground.mistakes();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(
        mistakes[0].contains("peers.a: a list of values is expected"),
        "{mistakes:?}"
    );
}

#[test]
fn a_variable_that_is_no_text_is_refused() {
    let text = |text: &str| OsString::from(text);
    let broken = || OsString::from_vec(vec![b'/', 0xff]);
    let sources = Sources::new(
        [
            (text("PROMOTERD_ALONE"), text("true")),
            (text("PROMOTERD_STATE_DIR"), broken()),
            (text("PROMOTERD_GROUPS__F__INSTANCES"), text("h:1")),
            (broken(), text("x")),
        ],
        "host-1",
    );
    let mistakes = load(&sources).unwrap_err().to_string();
    assert_eq!(
        mistakes,
        "1 mistake in the settings:\n  PROMOTERD_STATE_DIR: this is no UTF-8 text"
    );
}

#[test]
fn one_key_in_two_cases_is_a_mistake() {
    let mut ground = Ground::good();
    ground.variables.insert("promoterd_node".into(), "b".into());
    assert_eq!(
        ground.mistakes(),
        ["promoterd_node: this is given twice, the other time as PROMOTERD_NODE: keep one"]
    );
}

#[test]
fn a_host_name_that_is_no_name_asks_for_one() {
    let mut ground = Ground::good();
    ground.unset("NODE");
    let mistakes = load(&Sources::new(ground.variables.clone(), "höst"))
        .unwrap_err()
        .to_string();
    assert_eq!(
        mistakes,
        "1 mistake in the settings:\n  PROMOTERD_NODE: the host name is not usable: \"höst\" is no name: use 1 to 64 letters, digits, '.', '-' or '_'; for example PROMOTERD_NODE=a"
    );
}

#[test]
fn a_key_file_without_a_key_is_refused() {
    let mut ground = Ground::good();
    ground.write_for("PEER_KEY_FILE", "peer.key", b"secret");
    assert_eq!(
        ground.mistakes(),
        [
            "PROMOTERD_PEER_KEY_FILE: DIR/peer.key holds no usable secret: a key is 64 hexadecimal digits, not 6 characters: make one with `promoterd keygen`"
        ]
    );
}

#[test]
fn more_sections_than_supported_are_refused() {
    let mut ground = Ground::good();
    for number in 1..=1024 {
        let client = format!("CLIENTS__C{number}__");
        ground.set(&format!("{client}FILE"), &format!("/etc/c{number}"));
        ground.set(&format!("{client}EDIT"), "A");
    }
    assert_eq!(
        ground.mistakes(),
        ["PROMOTERD_CLIENTS__API__FILE: 1025 are too many: at most 1024 are supported"]
    );
    let mut ground = Ground::good();
    ground.set("CLIENTS__API__GROUP", "features");
    for number in 1..=64 {
        ground.set(
            &format!("GROUPS__G{number}__INSTANCES"),
            &format!("h:{number}"),
        );
    }
    assert_eq!(
        ground.mistakes(),
        ["PROMOTERD_GROUPS__FEATURES__NAME: 65 are too many: at most 64 are supported"]
    );
}

#[test]
fn all_mistakes_of_all_sections_are_told_together_in_the_order_of_the_table() {
    let mut ground = Ground::good();
    ground
        .set("NODE", "z")
        .set("STATE_DIR", "x")
        .set("LGO", "info")
        .set("LOG", "loud");
    ground
        .set("GROUPS__FEATURES__QUORUM", "9")
        .set("GROUPS__FEATURES__DOWN_AFTER", "x");
    ground
        .set("GROUPS__FEATURES__FENCING", "stonith")
        .set("GROUPS__OTHER__COOLDOWN", "1s");
    ground
        .set("CLIENTS__API__GROUP", "none")
        .set("CLIENTS__API__VALUE", "x");
    ground.config("log_format = 'x'\nnothing = 1\n[clients.web]\nfile = '/x.xml'");
    let mistakes = ground.mistakes();
    let places: Vec<&str> = mistakes
        .iter()
        .map(|mistake| mistake.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "PROMOTERD_LGO",
            "DIR/promoterd.toml:2",
            "PROMOTERD_NODE",
            "PROMOTERD_STATE_DIR",
            "PROMOTERD_LOG",
            "DIR/promoterd.toml:1",
            "PROMOTERD_GROUPS__FEATURES__QUORUM",
            "PROMOTERD_GROUPS__FEATURES__DOWN_AFTER",
            "PROMOTERD_GROUPS__FEATURES__FENCING",
            "PROMOTERD_GROUPS__OTHER__INSTANCES",
            "PROMOTERD_CLIENTS__API__GROUP",
            "PROMOTERD_CLIENTS__API__VALUE",
            "PROMOTERD_CLIENTS__WEB__GROUP",
            "DIR/promoterd.toml:4",
            "PROMOTERD_CLIENTS__WEB__EDIT",
        ]
    );
    let text = ground.load().unwrap_err().to_string();
    assert!(text.starts_with("15 mistakes in the settings:\n"), "{text}");
}
