//! One daemon's connection, on the fencer's side: who it is, its orders, and their answers.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{Sender, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tracing::debug;

use super::clock::BootMoment;
use super::protocol::{Answer, Life, Order, Request, codec, decode, encode, shortened};
use super::socket::Gate;

/// How long a connection may stay silent before it says who it is.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// How far apart the clocks of both sides may seem: what they say takes a moment to arrive.
const CLOCKS_MAX: Duration = Duration::from_secs(30);
/// How long an answer may wait for the daemon to read it.
const READ_MAX: Duration = Duration::from_secs(1);
/// Orders of one connection that wait for their answers; beyond it nothing more is read.
const UNANSWERED_MAX: usize = 64;

/// An order, and who waits to hear what came of it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) life: Life,
    pub(super) order: Order,
    answers: UnboundedSender<Answer>,
}

impl Asked {
    pub(super) fn answer(self, result: Result<(), String>) {
        let answer = Answer::Done {
            number: self.order.number,
            result: result.map_err(shortened),
        };
        // The connection may be gone.
        drop(self.answers.send(answer));
    }
}

/// Why the fencer ends a connection.
type Farewell = String;

/// Passes on what a daemon asks for, and answers, until the connection ends.
pub(super) async fn serve(stream: UnixStream, gate: Gate, asked: Sender<Asked>) {
    let uid = stream.peer_cred().map(|credentials| credentials.uid());
    let is_admitted = uid.as_ref().is_ok_and(|uid| gate.admits(*uid));
    let mut frames = Framed::new(stream, codec());
    let ended = match is_admitted {
        true => converse(&mut frames, &asked).await,
        false => Err(
            "only root and the user of promoterd may give orders: see PROMOTERD_FENCER_USER".into(),
        ),
    };
    if let Err(reason) = ended {
        debug!(reason, ?uid, "a connection is ended");
        let farewell = encode(&Answer::Farewell(shortened(reason)));
        // It may be gone, or may not listen.
        drop(timeout(READ_MAX, frames.send(farewell)).await);
    }
}

async fn converse(
    frames: &mut Framed<UnixStream, LengthDelimitedCodec>,
    asked: &Sender<Asked>,
) -> Result<(), Farewell> {
    let hello = timeout(HELLO_MAX, next(frames)).await;
    let life = match hello.map_err(|_| "nothing was said in time".to_owned())?? {
        Some(Request::Hello(hello)) => {
            compare_clocks(hello.now, BootMoment::now())?;
            hello.life
        }
        Some(Request::Order(_)) => return Err("an order before a hello".into()),
        None => return Ok(()),
    };
    let (answers, mut to_send) = unbounded_channel();
    let mut unanswered = 0;
    loop {
        tokio::select! {
            Some(answer) = to_send.recv() => {
                unanswered -= 1;
                match timeout(READ_MAX, frames.send(encode(&answer))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => return Ok(()),
                }
            }
            request = next(frames), if unanswered < UNANSWERED_MAX => match request? {
                Some(Request::Order(order)) => {
                    unanswered += 1;
                    let answers = answers.clone();
                    // The keeper is gone only while the fencer stops.
                    if asked.send(Asked { life, order, answers }).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Request::Hello(_)) => return Err("a second hello".into()),
                None => return Ok(()),
            },
        }
    }
}

/// The next thing that the daemon says; nothing when it has left.
async fn next(
    frames: &mut Framed<UnixStream, LengthDelimitedCodec>,
) -> Result<Option<Request>, Farewell> {
    match frames.next().await {
        Some(Ok(frame)) => decode(&frame).map(Some).map_err(|error| error.to_string()),
        Some(Err(error)) => Err(error.to_string()),
        None => Ok(None),
    }
}

