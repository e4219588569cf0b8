//! Orders to follow, against a scripted server and a real one.

use std::time::Duration;

use tokio::time::Instant;

use super::pool::FRESH;
use super::test_servers::*;
use super::*;
use crate::decision::{CommandFailure, Login};
use crate::model::{Epoch, ReplicationHistory, Role, RunId};

const ELSEWHERE: &str = "127.0.0.1:9";

fn order(endpoint: &Endpoint, run_id: RunId, master: &str, demotes: bool) -> FollowOrder {
    FollowOrder {
        group: group(),
        epoch: Epoch(7),
        endpoint: endpoint.clone(),
        run_id,
        master: master.parse().unwrap(),
        demotes,
        restores: None,
        login: Login::Kept,
    }
}

fn some_run_id() -> RunId {
    RunId::from_bytes([7; 20])
}

async fn follow(
    desk: &mut Desk,
    order: FollowOrder,
) -> Result<Option<ReplicationHistory>, CommandFailure> {
    desk.instances.follow(order.clone());
    outcome(desk, order).await
}

async fn outcome(
    desk: &mut Desk,
    order: FollowOrder,
) -> Result<Option<ReplicationHistory>, CommandFailure> {
    match desk.event().await {
        InstanceEvent::Followed(outcome) => {
            assert_eq!(outcome.order, order);
            outcome.result
        }
        other @ (InstanceEvent::Probe(_)
        | InstanceEvent::Guarded(_)
        | InstanceEvent::Rescued(_)) => panic!("{other:?}"),
    }
}

async fn run_id_of(server: &RedisServer) -> RunId {
    let mut desk = Desk::new(Credentials::default());
    desk.connect(&server.endpoint).await;
    desk.info(&server.endpoint).await.run_id
}

async fn master_of(server: &RedisServer) -> Option<String> {
    let mut desk = Desk::new(Credentials::default());
    desk.connect(&server.endpoint).await;
    match desk.info(&server.endpoint).await.role {
        Role::Replica { master, .. } => Some(master.to_string()),
        Role::Master { .. } => None,
    }
}

fn only_connections(desk: &Desk) -> u32 {
    desk.instances
        .pools
        .values()
        .map(|entry| entry.pool.connections())
        .sum()
}

#[tokio::test]
async fn a_repointed_replica_keeps_its_clients() {
    let server = RedisServer::start(&["--replicaof", "127.0.0.1", "10"]);
    let run_id = run_id_of(&server).await;
    let mut client = server.client().await;
    let mut desk = Desk::new(Credentials::default());
    for _ in 0..2 {
        let order = order(&server.endpoint, run_id, ELSEWHERE, false);
        assert_eq!(follow(&mut desk, order).await, Ok(None));
        assert_eq!(master_of(&server).await.as_deref(), Some(ELSEWHERE));
    }
    assert_eq!(only_connections(&desk), 1);
    client.say(b"PING\r\n").await;
    assert_eq!(client.read_once().await, "+PONG\r\n");
}

#[tokio::test]
async fn a_demoted_master_loses_its_clients() {
    let server = RedisServer::start(&[]);
    let run_id = run_id_of(&server).await;
    let mut client = server.client().await;
    client.say(b"SET a 1\r\n").await;
    assert_eq!(client.read_once().await, "+OK\r\n");
    let mut listener = server.client().await;
    listener.say(b"SUBSCRIBE news\r\n").await;
    assert!(listener.read_once().await.contains("subscribe"));
    let mut desk = Desk::new(Credentials::default());
    let before = {
        let mut other = Desk::new(Credentials::default());
        other.connect(&server.endpoint).await;
        other.info(&server.endpoint).await.history
    };
    let order = order(&server.endpoint, run_id, ELSEWHERE, true);
    assert_eq!(follow(&mut desk, order).await, Ok(Some(before)));
    assert!(client.is_closed().await && listener.is_closed().await);
    assert_eq!(master_of(&server).await.as_deref(), Some(ELSEWHERE));
}

#[tokio::test]
async fn a_master_is_demoted_even_where_its_clients_may_not_be_disconnected() {
    let server = RedisServer::start(&[]);
    let user = "ACL SETUSER watcher on >x ~* +@all -client";
    assert_eq!(server.ask(user).await, "+OK\r\n");
    let run_id = run_id_of(&server).await;
    let mut client = server.client().await;
    let mut desk = Desk::new(password(Some("watcher"), "x"));
    let order = order(&server.endpoint, run_id, ELSEWHERE, true);
    let had = follow(&mut desk, order).await.unwrap();
    assert!(had.is_some());
    assert_eq!(master_of(&server).await.as_deref(), Some(ELSEWHERE));
    client.say(b"PING\r\n").await;
    assert_eq!(client.read_once().await, "+PONG\r\n");
}

