//! What one connection promises, in virtual time and without sockets.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::admission::tests::{called_by, calling};
use super::connection::{DownReason, Ended, Link, LinkEvent, run};
use super::handshake::{Established, shake_hands};
use super::hello::tests::node;
use super::key::ClusterKey;
use super::ledger::{DropReason, Ledger};
use super::outbox::Outbox;
use super::pace::Pace;
use super::session::{Session, SessionError, SessionEvent};
use crate::model::Life;

const VOTERS: &[&str] = &["a", "b"];
const PIPE_LENGTH: usize = 4_096;
const SHORTLY: Duration = Duration::from_secs(1);

/// Node b with a connection of a, which the test plays by hand.
struct Stage {
    link: Link,
    inbox: mpsc::Receiver<LinkEvent>,
    a: Box<Established<DuplexStream>>,
    newer: mpsc::Sender<Box<Established<DuplexStream>>>,
    running: JoinHandle<&'static str>,
}

async fn connect() -> (
    Box<Established<DuplexStream>>,
    Box<Established<DuplexStream>>,
) {
    let key = ClusterKey::from([1; 32]);
    let (near, far) = duplex(PIPE_LENGTH);
    let address = ([127, 0, 0, 1], 7_400).into();
    let caller = Session::initiator(&key, calling("a", "b", VOTERS)).unwrap();
    let called = Session::responder(&key, called_by("b", VOTERS)).unwrap();
    let (a, b) = tokio::join!(
        shake_hands(near, address, caller, SHORTLY),
        shake_hands(far, address, called, SHORTLY),
    );
    (a.unwrap(), b.unwrap())
}

impl Stage {
    async fn set(inbox_length: usize) -> Self {
        let (a, b) = connect().await;
        let (sender, inbox) = mpsc::channel(inbox_length);
        let link = Link {
            peer: node("a"),
            outbox: Arc::new(Outbox::new(node("a"))),
            ledger: Arc::new(Ledger::new([&node("a")], super::roll::Roll::default())),
            inbox: sender,
            stop: CancellationToken::new(),
            pace: Arc::new(Pace::default()),
        };
        let (newer, mut arrivals) = mpsc::channel(1);
        let running = tokio::spawn({
            let link = link.clone();
            async move {
                let newer = async {
                    match arrivals.recv().await {
                        Some(newer) => newer,
                        None => pending().await,
                    }
                };
                match run(&link, b, newer).await {
                    Ended::Down => "down",
                    Ended::Replaced(_) => "replaced",
                    Ended::Stopped => "stopped",
                }
            }
        });
        Self {
            link,
            inbox,
            a,
            newer,
            running,
        }
    }

    async fn event(&mut self) -> LinkEvent {
        let event = timeout(Duration::from_secs(60), self.inbox.recv()).await;
        event.expect("an event within a minute").unwrap()
    }

    /// Writes what a's session has to say.
    async fn a_writes(&mut self) {
        let bytes = self.a.session.outgoing().to_vec();
        self.a.session.wrote(bytes.len());
        self.a.stream.write_all(&bytes).await.unwrap();
    }

    async fn a_sends(&mut self, payload: &[u8]) {
        self.a.session.send(payload).unwrap();
        self.a_writes().await;
    }

    /// Reads until a's session has something to tell; none at the end of the stream.
    async fn a_reads(&mut self) -> Option<SessionEvent> {
        let mut events = Vec::new();
        let mut byte = [0];
        while events.is_empty() {
            if self.a.stream.read(&mut byte).await.unwrap() == 0 {
                return None;
            }
            self.a.session.receive(&byte, &mut events).unwrap();
        }
        events.pop()
    }
}

fn up() -> LinkEvent {
    LinkEvent::Up {
        peer: node("a"),
        life: Life(7),
    }
}

fn down(reason: DownReason) -> LinkEvent {
    LinkEvent::Down {
        peer: node("a"),
        reason,
    }
}

