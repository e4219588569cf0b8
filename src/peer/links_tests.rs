//! What all links together promise, over loopback sockets, to peers and to everybody else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::connection::{DownReason, LinkEvent};
use super::frame::FRAME_LENGTH_MAX;
use super::handshake::{Established, Failed, HandshakeError, shake_hands};
use super::hello::tests::{calling, node};
use super::hello::{Admission, Refusal};
use super::key::ClusterKey;
use super::ledger::{DropReason, LinkStatus};
use super::links::{LinkError, LinkSettings, Links};
use super::outbox::NotSent;
use super::pace::Pace;
use super::session::{Session, SessionError};
use crate::model::{Endpoint, Incarnation, NodeId};

/// Longer than anything here takes; a test that waits for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A machine under load must not make a peer silent.
fn pace() -> Pace {
    Pace {
        connect_within: PATIENCE,
        handshake_within: PATIENCE,
        silent_after: PATIENCE,
        drain_within: PATIENCE,
        retry_delay_max: Duration::from_millis(50),
        ..Pace::default()
    }
}

fn key() -> Option<ClusterKey> {
    Some(ClusterKey::from([1; 32]))
}

/// A port for each name, taken and not yet used.
struct Ground {
    listeners: BTreeMap<NodeId, TcpListener>,
    voters: BTreeMap<NodeId, Endpoint>,
}

struct Daemon {
    links: Links,
    inbox: mpsc::Receiver<LinkEvent>,
}

async fn ground(names: &[&str]) -> Ground {
    let mut ground = Ground {
        listeners: BTreeMap::new(),
        voters: BTreeMap::new(),
    };
    for name in names {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string().parse().unwrap();
        ground.listeners.insert(node(name), listener);
        ground.voters.insert(node(name), endpoint);
    }
    ground
}

impl Ground {
    fn settings(&self, name: &str) -> LinkSettings {
        LinkSettings {
            node: node(name),
            incarnation: Incarnation(1),
            voters: self.voters.clone(),
            listen: self.voters[&node(name)].clone(),
            key: key(),
        }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.voters[&node(name)].to_string().parse().unwrap()
    }

    fn start(&mut self, name: &str) -> Daemon {
        let settings = self.settings(name);
        self.start_with(settings, pace())
    }

    fn start_with(&mut self, settings: LinkSettings, pace: Pace) -> Daemon {
        let listener = self.listeners.remove(&settings.node).unwrap();
        let (sender, inbox) = mpsc::channel(64);
        let links = Links::start_at(settings, listener, pace, sender).unwrap();
        Daemon { links, inbox }
    }
}

impl Daemon {
    async fn event(&mut self) -> LinkEvent {
        let event = timeout(PATIENCE, self.inbox.recv()).await;
        event.expect("an event in time").unwrap()
    }

    fn has_no_event(&mut self) -> bool {
        self.inbox.try_recv().is_err()
    }

    fn send(&self, to: &str, payload: &[u8]) {
        self.links.send(&node(to), payload.to_vec()).unwrap();
    }

    fn peer(&self, name: &str) -> LinkStatus {
        self.links.status()[&node(name)].clone()
    }

    /// Counters tell no event, so this asks again and again.
    async fn until(&self, is_so: impl Fn(&Links) -> bool) {
        let ask = async {
            while !is_so(&self.links) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let outcome = timeout(PATIENCE, ask).await;
        assert!(
            outcome.is_ok(),
            "{:?} {:?}",
            self.links.status(),
            self.links.strangers()
        );
    }
}

fn up(peer: &str, incarnation: u64) -> LinkEvent {
    LinkEvent::Up {
        peer: node(peer),
        incarnation: Incarnation(incarnation),
    }
}

fn down(peer: &str, reason: DownReason) -> LinkEvent {
    LinkEvent::Down {
        peer: node(peer),
        reason,
    }
}

fn received(peer: &str, payload: &[u8]) -> LinkEvent {
    LinkEvent::Received {
        peer: node(peer),
        incarnation: Incarnation(1),
        payload: payload.to_vec(),
    }
}

fn count(drops: &BTreeMap<DropReason, u64>, reason: DropReason) -> u64 {
    drops.get(&reason).copied().unwrap_or(0)
}

/// Plays a node by hand, up to the end of its handshake.
async fn call(
    address: SocketAddr,
    admission: Admission,
) -> Result<Box<Established<TcpStream>>, Failed> {
    let stream = TcpStream::connect(address).await.unwrap();
    let session = Session::initiator(&key().unwrap(), admission).unwrap();
    shake_hands(stream, address, session, PATIENCE).await
}

async fn read_to_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset ends the stream just as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("the stream ends in time");
}

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
    assert_eq!(connected.incarnation, Incarnation(1));

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
    settings.incarnation = Incarnation(2);
    let _b = Links::start(settings, sender).await.unwrap();
    assert_eq!(a.event().await, up("b", 2));
}

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
        ground = self::ground(&["a", "b"]).await;
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
    let mut b = ground.start("b");
    let mut strangers = Vec::new();
    for _ in 0..17 {
        strangers.push(TcpStream::connect(ground.address("b")).await.unwrap());
    }
    read_to_end(&mut strangers[0]).await;
    assert_eq!(count(&b.links.strangers(), DropReason::Crowded), 1);
    let _a = ground.start("a");
    assert_eq!(b.event().await, up("a", 1));
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
    stream.write_all(&recorded).await.unwrap();
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
    match failed.unwrap_err().error {
        HandshakeError::Session(error) => {
            assert_eq!(error, SessionError::RefusedByPeer(refusal));
        }
        error => panic!("{error:?}"),
    }
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
    let mut admission = calling("a", "b", &["a", "b"]);
    let mut older = call(ground.address("b"), admission.clone()).await.unwrap();
    assert_eq!(b.event().await, up("a", 7));
    admission.hello.incarnation = Incarnation(8);
    let mut newer = call(ground.address("b"), admission).await.unwrap();
    assert_eq!(b.event().await, down("a", DownReason::Replaced));
    assert_eq!(b.event().await, up("a", 8));
    read_to_end(&mut older.stream).await;
    newer.session.send(b"new").unwrap();
    newer
        .stream
        .write_all(newer.session.outgoing())
        .await
        .unwrap();
    let LinkEvent::Received {
        incarnation,
        payload,
        ..
    } = b.event().await
    else {
        panic!("nothing was received");
    };
    assert_eq!((incarnation, &payload[..]), (Incarnation(8), &b"new"[..]));
}

#[tokio::test]
async fn without_a_key_nothing_beyond_loopback_is_accepted() {
    let ground = ground(&["a", "b"]).await;
    let mut listens = ground.settings("a");
    listens.listen = "0.0.0.0:7400".parse().unwrap();
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
            Links::start_at(settings, listener, pace(), inbox).unwrap_err()
        } else {
            Links::start(settings, inbox).await.unwrap_err()
        };
        assert!(matches!(error, LinkError::KeyNeeded { .. }), "{error}");
    }
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

#[tokio::test]
async fn settings_without_ourselves_among_the_voters_are_refused() {
    let mut ground = ground(&["a", "b"]).await;
    let mut settings = ground.settings("a");
    settings.voters.remove(&node("a"));
    let listener = ground.listeners.remove(&node("a")).unwrap();
    let (inbox, _events) = mpsc::channel(1);
    let error = Links::start_at(settings, listener, pace(), inbox).unwrap_err();
    assert!(matches!(error, LinkError::NotAVoter { .. }), "{error}");
}
