//! Settings that are read again: what a running daemon takes on, and what has to wait for a restart.

use super::super::*;
use super::Ground;

const FILE: &str = "# of this host
PROMOTERD_NODE=a
PROMOTERD_PEERS='a=127.0.0.1:7400,b=127.0.0.2:7400,c=127.0.0.3:7400'
PROMOTERD_GROUPS__FEATURES__INSTANCES=127.0.0.1:6379,127.0.0.2:6379
PROMOTERD_GROUPS__FEATURES__DOWN_AFTER=\"2s\"
OTHER=of no concern
";

/// A file of variables that says this.
fn with_file(content: &str) -> Ground {
    let mut ground = Ground::new(&[]);
    ground.write_for("CONFIG", "promoterd.env", content.as_bytes());
    ground
}

#[test]
fn a_file_of_variables_says_what_the_environment_could() {
    let ground = with_file(FILE);
    let settings = ground.load().unwrap();
    assert_eq!(settings.node.as_str(), "a");
    let found = super::effective(&settings, "GROUPS__FEATURES__DOWN_AFTER");
    assert_eq!(found.value, "2s");
    let line = matches!(found.origin, Origin::File { line: Some(5), .. });
    assert!(line, "{:?}", found.origin);

    let mut ground = with_file(FILE);
    ground.set("GROUPS__FEATURES__DOWN_AFTER", "3s");
    let settings = ground.load().unwrap();
    let found = super::effective(&settings, "GROUPS__FEATURES__DOWN_AFTER");
    assert_eq!(
        (found.value.as_str(), &found.origin),
        ("3s", &Origin::Environment)
    );
}

#[test]
fn a_mistake_in_a_file_of_variables_is_named_by_its_line_and_its_variable() {
    for (added, expected) in [
        (
            "PROMOTERD_GROUPS__FEATURES__QUORUM=9",
            "DIR/promoterd.env:7: PROMOTERD_GROUPS__FEATURES__QUORUM: a quorum of 9 does not fit 3 voters: give 1 to 3",
        ),
        (
            "PROMOTERD_GROUPS__FEATURES__QUORUM=many",
            "DIR/promoterd.env:7: PROMOTERD_GROUPS__FEATURES__QUORUM: \"many\" is no whole number; for example PROMOTERD_GROUPS__FEATURES__QUORUM=2",
        ),
        (
            "PROMOTERD_NODE=b",
            "DIR/promoterd.env:7: PROMOTERD_NODE: this is given twice, the other time as PROMOTERD_NODE in line 2: keep one",
        ),
        (
            "PROMOTERD_CONFIG=/x",
            "DIR/promoterd.env:7: PROMOTERD_CONFIG: only the environment can say this: take it out of the file",
        ),
        (
            "PROMOTERD_NOED=a",
            "DIR/promoterd.env:7: PROMOTERD_NOED: there is no such key; did you mean PROMOTERD_NODE?",
        ),
        (
            "what",
            "DIR/promoterd.env:7: this is no file of variables: a line is NAME=VALUE, or a comment that begins with #",
        ),
    ] {
        let ground = with_file(&format!("{FILE}{added}\n"));
        assert_eq!(ground.mistakes(), [expected]);
    }
}

#[test]
fn what_changed_is_taken_on_or_waits_for_a_restart() {
    let ground = with_file(FILE);
    let before = ground.load().unwrap();
    for (from, to, live, from_start) in [
        ("", "", "", ""),
        ("=\"2s\"", "=3s", "GROUPS__FEATURES__DOWN_AFTER", ""),
        (
            ",127.0.0.2:6379",
            ",127.0.0.3:6379",
            "GROUPS__FEATURES__INSTANCES",
            "",
        ),
        ("OTHER=of no concern", "PROMOTERD_LOG=debug", "LOG", ""),
        (
            "OTHER=of no concern",
            "PROMOTERD_STATE_DIR=/elsewhere",
            "",
            "STATE_DIR",
        ),
        (
            "OTHER=of no concern",
            "PROMOTERD_GROUPS__FEATURES__FENCING=off",
            "",
            "GROUPS__FEATURES__FENCING",
        ),
    ] {
        ground.write("promoterd.env", FILE.replace(from, to).as_bytes());
        let after = ground.load().unwrap();
        let Changes {
            live: found,
            from_start: found_from_start,
        } = before.changes(&before, &after);
        // Where one value follows from another, both differ.
        let named = |found: &std::collections::BTreeSet<String>| {
            let first = found
                .iter()
                .find(|it| !it.ends_with("ISOLATION_AFTER") && !it.ends_with("LEASE"));
            first.map_or_else(String::new, |it| it.replace("PROMOTERD_", ""))
        };
        assert_eq!(named(&found), live, "{to}");
        assert_eq!(named(&found_from_start), from_start, "{to}");
        let groups = before.live_groups(&after);
        let group = &groups[&"features".parse().unwrap()];
        assert_eq!(
            group.policy.fencing,
            before.groups.values().next().unwrap().policy.fencing
        );
    }
}

