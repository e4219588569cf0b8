//! Tests of the client against servers that are none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::Instant;

use super::client::{
    self, ANSWER_LENGTH_MAX, ANSWER_WAIT_MAX, ClientError, Events, LINE_LENGTH_MAX,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";

/// Answers one request with `head`, then `body` again and again, `times` in all; then closes.
fn impostor(head: &'static str, body: Vec<u8>, times: usize) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(head.as_bytes()).await;
        for _ in 0..times {
            if stream.write_all(&body).await.is_err() {
                return;
            }
        }
    });
    (directory, socket)
}

async fn get(socket: &Path) -> Result<Value, ClientError> {
    client::get(socket, "/v1/status").await
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let chunk = vec![b' '; 64 * 1024];
    let (_directory, socket) = impostor(HEAD, chunk, ANSWER_LENGTH_MAX / (64 * 1024) + 1);
    let error = get(&socket).await.unwrap_err();
    assert!(matches!(error, ClientError::Unbounded { .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_http_and_what_is_no_json_are_told_apart() {
    let (_directory, socket) = impostor("-ERR unknown command\r\n", Vec::new(), 0);
    let error = get(&socket).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    let (_directory, socket) = impostor(HEAD, b"<html>".to_vec(), 1);
    let error = get(&socket).await.unwrap_err();
    assert!(
        matches!(error, ClientError::NotUnderstood { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_its_reason() {
    let head = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n";
    for (body, expected) in [
        (
            r#"{"error": "the daemon is stopping"}"#,
            "the daemon is stopping",
        ),
        ("bad gateway", "bad gateway"),
    ] {
        let (_directory, socket) = impostor(head, body.as_bytes().to_vec(), 1);
        let error = get(&socket).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Refused { status: 503, reason, .. } if reason == expected),
            "{error}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_accepts_and_says_nothing_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let started = Instant::now();
    let error = get(&socket).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    let error = client::events(&socket).await.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    assert!(started.elapsed() < 2 * ANSWER_WAIT_MAX + Duration::from_secs(1));
}

#[tokio::test]
async fn a_line_without_end_is_cut_off() {
    let chunk = vec![b'x'; 64 * 1024];
    let (_directory, socket) = impostor(HEAD, chunk, 2 * LINE_LENGTH_MAX / (64 * 1024));
    let mut events = client::events(&socket).await.unwrap();
    let error = events.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Unbounded { .. }), "{error}");
}

#[tokio::test]
async fn lines_are_told_apart_however_they_arrive() {
    async fn all(events: &mut Events) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = events.next().await.unwrap() {
            lines.push(line);
        }
        lines
    }
    let (_directory, socket) = impostor(HEAD, b"a\n\nb\nc".to_vec(), 2);
    let mut events = client::events(&socket).await.unwrap();
    assert_eq!(all(&mut events).await, ["a", "", "b", "ca", "", "b"]);
}
