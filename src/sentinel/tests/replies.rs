//! Each command, with its answer in RESP2 and in RESP3.

use std::fmt::Write;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{assert_transcript, before, endpoint, group, outline, view};
use crate::decision::{GroupOutline, OpenEpoch, Phase};
use crate::model::Epoch;
use crate::sentinel::access::Access;
use crate::sentinel::command::{Parsed, parse};
use crate::sentinel::reply::Protocol;
use crate::sentinel::session::{Next, ServerFacts, Session, Surroundings};
use crate::sentinel::view::View;

/// A client and what it talks to.
struct Ground {
    view: View,
    access: Access,
    session: Session,
    now: Instant,
}

impl Ground {
    fn new(view: View, now: Instant) -> Self {
        let access = Access::new(None, None);
        Self {
            session: Session::new(7, &access, now),
            view,
            access,
            now,
        }
    }

    fn with_password() -> Self {
        let now = Instant::now();
        let access = Access::new(
            Some("app".to_owned()),
            Some(&Zeroizing::new("s3cret".into())),
        );
        Self {
            session: Session::new(7, &access, now),
            view: view(vec![group(outline(now), now)], now),
            access,
            now,
        }
    }

    /// One command of a line, its answer with a blank for each end of a line, and what follows.
    fn ask(&mut self, line: &str) -> (String, Next) {
        let line = format!("{line}\n");
        let Ok(Parsed::Command(words, _)) = parse(line.as_bytes()) else {
            panic!("no command: {line}");
        };
        let around = Surroundings {
            view: &self.view,
            access: &self.access,
            server: ServerFacts {
                started_at: before(self.now, 2000),
                port: 26379,
                clients: 2,
                subscribers: 1,
                clients_max: 10_000,
                accepted: 5,
                rejected: 0,
                commands: 9,
                dropped: 0,
            },
            now: self.now,
        };
        let mut bytes = Vec::new();
        let next = self.session.answer(&words, &around, &mut bytes);
        let answer = String::from_utf8(bytes).unwrap();
        (answer.replace("\r\n", " ").trim_end().to_owned(), next)
    }

    fn says(&mut self, line: &str) -> String {
        self.ask(line).0
    }
}

fn well() -> Ground {
    let now = Instant::now();
    Ground::new(view(vec![group(outline(now), now)], now), now)
}

/// The same group, changed.
fn changed(change: impl FnOnce(&mut GroupOutline, Instant)) -> Ground {
    let now = Instant::now();
    let mut outline = outline(now);
    change(&mut outline, now);
    Ground::new(view(vec![group(outline, now)], now), now)
}

/// The value of a field in an answer.
fn field(answer: &str, name: &str) -> Option<String> {
    let mut words = answer.split(' ').skip_while(|word| *word != name);
    words.next()?;
    words.nth(1).map(str::to_owned)
}

#[test]
fn each_command_is_answered_in_both_protocols() {
    let mut transcript = String::new();
    for line in [
        "PING",
        "PING hello",
        "ROLE",
        "SENTINEL MASTERS",
        "SENTINEL PRIMARIES",
        "SENTINEL MASTER features",
        "SENTINEL MASTER none",
        "sentinel replicas features",
        "SENTINEL SLAVES none",
        "SENTINEL SENTINELS features",
        "SENTINEL SENTINELS none",
        "SENTINEL GET-MASTER-ADDR-BY-NAME features",
        "SENTINEL GET-PRIMARY-ADDR-BY-NAME features",
        "SENTINEL GET-MASTER-ADDR-BY-NAME none",
        "SENTINEL CKQUORUM features",
        "SENTINEL CKQUORUM none",
        "SENTINEL MYID",
        "SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.1 6379 0 *",
        "SENTINEL IS-PRIMARY-DOWN-BY-ADDR 10.0.0.1 6379 9 0123456789012345678901234567890123456789",
        "SENTINEL IS-MASTER-DOWN-BY-ADDR 10.0.0.1 x 0 *",
        "SENTINEL INFO-CACHE features",
        "SENTINEL INFO-CACHE none",
        "SENTINEL PENDING-SCRIPTS",
        "SENTINEL CONFIG GET *host*",
        "SENTINEL CONFIG SET announce-ip 10.0.0.1",
        "SENTINEL FLUSHCONFIG",
        "SENTINEL FAILOVER features",
        "SENTINEL RESET *",
        "SENTINEL MONITOR other 10.0.0.1 6379 2",
        "SENTINEL REMOVE features",
        "SENTINEL SET features quorum 1",
        "SENTINEL DEBUG",
        "SENTINEL SIMULATE-FAILURE crash-after-election",
        "SENTINEL MASTER",
        "SENTINEL NONSENSE",
        "SENTINEL",
        "INFO sentinel",
        "INFO replication",
        "CLIENT ID",
        "CLIENT GETNAME",
        "CLIENT SETNAME me",
        "CLIENT SETINFO LIB-NAME redis-py",
        "CLIENT SETINFO lib-ver 8.1.0",
        "CLIENT SETINFO LIB-COLOUR red",
        "CLIENT INFO",
        "CLIENT TRACKING ON OPTIN",
        "CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type internal-ip",
        "CLIENT KILL ID 1",
        "COMMAND COUNT",
        "COMMAND INFO ping get",
        "COMMAND DOCS ping",
        "ACL WHOAMI",
        "ACL LIST",
        "AUTH s3cret",
        "PUBLISH +switch-master nonsense",
        "SHUTDOWN",
        "GET key",
        "SELECT 0",
        "HELLO",
        "HELLO 4",
        "HELLO x",
        "HELLO 2 SETNAME me",
        "HELLO 2 COLOUR red",
    ] {
        let mut ground = well();
        writeln!(transcript, "> {line}\n2 {}", ground.says(line)).unwrap();
        let mut ground = well();
        ground.session.protocol = Protocol::Resp3;
        writeln!(transcript, "3 {}\n", ground.says(line)).unwrap();
    }
    assert_transcript("replies.txt", &transcript);
}

