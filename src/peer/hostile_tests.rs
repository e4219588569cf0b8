//! What the links do about strangers, garbage, replays and bad settings, over loopback sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::admission::Refusal;
use super::admission::tests::calling;
use super::connection::DownReason;
use super::handshake::HandshakeError;
use super::hello::tests::node;
use super::key::ClusterKey;
use super::ledger::DropReason;
use super::links::{LinkError, Links};
use super::pace::Pace;
use super::session::SessionError;

use super::test_ground::{PATIENCE, call, count, down, ground, pace, read_to_end, received, up};

#[tokio::test]
async fn nodes_with_different_keys_never_connect_and_both_count_it() {
    let mut ground = ground(&["a", "b"]).await;
    for other in [Some(ClusterKey::from([2; 32])), None] {
        let mut settings = ground.settings("a");
        settings.key = other;
        let mut a = ground.start_with(settings, pace());
        let mut b = ground.start("b");
        b.until(|links| count(&links.strangers(), DropReason::Unauthenticated) >= 2)
            .await;
        a.until(|links| {
            let status = &links.status()[&node("b")];
            count(&status.drops, DropReason::HandshakeBroken) >= 2
        })
        .await;
        assert!(a.has_no_event() && b.has_no_event());
        let error = a.peer("b").last_error.unwrap();
        assert!(error.contains("is its key ours"), "{error}");
        ground = super::test_ground::ground(&["a", "b"]).await;
    }
}

#[tokio::test]
async fn garbage_is_dropped_and_counted_by_its_kind() {
    let mut ground = ground(&["a", "b"]).await;
    let mut b = ground.start("b");
    let plausible = [&[0, 200][..], &[7; 200]].concat();
    for (bytes, reason) in [
        (&plausible[..], DropReason::Unauthenticated),
        (b"GET / HTTP/1.1\r\n\r\n", DropReason::Oversized),
        (&[0xff, 0xff], DropReason::Oversized),
        (&[0, 1, 2], DropReason::Malformed),
    ] {
        let before = count(&b.links.strangers(), reason);
        let mut stream = TcpStream::connect(ground.address("b")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await;
        assert_eq!(count(&b.links.strangers(), reason), before + 1, "{reason}");
    }
    drop(TcpStream::connect(ground.address("b")).await.unwrap());
    b.until(|links| count(&links.strangers(), DropReason::HandshakeBroken) == 1)
        .await;
    assert!(b.has_no_event());
}

#[tokio::test]
async fn a_caller_that_keeps_silent_is_dropped_in_time() {
    let mut ground = ground(&["a", "b"]).await;
    let short = Pace {
        handshake_within: Duration::from_millis(20),
        ..pace()
    };
    let settings = ground.settings("b");
    let b = ground.start_with(settings, short);
    let mut stream = TcpStream::connect(ground.address("b")).await.unwrap();
    stream.write_all(&[0]).await.unwrap();
    read_to_end(&mut stream).await;
    let drops = b.links.strangers();
    assert_eq!(count(&drops, DropReason::HandshakeTimedOut), 1);
}

#[tokio::test]
async fn strangers_that_crowd_the_port_do_not_keep_a_peer_out() {
    let mut ground = ground(&["a", "b"]).await;
    let patient = Pace {
        handshake_within: 10 * PATIENCE,
        ..pace()
    };
    let mut b = ground.start_with(ground.settings("b"), patient);
    let mut strangers = Vec::new();
    for _ in 0..17 {
        strangers.push(TcpStream::connect(ground.address("b")).await.unwrap());
    }
    read_to_end(&mut strangers[0]).await;
    assert_eq!(count(&b.links.strangers(), DropReason::Crowded), 1);
    let _a = ground.start("a");
    assert_eq!(b.event().await, up("a", 1));
}

#[tokio::test]
async fn a_crowd_of_one_address_makes_room_from_its_own() {
    let mut ground = ground(&["a", "b"]).await;
    let patient = Pace {
        handshake_within: 10 * PATIENCE,
        ..pace()
    };
    let b = ground.start_with(ground.settings("b"), patient);
    // On Linux all of 127.0.0.0/8 is this machine.
    let elsewhere = TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut first = elsewhere.connect(ground.address("b")).await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(TcpStream::connect(ground.address("b")).await.unwrap());
    }
    for left in &mut crowd[..25] {
        read_to_end(left).await;
    }
    assert_eq!(count(&b.links.strangers(), DropReason::Crowded), 25);
    let said = timeout(Duration::from_millis(100), first.read(&mut [0])).await;
    assert!(
        said.is_err(),
        "whoever came first, from elsewhere, had to leave"
    );
}

/// Carries one connection to `address`, and returns all that the caller said once it ends.
async fn record(listener: TcpListener, address: SocketAddr) -> Vec<u8> {
    let (caller, _) = listener.accept().await.unwrap();
    let called = TcpStream::connect(address).await.unwrap();
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_called, mut to_called) = called.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_called, &mut to_caller).await;
    });
    let mut recorded = Vec::new();
    let mut buffer = [0; 1_024];
    while let Ok(length @ 1..) = from_caller.read(&mut buffer).await {
        recorded.extend_from_slice(&buffer[..length]);
        to_called.write_all(&buffer[..length]).await.unwrap();
    }
    drop(to_called);
    back.await.unwrap();
    recorded
}

