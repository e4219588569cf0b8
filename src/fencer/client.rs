//! The daemon's side of the fencer: orders go out and outcomes come back, and nothing waits for either.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tracing::debug;

use super::clock::{BootMoment, BootReading};
use super::protocol::{Answer, Hello, Life, Order, Request, Task, codec, decode, encode};
use crate::decision::{HoldFailure, HoldOrder, HoldOutcome, HoldTask};

/// How long an answer may take that needs no word of the service manager.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// And one that may need it.
const CHECK_MAX: Duration = Duration::from_secs(6);

/// The fencer of this host, as the daemon asks it. Dropped, it leaves; what is held stays held.
#[derive(Debug)]
pub struct Fencer {
    path: PathBuf,
    outcomes: UnboundedSender<HoldOutcome>,
    /// Begins with the first order.
    asking: Option<Asking>,
}

#[derive(Debug)]
struct Asking {
    orders: UnboundedSender<(HoldOrder, Task)>,
    task: JoinHandle<()>,
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fencer {
    /// The one that listens at `path`. What comes of orders goes to `outcomes`.
    #[must_use]
    pub fn new(path: PathBuf, outcomes: UnboundedSender<HoldOutcome>) -> Self {
        Self {
            path,
            outcomes,
            asking: None,
        }
    }

    /// Gives an order without blocking; it has to be called inside of the tokio runtime.
    ///
    /// `clock` is as of the start of the turn that decided on the order. The outcome comes within 6 s, within
    /// 1 s unless it is a check. One that is lost with its connection is asked again once, of the fencer that
    /// is there then; without one it is `Absent`, and may be in force all the same. The next order connects
    /// anew.
    pub fn order(&mut self, order: HoldOrder, clock: BootReading) {
        let task = match order.task {
            HoldTask::Check => Task::Check,
            HoldTask::Until(at) => Task::Until(clock.moment(at)),
            HoldTask::Release => Task::Release,
        };
        let asking = self.asking.get_or_insert_with(|| {
            let (orders, to_send) = unbounded_channel();
            let conversation = Conversation {
                life: Life(BootMoment::now()),
                number: 0,
                unanswered: BTreeMap::new(),
                outcomes: self.outcomes.clone(),
            };
            let task = tokio::spawn(conversation.run(self.path.clone(), to_send));
            Asking { orders, task }
        });
        // It ends only with us.
        drop(asking.orders.send((order, task)));
    }
}

type Frames = Framed<UnixStream, LengthDelimitedCodec>;

/// All connections of one daemon's life, one after the other.
struct Conversation {
    life: Life,
    /// Of the last order.
    number: u64,
    unanswered: BTreeMap<u64, Unanswered>,
    outcomes: UnboundedSender<HoldOutcome>,
}

/// An order that was sent.
struct Unanswered {
    order: HoldOrder,
    task: Task,
    overdue_at: Instant,
}

/// How a connection ended.
struct Ended {
    failure: HoldFailure,
    /// The fencer went away in the middle, as one that starts again does.
    has_left: bool,
    /// It had answered something.
    has_answered: bool,
}

impl Conversation {
    async fn run(mut self, path: PathBuf, mut orders: UnboundedReceiver<(HoldOrder, Task)>) {
        while let Some(first) = orders.recv().await {
            let mut to_send = vec![first];
            let mut has_left = false;
            while !to_send.is_empty() {
                let mut frames = match self.connect(&path).await {
                    Ok(frames) => frames,
                    Err(error) => {
                        let failure = HoldFailure::Absent(format!("{}: {error}", path.display()));
                        self.report_all(to_send, &failure);
                        break;
                    }
                };
                let sent = std::mem::take(&mut to_send);
                let ended = self.converse(&mut frames, sent, &mut orders).await;
                debug!(failure = %ended.failure, "the connection to the fencer ended");
                let unanswered = std::mem::take(&mut self.unanswered).into_values();
                let unanswered = unanswered.map(|sent| (sent.order, sent.task)).collect();
                // The next fencer is asked once what the last one took with it.
                let is_first = ended.has_answered || !has_left;
                has_left = ended.has_left;
                match ended.has_left && is_first {
                    true => to_send = unanswered,
                    false => self.report_all(unanswered, &ended.failure),
                }
            }
        }
    }

