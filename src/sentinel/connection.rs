//! The task of one connection: reads commands, and answers them in their order.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::client::{ANSWERS_MAX, Client, Gone};
use super::command::{Parsed, parse};
use super::hub::{Hub, is_fresh_at};
use super::question::{FailoverAnswer, Question};
use super::reply::Replies;
use super::session::{Next, Surroundings, wants_a_fresh_view};
use crate::model::GroupName;

/// A switchover that takes longer is answered as Sentinel does: that it was begun.
const FAILOVER_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long a client may take to read why it is sent away.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Commands that are answered at a time: then it is the others' turn.
const COMMANDS_MAX: usize = 256;

/// Why the answering of commands stopped.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There is no further whole command.
    Rest,
    /// The next command wants a fresh view.
    Fresh,
    /// So much was answered that it has to be sent first.
    Full,
    /// So many were answered that the others have their turn first.
    Long,
    /// The last command wants a switchover.
    Failover(GroupName),
    /// The last answer is the last one.
    Close,
}

/// What is kept of a client that was not answered yet.
#[derive(Debug, Default)]
struct Unfinished {
    bytes: Vec<u8>,
    /// How much of it the hub counts.
    noted: usize,
}

impl Unfinished {
    /// Has the hub count what is kept now.
    ///
    /// # Errors
    /// [`Gone`] where that is too much for all together.
    fn note(&mut self, hub: &Hub) -> Result<(), Gone> {
        let before = std::mem::replace(&mut self.noted, self.bytes.len());
        match hub.note_unfinished(before, self.noted) {
            true => Ok(()),
            false => Err(Gone),
        }
    }

    /// The first of it is answered.
    fn answered(&mut self, length: usize, hub: &Hub) -> Result<(), Gone> {
        self.bytes.drain(..length);
        self.note(hub)
    }
}

/// Serves a client until it leaves or has to.
pub async fn converse(hub: &Hub, client: Rc<Client>) {
    let mut unfinished = Unfinished::default();
    // However it ends, it is over.
    let _ = serve(hub, &client, &mut unfinished).await;
    let _ = hub.note_unfinished(unfinished.noted, 0);
    hub.let_go(&client);
}

async fn serve(hub: &Hub, client: &Client, unfinished: &mut Unfinished) -> Result<(), Gone> {
    loop {
        client.readable().await?;
        let mut turn = match read(hub, client, &mut unfinished.bytes) {
            Ok(None) => continue,
            Ok(Some(turn)) => turn,
            Err(_) => return Err(Gone),
        };
        // Before any wait: what is kept meanwhile counts, too.
        unfinished.note(hub)?;
        loop {
            if client.backlog() > 0 && hub.is_crowded() {
                hub.drop_slow(client);
                return Err(Gone);
            }
            let is_fresh = turn == Turn::Fresh;
            match turn {
                Turn::Rest => break,
                // What is rare is not part of what an idle connection costs.
                Turn::Fresh => Box::pin(hub.refresh()).await,
                Turn::Full => {
                    Box::pin(client.taken()).await?;
                    // One that takes all at once may not keep the others waiting either.
                    yield_now().await;
                }
                Turn::Long => yield_now().await,
                Turn::Failover(group) => Box::pin(fail_over(hub, client, group)).await,
                Turn::Close => {
                    let _ = Box::pin(timeout(FAREWELL_MAX, client.taken())).await;
                    return Err(Gone);
                }
            }
            let (taken, next) = work(hub, client, &unfinished.bytes, is_fresh);
            unfinished.answered(taken, hub)?;
            turn = next;
        }
        // What is counted is what is kept, or nearly.
        if unfinished.bytes.capacity() > 2 * unfinished.bytes.len() {
            unfinished.bytes.shrink_to_fit();
        }
        let owes = !unfinished.bytes.is_empty() || client.backlog() > 0;
        let owes_since = client.owes_since.get().unwrap_or_else(Instant::now);
        client.owes_since.set(owes.then_some(owes_since));
        // The others have their turn.
        yield_now().await;
    }
}