#[test]
fn a_group_that_comes_or_goes_waits_for_a_restart() {
    let ground = with_file(FILE);
    let before = ground.load().unwrap();
    let other = "PROMOTERD_GROUPS__OTHER__INSTANCES=127.0.0.1:7000";
    ground.write("promoterd.env", format!("{FILE}{other}\n").as_bytes());
    let after = ground.load().unwrap();
    for (one, two) in [(&before, &after), (&after, &before)] {
        let changes = one.changes(one, two);
        assert!(changes.live.is_empty(), "{changes:?}");
        let variable = "PROMOTERD_GROUPS__OTHER__INSTANCES";
        assert!(changes.from_start.contains(variable), "{changes:?}");
        assert_eq!(one.live_groups(two).len(), 1);
    }
}

#[test]
fn another_secret_in_the_same_file_is_a_change() {
    let ground = with_file(FILE);
    let path = ground.write("password", b"one\n");
    let content = format!(
        "{FILE}PROMOTERD_GROUPS__FEATURES__PASSWORD_FILE={}\n",
        path.display()
    );
    ground.write("promoterd.env", content.as_bytes());
    let before = ground.load().unwrap();
    assert_eq!(
        before.changes(&before, &ground.load().unwrap()),
        Changes::default()
    );
    ground.write("password", b"two\n");
    let live = before.changes(&before, &ground.load().unwrap()).live;
    assert_eq!(
        Vec::from_iter(live),
        ["PROMOTERD_GROUPS__FEATURES__PASSWORD_FILE (what the file holds)"]
    );
}

#[test]
fn a_quorum_goes_with_the_voters_that_are_in_force() {
    let ground = with_file(FILE);
    let before = ground.load().unwrap();
    let more = FILE.replace(
        "c=127.0.0.3:7400",
        "c=127.0.0.3:7400,d=127.0.0.4:7400,e=127.0.0.5:7400",
    );
    ground.write("promoterd.env", more.as_bytes());
    let after = ground.load().unwrap();
    let changes = before.changes(&before, &after);
    assert!(changes.live.is_empty(), "{changes:?}");
    for variable in ["PROMOTERD_PEERS", "PROMOTERD_GROUPS__FEATURES__QUORUM"] {
        assert!(changes.from_start.contains(variable), "{changes:?}");
    }
    let groups = before.live_groups(&after);
    assert_eq!(groups.values().next().unwrap().policy.quorum, 2);
}

#[test]
fn what_a_group_of_later_says_is_not_said_to_be_taken_on() {
    let ground = with_file(FILE);
    let started = ground.load().unwrap();
    let with_other = |down_after: &str| {
        let group = "PROMOTERD_GROUPS__OTHER__";
        let content =
            format!("{FILE}{group}INSTANCES=127.0.0.1:7000\n{group}DOWN_AFTER={down_after}\n");
        ground.write("promoterd.env", content.as_bytes());
        ground.load().unwrap()
    };
    let (latest, next) = (with_other("2s"), with_other("3s"));
    let changes = started.changes(&latest, &next);
    assert!(changes.live.is_empty(), "{changes:?}");
    let variable = "PROMOTERD_GROUPS__OTHER__DOWN_AFTER";
    assert!(changes.from_start.contains(variable), "{changes:?}");
}
