//! What each path answers. The loop is only ever asked; all else happens beside it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::events::EventFeed;
use super::operate;
use super::refusal::Refusal;
use super::schema::{GroupAnswer, Readiness, StatusReport};
use super::schema_history::HistoryReport;
use super::source::{Question, StatusSource};
use super::verdict;

/// How long the loop may take to answer.
pub const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);
/// Event streams at once.
pub const STREAMS_MAX: usize = 32;
/// Longest part of a name that an error repeats, in characters.
const NAME_SHOWN_MAX: usize = 64;

/// What the answers are made from.
#[derive(Debug, Clone)]
pub struct Desk {
    questions: mpsc::Sender<Question>,
    feed: EventFeed,
    streams: Arc<Semaphore>,
}

impl Desk {
    /// A desk that asks by `questions` and passes on `feed`.
    pub fn new(questions: mpsc::Sender<Question>, feed: EventFeed) -> Self {
        Self {
            questions,
            feed,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    /// Asks the loop, which has two seconds.
    pub(super) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.questions
            .try_send(question(answer))
            .map_err(|error| match error {
                TrySendError::Full(_) => Refusal::Busy,
                TrySendError::Closed(_) => Refusal::Stopping,
            })?;
        match timeout(ANSWER_WAIT_MAX, answered).await {
            Ok(answer) => answer.map_err(|_| Refusal::Stopping),
            Err(_) => Err(Refusal::TooSlow {
                waited_ms: u64::try_from(ANSWER_WAIT_MAX.as_millis()).unwrap_or(u64::MAX),
            }),
        }
    }

    /// Asks for an overview and answers with what `make` makes of it.
    ///
    /// That is done on another thread: the loop shares ours.
    async fn report<R: Serialize>(
        &self,
        make: impl FnOnce(&StatusSource) -> Result<(StatusCode, R), Refusal> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let source = self.ask(Question::Overview).await?;
        let written = tokio::task::spawn_blocking(move || {
            let (status, report) = make(&source)?;
            let body = serde_json::to_vec(&report).map_err(|_| Refusal::Unwritable)?;
            Ok((status, body))
        });
        let (status, body) = written.await.map_err(|_| Refusal::Unwritable)??;
        let kind = [(header::CONTENT_TYPE, "application/json")];
        Ok((status, kind, body).into_response())
    }
}

/// All paths of the status socket.
pub fn router(desk: Desk) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/groups/{name}", get(group))
        .route("/v1/history", get(history))
        .route("/v1/rescues", get(rescues))
        .route("/v1/events", get(events))
        .route("/v1/operations/{id}", get(operate::operation))
        .route("/v1/pause", post(operate::pause_all))
        .route("/v1/resume", post(operate::resume_all))
        .route("/v1/reload", post(operate::reload))
        .route("/v1/groups/{name}/pause", post(operate::pause_group))
        .route("/v1/groups/{name}/resume", post(operate::resume_group))
        .route("/v1/groups/{name}/adopt", post(operate::adopt_group))
        .route(
            "/v1/groups/{name}/switchover",
            post(operate::switchover_group),
        )
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .fallback(async || Refusal::UnknownPath)
        .method_not_allowed_fallback(async || Refusal::WrongMethod)
        .with_state(desk)
}

async fn status(State(desk): State<Desk>) -> Result<Response, Refusal> {
    desk.report(|source| Ok((StatusCode::OK, StatusReport::from(source))))
        .await
}

async fn history(State(desk): State<Desk>) -> Result<Response, Refusal> {
    desk.report(|source| Ok((StatusCode::OK, HistoryReport::from(source))))
        .await
}

async fn rescues(State(desk): State<Desk>) -> Result<Response, Refusal> {
    let report = desk.ask(Question::Rescues).await?;
    Ok(axum::Json(report).into_response())
}

async fn group(
    State(desk): State<Desk>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    // A name that is no text is no group's.
    let name = name.map_or_else(|_| "?".to_owned(), |Path(name)| name);
    desk.report(move |source| match GroupAnswer::find(source, &name) {
        Some(answer) => Ok((StatusCode::OK, answer)),
        None => Err(Refusal::UnknownGroup {
            name: name.chars().take(NAME_SHOWN_MAX).collect(),
            known: source
                .groups
                .iter()
                .map(|group| group.name.to_string())
                .collect(),
        }),
    })
    .await
}

async fn alive(State(desk): State<Desk>) -> Result<Response, Refusal> {
    desk.ask(Question::Alive).await?;
    Ok(axum::Json(json!({"alive": true})).into_response())
}

async fn ready(State(desk): State<Desk>) -> Result<Response, Refusal> {
    desk.report(|source| {
        let reasons = verdict::obstacles(&StatusReport::from(source));
        let ready = reasons.is_empty();
        let status = if ready {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        Ok((status, Readiness { ready, reasons }))
    })
    .await
}

async fn events(State(desk): State<Desk>) -> Result<Response, Refusal> {
    let place = desk
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Refusal::TooManyStreams { max: STREAMS_MAX })?;
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(desk.feed.stream(place))).into_response())
}
