//! Tests of the server over a real Unix socket, with the tests' own answers in place of the loop's.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::client::{self, ClientError};
use super::operate_tests::{operated, overview};
use super::routes::{ANSWER_WAIT_MAX, STREAMS_MAX};
use super::server::{CONNECTIONS_MAX, REQUEST_WAIT_MAX};
use super::{
    EventFeed, Gatekeeper, OperationState, Question, ReloadReport, RescuesReport, StatusServer,
    StatusSource, example,
};
use crate::decision::Happening;
use crate::model::UnixTime;

pub(super) struct Daemon {
    _directory: TempDir,
    socket: PathBuf,
    feed: EventFeed,
    server: JoinHandle<std::convert::Infallible>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A server whose questions, as many as `capacity` at once, arrive at the receiver.
pub(super) async fn serve(capacity: usize) -> (Daemon, mpsc::Receiver<Question>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    let feed = EventFeed::new("b".parse().unwrap());
    let (questions, asked) = mpsc::channel(capacity);
    let server = StatusServer::bind(&socket).await.unwrap();
    let gatekeeper = Gatekeeper::new("no-such-group-here");
    let server = tokio::spawn(server.serve(questions, feed.clone(), gatekeeper));
    let daemon = Daemon {
        _directory: directory,
        socket,
        feed,
        server,
    };
    (daemon, asked)
}

/// A server whose loop always answers with `source`.
pub(super) async fn serve_source(source: StatusSource) -> Daemon {
    let (daemon, mut asked) = serve(8).await;
    tokio::spawn(async move {
        while let Some(question) = asked.recv().await {
            match question {
                Question::Alive(answer) => drop(answer.send(())),
                Question::Overview(answer) => drop(answer.send(source.clone())),
                Question::Operate(order, answer) => drop(answer.send(operated(order))),
                Question::Operation(operation, answer) => {
                    drop(answer.send(overview(operation, OperationState::Unknown)));
                }
                Question::Rescues(answer) => drop(answer.send(RescuesReport::default())),
                Question::Reload(answer) => drop(answer.send(ReloadReport::default())),
            }
        }
    });
    daemon
}

impl Daemon {
    /// Sends bytes and returns all that comes back until the server closes.
    pub(super) async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        // The server may have closed already: what it said is what matters.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Status code, head and body of the answer to one request.
    pub(super) async fn request(&self, line: &str) -> (u16, String, Value) {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = self.exchange(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        (status, head.to_owned(), body)
    }
}

#[tokio::test]
async fn each_path_answers_with_its_own_json() {
    let daemon = serve_source(example::after_failover()).await;
    let (status, head, body) = daemon.request("GET /v1/status").await;
    assert_eq!((status, &body["node"]), (200, &json!("b")));
    assert!(head.contains("content-type: application/json"), "{head}");
    let (status, _, body) = daemon.request("GET /v1/groups/features").await;
    assert_eq!((status, &body["master"]), (200, &json!("10.0.0.2:6379")));
    assert_eq!(body["schema"], 1);
    let (status, _, body) = daemon.request("GET /v1/history").await;
    assert_eq!((status, &body["failovers"][0]["epoch"]), (200, &json!(2)));
    let (status, _, body) = daemon.request("GET /livez").await;
    assert_eq!((status, body), (200, json!({"alive": true})));
    let (status, _, body) = daemon.request("GET /readyz").await;
    assert_eq!((status, body), (200, json!({"ready": true, "reasons": []})));
    let (status, _, body) = daemon.request("HEAD /v1/status").await;
    assert_eq!((status, body), (200, Value::Null));
}

#[tokio::test]
async fn what_is_not_there_is_refused_with_what_is() {
    let daemon = serve_source(example::healthy()).await;
    let paths = "no such path: there are /v1/status, /v1/groups/NAME, /v1/history, /v1/rescues, /v1/events, \
                 /v1/operations/ID, /livez and /readyz; and by POST /v1/pause, /v1/resume, /v1/reload, \
                 /v1/groups/NAME/pause, /v1/groups/NAME/resume, /v1/groups/NAME/adopt and \
                 /v1/groups/NAME/switchover";
    let method = "not by this method: what is read is asked for by GET or HEAD, what is changed by \
                  POST";
    for (line, expected, reason) in [
        ("GET /", 404, paths),
        ("GET /v1/statuses", 404, paths),
        ("GET /v1/groups/", 404, paths),
        ("GET /v1/groups/a/b", 404, paths),
        (
            "GET /v1/groups/feature",
            404,
            "no group is called \"feature\": there are features",
        ),
        (
            "GET /v1/groups/%ff",
            404,
            "no group is called \"?\": there are features",
        ),
        ("POST /v1/status", 405, method),
        ("DELETE /livez", 405, method),
        ("GET /v1/pause", 405, method),
    ] {
        let (status, head, body) = daemon.request(line).await;
        assert_eq!(
            (status, body),
            (expected, json!({"error": reason})),
            "{line}"
        );
        let allows = head.contains("allow: GET,HEAD") || head.contains("allow: POST");
        assert_eq!(allows, expected == 405, "{head}");
    }
    let long = format!("GET /v1/groups/{}", "é".repeat(500).replace('é', "%C3%A9"));
    let (status, _, body) = daemon.request(&long).await;
    assert_eq!(status, 404);
    let shown = format!("\"{}\"", "é".repeat(64));
    assert!(body["error"].as_str().unwrap().contains(&shown), "{body}");
}

#[tokio::test]
async fn a_node_that_is_not_ready_says_why() {
    let daemon = serve_source(example::discovering()).await;
    let (status, _, body) = daemon.request("GET /readyz").await;
    assert_eq!((status, &body["ready"]), (503, &json!(false)));
    assert_eq!(body["reasons"].as_array().unwrap().len(), 3, "{body}");
    assert_eq!(daemon.request("GET /livez").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_does_not_answer_costs_a_client_two_seconds_and_a_503() {
    let (daemon, mut asked) = serve(8).await;
    let started = Instant::now();
    let (status, _, body) = daemon.request("GET /livez").await;
    assert_eq!(status, 503);
    assert_eq!(
        body["error"],
        "the daemon did not answer within 2000 ms: its loop is stuck or starved"
    );
    assert!(started.elapsed() >= ANSWER_WAIT_MAX && started.elapsed() < ANSWER_WAIT_MAX * 2);
    let Some(Question::Alive(answer)) = asked.recv().await else {
        panic!("the question was asked");
    };
    assert!(answer.is_closed());
}

#[tokio::test]
async fn questions_beyond_what_the_loop_takes_are_refused_at_once() {
    let (daemon, mut asked) = serve(1).await;
    let mut first = UnixStream::connect(&daemon.socket).await.unwrap();
    first
        .write_all(b"GET /livez HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    while asked.is_empty() {
        tokio::task::yield_now().await;
    }
    let (status, _, body) = daemon.request("GET /livez").await;
    assert_eq!(status, 503);
    assert_eq!(
        body["error"],
        "the daemon is asked too much at once: try again"
    );
    match asked.recv().await.unwrap() {
        Question::Alive(answer) => answer.send(()).unwrap(),
        Question::Overview(_)
        | Question::Operate(..)
        | Question::Operation(..)
        | Question::Rescues(_)
        | Question::Reload(_) => {
            panic!("nobody asked for it")
        }
    }
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    drop(asked);
    let (status, _, body) = daemon.request("GET /v1/status").await;
    assert_eq!(
        (status, &body["error"]),
        (503, &json!("the daemon is stopping"))
    );
}

#[tokio::test]
async fn events_arrive_as_they_happen_and_a_lagging_reader_goes_on() {
    let daemon = serve_source(example::healthy()).await;
    let mut events = client::events(&daemon.socket).await.unwrap();
    let hello: Value = serde_json::from_str(&events.next().await.unwrap().unwrap()).unwrap();
    assert_eq!(
        (&hello["event"], &hello["node"]),
        (&json!("hello"), &json!("b"))
    );
    daemon
        .feed
        .publish(&Happening::Slept { for_ms: 7 }, UnixTime(9));
    assert_eq!(
        events.next().await.unwrap().unwrap(),
        r#"{"event":"slept","for_ms":7,"at":9,"node":"b"}"#
    );
    // One thread: the server does not run before the next wait, so the reader falls behind.
    for for_ms in 0..300 {
        daemon
            .feed
            .publish(&Happening::Slept { for_ms }, UnixTime(10));
    }
    assert_eq!(
        events.next().await.unwrap().unwrap(),
        r#"{"event":"lagged","missed":44}"#
    );
    for for_ms in 44..300 {
        let line: Value = serde_json::from_str(&events.next().await.unwrap().unwrap()).unwrap();
        assert_eq!(line["for_ms"], for_ms);
    }
}

#[tokio::test]
async fn a_stream_too_many_is_refused_until_another_reader_leaves() {
    let daemon = serve_source(example::healthy()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        let mut stream = client::events(&daemon.socket).await.unwrap();
        stream.next().await.unwrap().unwrap();
        streams.push(stream);
    }
    let error = client::events(&daemon.socket).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused { status: 503, reason, .. }
            if reason == "32 event streams are open already: close one"),
        "{error}"
    );
    assert_eq!(daemon.request("GET /v1/status").await.0, 200);
    streams.pop();
    // Nothing is published: the server sees by itself that the reader left.
    let reopened = async {
        while client::events(&daemon.socket).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reopened)
        .await
        .unwrap();
}

#[tokio::test]
async fn streams_end_and_the_socket_goes_when_the_server_is_dropped() {
    let daemon = serve_source(example::healthy()).await;
    let mut events = client::events(&daemon.socket).await.unwrap();
    events.next().await.unwrap().unwrap();
    daemon.server.abort();
    let ended = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
    assert!(matches!(
        ended.unwrap(),
        Ok(None) | Err(ClientError::Broken { .. })
    ));
    assert!(!daemon.socket.exists());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_or_half_of_it_is_dropped() {
    let daemon = serve_source(example::healthy()).await;
    for said in [
        "",
        "GET /v1/status HT",
        "GET /livez HTTP/1.1\r\nHost: x\r\n",
    ] {
        let started = Instant::now();
        let answer = daemon.exchange(said.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{answer}");
        let waited = started.elapsed();
        assert!(
            waited >= REQUEST_WAIT_MAX && waited < REQUEST_WAIT_MAX * 2,
            "{said}: {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn silent_clients_on_all_places_do_not_keep_others_out_for_long() {
    let daemon = serve_source(example::healthy()).await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        silent.push(UnixStream::connect(&daemon.socket).await.unwrap());
    }
    let started = Instant::now();
    assert_eq!(daemon.request("GET /livez").await.0, 200);
    let waited = started.elapsed();
    assert!(
        waited >= REQUEST_WAIT_MAX && waited < REQUEST_WAIT_MAX * 2,
        "{waited:?}"
    );
}

#[tokio::test]
async fn garbage_does_no_harm() {
    let daemon = serve_source(example::healthy()).await;
    let long_path = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let many_headers = format!("GET /livez HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(100));
    for garbage in [
        b"\0\0\0\0\r\n\r\n".as_slice(),
        b"\xff\xfe\xfd garbage\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"GET /livez HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        long_path.as_bytes(),
        many_headers.as_bytes(),
    ] {
        let answer = daemon.exchange(garbage).await;
        let shown = String::from_utf8_lossy(&garbage[..garbage.len().min(40)]);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{shown}: {answer}"
        );
        assert_eq!(daemon.request("GET /livez").await.0, 200, "{shown}");
    }
}

#[tokio::test]
async fn a_body_is_not_waited_for_and_a_second_request_is_not_read() {
    let daemon = serve_source(example::healthy()).await;
    let answer = daemon
        .exchange(b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n{")
        .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    let answer = daemon
        .exchange(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
}
