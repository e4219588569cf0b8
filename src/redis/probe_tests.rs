//! Probe connections to a scripted server.

use std::time::Duration;

use tokio::time::Instant;

use super::test_servers::*;
use super::*;
use crate::decision::{CommandFailure, ConnectFailure, ProbeReport};
use crate::model::PingReply;

pub(super) fn no_one() -> Desk {
    Desk::new(Credentials::default())
}

pub(super) fn reply_of(report: ProbeReport) -> PingReply {
    let ProbeReport::PingReplied { reply, .. } = report else {
        panic!("{report:?}");
    };
    reply
}

pub(super) fn closed(reason: &str) -> ProbeReport {
    ProbeReport::Closed(reason.to_owned())
}

pub(super) fn failed(failure: ConnectFailure) -> ProbeReport {
    ProbeReport::ConnectFailed(failure)
}

pub(super) fn promote() -> ProbeCommand {
    ProbeCommand::Promote(promote_order())
}

#[tokio::test]
async fn a_refused_connection_is_told_at_once() {
    let (server, endpoint) = ScriptedServer::start().await;
    drop(server);
    let mut desk = no_one();
    let start = Instant::now();
    desk.order(&endpoint, ProbeCommand::Connect);
    assert_eq!(desk.report().await, failed(ConnectFailure::Refused));
    assert!(start.elapsed() < Duration::from_millis(200));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    let endpoint = "nowhere.invalid:6379".parse().unwrap();
    let mut desk = no_one();
    desk.order(&endpoint, ProbeCommand::Connect);
    let report = desk.report().await;
    assert!(
        matches!(&report, ProbeReport::ConnectFailed(ConnectFailure::Unreachable(text))
            if text.starts_with("cannot resolve nowhere.invalid")),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_closing_is_told_at_once_with_its_reason() {
    for (last_words, reason) in [
        ("", "closed by the server"),
        (
            "-DENIED Redis is running in protected mode\r\n",
            "closed by the server, having said: DENIED Redis is running in protected mode",
        ),
    ] {
        let (server, endpoint) = ScriptedServer::start().await;
        let mut desk = no_one();
        desk.connect(&endpoint).await;
        let mut connection = server.accept().await;
        connection
            .expect(&[&["CLIENT", "SETNAME", "promoterd"]])
            .await;
        connection.say(last_words.as_bytes()).await;
        drop(connection);
        assert_eq!(desk.report().await, closed(reason));
        desk.order(&endpoint, ProbeCommand::Ping);
        assert!(desk.is_quiet().await);
    }
}

#[tokio::test]
async fn what_was_answered_before_the_end_still_counts() {
    for (answer, reason) in [
        ("+PONG\r\n", "closed by the server"),
        // Reply and end come in one read here.
        ("+PONG\r\nx\r\n", "+PONG  x\""),
    ] {
        let (server, endpoint) = ScriptedServer::start().await;
        let mut desk = no_one();
        desk.connect(&endpoint).await;
        let mut connection = server.accept_named().await;
        desk.order(&endpoint, ProbeCommand::Ping);
        desk.order(&endpoint, ProbeCommand::Ping);
        connection.expect(&[&["PING"], &["PING"]]).await;
        connection.say(answer.as_bytes()).await;
        drop(connection);
        assert_eq!(reply_of(desk.report().await), PingReply::Pong);
        let report = desk.report().await;
        assert!(
            matches!(&report, ProbeReport::Closed(text) if text.ends_with(reason)),
            "{report:?}"
        );
        assert!(desk.is_quiet().await);
    }
}

#[tokio::test]
async fn every_state_of_a_server_has_its_reply_to_a_ping() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = no_one();
    desk.connect(&endpoint).await;
    let mut connection = server.accept_named().await;
    for (text, reply) in [
        ("+PONG", PingReply::Pong),
        (
            "-LOADING Redis is loading the dataset in memory",
            PingReply::Loading,
        ),
        (
            "-MASTERDOWN Link with MASTER is down",
            PingReply::MasterDown,
        ),
        ("-BUSY Redis is busy running a script", PingReply::Busy),
        (
            "-NOAUTH Authentication required.",
            PingReply::Denied("NOAUTH Authentication required.".into()),
        ),
        ("-MISCONF disk", PingReply::Error("MISCONF disk".into())),
    ] {
        desk.order(&endpoint, ProbeCommand::Ping);
        connection.expect(&[&["PING"]]).await;
        connection.say(format!("{text}\r\n").as_bytes()).await;
        assert_eq!(reply_of(desk.report().await), reply);
    }
}

#[tokio::test]
async fn an_unanswered_ping_holds_back_neither_info_nor_promotion() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = no_one();
    desk.connect(&endpoint).await;
    let mut connection = server.accept_named().await;
    desk.order(&endpoint, ProbeCommand::Ping);
    connection.expect(&[&["PING"]]).await;
    desk.order(&endpoint, ProbeCommand::AskInfo);
    connection
        .expect(&[&["INFO", "server", "replication", "persistence", "keyspace"]])
        .await;
    desk.order(&endpoint, promote());
    let written = connection.read_once().await;
    assert_eq!(
        written,
        "*3\r\n$9\r\nREPLICAOF\r\n$2\r\nNO\r\n$3\r\nONE\r\n*1\r\n$4\r\nROLE\r\n"
    );
    for piece in [
        "+PO",
        "NG\r\n-LOADING x\r",
        "\n+OK\r\n*3\r\n$6\r\nmas",
        "ter\r\n:1\r\n*0\r\n",
    ] {
        connection.say(piece.as_bytes()).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(reply_of(desk.report().await), PingReply::Pong);
    let info = desk.report().await;
    assert!(
        matches!(
            &info,
            ProbeReport::InfoReplied {
                result: Err(CommandFailure::Loading),
                ..
            }
        ),
        "{info:?}"
    );
    let promotion = ProbeReport::PromoteReplied {
        epoch: promote_order().epoch(),
        result: Ok(()),
    };
    assert_eq!(desk.report().await, promotion);
}

#[tokio::test]
async fn a_server_that_takes_one_section_only_is_asked_for_all() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = no_one();
    desk.connect(&endpoint).await;
    let mut connection = server.accept_named().await;
    desk.order(&endpoint, ProbeCommand::AskInfo);
    connection
        .expect(&[&["INFO", "server", "replication", "persistence", "keyspace"]])
        .await;
    connection.say(b"-ERR syntax error\r\n").await;
    connection.expect(&[&["INFO"]]).await;
    connection.say(b"$4\r\n# No\r\n").await;
    let report = desk.report().await;
    let ProbeReport::InfoReplied { result, .. } = report else {
        panic!("{report:?}");
    };
    assert_eq!(
        result,
        Err(CommandFailure::Malformed(
            "INFO: role is missing".to_owned()
        ))
    );
}

