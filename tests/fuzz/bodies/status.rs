//! The status socket: requests that are none, and answers of somebody who is no daemon.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use promoterd::model::{Incarnation, Term, UnixTime};
use promoterd::status::{
    EngineOverview, EngineRole, EventFeed, Gatekeeper, HistoryReport, OperationOverview,
    OperationReport, OperationState, Question, ReloadReport, RescuesReport, StatusReport,
    StatusServer, StatusSource, client, render, verdict,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::Input;
use super::node::{CLUSTER, Trio};
use super::peers::name;

/// An event stream goes on for as long as somebody listens.
const LISTEN_MAX: Duration = Duration::from_millis(20);
/// Any other answer ends by itself.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Any bytes to the real server.
pub fn request(bytes: &[u8]) {
    let mut stream = UnixStream::connect(server()).expect("the server accepts");
    let streams = contains(bytes, b"event");
    let wait = if streams { LISTEN_MAX } else { ANSWER_MAX };
    stream.set_read_timeout(Some(wait)).expect("a time limit");
    // It may have closed already.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let is_late = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    assert!(streams || !ended.is_err_and(is_late), "no end of an answer");
    let code = answer.get(9..12).map(String::from_utf8_lossy);
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1."),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert_ne!(code.as_deref(), Some("500"), "it made a mistake");
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A server that runs for as long as the process does.
fn server() -> &'static Path {
    static SERVER: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let start = || {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("status.sock");
        let bound = socket.clone();
        let (ready, is_ready) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let server = StatusServer::bind(&bound).await.expect("a socket");
                ready.send(()).expect("somebody waits");
                let (questions, asked) = mpsc::channel(16);
                tokio::spawn(answer_all(asked));
                let feed = EventFeed::new(name("a"));
                server
                    .serve(questions, feed, Gatekeeper::new("no-such-group-here"))
                    .await;
            });
        });
        is_ready.recv().expect("the server starts");
        (directory, socket)
    };
    &SERVER.get_or_init(start).1
}

async fn answer_all(mut asked: mpsc::Receiver<Question>) {
    let source = source();
    let overview = |operation| OperationOverview {
        operation,
        state: OperationState::Done,
        groups: Vec::new(),
    };
    while let Some(question) = asked.recv().await {
        match question {
            Question::Alive(answer) => drop(answer.send(())),
            Question::Overview(answer) => drop(answer.send(source.clone())),
            Question::Operate(order, answer) => drop(answer.send(Ok(overview(order.operation)))),
            Question::Operation(operation, answer) => drop(answer.send(overview(operation))),
            Question::Rescues(answer) => drop(answer.send(RescuesReport::default())),
            Question::Reload(answer) => drop(answer.send(ReloadReport::default())),
        }
    }
}

/// What a daemon of three knows.
pub fn source() -> StatusSource {
    StatusSource {
        node: name("a"),
        engine: EngineOverview {
            role: EngineRole::Leader,
            leader: Some(name("a")),
            term: Term(2),
        },
        cluster: Some(CLUSTER),
        incarnation: Incarnation(1),
        waiting: None,
        voters: Vec::new(),
        groups: Trio::with_leader().overview(),
        readers: BTreeMap::new(),
        files: Vec::new(),
        confirmed: true,
        following: None,
        observers: None,
        uptime: Duration::from_secs(7),
    }
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    static DIRECTORY: TempDir = tempfile::tempdir().expect("a directory");
}

/// First byte: what is asked, and whether the rest is the body of a decent answer or all of it.
pub fn answer(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mode = input.byte();
    let mut said = Vec::new();
    if mode & 4 == 0 {
        said.extend_from_slice(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    }
    said.extend_from_slice(input.rest());
    DIRECTORY.with(|directory| {
        let socket = directory.path().join("status.sock");
        let _ = std::fs::remove_file(&socket);
        RUNTIME.with(|runtime| runtime.block_on(ask(&socket, mode & 3, &said)));
    });
}

async fn ask(socket: &Path, what: u8, said: &[u8]) {
    let listener = UnixListener::bind(socket).expect("a socket");
    let impostor = async {
        let (mut stream, _) = listener.accept().await.expect("somebody asks");
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(said).await;
    };
    let asking = async {
        match what {
            0 => {
                let Ok(report) = client::get::<StatusReport>(socket, "/v1/status").await else {
                    return;
                };
                let page = render(&report, UnixTime(1_700_000_000_000));
                let is_text = |character: char| character == '\n' || !character.is_control();
                assert!(page.chars().all(is_text), "a page that moves the cursor");
                drop(verdict::obstacles(&report));
            }
            1 => drop(client::get::<HistoryReport>(socket, "/v1/history").await),
            2 => drop(client::get::<OperationReport>(socket, "/v1/operations/1").await),
            _ => {
                let Ok(mut events) = client::events(socket).await else {
                    return;
                };
                while let Ok(Some(line)) = events.next().await {
                    assert!(line.len() <= client::LINE_LENGTH_MAX);
                }
            }
        }
    };
    tokio::join!(impostor, asking);
}
