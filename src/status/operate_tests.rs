//! Tests of the paths that change something, over a real Unix socket, with the tests' own answers.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::server::REQUEST_WAIT_MAX;
use super::server_tests::{Daemon, serve, serve_source};
use super::{
    AdoptionOverview, OperatedOverview, OperationOverview, OperationState, Order, Question, example,
};
use crate::decision::{Impossible, OperationId, Pause, PausedBy, Requester, Scope, Wish};
use crate::model::{GroupName, UnixTime};

pub(super) fn overview(operation: OperationId, state: OperationState) -> OperationOverview {
    OperationOverview {
        operation,
        state,
        groups: Vec::new(),
    }
}

/// The loop of a cluster with one group: what it says of what it was asked for.
pub(super) fn operated(order: Order) -> Result<OperationOverview, Impossible> {
    let features: GroupName = "features".parse().unwrap();
    match &order.scope {
        Scope::Group(group) if *group != features => Err(Impossible::UnknownGroup {
            group: group.clone(),
            known: vec![features],
        }),
        Scope::Group(_) | Scope::All => Ok(OperationOverview {
            groups: vec![OperatedOverview {
                group: features.clone(),
                pause: pause_of(features, order.clone()),
                adoption: adoption_of(order.wish.clone()),
                switchover: None,
            }],
            ..overview(order.operation, OperationState::Done)
        }),
    }
}

fn pause_of(group: GroupName, order: Order) -> Option<Pause> {
    let Wish::Pause { lasts, reason } = order.wish else {
        return None;
    };
    Some(Pause {
        group,
        at: UnixTime(1_770_000_000_000),
        lasts,
        reason,
        by: PausedBy::Admin {
            by: Requester::new(order.uid, order.user, "b".parse().unwrap()),
            operation: order.operation,
        },
    })
}

fn adoption_of(wish: Wish) -> Option<AdoptionOverview> {
    let Wish::Adopt { master } = wish else {
        return None;
    };
    Some(AdoptionOverview {
        master,
        others: vec![(
            example::endpoint("10.0.0.2:6379"),
            "is a master too".to_owned(),
        )],
    })
}

impl Daemon {
    /// Status code and body of the answer to one `POST`.
    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let request =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = self.exchange(request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

#[tokio::test]
async fn a_pause_is_asked_for_by_post_and_answered_with_the_pause_that_stands() {
    let daemon = serve_source(example::healthy()).await;
    let own = rustix::process::geteuid().as_raw();
    let body = r#"{"operation":"00000000000000a1","for_ms":1500,"reason":"new disks"}"#;
    for path in ["/v1/groups/features/pause", "/v1/pause"] {
        let (status, answer) = daemon.post(path, body).await;
        let pause = &answer["groups"][0]["paused"];
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            (&answer["operation"], &answer["state"]),
            (&json!("00000000000000a1"), &json!("done"))
        );
        assert_eq!(
            (&pause["until"], &pause["reason"]),
            (&json!(1_770_000_001_500_u64), &json!("new disks"))
        );
        let by = pause["by"].as_str().unwrap();
        assert!(
            by.contains(&format!("uid {own}")) && by.ends_with(" on b"),
            "{by}"
        );
    }
    for path in ["/v1/groups/features/resume", "/v1/resume"] {
        let (status, answer) = daemon.post(path, "").await;
        assert_eq!(
            (status, &answer["groups"][0]["paused"]),
            (200, &Value::Null)
        );
        assert_eq!(answer["operation"].as_str().unwrap().len(), 16);
    }
    let (status, _, answer) = daemon.request("GET /v1/operations/00000000000000a1").await;
    assert_eq!((status, &answer["state"]), (200, &json!("unknown")));
}

#[tokio::test]
async fn an_adoption_is_answered_with_the_master_and_what_becomes_of_the_others() {
    let daemon = serve_source(example::healthy()).await;
    let body = r#"{"operation":"00000000000000a1","master":"10.0.0.1:6379"}"#;
    let (status, answer) = daemon.post("/v1/groups/features/adopt", body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["groups"][0]["adopted"],
        json!({
            "master": "10.0.0.1:6379",
            "others": [{"endpoint": "10.0.0.2:6379", "outlook": "is a master too"}]
        })
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_reason() {
    let daemon = serve_source(example::healthy()).await;
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(5000));
    for (path, body, expected, reason) in [
        (
            "/v1/groups/feature/pause",
            "",
            409,
            "no group is called \"feature\": there are features",
        ),
        (
            "/v1/groups/f%20x/pause",
            "",
            400,
            "that is no name of a group",
        ),
        (
            "/v1/groups/feature/adopt",
            r#"{"master":"10.0.0.1:6379"}"#,
            409,
            "no group is called \"feature\": there are features",
        ),
        (
            "/v1/groups/features/adopt",
            "",
            400,
            "name the master: {\"master\": \"HOST:PORT\"}",
        ),
        (
            "/v1/groups/features/adopt",
            r#"{"master":"10.0.0.1"}"#,
            400,
            "\"10.0.0.1\" has no port",
        ),
        ("/v1/adopt", "{}", 404, "no such path"),
        ("/v1/pause", "{", 400, "not understood: EOF"),
        ("/v1/pause", "{\"until\":1}", 400, "unknown field `until`"),
        ("/v1/pause", "{\"for_ms\":0}", 400, "for_ms is 1 to"),
        (
            "/v1/pause",
            "{\"for_ms\":31536000001}",
            400,
            "for_ms is 1 to",
        ),
        (
            "/v1/pause",
            "{\"reason\":\"a\\nb\"}",
            400,
            "a reason is one line",
        ),
        ("/v1/pause", &long, 413, "longer than 4096 bytes"),
    ] {
        let (status, answer) = daemon.post(path, body).await;
        assert_eq!(status, expected, "{path} {body}: {answer}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(reason), "{path} {body}: {error}");
    }
    let (status, _, answer) = daemon.request("GET /v1/operations/7").await;
    assert_eq!(status, 400, "{answer}");
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_not_committed_in_time_is_answered_as_open() {
    let (daemon, mut asked) = serve(8).await;
    let (status, answer) = daemon.post("/v1/resume", "").await;
    assert_eq!(
        (status, &answer["state"]),
        (202, &json!("open")),
        "{answer}"
    );
    assert!(matches!(asked.recv().await, Some(Question::Operate(..))));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let daemon = serve_source(example::healthy()).await;
    let started = Instant::now();
    let answer = daemon
        .exchange(b"POST /v1/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{")
        .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(started.elapsed() < REQUEST_WAIT_MAX * 2);
}
