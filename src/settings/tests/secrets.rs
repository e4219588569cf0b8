//! Secrets come from files, and never show.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::*;
use super::{Ground, KEY};

const PASSWORD: &str = "correct-horse-battery";

fn ground_with_secrets() -> Ground {
    let mut ground = Ground::good();
    ground.write_for("PEER_KEY_FILE", "peer.key", format!("{KEY}\n").as_bytes());
    let password = format!("{PASSWORD}\n");
    ground.write_for(
        "GROUPS__FEATURES__PASSWORD_FILE",
        "password",
        password.as_bytes(),
    );
    ground
}

#[test]
fn a_secret_shows_in_nothing_that_can_be_printed() {
    let settings = ground_with_secrets().load().unwrap();
    let group = settings.groups.values().next().unwrap();
    assert_eq!(
        group.credentials.password.as_ref().unwrap().expose(),
        PASSWORD
    );
    let shown = format!(
        "{settings:?} {:?} {}",
        settings.effective(),
        report(&settings)
    );
    assert!(!shown.contains(PASSWORD) && !shown.contains(KEY), "{shown}");
    assert!(shown.contains("***"));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for (variable, value) in [
        ("GROUPS__FEATURES__PASSWORD", PASSWORD),
        ("GROUPS__FEATURES__PASSWORD_FILE", PASSWORD),
        ("PEER_KEY", PASSWORD),
        ("PEER_KEY_FILE", PASSWORD),
        ("PASSWORD", PASSWORD),
        (
            "GROUPS__FEATURES__INSTANCES",
            "redis://:correct-horse-battery@h:6379",
        ),
        (
            "GROUPS__FEATURES__INSTANCES",
            "correct-horse-battery@h:6379",
        ),
        ("PEERS", "redis://:correct-horse-battery@h:6379"),
        ("PEERS", "a=u:correct-horse-battery@h:6379"),
        ("LISTEN", "u:correct-horse-battery@h:6379"),
    ] {
        let mut ground = Ground::good();
        ground.set(variable, value);
        let text = ground.mistakes().join("\n");
        assert!(text.contains(variable), "{variable}: {text}");
        assert!(!text.contains(PASSWORD), "{text}");
        let broken = format!(
            "{} = '{value}'\n= '{PASSWORD}'",
            variable.to_lowercase().replace("__", ".")
        );
        let mut ground = Ground::good();
        ground.config(&broken);
        let text = ground.mistakes().join("\n");
        assert!(text.contains("promoterd.toml:2: this is no TOML"), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
}

#[test]
fn the_sources_do_not_show_the_environment() {
    let sources = Sources::new([("OTHER_PASSWORD", PASSWORD)], "host-1");
    assert!(!format!("{sources:?}").contains(PASSWORD));
}

#[test]
fn one_line_end_behind_a_secret_is_not_part_of_it() {
    for (content, secret) in [
        ("x", "x"),
        ("x\n", "x"),
        ("x\r\n", "x"),
        ("x\n\n", "x\n"),
        (" x ", " x "),
    ] {
        let mut ground = Ground::good();
        ground.write_for(
            "GROUPS__FEATURES__PASSWORD_FILE",
            "password",
            content.as_bytes(),
        );
        let settings = ground.load().unwrap();
        let group = settings.groups.values().next().unwrap();
        assert_eq!(
            group.credentials.password.as_ref().unwrap().expose(),
            secret,
            "{content:?}"
        );
    }
}

#[test]
fn a_secret_that_others_can_read_or_change_gives_a_warning() {
    for (mode, warns) in [
        (0o400, false),
        (0o600, false),
        (0o640, false),
        (0o644, true),
        (0o660, true),
        (0o602, true),
    ] {
        let ground = ground_with_secrets();
        let path = ground.directory.path().join("password");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = ground.load().unwrap().warnings;
        assert_eq!(!warnings.is_empty(), warns, "{mode:o}: {warnings:?}");
        assert!(
            warnings
                .iter()
                .all(|warning| warning.contains("FEATURES__PASSWORD_FILE"))
        );
    }
}

#[test]
fn what_is_no_secret_file_is_refused_and_a_pipe_does_not_hold_us_up() {
    let mut ground = ground_with_secrets();
    let directory = ground.directory.path().to_owned();
    let pipe = directory.join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let large = ground.write("large", &[b'x'; 4097]);
    let empty = ground.write("empty", b"\n");
    let binary = ground.write("binary", b"\xff\xfe");
    for (path, reason) in [
        (pipe, "DIR/pipe is no regular file: name one"),
        (directory.clone(), "DIR is no regular file: name one"),
        (
            large,
            "DIR/large is larger than 4096 bytes: is it the right file?",
        ),
        (empty, "DIR/empty holds no usable secret: it is empty"),
        (
            binary,
            "DIR/binary holds no usable secret: it is no UTF-8 text",
        ),
        (
            directory.join("none"),
            "cannot read DIR/none: name a file that the service user can read (No such file or directory (os error 2))",
        ),
    ] {
        ground.set("GROUPS__FEATURES__PASSWORD_FILE", path.to_str().unwrap());
        let expected = format!("PROMOTERD_GROUPS__FEATURES__PASSWORD_FILE: {reason}");
        assert_eq!(ground.mistakes(), [expected]);
    }
    let full = ground.write("full", &[b'x'; 4096]);
    ground.set("GROUPS__FEATURES__PASSWORD_FILE", full.to_str().unwrap());
    assert_eq!(ground.mistakes(), [""; 0]);
}

#[test]
fn a_password_may_come_as_a_credential_of_the_service_manager() {
    let mut ground = Ground::good();
    ground.write("features.password", b"open sesame\n");
    ground.write("features.masterauth", b"replicate\n");
    let directory = ground.directory.path().display().to_string();
    ground
        .variables
        .insert("CREDENTIALS_DIRECTORY".to_owned(), directory);
    let settings = ground.load().unwrap();
    let group = settings.groups.values().next().unwrap();
    for (credentials, secret) in [
        (&group.credentials, "open sesame"),
        (&group.replica_login, "replicate"),
    ] {
        assert_eq!(credentials.password.as_ref().unwrap().expose(), secret);
    }
    let found = super::effective(&settings, "GROUPS__FEATURES__PASSWORD_FILE");
    assert_eq!(found.origin, Origin::Credential);
}
