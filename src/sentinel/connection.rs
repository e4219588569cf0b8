//! The task of one connection: reads commands, and answers them in their order.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::client::{ANSWERS_MAX, Client, Gone};
use super::command::{Parsed, parse};
use super::hub::Hub;
use super::question::{FailoverAnswer, Question};
use super::reply::Replies;
use super::session::{Next, Surroundings, wants_a_fresh_view};
use crate::model::GroupName;

/// A switchover that takes longer is answered as Sentinel does: that it was begun.
const FAILOVER_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long a client may take to read why it is sent away.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Why the answering of commands stopped.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There is no further whole command.
    Rest,
    /// The next command wants a fresh view.
    Fresh,
    /// So much was answered that it has to be sent first.
    Full,
    /// The last command wants a switchover.
    Failover(GroupName),
    /// The last answer is the last one.
    Close,
}

/// Serves a client until it leaves or has to.
pub async fn converse(hub: &Hub, client: Rc<Client>) {
    let mut unfinished = Vec::new();
    // However it ends, it is over.
    let _ = serve(hub, &client, &mut unfinished).await;
    let _ = hub.note_unfinished(unfinished.len(), 0);
    hub.let_go(&client);
}

async fn serve(hub: &Hub, client: &Client, unfinished: &mut Vec<u8>) -> Result<(), Gone> {
    loop {
        client.readable().await?;
        let before = unfinished.len();
        let mut turn = match read(hub, client, unfinished) {
            Ok(None) => continue,
            Ok(Some(turn)) => turn,
            Err(_) => return Err(Gone),
        };
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
                Turn::Full => Box::pin(client.taken()).await?,
                Turn::Failover(group) => Box::pin(fail_over(hub, client, group)).await,
                Turn::Close => {
                    let _ = Box::pin(timeout(FAREWELL_MAX, client.taken())).await;
                    return Err(Gone);
                }
            }
            let (taken, next) = work(hub, client, unfinished, is_fresh);
            unfinished.drain(..taken);
            turn = next;
        }
        if unfinished.is_empty() {
            *unfinished = Vec::new();
        }
        if !hub.note_unfinished(before, unfinished.len()) {
            return Err(Gone);
        }
        let owes = !unfinished.is_empty() || client.backlog() > 0;
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
    let mut taken = 0;
    loop {
        if replies.len() >= ANSWERS_MAX {
            return (taken, Turn::Full);
        }
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
        if is_for_fresh && !std::mem::take(&mut is_fresh) {
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
    use super::*;

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
