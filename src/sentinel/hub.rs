//! All clients of the endpoint, on one thread: their number, their events, and who has to go.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::debug;

use super::access::Access;
use super::channels::Announcement;
use super::client::{Client, OUTBOX_MAX};
use super::events::{Event, Translator};
use super::feed::News;
use super::question::Question;
use super::session::{ServerFacts, Session};
use super::view::View;

/// A view is not asked for again before it is older than this.
const FRESH_FOR: Duration = Duration::from_millis(250);
/// Whoever wants a fresh view is answered from an older one after so long.
const LOOK_WAIT_MAX: Duration = Duration::from_millis(300);
/// How long a client may take to show its password.
const LOGIN_MAX: Duration = Duration::from_secs(10);
/// How long a client may owe the rest of a command, or take nothing of what is for it.
const STALL_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at who has to go.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Most bytes of unfinished commands that all clients together may have kept here.
const UNFINISHED_MAX: usize = 16 << 20;
/// The same, of what they do not take.
const BACKLOG_MAX: usize = 64 << 20;
/// Bytes that are read at a time.
const READ_LENGTH: usize = 64 * 1024;

/// All clients, and what they are answered from.
#[derive(Debug)]
pub struct Hub {
    pub(super) access: Access,
    pub(super) questions: mpsc::Sender<Question>,
    /// What is read at a time: not one for each client.
    pub(super) input: RefCell<Box<[u8]>>,
    /// What is answered at a time.
    pub(super) replies: RefCell<Vec<u8>>,
    /// Bytes of unfinished commands that are kept.
    pub(super) unfinished: Cell<usize>,
    pub(super) commands: Cell<u64>,
    views: watch::Receiver<Arc<View>>,
    asked_at: Cell<Option<Instant>>,
    clients: RefCell<BTreeMap<u64, Rc<Client>>>,
    subscribers: Cell<usize>,
    backlog: Rc<Cell<usize>>,
    facts: ServerFacts,
    accepted: Cell<u64>,
    rejected: Cell<u64>,
    dropped: Cell<u64>,
}

impl Hub {
    /// Without clients.
    #[must_use]
    pub fn new(
        access: Access,
        views: watch::Receiver<Arc<View>>,
        questions: mpsc::Sender<Question>,
        facts: ServerFacts,
    ) -> Self {
        Self {
            access,
            questions,
            input: RefCell::new(vec![0; READ_LENGTH].into_boxed_slice()),
            replies: RefCell::default(),
            unfinished: Cell::new(0),
            commands: Cell::new(0),
            views,
            asked_at: Cell::new(None),
            clients: RefCell::default(),
            subscribers: Cell::new(0),
            backlog: Rc::default(),
            facts,
            accepted: Cell::new(0),
            rejected: Cell::new(0),
            dropped: Cell::new(0),
        }
    }

    /// The latest view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// What the server can tell of itself.
    #[must_use]
    pub fn facts(&self) -> ServerFacts {
        ServerFacts {
            accepted: self.accepted.get(),
            rejected: self.rejected.get(),
            commands: self.commands.get(),
            dropped: self.dropped.get(),
            clients: self.clients.borrow().len(),
            subscribers: self.subscribers.get(),
            ..self.facts
        }
    }

    /// The number of the next client; none when it is one too many.
    pub fn next_number(&self) -> Option<u64> {
        if self.clients.borrow().len() >= self.facts.clients_max {
            self.rejected.set(self.rejected.get() + 1);
            return None;
        }
        self.accepted.set(self.accepted.get() + 1);
        Some(self.accepted.get())
    }

    /// Takes a client in.
    pub fn let_in(&self, number: u64, stream: TcpStream, now: Instant) -> Rc<Client> {
        let session = Session::new(number, &self.access, now);
        let backlog = Rc::clone(&self.backlog);
        let client = Rc::new(Client::new(stream, session, backlog));
        self.clients.borrow_mut().insert(number, Rc::clone(&client));
        client
    }

    /// It is gone.
    pub fn let_go(&self, client: &Client) {
        let session = client.session.borrow();
        self.note_subscriber(!session.subscriptions.is_empty(), false);
        self.clients.borrow_mut().remove(&session.id);
    }

    /// Notes that a client has subscribed to something now, or has not, and whether it had before.
    pub fn note_subscriber(&self, before: bool, now: bool) {
        let count = self.subscribers.get() + usize::from(now) - usize::from(before);
        self.subscribers.set(count);
    }