/// Reads once, and answers all that is whole; nothing when there was nothing to read.
fn read(hub: &Hub, client: &Client, unfinished: &mut Vec<u8>) -> io::Result<Option<Turn>> {
    let mut input = hub.input.borrow_mut();
    let length = match client.stream.try_read(&mut input) {
        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let input = &input[..length];
    let turn = if unfinished.is_empty() {
        let (taken, turn) = work(hub, client, input, false);
        unfinished.extend_from_slice(&input[taken..]);
        turn
    } else {
        unfinished.extend_from_slice(input);
        let (taken, turn) = work(hub, client, unfinished, false);
        unfinished.drain(..taken);
        turn
    };
    Ok(Some(turn))
}

/// Answers the commands of `input` in their order: how many bytes they took, and why it stopped.
fn work(hub: &Hub, client: &Client, input: &[u8], is_fresh: bool) -> (usize, Turn) {
    let mut replies = hub.replies.borrow_mut();
    replies.clear();
    let (taken, turn) = answer(hub, client, input, is_fresh, &mut replies);
    if !replies.is_empty() {
        client.send(&replies);
    }
    if taken > 0 && client.backlog() == 0 {
        // Whatever it owes from here on, it owes since now.
        client.owes_since.set(None);
    }
    if replies.capacity() > 2 * ANSWERS_MAX {
        replies.shrink_to(ANSWERS_MAX);
    }
    (taken, turn)
}

fn answer(
    hub: &Hub,
    client: &Client,
    input: &[u8],
    mut is_fresh: bool,
    replies: &mut Vec<u8>,
) -> (usize, Turn) {
    let view = hub.view();
    let around = Surroundings {
        view: &view,
        access: &hub.access,
        server: hub.facts(),
        now: Instant::now(),
    };
    let mut session = client.session.borrow_mut();
    let (mut taken, mut count) = (0, 0);
    loop {
        if replies.len() >= ANSWERS_MAX {
            return (taken, Turn::Full);
        }
        if count >= COMMANDS_MAX {
            return (taken, Turn::Long);
        }
        count += 1;
        let (words, length) = match parse(&input[taken..]) {
            Ok(Parsed::Command(words, length)) => (words, length),
            Ok(Parsed::Nothing(length)) => {
                taken += length;
                continue;
            }
            Ok(Parsed::Incomplete) => return (taken, Turn::Rest),
            Err(unreadable) => {
                let protocol = session.protocol;
                Replies::new(protocol, replies).error(format_args!("ERR {unreadable}"));
                return (input.len(), Turn::Close);
            }
        };
        let is_for_fresh = session.is_authenticated() && wants_a_fresh_view(&words);
        let is_old = is_for_fresh && !is_fresh_at(&view, around.now);
        if is_old && !std::mem::take(&mut is_fresh) {
            return (taken, Turn::Fresh);
        }
        taken += length;
        hub.commands.set(hub.commands.get() + 1);
        let was_subscriber = !session.subscriptions.is_empty();
        let next = session.answer(&words, &around, replies);
        hub.note_subscriber(was_subscriber, !session.subscriptions.is_empty());
        match next {
            Next::Go => {}
            Next::Failover(group) => return (taken, Turn::Failover(group)),
            Next::Close => return (taken, Turn::Close),
        }
    }
}

async fn fail_over(hub: &Hub, client: &Client, group: GroupName) {
    let (answer, answered) = oneshot::channel();
    let by = format!(
        "{} at {} by Sentinel's FAILOVER",
        hub.access.username(),
        client.address()
    );
    let question = Question::Failover { group, by, answer };
    let outcome = match hub.questions.try_send(question) {
        Ok(()) => match timeout(FAILOVER_WAIT_MAX, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => FailoverAnswer::Refused("promoterd stops".to_owned()),
            Err(_) => FailoverAnswer::Begun,
        },
        Err(_) => FailoverAnswer::Refused("promoterd is busy: try again".to_owned()),
    };
    let mut bytes = Vec::new();
    let mut replies = Replies::new(client.session.borrow().protocol, &mut bytes);
    match outcome {
        FailoverAnswer::Done | FailoverAnswer::Begun => replies.status("OK"),
        FailoverAnswer::InProgress => replies.error("INPROG Failover already in progress"),
        FailoverAnswer::NoGoodReplica(why) => {
            replies.error(format_args!(
                "NOGOODSLAVE No suitable replica to promote: {why}"
            ));
        }
        FailoverAnswer::Refused(why) => replies.error(format_args!("ERR no failover: {why}")),
    }
    client.send(&bytes);
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::AsyncWriteExt;
    use tokio::select;

    use super::*;
    use crate::sentinel::hub::tests::{hub, subscriber};

    #[tokio::test]
    async fn what_is_kept_of_one_client_counts_on_when_another_leaves() {
        let hub = hub();
        let (keeping, mut theirs) = subscriber(&hub).await;
        let (leaving, mut others) = subscriber(&hub).await;
        theirs.write_all(b"*1\r\n$4\r\nPI").await.unwrap();
        // What stands behind its last command is kept until it is gone.
        others.write_all(b"QUIT\r\n*1\r\n$4\r\nPI").await.unwrap();
        let mut keeping = pin!(converse(&hub, keeping));
        let is_kept = async {
            while hub.unfinished.get() == 0 {
                yield_now().await;
            }
        };
        select! {
            () = &mut keeping => panic!("it has not left"),
            () = is_kept => {}
        }
        assert_eq!(hub.unfinished.get(), 10);
        converse(&hub, leaving).await;
        assert_eq!(hub.unfinished.get(), 10);
        drop(theirs);
        keeping.await;
        assert_eq!(hub.unfinished.get(), 0);
    }

    #[tokio::test]
    async fn many_commands_at_once_are_answered_in_turns_and_each_restarts_its_clients_time() {
        let hub = hub();
        let (client, _theirs) = subscriber(&hub).await;
        client.stream.writable().await.unwrap();
        let since = Some(Instant::now());
        client.owes_since.set(since);
        assert_eq!(work(&hub, &client, b"PIN", false), (0, Turn::Rest));
        assert_eq!(client.owes_since.get(), since);
        let many = b"PING\r\n".repeat(COMMANDS_MAX + 1);
        let taken = COMMANDS_MAX * b"PING\r\n".len();
        assert_eq!(work(&hub, &client, &many, false), (taken, Turn::Long));
        assert_eq!(client.owes_since.get(), None);
        assert_eq!(work(&hub, &client, &many[taken..], false), (6, Turn::Rest));
    }

    /// What the runtime keeps of a task and of a socket comes to about half a KiB beside these.
    #[test]
    fn an_idle_client_is_small() {
        fn size_of_result<A, B, F>(_: fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        let (task, client) = (size_of_result(converse), size_of::<Client>());
        assert!(task + client <= 512, "{task} + {client}");
    }
}