    async fn connect(&self, path: &Path) -> io::Result<Frames> {
        let stream = timeout(ANSWER_MAX, UnixStream::connect(path)).await??;
        let mut frames = Framed::new(stream, codec());
        let hello = Hello {
            life: self.life,
            now: BootMoment::now(),
        };
        frames.send(encode(&Request::Hello(hello))).await?;
        Ok(frames)
    }

    /// Until the connection ends, and how it did.
    async fn converse(
        &mut self,
        frames: &mut Frames,
        mut to_send: Vec<(HoldOrder, Task)>,
        orders: &mut UnboundedReceiver<(HoldOrder, Task)>,
    ) -> Ended {
        let mut has_answered = false;
        let ended = |failure: HoldFailure, has_left: bool, has_answered: bool| Ended {
            failure,
            has_left,
            has_answered,
        };
        let absent = |reason: &str| HoldFailure::Absent(reason.to_owned());
        loop {
            for (order, task) in to_send.drain(..) {
                let frame = self.frame(order, task);
                match timeout(ANSWER_MAX, frames.send(frame)).await {
                    // What it said before it left is still to be read.
                    Ok(Ok(()) | Err(_)) => {}
                    Err(_) => return ended(absent("it reads nothing"), false, has_answered),
                }
            }
            let overdue = self.unanswered.values().map(|sent| sent.overdue_at).min();
            let (failure, has_left) = tokio::select! {
                biased;
                frame = frames.next() => match frame.map(|frame| frame.map(|frame| decode(&frame))) {
                    Some(Ok(Ok(Answer::Done { number, result }))) => {
                        self.take_in(number, result);
                        has_answered = true;
                        continue;
                    }
                    Some(Ok(Ok(Answer::Farewell(reason)))) => (HoldFailure::Refused(reason), false),
                    Some(Ok(Err(error))) => (HoldFailure::Refused(error.to_string()), false),
                    Some(Err(error)) => (HoldFailure::Absent(error.to_string()), true),
                    None => (absent("it left"), true),
                },
                next = orders.recv() => match next {
                    Some(next) => {
                        to_send.push(next);
                        continue;
                    }
                    None => (absent("this daemon stops"), false),
                },
                () = reached(overdue) => (absent("no answer in time"), false),
            };
            return ended(failure, has_left, has_answered);
        }
    }

    fn frame(&mut self, order: HoldOrder, task: Task) -> bytes::Bytes {
        let patience = match task {
            Task::Check => CHECK_MAX,
            Task::Until(_) | Task::Release => ANSWER_MAX,
        };
        self.number += 1;
        let frame = encode(&Request::Order(Order {
            number: self.number,
            group: order.group.clone(),
            instance: order.instance.clone(),
            process_id: order.process_id,
            task,
        }));
        let sent = Unanswered {
            order,
            task,
            overdue_at: Instant::now() + patience,
        };
        self.unanswered.insert(self.number, sent);
        frame
    }

    fn take_in(&mut self, number: u64, result: Result<(), String>) {
        match self.unanswered.remove(&number) {
            Some(sent) => self.report(sent.order, result.map_err(HoldFailure::Refused)),
            None => debug!(number, "the fencer answered what it was not asked"),
        }
    }

    fn report_all(&self, orders: Vec<(HoldOrder, Task)>, failure: &HoldFailure) {
        for (order, _) in orders {
            self.report(order, Err(failure.clone()));
        }
    }

    fn report(&self, order: HoldOrder, result: Result<(), HoldFailure>) {
        // Nobody listens any more only while the daemon stops.
        drop(self.outcomes.send(HoldOutcome { order, result }));
    }
}

async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