    /// Ends a client that takes nothing of what is for it.
    pub fn drop_slow(&self, client: &Client) {
        let waits = client.backlog();
        debug!(
            client = client.address(),
            waits, "a client takes nothing, dropped"
        );
        self.dropped.set(self.dropped.get() + 1);
        client.close();
    }

    /// Whether more waits for clients than may for all together.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.backlog.get() > BACKLOG_MAX
    }

    /// Notes that a client keeps `now` bytes of an unfinished command instead of `before`; false when
    /// that is too much for all together.
    #[must_use]
    pub fn note_unfinished(&self, before: usize, now: usize) -> bool {
        let total = self.unfinished.get() + now - before;
        self.unfinished.set(total);
        now <= before || total <= UNFINISHED_MAX
    }

    /// Has the loop look, unless it just did, and waits for that within a limit.
    pub async fn refresh(&self) {
        let is_fresh = |view: &Arc<View>| is_fresh_at(view, Instant::now());
        if is_fresh(&self.views.borrow()) {
            return;
        }
        let is_asked = self
            .asked_at
            .get()
            .is_some_and(|at| at.elapsed() < FRESH_FOR);
        if !is_asked && self.questions.try_send(Question::Look).is_ok() {
            self.asked_at.set(Some(Instant::now()));
        }
        let mut views = self.views.clone();
        // An older view is better than none.
        drop(timeout(LOOK_WAIT_MAX, views.wait_for(is_fresh)).await);
    }

    /// Passes news on to subscribers until the loop is gone.
    pub async fn pass_on(&self, mut news: mpsc::Receiver<News>, mut translator: Translator) {
        while let Some(news) = news.recv().await {
            if news.is_gap_before {
                self.send_subscribers_away();
            }
            let events = translator.translate(&news);
            if !events.is_empty() {
                self.publish(&events);
            }
        }
    }

    fn publish(&self, events: &[Event]) {
        let mut bytes = Vec::new();
        let events: Vec<Announcement<'_>> = events.iter().map(Announcement::of).collect();
        let clients = self.clients.borrow();
        for client in clients.values() {
            bytes.clear();
            {
                let session = client.session.borrow();
                if session.subscriptions.is_empty() {
                    continue;
                }
                let protocol = session.protocol;
                for event in &events {
                    session.subscriptions.deliver(event, protocol, &mut bytes);
                }
            }
            let waits = client.backlog();
            if waits + bytes.len() > OUTBOX_MAX || (waits > 0 && self.is_crowded()) {
                self.drop_slow(client);
            } else if !bytes.is_empty() {
                client.send(&bytes);
                // Its socket was full, although nothing waited.
                if client.backlog() > 0 && self.is_crowded() {
                    self.drop_slow(client);
                }
            }
        }
    }

    /// They missed something, and would not know: coming back, they ask anew.
    fn send_subscribers_away(&self) {
        for client in self.clients.borrow().values() {
            if !client.session.borrow().subscriptions.is_empty() {
                self.dropped.set(self.dropped.get() + 1);
                client.close();
            }
        }
    }

    /// Ends those who keep a place for nothing.
    pub fn sweep(&self, now: Instant) {
        let age = |since: Instant| now.saturating_duration_since(since);
        for client in self.clients.borrow().values() {
            let stranger_since = client.session.borrow().stranger_since;
            if client.backlog() > 0 && client.owes_since.get().is_none() {
                client.owes_since.set(Some(now));
            }
            let stalls = client
                .owes_since
                .get()
                .is_some_and(|since| age(since) > STALL_MAX);
            if stalls {
                self.drop_slow(client);
            } else if stranger_since.is_some_and(|since| age(since) > LOGIN_MAX) {
                client.close();
            }
        }
    }
}

