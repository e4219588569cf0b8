//! The Sentinel endpoint: commands that are none, in pieces, and what they are answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use promoterd::decision::{GroupOutline, InstanceOutline, Phase};
use promoterd::model::{Endpoint, Epoch, RunId, Term};
use promoterd::sentinel::{
    Access, Announcement, COMMAND_LENGTH_MAX, GroupView, Next, Parsed, PeerView, Protocol, Replies,
    ServerFacts, Session, Surroundings, View, parse,
};
use zeroize::Zeroizing;

use super::Input;
use super::peers::name;

/// First byte: whether there is a password, and whether the client begins with RESP3. The rest comes in
/// parts, as from a socket.
pub fn command(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mode = input.byte();
    let now = Instant::now();
    let password = Zeroizing::new("s3cret".to_owned());
    let access = Access::new(None, (mode & 1 == 1).then_some(&password));
    let view = view(now);
    let around = Surroundings {
        view: &view,
        access: &access,
        server: facts(now),
        now,
    };
    let mut session = Session::new(1, &access, now);
    if mode & 2 == 2 {
        session.protocol = Protocol::Resp3;
    }
    let mut unfinished = Vec::new();
    while !input.is_empty() {
        unfinished.extend_from_slice(input.part());
        let mut taken = 0;
        loop {
            match parse(&unfinished[taken..]) {
                Ok(Parsed::Command(words, length)) => {
                    assert!(length > 0 && !words.is_empty());
                    taken += length;
                    let mut answers = Vec::new();
                    let next = session.answer(&words, &around, &mut answers);
                    assert!(!answers.is_empty() || matches!(next, Next::Failover(_)));
                    assert_whole(&answers);
                    if next != Next::Go {
                        return;
                    }
                }
                Ok(Parsed::Nothing(length)) => {
                    assert!(length > 0);
                    taken += length;
                }
                Ok(Parsed::Incomplete) => break,
                Err(unreadable) => {
                    let mut answers = Vec::new();
                    Replies::new(session.protocol, &mut answers).error(unreadable);
                    assert_whole(&answers);
                    return;
                }
            }
        }
        unfinished.drain(..taken);
        assert!(
            unfinished.len() < COMMAND_LENGTH_MAX,
            "more is kept than a command may have"
        );
    }
    let mut heard = Vec::new();
    for channel in ["+switch-master", "-sdown", "+slave"] {
        let event = (channel, "features".to_owned());
        session
            .subscriptions
            .deliver(&Announcement::of(&event), session.protocol, &mut heard);
    }
    assert_whole(&heard);
}

/// Another parser understands all of it.
fn assert_whole(answers: &[u8]) {
    let marked = [answers, b"+the end\r\n"].concat();
    let mut reader = &marked[..];
    let mut parser = redis::Parser::new();
    let end = redis::Value::SimpleString("the end".to_owned());
    loop {
        match parser.parse_value(&mut reader) {
            Ok(value) if value == end => return,
            Ok(_) => {}
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(answers)),
        }
    }
}

fn facts(now: Instant) -> ServerFacts {
    ServerFacts {
        started_at: now,
        port: 26379,
        clients: 1,
        subscribers: 0,
        clients_max: 10,
        accepted: 1,
        rejected: 0,
        commands: 0,
        dropped: 0,
    }
}

fn view(now: Instant) -> View {
    let endpoint = |text: &str| text.parse::<Endpoint>().expect("an endpoint");
    let instance = |text: &str| InstanceOutline {
        endpoint: endpoint(text),
        down_since: None,
        is_connected: true,
        answered_at: Some(now),
        read: None,
    };
    let outline = GroupOutline {
        name: "features".parse().expect("a name"),
        epoch: Epoch(1),
        master: endpoint("10.0.0.1:6379"),
        run_id: RunId::from_bytes([1; 20]),
        replaced: None,
        open: None,
        phase: Phase::Watching,
        is_down: false,
        quorum: 2,
        down_after: Duration::from_secs(1),
        promote_timeout: Duration::from_secs(5),
        parallel_syncs: 1,
        instances: vec![instance("10.0.0.1:6379"), instance("10.0.0.2:6379")],
    };
    let group = GroupView::after(None, outline, now);
    View {
        taken_at: now,
        node: name("a"),
        cluster: None,
        leader: Some(name("b")),
        term: Term(1),
        leaderless_since: None,
        election_max: Duration::from_millis(600),
        is_confirmed: true,
        peers: vec![PeerView {
            node: name("b"),
            sentinel: Some(endpoint("10.0.0.2:26379")),
            is_connected: true,
            heard_at: Some(now),
        }],
        groups: BTreeMap::from([(group.outline.name.clone(), Arc::new(group))]),
    }
}