fn received(payload: &[u8]) -> LinkEvent {
    LinkEvent::Received {
        peer: node("a"),
        life: Life(7),
        payload: payload.to_vec(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_shows_a_sign_of_life_every_half_second() {
    let mut stage = Stage::set(8).await;
    let start = Instant::now();
    // A frame without a payload: its length, its kind and its tag.
    for beat in 1..=3 {
        let mut frame = [0; 2 + 17];
        stage.a.stream.read_exact(&mut frame).await.unwrap();
        let elapsed = start.elapsed().as_millis();
        assert!(
            (500 * beat..500 * beat + 10).contains(&elapsed),
            "{elapsed}"
        );
        let frames = stage.a.session.frames();
        stage.a.session.receive(&frame, &mut Vec::new()).unwrap();
        assert_eq!(stage.a.session.frames(), frames + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_valid_frame_for_two_seconds_is_dropped() {
    let mut stage = Stage::set(8).await;
    assert_eq!(stage.event().await, up());
    sleep(Duration::from_millis(1_500)).await;
    stage.a.session.keep_alive();
    stage.a_writes().await;
    // Bytes that never make a frame are no sign of life.
    stage.a.stream.write_all(&[0xff]).await.unwrap();
    let start = Instant::now();
    let trickle = async {
        loop {
            sleep(Duration::from_millis(100)).await;
            if stage.a.stream.write_all(&[0xff]).await.is_err() {
                pending::<()>().await;
            }
        }
    };
    tokio::select! {
        event = stage.inbox.recv() => assert_eq!(event, Some(down(DownReason::Silent))),
        () = trickle => {}
    }
    let elapsed = start.elapsed().as_millis();
    assert!((1_990..2_100).contains(&elapsed), "{elapsed}");
    assert_eq!(stage.running.await.unwrap(), "down");
    let status = &stage.link.ledger.peers()[&node("a")];
    assert_eq!(status.connected, None);
    assert_eq!(status.drops[&DropReason::Silent], 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_speaks_but_does_not_read_is_dropped() {
    let mut stage = Stage::set(8).await;
    assert_eq!(stage.event().await, up());
    stage.link.outbox.push(vec![0; 10 * PIPE_LENGTH]).unwrap();
    let start = Instant::now();
    let reason = loop {
        sleep(Duration::from_millis(400)).await;
        stage.a.session.keep_alive();
        let bytes = stage.a.session.outgoing().to_vec();
        stage.a.session.wrote(bytes.len());
        let written = stage.a.stream.write_all(&bytes).await;
        if let Ok(event) = stage.inbox.try_recv() {
            break event;
        }
        written.unwrap();
    };
    assert_eq!(reason, down(DownReason::Slow));
    let elapsed = start.elapsed().as_millis();
    assert!((5_000..5_500).contains(&elapsed), "{elapsed}");
}

#[tokio::test(start_paused = true)]
async fn too_much_that_waits_drops_the_link_at_once() {
    let mut stage = Stage::set(8).await;
    assert_eq!(stage.event().await, up());
    let start = Instant::now();
    while stage.link.outbox.push(vec![0; 1 << 20]).is_ok() {}
    assert_eq!(stage.event().await, down(DownReason::Slow));
    assert!(start.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_full_inbox_holds_the_peer_up_and_is_not_taken_for_its_silence() {
    let mut stage = Stage::set(1).await;
    for number in 0..3 {
        stage.a_sends(&[number]).await;
    }
    // The daemon looks away for long; meanwhile a keeps hearing from us.
    let start = Instant::now();
    let mut beats = 0;
    while start.elapsed() < Duration::from_millis(11_500) {
        let mut frame = [0; 2 + 17];
        stage.a.stream.read_exact(&mut frame).await.unwrap();
        beats += 1;
    }
    assert!(beats >= 22, "{beats}");
    assert_eq!(stage.event().await, up());
    for number in 0..3 {
        assert_eq!(stage.event().await, received(&[number]));
    }
    // Only from now on a can be found silent.
    sleep(Duration::from_millis(1_700)).await;
    stage.a_sends(b"still there").await;
    assert_eq!(stage.event().await, received(b"still there"));
}

#[tokio::test(start_paused = true)]
async fn all_that_came_before_an_invalid_frame_is_told_before_the_end() {
    let mut stage = Stage::set(8).await;
    stage.a.session.send(b"good").unwrap();
    let mut bytes = stage.a.session.outgoing().to_vec();
    bytes.extend_from_slice(&bytes.clone());
    stage.a.stream.write_all(&bytes).await.unwrap();
    assert_eq!(stage.event().await, up());
    assert_eq!(stage.event().await, received(b"good"));
    let forged = DownReason::Invalid(SessionError::Forged);
    assert_eq!(stage.event().await, down(forged));
}

#[tokio::test(start_paused = true)]
async fn a_newer_connection_ends_the_older_one_and_what_it_still_sends_is_lost() {
    let mut stage = Stage::set(8).await;
    assert_eq!(stage.event().await, up());
    let (_newer_a, newer_b) = connect().await;
    stage.newer.send(newer_b).await.unwrap();
    assert_eq!(stage.event().await, down(DownReason::Replaced));
    assert_eq!(stage.running.await.unwrap(), "replaced");
    stage.a.session.send(b"late").unwrap();
    let bytes = stage.a.session.outgoing().to_vec();
    assert!(stage.a.stream.write_all(&bytes).await.is_err());
    assert!(stage.inbox.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_stopped_first_writes_what_waits() {
    let mut stage = Stage::set(8).await;
    assert_eq!(stage.event().await, up());
    let payload = vec![5; 10 * PIPE_LENGTH];
    stage.link.outbox.push(payload.clone()).unwrap();
    stage.link.outbox.push(b"last".to_vec()).unwrap();
    stage.link.stop.cancel();
    assert_eq!(stage.a_reads().await, Some(SessionEvent::Received(payload)));
    let last = SessionEvent::Received(b"last".to_vec());
    assert_eq!(stage.a_reads().await, Some(last));
    assert_eq!(stage.a_reads().await, None);
    drop(stage.a);
    assert_eq!(stage.running.await.unwrap(), "stopped");
}