#[test]
fn what_is_amiss_shows_in_the_flags_in_sentinels_order() {
    type Amiss = fn(&mut GroupOutline, Instant);
    let lost: Amiss = |outline, now| {
        outline.instances[0].down_since = Some(before(now, 50));
        outline.instances[0].is_connected = false;
        outline.is_down = true;
        outline.phase = Phase::Promoting;
        outline.open = Some(OpenEpoch {
            epoch: Epoch(5),
            candidate: endpoint("10.0.0.2:6379"),
            is_planned: false,
            leader: "b".parse().unwrap(),
            views: Some((2, 2)),
        });
    };
    let asked: Amiss = |outline, _| outline.phase = Phase::Switching;
    let suspected: Amiss = |outline, now| outline.instances[0].down_since = Some(now);
    let mut lagging = changed(|outline, now| {
        outline.instances[1].down_since = Some(before(now, 70));
        outline.instances[1].is_connected = false;
    });
    for (amiss, flags, state) in [
        (
            lost,
            "s_down,o_down,master,disconnected,failover_in_progress",
            Some("wait_promotion"),
        ),
        (
            asked,
            "master,failover_in_progress,force_failover",
            Some("select_slave"),
        ),
        (suspected, "s_down,master", None),
    ] {
        let answer = changed(amiss).says("SENTINEL MASTER features");
        assert_eq!(field(&answer, "flags").as_deref(), Some(flags));
        assert_eq!(
            field(&answer, "failover-state").as_deref(),
            state,
            "{flags}"
        );
        let is_down = flags.contains("s_down");
        assert_eq!(field(&answer, "s-down-time").is_some(), is_down, "{flags}");
    }
    let answer = changed(lost).says("SENTINEL MASTER features");
    assert_eq!(field(&answer, "s-down-time").as_deref(), Some("50"));
    assert_eq!(field(&answer, "o-down-time").as_deref(), Some("9000"));
    let replicas = changed(lost).says("SENTINEL REPLICAS features");
    assert_eq!(field(&replicas, "flags").as_deref(), Some("slave,promoted"));
    let replicas = lagging.says("SENTINEL REPLICAS features");
    assert_eq!(
        field(&replicas, "flags").as_deref(),
        Some("s_down,slave,disconnected")
    );
    assert_eq!(field(&replicas, "s-down-time").as_deref(), Some("70"));
    // The address stays until another master is committed.
    let address = changed(lost).says("SENTINEL GET-MASTER-ADDR-BY-NAME features");
    assert_eq!(address, "*2 $8 10.0.0.1 $4 6379");
}

#[test]
fn a_node_without_a_leader_says_so_once_an_election_should_be_over() {
    for (leaderless_ms, is_confirmed, has_quorum) in [
        (None, true, true),
        (Some(599), true, true),
        (Some(601), true, false),
        (None, false, false),
    ] {
        let mut ground = well();
        let now = ground.now;
        ground.view.leaderless_since = leaderless_ms.map(|ago| before(now, ago));
        ground.view.is_confirmed = is_confirmed;
        let answer = ground.says("SENTINEL MASTER features");
        let (flags, others) = match has_quorum {
            true => ("master", "2"),
            // Libraries that know `disconnected` take a master with it for lost.
            false => ("master,no_quorum", "0"),
        };
        assert_eq!(
            field(&answer, "flags").as_deref(),
            Some(flags),
            "{leaderless_ms:?}"
        );
        assert_eq!(
            field(&answer, "num-other-sentinels").as_deref(),
            Some(others)
        );
        let quorum = ground.says("SENTINEL CKQUORUM features");
        assert_eq!(quorum.starts_with("+OK 2 usable"), has_quorum, "{quorum}");
        assert_eq!(
            quorum.starts_with("-NOQUORUM 2 usable"),
            !has_quorum,
            "{quorum}"
        );
        // The last master that was committed is told all the same.
        let address = ground.says("SENTINEL GET-MASTER-ADDR-BY-NAME features");
        assert_eq!(address, "*2 $8 10.0.0.1 $4 6379");
        let sentinels = ground.says("SENTINEL SENTINELS features");
        assert!(sentinels.starts_with("*2 "), "{sentinels}");
    }
}

