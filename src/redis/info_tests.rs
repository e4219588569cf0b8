//! Answers of real servers (tests/data/info), and answers that no server gives.

use proptest::prelude::*;

use std::time::Duration;

use super::*;

const REDIS_7_MASTER: &str = include_str!("../../tests/data/info/redis-7.0.15-master.txt");
const REDIS_8_MASTER: &str = include_str!("../../tests/data/info/redis-8.2.3-master.txt");
const VALKEY_MASTER: &str = include_str!("../../tests/data/info/valkey-9.1.2-master.txt");
const REDIS_7_REPLICA: &str = include_str!("../../tests/data/info/redis-7.0.15-replica.txt");
const REDIS_8_REPLICA: &str = include_str!("../../tests/data/info/redis-8.2.3-replica.txt");
const VALKEY_REPLICA: &str = include_str!("../../tests/data/info/valkey-9.1.2-replica.txt");
const REDIS_7_CUT: &str = include_str!("../../tests/data/info/redis-7.0.15-replica-cut.txt");
const REDIS_8_CUT: &str = include_str!("../../tests/data/info/redis-8.2.3-replica-cut.txt");
const VALKEY_CUT: &str = include_str!("../../tests/data/info/valkey-9.1.2-replica-cut.txt");
const REDIS_7_PROMOTED: &str = include_str!("../../tests/data/info/redis-7.0.15-promoted.txt");
const REDIS_8_PROMOTED: &str = include_str!("../../tests/data/info/redis-8.2.3-promoted.txt");
const VALKEY_PROMOTED: &str = include_str!("../../tests/data/info/valkey-9.1.2-promoted.txt");

const ALL: [&str; 12] = [
    REDIS_7_MASTER,
    REDIS_8_MASTER,
    VALKEY_MASTER,
    REDIS_7_REPLICA,
    REDIS_8_REPLICA,
    VALKEY_REPLICA,
    REDIS_7_CUT,
    REDIS_8_CUT,
    VALKEY_CUT,
    REDIS_7_PROMOTED,
    REDIS_8_PROMOTED,
    VALKEY_PROMOTED,
];

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn parse_text(text: &str) -> Result<InstanceInfo, InfoError> {
    parse(text.as_bytes())
}

/// `text` with the line that begins with `name:` replaced.
fn with_line(text: &str, name: &str, replacement: &str) -> String {
    let is_it = |line: &&str| line.starts_with(&format!("{name}:"));
    assert_eq!(text.lines().filter(is_it).count(), 1, "{name}");
    text.lines()
        .map(|line| if is_it(&line) { replacement } else { line })
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\r\n")
}

fn replicas(text: &str) -> Vec<AnnouncedReplica> {
    match parse_text(text).unwrap().role {
        Role::Master { replicas } => replicas,
        Role::Replica { .. } => panic!("{text}"),
    }
}

#[test]
fn a_master_of_each_server_is_read() {
    for (text, version, port, offset, second) in [
        (REDIS_7_MASTER, "redis 7.0.15", 27812, 50, 1_795_256_123),
        (REDIS_8_MASTER, "redis 8.2.3", 27814, 50, 1_795_256_128),
        (VALKEY_MASTER, "valkey 9.1.2", 27816, 64, 1_795_256_134),
    ] {
        let info = parse_text(text).unwrap();
        assert_eq!(info.version, version);
        assert!(info.process_id > 0 && info.has_keys);
        assert_eq!((info.priority, info.connected_replicas), (100, 1));
        assert_eq!(info.loading, Loading::No);
        assert_eq!(info.history.offset, ReplicationOffset(offset));
        assert_eq!(info.history.continues, None);
        let replica = AnnouncedReplica {
            endpoint: endpoint(&format!("redis-b.internal:{port}")),
            online: true,
            offset: ReplicationOffset(offset),
            ack: ReplicaAck {
                second: Some(second),
                age_min: Duration::ZERO,
            },
        };
        assert_eq!(
            info.role,
            Role::Master {
                replicas: vec![replica]
            }
        );
    }
    let run_id = "0a52dd6035aee0b757467738fb5e70e426b67681".parse();
    assert_eq!(
        parse_text(REDIS_8_MASTER).unwrap().run_id,
        run_id.clone().unwrap()
    );
    assert_eq!(
        parse_run_id(REDIS_8_MASTER.as_bytes()).unwrap(),
        run_id.unwrap()
    );
}

