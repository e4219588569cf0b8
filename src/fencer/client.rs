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
    /// 1 s for a process that is held already. One that is lost with its connection is `Absent`, and may be in
    /// force all the same. The next order connects anew.
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
    unanswered: BTreeMap<u64, (HoldOrder, Instant)>,
    outcomes: UnboundedSender<HoldOutcome>,
}

impl Conversation {
    async fn run(mut self, path: PathBuf, mut orders: UnboundedReceiver<(HoldOrder, Task)>) {
        while let Some((order, task)) = orders.recv().await {
            let ended = match self.connect(&path).await {
                Ok(mut frames) => self.converse(&mut frames, (order, task), &mut orders).await,
                Err(error) => {
                    let failure = HoldFailure::Absent(format!("{}: {error}", path.display()));
                    self.report(order, Err(failure));
                    continue;
                }
            };
            debug!(%ended, "the connection to the fencer ended");
            for (order, _) in std::mem::take(&mut self.unanswered).into_values() {
                self.report(order, Err(ended.clone()));
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

    /// Until the connection ends, and why it did.
    async fn converse(
        &mut self,
        frames: &mut Frames,
        first: (HoldOrder, Task),
        orders: &mut UnboundedReceiver<(HoldOrder, Task)>,
    ) -> HoldFailure {
        let absent = |reason: &str| HoldFailure::Absent(reason.to_owned());
        let mut to_send = Some(first);
        loop {
            if let Some((order, task)) = to_send.take() {
                let frame = self.frame(order, task);
                match timeout(ANSWER_MAX, frames.send(frame)).await {
                    // What it said before it left is still to be read.
                    Ok(Ok(()) | Err(_)) => {}
                    Err(_) => return absent("it reads nothing"),
                }
            }
            let overdue = self.unanswered.values().map(|(_, until)| *until).min();
            tokio::select! {
                biased;
                frame = frames.next() => match frame.map(|frame| frame.map(|frame| decode(&frame))) {
                    Some(Ok(Ok(Answer::Done { number, result }))) => self.take_in(number, result),
                    Some(Ok(Ok(Answer::Farewell(reason)))) => return HoldFailure::Refused(reason),
                    Some(Ok(Err(error))) => return HoldFailure::Refused(error.to_string()),
                    Some(Err(error)) => return HoldFailure::Absent(error.to_string()),
                    None => return absent("it left"),
                },
                next = orders.recv() => match next {
                    Some(next) => to_send = Some(next),
                    None => return absent("this daemon stops"),
                },
                () = reached(overdue) => return absent("no answer in time"),
            }
        }
    }

    fn frame(&mut self, order: HoldOrder, task: Task) -> bytes::Bytes {
        let patience = match task {
            Task::Check => CHECK_MAX,
            // The first one of a process may need a word of the service manager.
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
        self.unanswered
            .insert(self.number, (order, Instant::now() + patience));
        frame
    }

    fn take_in(&mut self, number: u64, result: Result<(), String>) {
        match self.unanswered.remove(&number) {
            Some((order, _)) => self.report(order, result.map_err(HoldFailure::Refused)),
            None => debug!(number, "the fencer answered what it was not asked"),
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