#[tokio::test]
async fn a_replay_of_a_whole_connection_yields_no_link_and_no_payload() {
    let mut ground = ground(&["a", "b"]).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = ground.settings("a");
    let proxy_endpoint = proxy.local_addr().unwrap().to_string().parse().unwrap();
    settings.voters.insert(node("b"), proxy_endpoint);
    let recording = tokio::spawn(record(proxy, ground.address("b")));
    let mut b = ground.start("b");
    let mut a = ground.start_with(settings, pace());
    assert_eq!(a.event().await, up("b", 1));
    a.send("b", b"promote");
    assert_eq!(b.event().await, up("a", 1));
    assert_eq!(b.event().await, received("a", b"promote"));
    a.links.stop().await;
    assert_eq!(b.event().await, down("a", DownReason::Closed));

    let recorded = recording.await.unwrap();
    let mut stream = TcpStream::connect(ground.address("b")).await.unwrap();
    let opening = 2 + usize::from(u16::from_be_bytes([recorded[0], recorded[1]]));
    stream.write_all(&recorded[..opening]).await.unwrap();
    // It looks genuine so far, and is answered.
    assert_ne!(stream.read_u16().await.unwrap(), 0);
    stream.write_all(&recorded[opening..]).await.unwrap();
    read_to_end(&mut stream).await;
    assert!(b.has_no_event());
    assert_eq!(count(&b.peer("a").drops, DropReason::Forged), 1);
}

#[tokio::test]
async fn a_stranger_with_the_key_is_refused_and_told_why() {
    let mut ground = ground(&["a", "b"]).await;
    let mut b = ground.start("b");
    let failed = call(ground.address("b"), calling("x", "b", &["a", "b"])).await;
    let refusal = Refusal::UnknownNode { node: node("x") };
    let HandshakeError::Session(error) = failed.unwrap_err().error else {
        panic!("the session did not end by itself");
    };
    assert_eq!(error, SessionError::RefusedByPeer(refusal));
    assert_eq!(count(&b.links.strangers(), DropReason::Refused), 1);
    assert!(b.has_no_event());
}

#[tokio::test]
async fn nodes_with_different_voters_refuse_each_other_and_both_say_why() {
    let mut ground = ground(&["a", "b", "c"]).await;
    let mut settings = ground.settings("a");
    settings.voters.remove(&node("c"));
    let mut a = ground.start_with(settings, pace());
    let mut b = ground.start("b");
    a.until(|links| {
        let drops = &links.status()[&node("b")].drops;
        count(drops, DropReason::RefusedByPeer) >= 1
    })
    .await;
    for (status, beginning) in [
        (a.peer("b"), "no link to 127.0.0.1:"),
        (b.peer("a"), "the handshake failed: we refuse the peer"),
    ] {
        let error = status.last_error.unwrap();
        assert!(error.starts_with(beginning), "{error}");
        assert!(error.contains("the voter sets differ"), "{error}");
    }
    assert!(count(&b.peer("a").drops, DropReason::Refused) >= 1);
    assert!(a.has_no_event() && b.has_no_event());
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_dropped_while_others_go_on() {
    let mut ground = ground(&["a", "b", "c"]).await;
    let (mut b, mut c) = (ground.start("b"), ground.start("c"));
    assert_eq!(c.event().await, up("b", 1));
    assert_eq!(b.event().await, up("c", 1));
    let a = call(ground.address("b"), calling("a", "b", &["a", "b", "c"])).await;
    assert_eq!(b.event().await, up("a", 7));
    let payload = vec![0; 1 << 20];
    while b.links.send(&node("a"), payload.clone()).is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(b.event().await, down("a", DownReason::Slow));
    assert_eq!(count(&b.peer("a").drops, DropReason::Slow), 1);
    b.send("c", b"alive");
    assert_eq!(c.event().await, received("b", b"alive"));
    drop(a.unwrap());
}

#[tokio::test]
async fn without_a_key_nothing_beyond_loopback_is_accepted() {
    let ground = ground(&["a", "b"]).await;
    let mut listens = ground.settings("a");
    listens.listen = "10.255.255.1:7400".parse().unwrap();
    let mut calls = ground.settings("a");
    calls
        .voters
        .insert(node("b"), "10.0.0.1:7400".parse().unwrap());
    for mut settings in [listens, calls] {
        settings.key = None;
        settings.voters.insert(node("a"), settings.listen.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (inbox, _events) = mpsc::channel(1);
        let error = if settings.listen.is_loopback() {
            Links::start_at(settings, Some(listener), pace(), inbox).unwrap_err()
        } else {
            Links::start(settings, inbox).await.unwrap_err()
        };
        assert!(matches!(error, LinkError::KeyNeeded { .. }), "{error}");
    }
}

#[tokio::test]
async fn settings_without_ourselves_among_the_voters_are_refused() {
    let mut ground = ground(&["a", "b"]).await;
    let mut settings = ground.settings("a");
    settings.voters.remove(&node("a"));
    let listener = ground.listeners.remove(&node("a")).unwrap();
    let (inbox, _events) = mpsc::channel(1);
    let error = Links::start_at(settings, Some(listener), pace(), inbox).unwrap_err();
    assert!(matches!(error, LinkError::NotAVoter { .. }), "{error}");
}