#[test]
fn a_replica_of_each_server_is_read() {
    for (text, master, has_link) in [
        (REDIS_7_REPLICA, "127.0.0.1:27811", true),
        (REDIS_8_REPLICA, "127.0.0.1:27813", true),
        (VALKEY_REPLICA, "127.0.0.1:27815", true),
        (REDIS_7_CUT, "127.0.0.1:27811", false),
        (REDIS_8_CUT, "127.0.0.1:27813", false),
        (VALKEY_CUT, "127.0.0.1:27815", false),
    ] {
        let info = parse_text(text).unwrap();
        assert_eq!((info.priority, info.connected_replicas), (42, 0));
        let Role::Replica {
            master: followed,
            link,
        } = info.role
        else {
            panic!("{text}");
        };
        assert_eq!(followed, endpoint(master));
        let is_up = link == MasterLink::Up;
        let is_down = matches!(
            link,
            MasterLink::Down {
                seconds: Some(1..=2)
            }
        );
        assert!(if has_link { is_up } else { is_down }, "{link:?}");
    }
}

#[test]
fn a_promoted_replica_tells_which_history_it_continues() {
    for (master, promoted, end) in [
        (REDIS_7_MASTER, REDIS_7_PROMOTED, 51),
        (REDIS_8_MASTER, REDIS_8_PROMOTED, 51),
        (VALKEY_MASTER, VALKEY_PROMOTED, 65),
    ] {
        let before = parse_text(master).unwrap().history;
        let after = parse_text(promoted).unwrap().history;
        assert_ne!(after.id, before.id);
        assert_eq!(after.continues, Some((before.id, ReplicationOffset(end))));
    }
}

#[test]
fn links_and_loading_have_their_states() {
    let down = |seconds| MasterLink::Down { seconds };
    for (name, line, expected) in [
        (
            "master_sync_in_progress",
            "master_sync_in_progress:1",
            MasterLink::Syncing,
        ),
        (
            "master_link_down_since_seconds",
            "master_link_down_since_seconds:-1",
            down(None),
        ),
        (
            "master_link_down_since_seconds",
            "master_link_down_since_seconds:7",
            down(Some(7)),
        ),
        (
            "master_link_down_since_seconds",
            "master_link_down_since_seconds:1795256128",
            down(None),
        ),
    ] {
        match parse_text(&with_line(REDIS_7_CUT, name, line))
            .unwrap()
            .role
        {
            Role::Replica { link, .. } => assert_eq!(link, expected, "{line}"),
            Role::Master { .. } => panic!("{line}"),
        }
    }
    for (name, line, expected) in [
        ("loading", "loading:1", Loading::Blocking),
        ("async_loading", "async_loading:1", Loading::InBackground),
        ("async_loading", "", Loading::No),
    ] {
        let info = parse_text(&with_line(REDIS_7_REPLICA, name, line)).unwrap();
        assert_eq!(info.loading, expected, "{line}");
    }
}

#[test]
fn replicas_are_read_by_what_they_announce() {
    let lines = "slave0:ip=fd77::2,port=6379,state=online,offset=7,lag=0\r\n\
        slave1:ip=10.0.0.2,port=0,state=online,offset=7,lag=0\r\n\
        slave2:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0,type=main-channel\r\n\
        slave3:ip=10.0.0.3,port=6379,state=send_bulk_and_stream,offset=0,lag=0,type=rdb-channel\r\n\
        slave4:ip=a b,port=6379,state=online,offset=7,lag=0\r\n\
        slave5:ip=10.0.0.4,port=6379,offset=7\r\n\
        slave_of_habit:1";
    let read = replicas(&with_line(REDIS_7_MASTER, "slave0", lines));
    let replica = |text, online, offset| AnnouncedReplica {
        endpoint: endpoint(text),
        online,
        offset: ReplicationOffset(offset),
        ack: ReplicaAck::read(0, Some(1_795_256_123_586_137)),
    };
    let expected = [
        replica("[fd77::2]:6379", true, 7),
        replica("10.0.0.3:6379", false, 0),
    ];
    assert_eq!(read, expected);
}