/// A moment means the same on both sides only by the same clock.
fn compare_clocks(theirs: BootMoment, ours: BootMoment) -> Result<(), Farewell> {
    let apart = theirs.since(ours).max(ours.since(theirs));
    // What is said arrives later than it is said, and never earlier.
    if theirs > ours || apart > CLOCKS_MAX {
        return Err(format!(
            "the clocks since boot are {apart:?} apart: run promoterd and the fencer in the same time namespace"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{Receiver, channel};

    use super::super::protocol::{Hello, Task};
    use super::*;

    type Frames = Framed<UnixStream, LengthDelimitedCodec>;

    fn connect(gate: Gate) -> (Frames, Receiver<Asked>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (asked, orders) = channel(1);
        tokio::spawn(serve(theirs, gate, asked));
        (Framed::new(ours, codec()), orders)
    }

    fn hello(now: BootMoment) -> bytes::Bytes {
        let life = Life(BootMoment(1));
        encode(&Request::Hello(Hello { life, now }))
    }

    fn order(number: u64) -> bytes::Bytes {
        encode(&Request::Order(Order {
            number,
            group: "features".parse().unwrap(),
            instance: "10.0.0.1:6379".parse().unwrap(),
            process_id: 7,
            task: Task::Release,
        }))
    }

    /// The gate that admits whoever runs this test.
    fn open() -> Gate {
        let own = rustix::process::getuid().as_raw();
        Gate::of(own)
    }

    async fn answer(frames: &mut Frames) -> Option<Answer> {
        let frame = frames.next().await?;
        Some(decode(&frame.unwrap()).unwrap())
    }

    async fn farewell(mut frames: Frames) -> String {
        match answer(&mut frames).await {
            Some(Answer::Farewell(reason)) => {
                assert!(frames.next().await.is_none());
                reason
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_order_is_passed_on_and_answered() {
        let (mut frames, mut orders) = connect(open());
        frames.send(hello(BootMoment::now())).await.unwrap();
        frames.send(order(5)).await.unwrap();
        let asked = orders.recv().await.unwrap();
        assert_eq!((asked.life, asked.order.number), (Life(BootMoment(1)), 5));
        asked.answer(Err("no".into()));
        let result = Err("no".into());
        let number = 5;
        assert_eq!(
            answer(&mut frames).await,
            Some(Answer::Done { number, result })
        );
        drop(frames);
        assert!(orders.recv().await.is_none());
    }

    #[tokio::test]
    async fn whoever_says_what_nobody_may_say_is_told_so_and_left() {
        let now = BootMoment::now();
        let hour = Duration::from_secs(3600);
        let past = BootMoment(now.0.saturating_sub(hour.as_nanos() as u64));
        for (said, reason) in [
            (vec![order(1)], "before a hello"),
            (vec![hello(now), hello(now)], "a second hello"),
            (vec![hello(now.after(hour))], "time namespace"),
            (vec![hello(past)], "time namespace"),
            (
                vec![bytes::Bytes::from_static(b"GET / HTTP/1.1")],
                "version 71",
            ),
            (
                vec![hello(now), bytes::Bytes::from_static(&[1; 100])],
                "cannot be read",
            ),
        ] {
            let (mut frames, mut orders) = connect(open());
            for frame in said {
                frames.send(frame).await.unwrap();
            }
            let told = farewell(frames).await;
            assert!(told.contains(reason), "{told}");
            assert!(orders.recv().await.is_none());
        }
    }

    #[tokio::test]
    async fn whoever_may_not_is_told_so_before_anything_is_read() {
        let own = rustix::process::getuid().as_raw();
        let (frames, mut orders) = connect(Gate::of(own + 1));
        match own {
            0 => drop(frames),
            _ => assert!(farewell(frames).await.contains("PROMOTERD_FENCER_USER")),
        }
        assert!(orders.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_left() {
        let (frames, _orders) = connect(open());
        assert!(farewell(frames).await.contains("in time"));
    }

    #[tokio::test]
    async fn more_orders_than_are_answered_are_not_read() {
        let (mut frames, mut orders) = connect(open());
        frames.send(hello(BootMoment::now())).await.unwrap();
        let count = 3 * UNANSWERED_MAX;
        for number in 0..count {
            frames.send(order(number as u64)).await.unwrap();
        }
        let mut asked = Vec::new();
        while let Ok(order) = timeout(Duration::from_millis(100), orders.recv()).await {
            asked.extend(order);
        }
        assert_eq!(asked.len(), UNANSWERED_MAX);
        asked.into_iter().for_each(|asked| asked.answer(Ok(())));
        for _ in 0..UNANSWERED_MAX {
            orders.recv().await.unwrap().answer(Ok(()));
        }
    }
}