#[tokio::test]
async fn a_hang_within_a_reply_is_silence_until_the_rest_comes() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = no_one();
    desk.connect(&endpoint).await;
    let mut connection = server.accept_named().await;
    desk.order(&endpoint, ProbeCommand::Ping);
    connection.expect(&[&["PING"]]).await;
    connection.say(b"+PON").await;
    assert!(desk.is_quiet().await);
    connection.say(b"G\r\n").await;
    assert_eq!(reply_of(desk.report().await), PingReply::Pong);
}

#[tokio::test]
async fn a_disconnected_link_closes_and_says_nothing_more() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = no_one();
    desk.connect(&endpoint).await;
    let mut connection = server.accept_named().await;
    desk.order(&endpoint, ProbeCommand::Ping);
    connection.expect(&[&["PING"]]).await;
    connection.say(b"+PONG\r\n").await;
    desk.order(&endpoint, ProbeCommand::Disconnect);
    assert!(connection.is_closed().await);
    assert!(desk.is_quiet().await);
    assert!(desk.instances.links.is_empty());
}

#[tokio::test]
async fn a_link_can_be_disconnected_while_it_connects() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = Desk::new(password(None, "x"));
    desk.order(&endpoint, ProbeCommand::Connect);
    let mut connection = server.accept().await;
    connection.expect(&[&["AUTH", "x"]]).await;
    desk.order(&endpoint, ProbeCommand::Disconnect);
    assert!(connection.is_closed().await);
    assert!(desk.is_quiet().await);
}