/// Whether a view need not be asked for again.
#[must_use]
pub fn is_fresh_at(view: &View, now: Instant) -> bool {
    now.saturating_duration_since(view.taken_at) < FRESH_FOR
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::sentinel::reply::{Protocol, Replies};
    use crate::sentinel::tests::view;

    pub(in crate::sentinel) fn hub() -> Hub {
        let now = Instant::now();
        let (_, views) = watch::channel(Arc::new(view(Vec::new(), now)));
        let (questions, _) = mpsc::channel(1);
        let facts = ServerFacts {
            started_at: now,
            port: 26379,
            clients: 0,
            subscribers: 0,
            clients_max: 2,
            accepted: 0,
            rejected: 0,
            commands: 0,
            dropped: 0,
        };
        Hub::new(Access::new(None, None), views, questions, facts)
    }

    /// A client of the hub that has subscribed to everything, and its other end.
    pub(in crate::sentinel) async fn subscriber(hub: &Hub) -> (Rc<Client>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let number = hub.next_number().unwrap();
        let client = hub.let_in(number, stream, Instant::now());
        let mut confirmed = Vec::new();
        let mut replies = Replies::new(Protocol::Resp2, &mut confirmed);
        client
            .session
            .borrow_mut()
            .subscriptions
            .subscribe_patterns(&[b"*"], &mut replies);
        hub.note_subscriber(false, true);
        (client, theirs)
    }

    #[tokio::test]
    async fn a_subscriber_that_takes_nothing_is_dropped_and_the_others_are_not() {
        let hub = hub();
        let (slow, _never_read) = subscriber(&hub).await;
        let (quick, mut theirs) = subscriber(&hub).await;
        assert_eq!((hub.next_number(), hub.facts().rejected), (None, 1));
        let events = [("+slave", "x".repeat(40_000))];
        let mut message = Vec::new();
        quick.session.borrow().subscriptions.deliver(
            &Announcement::of(&events[0]),
            Protocol::Resp2,
            &mut message,
        );
        for _ in 0..2000 {
            hub.publish(&events);
            if hub.facts().dropped > 0 {
                break;
            }
            // The quick one takes all of it before the next.
            let mut left = message.len();
            while left > 0 {
                tokio::select! {
                    length = theirs.read(&mut message[..left]) => left -= length.unwrap(),
                    ready = quick.stream.writable(), if quick.backlog() > 0 => {
                        ready.unwrap();
                        quick.flush().unwrap();
                    }
                }
            }
        }
        assert_eq!(hub.facts().dropped, 1);
        assert!(slow.backlog() > 0 && slow.backlog() <= OUTBOX_MAX);
        assert_eq!(slow.readable().await, Err(crate::sentinel::client::Gone));
    }
    fn fill(client: &Client) {
        while client.backlog() == 0 {
            client.send(&[b'x'; 16 * 1024]);
        }
    }

    #[tokio::test]
    async fn what_waits_for_all_is_bounded_and_counted_until_it_is_taken_or_its_client_leaves() {
        let hub = hub();
        let (client, mut theirs) = subscriber(&hub).await;
        let (other, _never_read) = subscriber(&hub).await;
        fill(&client);
        fill(&other);
        assert_eq!(hub.backlog.get(), client.backlog() + other.backlog());
        let mut taken = vec![0; 64 * 1024];
        while client.backlog() > 0 {
            assert!(theirs.read(&mut taken).await.unwrap() > 0);
            client.stream.writable().await.unwrap();
            client.flush().unwrap();
        }
        assert_eq!(hub.backlog.get(), other.backlog());
        fill(&client);
        other.send(&vec![b'x'; BACKLOG_MAX]);
        assert!(hub.is_crowded() && client.backlog() < OUTBOX_MAX / 2);
        hub.publish(&[("+slave", "one more".to_owned())]);
        assert_eq!(hub.facts().dropped, 2);
        hub.let_go(&other);
        drop(other);
        assert_eq!(hub.backlog.get(), client.backlog());
        assert!(!hub.is_crowded());
    }

    #[tokio::test]
    async fn an_event_is_not_kept_for_a_full_socket_when_too_much_waits_for_all() {
        let hub = hub();
        let (client, _never_read) = subscriber(&hub).await;
        let (other, _never_read_either) = subscriber(&hub).await;
        client.stream.writable().await.unwrap();
        while client.stream.try_write(&[b'x'; 16 * 1024]).is_ok() {}
        fill(&other);
        other.send(&vec![b'x'; BACKLOG_MAX]);
        assert!(hub.is_crowded() && client.backlog() == 0);
        hub.publish(&[("+slave", "one more".to_owned())]);
        assert!(other.is_closed() && client.is_closed());
    }

    #[tokio::test]
    async fn who_does_not_show_the_password_in_time_is_sent_away() {
        let mut hub = hub();
        hub.access = Access::new(None, Some(&"s3cret".to_owned().into()));
        let (client, _theirs) = subscriber(&hub).await;
        let since = client.session.borrow().stranger_since.unwrap();
        hub.sweep(since + LOGIN_MAX);
        assert!(!client.is_closed());
        hub.sweep(since + LOGIN_MAX + SWEEP_INTERVAL);
        assert!(client.is_closed());
    }
}
