//! What all links together promise to peers, over loopback sockets.

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::admission::tests::calling;
use super::connection::{DownReason, LinkEvent};
use super::frame::FRAME_LENGTH_MAX;
use super::hello::tests::node;
use super::ledger::DropReason;
use super::links::Links;
use super::outbox::NotSent;
use crate::model::{Endpoint, Life};

use super::test_ground::{call, count, down, ground, pace, read_to_end, received, up};

#[tokio::test]
async fn two_nodes_exchange_payloads_until_one_stops() {
    let mut ground = ground(&["a", "b"]).await;
    let (mut a, mut b) = (ground.start("a"), ground.start("b"));
    assert_eq!(a.event().await, up("b", 1));
    assert_eq!(b.event().await, up("a", 1));
    a.send("b", b"one");
    a.send("b", b"");
    b.send("a", b"two");
    assert_eq!(b.event().await, received("a", b"one"));
    assert_eq!(b.event().await, received("a", b""));
    assert_eq!(a.event().await, received("b", b"two"));
    let connected = a.peer("b").connected.unwrap();
    assert_eq!(connected.address, ground.address("b"));
    assert_eq!(connected.life, Life(1));

    b.send("a", b"farewell");
    b.links.stop().await;
    assert_eq!(a.event().await, received("b", b"farewell"));
    assert_eq!(a.event().await, down("b", DownReason::Closed));
    assert_eq!(
        a.links.send(&node("b"), b"late".to_vec()),
        Err(NotSent::NotConnected { peer: node("b") })
    );
    assert_eq!(a.peer("b").connected, None);
}

#[tokio::test]
async fn each_of_three_nodes_reaches_both_others() {
    let names = ["a", "b", "c"];
    let mut ground = ground(&names).await;
    let mut daemons = names.map(|name| (name, ground.start(name)));
    for (name, daemon) in &mut daemons {
        for _ in 0..2 {
            let event = daemon.event().await;
            assert!(matches!(event, LinkEvent::Up { .. }), "{event:?}");
        }
        for other in names.iter().filter(|other| *other != name) {
            daemon.send(other, name.as_bytes());
        }
    }
    for (name, daemon) in &mut daemons {
        let mut events = [daemon.event().await, daemon.event().await];
        events.sort_by_key(|event| format!("{event:?}"));
        let others: Vec<_> = names.iter().filter(|other| *other != name).collect();
        let expected = [0, 1].map(|index| received(others[index], others[index].as_bytes()));
        assert_eq!(events, expected);
    }
}

#[tokio::test]
async fn a_peer_that_restarts_is_called_again() {
    let mut ground = ground(&["a", "b"]).await;
    let (mut a, b) = (ground.start("a"), ground.start("b"));
    assert_eq!(a.event().await, up("b", 1));
    b.links.stop().await;
    assert_eq!(a.event().await, down("b", DownReason::Closed));
    let (sender, _inbox) = mpsc::channel(64);
    let mut settings = ground.settings("b");
    settings.life = Life(2);
    let _b = Links::start(settings, sender).await.unwrap();
    assert_eq!(a.event().await, up("b", 2));
}

#[tokio::test]
async fn a_large_payload_arrives_whole_and_a_larger_one_is_refused() {
    let mut ground = ground(&["a", "b"]).await;
    let (mut a, mut b) = (ground.start("a"), ground.start("b"));
    assert_eq!(a.event().await, up("b", 1));
    assert_eq!(b.event().await, up("a", 1));
    let large: Vec<u8> = (0..3_u32 << 20).map(|index| (index % 251) as u8).collect();
    let length = FRAME_LENGTH_MAX + 1;
    assert_eq!(
        a.links.send(&node("b"), vec![0; length]),
        Err(NotSent::Oversized { length })
    );
    assert_eq!(count(&a.peer("b").drops, DropReason::PayloadOversized), 1);
    a.send("b", &large);
    assert!(b.event().await == received("a", &large));
}

#[tokio::test]
async fn a_peer_that_connects_anew_takes_the_place_of_its_older_connection() {
    let mut ground = ground(&["a", "b"]).await;
    let mut b = ground.start("b");
    let admission = calling("a", "b", &["a", "b"]);
    let mut older = call(ground.address("b"), admission.clone()).await.unwrap();
    assert_eq!(b.event().await, up("a", 7));
    let mut newer = call(ground.address("b"), admission).await.unwrap();
    assert_eq!(b.event().await, down("a", DownReason::Replaced));
    assert_eq!(b.event().await, up("a", 7));
    read_to_end(&mut older.stream).await;
    newer.session.send(b"new").unwrap();
    newer
        .stream
        .write_all(newer.session.outgoing())
        .await
        .unwrap();
    let LinkEvent::Received { life, payload, .. } = b.event().await else {
        panic!("nothing was received");
    };
    assert_eq!((life, &payload[..]), (Life(7), &b"new"[..]));
}

#[tokio::test]
async fn a_second_process_of_one_name_is_refused_while_the_first_one_is_alive() {
    let mut ground = ground(&["a", "b"]).await;
    let mut b = ground.start("b");
    let mut admission = calling("a", "b", &["a", "b"]);
    let mut first = call(ground.address("b"), admission.clone()).await.unwrap();
    assert_eq!(b.event().await, up("a", 7));
    // What it says is heard; that it connected is not enough.
    first.session.send(b"alive").unwrap();
    let said = first.session.outgoing().to_vec();
    first.stream.write_all(&said).await.unwrap();
    assert!(matches!(b.event().await, LinkEvent::Received { .. }));
    admission.hello.life = Life(8);
    let failed = call(ground.address("b"), admission.clone()).await;
    let refusal = super::SessionError::RefusedByPeer(super::Refusal::Twin { node: node("a") });
    let super::handshake::HandshakeError::Session(error) = failed.unwrap_err().error else {
        panic!("it was not refused");
    };
    assert_eq!(error, refusal);
    drop(first);
    assert_eq!(b.event().await, down("a", DownReason::Closed));
    let _second = call(ground.address("b"), admission).await.unwrap();
    assert_eq!(b.event().await, up("a", 8));
}

#[tokio::test]
async fn without_a_key_nodes_on_loopback_connect_by_name_or_address() {
    let mut ground = ground(&["a", "b"]).await;
    let port = ground.address("b").port();
    let mut settings = ground.settings("a");
    settings.key = None;
    settings
        .voters
        .insert(node("b"), Endpoint::new("localhost", port).unwrap());
    let mut a = ground.start_with(settings, pace());
    let mut settings = ground.settings("b");
    settings.key = None;
    let mut b = ground.start_with(settings, pace());
    assert_eq!(a.event().await, up("b", 1));
    assert_eq!(b.event().await, up("a", 1));
}