#[tokio::test]
async fn endless_data_closes_the_link() {
    let header = b"$2000000000\r\n".as_slice();
    for beginning in [header, b"+".as_slice(), b"*2000000000\r\n".as_slice()] {
        let (server, endpoint) = ScriptedServer::start().await;
        let mut desk = no_one();
        desk.connect(&endpoint).await;
        let mut connection = server.accept_named().await;
        desk.order(&endpoint, ProbeCommand::Ping);
        connection.expect(&[&["PING"]]).await;
        let sender = tokio::spawn(async move {
            connection.say(beginning).await;
            loop {
                // Ends with an error once the other side has closed.
                connection.say(":1\r\n".repeat(4096).as_bytes()).await;
            }
        });
        let report = desk.report().await;
        if beginning == b"+" {
            // The first line is a complete, if odd, reply; the rest was not asked for.
            assert_eq!(
                reply_of(report),
                PingReply::Error("unexpected reply: simple-string(\":1\")".into())
            );
            assert_eq!(desk.report().await, closed("it sends without end"));
        } else {
            assert_eq!(report, closed("it sends without end"));
        }
        assert!(sender.await.is_err());
    }
}

#[tokio::test]
async fn what_is_no_redis_closes_the_link() {
    let nested = "*1\r\n".repeat(5000);
    for (garbage, reason) in [
        (
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "no reply of Redis: \"HTTP/1.1 400 Bad Request\"",
        ),
        ("$x\r\n", "no reply of Redis: \"$x\""),
        ("+\u{1}\r\n:12x\r\n", ""),
        (&nested, ""),
    ] {
        let (server, endpoint) = ScriptedServer::start().await;
        let mut desk = no_one();
        desk.connect(&endpoint).await;
        let mut connection = server.accept_named().await;
        desk.order(&endpoint, ProbeCommand::Ping);
        connection.expect(&[&["PING"]]).await;
        connection.say(b"+PONG\r\n").await;
        assert_eq!(reply_of(desk.report().await), PingReply::Pong);
        desk.order(&endpoint, ProbeCommand::Ping);
        desk.order(&endpoint, ProbeCommand::AskInfo);
        connection.say(garbage.as_bytes()).await;
        let mut report = desk.report().await;
        if matches!(report, ProbeReport::PingReplied { .. }) {
            report = desk.report().await;
        }
        let ProbeReport::Closed(text) = &report else {
            panic!("{report:?}");
        };
        assert!(text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_leaves_a_thousand_commands_unanswered_is_let_go() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = no_one();
    desk.connect(&endpoint).await;
    let _connection = server.accept_named().await;
    for _ in 0..1001 {
        desk.order(&endpoint, ProbeCommand::Ping);
    }
    assert_eq!(
        desk.report().await,
        closed("1000 commands are without a reply")
    );
}

#[tokio::test]
async fn the_handshake_tells_denial_hang_closing_and_nonsense_apart() {
    let denied = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
    let needless = "-ERR AUTH <password> called without any password configured\r\n";
    for (answer, failure) in [
        (
            denied,
            ConnectFailure::Denied(
                "WRONGPASS invalid username-password pair or user is disabled.".into(),
            ),
        ),
        (
            needless,
            ConnectFailure::Denied(
                "ERR AUTH <password> called without any password configured".into(),
            ),
        ),
        (
            "",
            ConnectFailure::Unreachable("in the handshake: closed by the server".into()),
        ),
        (
            "SSH-2.0\r\n",
            ConnectFailure::Protocol("no reply of Redis: \"SSH-2.0\"".into()),
        ),
        ("+OK", ConnectFailure::TimedOut),
    ] {
        let (server, endpoint) = ScriptedServer::start().await;
        let mut desk = Desk::new(password(Some("watcher"), "open sesame"));
        desk.order(&endpoint, ProbeCommand::Connect);
        let mut connection = server.accept().await;
        connection
            .expect(&[&["AUTH", "watcher", "open sesame"]])
            .await;
        connection.say(answer.as_bytes()).await;
        let held = (answer == "+OK").then_some(connection);
        assert_eq!(desk.report().await, failed(failure));
        drop(held);
    }
}

#[tokio::test]
async fn a_server_that_sends_without_end_is_left_alone_for_a_second() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = no_one();
    desk.connect(&endpoint).await;
    let mut connection = server.accept_named().await;
    // It is closed before it has said all.
    let endless = [b"$1000000\r\n".to_vec(), b"x".repeat(600 << 10)].concat();
    connection.pour(&endless).await;
    assert_eq!(desk.report().await, closed("it sends without end"));
    let start = Instant::now();
    desk.connect(&endpoint).await;
    assert!(start.elapsed() > Duration::from_millis(900));
}