#[tokio::test]
async fn a_user_that_may_not_demote_is_told_so() {
    let server = RedisServer::start(&[]);
    server
        .ask("ACL SETUSER watcher on >x ~* +@all -replicaof")
        .await;
    let run_id = run_id_of(&server).await;
    let mut desk = Desk::new(password(Some("watcher"), "x"));
    for demotes in [true, false] {
        let result = follow(
            &mut desk,
            order(&server.endpoint, run_id, ELSEWHERE, demotes),
        )
        .await;
        assert!(
            matches!(&result, Err(CommandFailure::Denied(text)) if text.starts_with("NOPERM")),
            "{result:?}"
        );
    }
    assert_eq!(master_of(&server).await, None);
}

#[tokio::test]
async fn another_process_than_the_one_that_is_meant_is_left_alone() {
    let server = RedisServer::start(&[]);
    let run_id = run_id_of(&server).await;
    let mut desk = Desk::new(Credentials::default());
    for demotes in [true, false] {
        let order = order(&server.endpoint, some_run_id(), ELSEWHERE, demotes);
        let result = follow(&mut desk, order).await;
        assert_eq!(result, Err(CommandFailure::OtherProcess(run_id)));
    }
    assert_eq!(master_of(&server).await, None);
}

#[tokio::test]
async fn what_cannot_be_connected_to_is_told_at_once() {
    let (server, endpoint) = ScriptedServer::start().await;
    drop(server);
    let mut desk = Desk::new(Credentials::default());
    let start = Instant::now();
    let result = follow(&mut desk, order(&endpoint, some_run_id(), ELSEWHERE, false)).await;
    assert_eq!(
        result,
        Err(CommandFailure::Lost("connection refused".to_owned()))
    );
    assert!(start.elapsed() < Duration::from_millis(500));
}

async fn answer_info(connection: &mut ScriptedConnection) {
    connection.expect(&[&["INFO", "server"]]).await;
    let info = format!("run_id:{}\r\n", some_run_id());
    let reply = format!("${}\r\n{info}\r\n", info.len());
    connection.say(reply.as_bytes()).await;
}

async fn obey(connection: &mut ScriptedConnection) {
    answer_info(connection).await;
    connection.expect(&[&["REPLICAOF", "127.0.0.1", "9"]]).await;
    connection.say(b"+OK\r\n").await;
}

#[tokio::test]
async fn a_connection_that_failed_is_not_used_again() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = Desk::new(Credentials::default());
    let order = order(&endpoint, some_run_id(), ELSEWHERE, false);
    desk.instances.follow(order.clone());
    let mut connection = server.accept().await;
    connection.expect(&[&["INFO", "server"]]).await;
    drop(connection);
    let result = outcome(&mut desk, order.clone()).await;
    let lost = CommandFailure::Lost("closed by the server".to_owned());
    assert_eq!(result, Err(lost));
    desk.instances.follow(order.clone());
    let mut connection = server.accept().await;
    obey(&mut connection).await;
    assert_eq!(outcome(&mut desk, order).await, Ok(None));
    assert_eq!(only_connections(&desk), 1);
}

#[tokio::test]
async fn a_connection_that_fell_silent_in_the_pool_is_replaced() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = Desk::new(Credentials::default());
    let order = order(&endpoint, some_run_id(), ELSEWHERE, false);
    desk.instances.follow(order.clone());
    let mut silent = server.accept().await;
    obey(&mut silent).await;
    assert_eq!(outcome(&mut desk, order.clone()).await, Ok(None));
    tokio::time::pause();
    tokio::time::advance(FRESH).await;
    tokio::time::resume();
    desk.instances.follow(order.clone());
    silent.expect(&[&["PING"]]).await;
    let mut fresh = server.accept().await;
    obey(&mut fresh).await;
    assert_eq!(outcome(&mut desk, order).await, Ok(None));
    assert!(silent.is_closed().await);
    assert_eq!(only_connections(&desk), 1);
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_two_seconds() {
    let (server, endpoint) = ScriptedServer::start().await;
    let mut desk = Desk::new(Credentials::default());
    let start = Instant::now();
    let order = order(&endpoint, some_run_id(), ELSEWHERE, true);
    desk.instances.follow(order.clone());
    let mut connection = server.accept().await;
    assert_eq!(
        outcome(&mut desk, order).await,
        Err(CommandFailure::TimedOut)
    );
    let waited = start.elapsed();
    assert!(
        waited > Duration::from_millis(1900) && waited < Duration::from_secs(4),
        "{waited:?}"
    );
    connection.expect(&[&["INFO", "server"]]).await;
    assert!(connection.is_closed().await);
}