#[test]
fn too_few_views_for_the_quorum_are_told_of() {
    let mut ground = changed(|outline, _| outline.quorum = 3);
    assert_eq!(
        ground.says("SENTINEL CKQUORUM features"),
        "-NOQUORUM 2 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this \
         master."
    );
}

#[test]
fn without_its_password_nothing_is_told() {
    for line in [
        "PING",
        "ROLE",
        "INFO",
        "SENTINEL MASTERS",
        "SUBSCRIBE x",
        "CLIENT ID",
        "COMMAND",
    ] {
        let answer = Ground::with_password().says(line);
        assert_eq!(answer, "-NOAUTH Authentication required.", "{line}");
    }
    for (line, is_let_in) in [
        ("AUTH s3cret", true),
        ("AUTH app s3cret", true),
        ("AUTH default s3cret", false),
        ("AUTH wrong", false),
        ("HELLO 3 AUTH app s3cret", true),
        ("HELLO 3 AUTH app wrong", false),
        ("HELLO 3", false),
    ] {
        let mut ground = Ground::with_password();
        let answer = ground.says(line);
        assert_eq!(answer.starts_with('-'), !is_let_in, "{line}: {answer}");
        assert_eq!(ground.says("PING") == "+PONG", is_let_in, "{line}");
        // A reset takes it back. Only who had it has as much time again.
        let stranger_since = ground.session.stranger_since;
        ground.now += Duration::from_secs(60);
        assert_eq!(ground.says("RESET"), "+RESET");
        let expected = stranger_since.unwrap_or(ground.now);
        assert_eq!(ground.session.stranger_since, Some(expected), "{line}");
        assert!(ground.says("PING").starts_with("-NOAUTH"), "{line}");
    }
}

#[test]
fn a_switchover_is_for_those_who_showed_the_password() {
    let mut ground = Ground::with_password();
    let failover = Next::Failover("features".parse().unwrap());
    assert!(
        ground
            .says("SENTINEL FAILOVER features")
            .starts_with("-NOAUTH")
    );
    ground.says("AUTH s3cret");
    for (line, next, answer) in [
        ("SENTINEL FAILOVER features", failover.clone(), ""),
        ("SENTINEL FAILOVER features COORDINATED", failover, ""),
        (
            "SENTINEL FAILOVER none",
            Next::Go,
            "-ERR No such master with that name",
        ),
        (
            "SENTINEL FAILOVER features NOW",
            Next::Go,
            "-ERR Unknown failover option specified",
        ),
    ] {
        assert_eq!(ground.ask(line), (answer.to_owned(), next), "{line}");
    }
}

#[test]
fn a_subscriber_of_resp2_may_not_ask_for_anything_else() {
    let mut ground = well();
    ground.says("SUBSCRIBE +switch-master");
    assert_eq!(ground.says("PING"), "*2 $4 pong $0");
    assert!(
        ground
            .says("SENTINEL MASTERS")
            .starts_with("-ERR Can't execute 'sentinel|masters'")
    );
    assert!(ground.says("UNSUBSCRIBE").ends_with(":0"));
    assert!(ground.says("SENTINEL MASTERS").starts_with("*1"));
    ground.says("HELLO 3");
    ground.says("SUBSCRIBE +switch-master");
    assert_eq!(ground.says("PING"), "+PONG");
    assert!(ground.says("SENTINEL MASTERS").starts_with("*1 %"));
    assert_eq!(ground.ask("QUIT"), ("+OK".to_owned(), Next::Close));
}

#[test]
fn a_group_that_is_not_registered_is_no_master() {
    let now = Instant::now();
    let mut ground = Ground::new(view(Vec::new(), now), now);
    assert_eq!(ground.says("SENTINEL MASTERS"), "*0");
    assert_eq!(
        ground.says("SENTINEL GET-MASTER-ADDR-BY-NAME features"),
        "*-1"
    );
    assert_eq!(ground.says("ROLE"), "*2 $8 sentinel *0");
}

#[test]
fn how_long_ago_is_told_in_milliseconds_from_the_moment_of_asking() {
    let mut ground = well();
    ground.now += Duration::from_millis(100);
    let answer = ground.says("SENTINEL MASTER features");
    for (name, value) in [("last-ok-ping-reply", "130"), ("info-refresh", "500")] {
        assert_eq!(field(&answer, name).as_deref(), Some(value), "{name}");
    }
}