#[test]
fn only_a_section_without_keys_is_an_empty_instance() {
    let empty = REDIS_7_MASTER.split("db0:").next().unwrap();
    assert!(!parse_text(empty).unwrap().has_keys);
    let expiring = format!("{empty}db0:keys=0,expires=0\r\ndb12:keys=3,expires=0\r\n");
    assert!(parse_text(&expiring).unwrap().has_keys);
    let unknown = REDIS_7_MASTER.split("# Keyspace").next().unwrap();
    assert_eq!(
        parse_text(unknown),
        Err(InfoError::Missing("section Keyspace"))
    );
}

#[test]
fn order_and_line_ends_do_not_matter() {
    for text in ALL {
        let turned = text.lines().rev().collect::<Vec<_>>().join("\n");
        assert_eq!(parse_text(&turned), parse_text(text));
    }
}

#[test]
fn bytes_that_are_no_text_do_no_harm_in_other_fields() {
    let mut bytes = b"executable:/srv/\xff\xfe/redis-server\r\n".to_vec();
    bytes.extend_from_slice(REDIS_7_MASTER.as_bytes());
    assert_eq!(parse(&bytes), parse_text(REDIS_7_MASTER));
}

#[test]
fn what_cannot_be_relied_on_is_refused_with_its_name() {
    for (name, line, message) in [
        ("run_id", "", "run_id is missing"),
        ("run_id", "run_id:12", "run_id cannot be \"12\""),
        ("process_id", "process_id:-1", "process_id cannot be \"-1\""),
        ("role", "role:sentinel", "role cannot be \"sentinel\""),
        (
            "master_host",
            "master_host:a b",
            "master_host cannot be \"a b\"",
        ),
        (
            "master_port",
            "master_port:65536",
            "master_port cannot be \"65536\"",
        ),
        ("loading", "loading:yes", "loading cannot be \"yes\""),
        (
            "master_link_status",
            "master_link_status:",
            "master_link_status cannot be \"\"",
        ),
        (
            "master_repl_offset",
            "master_repl_offset:-1",
            "master_repl_offset cannot be \"-1\"",
        ),
        (
            "slave_priority",
            "slave_priority:x\x07",
            "slave_priority cannot be \"x\"",
        ),
        (
            "redis_version",
            "redis_version:7 0",
            "redis_version cannot be \"7 0\"",
        ),
        (
            "slave_repl_offset",
            "master_replid:0000000000000000000000000000000000000001",
            "master_replid is there twice",
        ),
        ("db0", "db0:expires=0", "section Keyspace is missing"),
    ] {
        let error = parse_text(&with_line(REDIS_7_REPLICA, name, line)).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn an_answer_beyond_its_bounds_is_refused() {
    let long = format!("{REDIS_7_MASTER}{}", "x".repeat(TEXT_MAX));
    assert!(matches!(parse_text(&long), Err(InfoError::TooLong(_))));
    let lines = |count: usize| {
        let line = "slave0:ip=10.0.0.1,port=1,state=online,offset=7,lag=0";
        with_line(REDIS_7_MASTER, "slave0", &vec![line; count].join("\n"))
    };
    assert_eq!(replicas(&lines(REPLICAS_MAX)).len(), REPLICAS_MAX);
    assert_eq!(
        parse_text(&lines(REPLICAS_MAX + 1)),
        Err(InfoError::TooManyReplicas)
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn an_answer_that_lost_lines_is_an_error_or_a_value(
        which in 0..ALL.len(),
        kept in proptest::collection::vec(proptest::bool::weighted(0.97), 120),
    ) {
        let lines = ALL[which].lines().zip(kept).filter(|(_, kept)| *kept).map(|(line, _)| line);
        let text = lines.collect::<Vec<_>>().join("\r\n");
        if let Ok(info) = parse_text(&text) {
            let whole = parse_text(ALL[which]).unwrap();
            prop_assert_eq!((info.run_id, info.history.id), (whole.run_id, whole.history.id));
        }
    }

    #[test]
    fn an_answer_with_any_byte_changed_never_panics(
        which in 0..ALL.len(), position in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = ALL[which].as_bytes().to_vec();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        let _ = parse(&bytes);
    }
}
