//! Probe connections to real `redis-server` processes.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use super::probe_tests::*;
use super::test_servers::*;
use super::*;
use crate::decision::{CommandFailure, ConnectFailure, ProbeReport};
use crate::model::{PingReply, Role};

#[tokio::test]
async fn a_real_server_is_connected_to_pinged_and_asked() {
    let server = RedisServer::start(&[]);
    let mut desk = no_one();
    desk.connect(&server.endpoint).await;
    let before = std::time::Instant::now();
    desk.order(&server.endpoint, ProbeCommand::Ping);
    let report = desk.report().await;
    let ProbeReport::PingReplied { sent_at, reply } = report else {
        panic!("{report:?}");
    };
    assert_eq!(reply, PingReply::Pong);
    assert!(before <= sent_at && sent_at <= std::time::Instant::now());
    let info = desk.info(&server.endpoint).await;
    assert_eq!(info.process_id, server.process_id());
    assert_eq!(
        info.role,
        Role::Master {
            replicas: Vec::new()
        }
    );
    assert!(server.ask("CLIENT LIST").await.contains("name=promoterd"));
}

#[tokio::test]
async fn a_real_server_lets_in_with_the_password_only() {
    let server = RedisServer::start(&["--requirepass", "open sesame"]);
    let mut desk = Desk::new(password(None, "open sesame"));
    desk.connect(&server.endpoint).await;
    desk.order(&server.endpoint, ProbeCommand::Ping);
    assert_eq!(reply_of(desk.report().await), PingReply::Pong);

    let mut desk = Desk::new(password(None, "close sesame"));
    desk.order(&server.endpoint, ProbeCommand::Connect);
    let report = desk.report().await;
    assert!(
        matches!(&report, ProbeReport::ConnectFailed(ConnectFailure::Denied(text))
            if text.starts_with("WRONGPASS")),
        "{report:?}"
    );

    let mut desk = no_one();
    desk.connect(&server.endpoint).await;
    desk.order(&server.endpoint, ProbeCommand::Ping);
    let reply = reply_of(desk.report().await);
    assert_eq!(
        reply,
        PingReply::Denied("NOAUTH Authentication required.".to_owned())
    );
}

#[tokio::test]
async fn a_password_that_a_real_server_does_not_have_is_a_denial() {
    let server = RedisServer::start(&[]);
    let mut desk = Desk::new(password(None, "x"));
    desk.order(&server.endpoint, ProbeCommand::Connect);
    let report = desk.report().await;
    assert!(
        matches!(&report, ProbeReport::ConnectFailed(ConnectFailure::Denied(text))
            if text.contains("without any password configured")),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_killed_server_is_seen_to_close_and_to_exit() {
    let mut server = RedisServer::start(&[]);
    let mut desk = no_one();
    desk.connect(&server.endpoint).await;
    desk.order(
        &server.endpoint,
        ProbeCommand::WatchProcess(server.process_id()),
    );
    desk.info(&server.endpoint).await;
    server.kill();
    let killed = Instant::now();
    let mut reports = vec![desk.report().await, desk.report().await];
    assert!(killed.elapsed() < Duration::from_secs(1));
    reports.sort_by_key(|report| *report == ProbeReport::ProcessExited);
    assert!(matches!(reports[0], ProbeReport::Closed(_)), "{reports:?}");
    assert_eq!(reports[1], ProbeReport::ProcessExited);
    assert!(desk.is_quiet().await);
}

#[tokio::test]
async fn a_stopped_server_neither_closes_nor_exits() {
    let server = RedisServer::start(&[]);
    let mut desk = no_one();
    desk.connect(&server.endpoint).await;
    desk.order(
        &server.endpoint,
        ProbeCommand::WatchProcess(server.process_id()),
    );
    desk.info(&server.endpoint).await;
    server.signal(Signal::STOP);
    desk.order(&server.endpoint, ProbeCommand::Ping);
    assert!(desk.is_quiet().await);
    server.signal(Signal::CONT);
    assert_eq!(reply_of(desk.report().await), PingReply::Pong);
}

#[tokio::test]
async fn a_process_that_is_none_is_never_said_to_have_exited() {
    let server = RedisServer::start(&[]);
    let mut desk = no_one();
    desk.connect(&server.endpoint).await;
    desk.order(&server.endpoint, ProbeCommand::WatchProcess(u32::MAX));
    desk.order(&server.endpoint, ProbeCommand::Ping);
    assert_eq!(reply_of(desk.report().await), PingReply::Pong);
    assert!(desk.is_quiet().await);
}

#[tokio::test]
async fn a_real_replica_is_promoted() {
    let master = RedisServer::start(&[]);
    let port = master.endpoint.port().to_string();
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
    let mut desk = no_one();
    desk.connect(&replica.endpoint).await;
    let before = desk.info(&replica.endpoint).await;
    assert!(
        matches!(&before.role, Role::Replica { master: followed, .. } if *followed == master.endpoint)
    );
    desk.order(&replica.endpoint, promote());
    let promotion = ProbeReport::PromoteReplied {
        epoch: promote_order().epoch(),
        result: Ok(()),
    };
    assert_eq!(desk.report().await, promotion);
    let after = desk.info(&replica.endpoint).await;
    assert!(matches!(after.role, Role::Master { .. }));
    assert_eq!(after.run_id, before.run_id);
}

#[tokio::test]
async fn a_promotion_that_the_server_refuses_says_why() {
    let server = RedisServer::start(&["--rename-command", "REPLICAOF", "elsewhere"]);
    let mut desk = no_one();
    desk.connect(&server.endpoint).await;
    desk.order(&server.endpoint, promote());
    let report = desk.report().await;
    assert!(
        matches!(&report, ProbeReport::PromoteReplied { result: Err(CommandFailure::Refused(text)), .. }
            if text.contains("unknown command 'REPLICAOF'")),
        "{report:?}"
    );
}
