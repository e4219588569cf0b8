//! The paths that change something: `POST`, for administrators only, with a small body.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::admin::{Admin, Caller, Gatekeeper};
use super::refusal::Refusal;
use super::routes::Desk;
use super::schema_pause::OperationReport;
use super::server::REQUEST_WAIT_MAX;
use super::source::{OperationState, Order, Question};
use crate::decision::{OperationId, Reason, Scope, TRIED_FOR_MAX, Wish};
use crate::model::Endpoint;

/// Largest body of a request in bytes.
pub const BODY_LENGTH_MAX: usize = 4096;
/// How long a pause may last; longer ones are better without an end.
const PAUSE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a switchover is tried for when nobody says how long.
const SWITCHOVER_WITHIN: Duration = Duration::from_secs(10);

/// The body of `POST …/pause`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PauseOrder {
    /// The number of the operation; drawn by the daemon when none is given.
    pub operation: Option<OperationId>,
    /// Milliseconds; without it, until somebody resumes.
    pub for_ms: Option<u64>,
    /// Why, in one line.
    pub reason: Option<Reason>,
}

/// The body of `POST …/resume`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResumeOrder {
    /// The number of the operation; drawn by the daemon when none is given.
    pub operation: Option<OperationId>,
}

/// `POST /v1/pause`
pub async fn pause_all(
    State(desk): State<Desk>,
    caller: Extension<Option<Caller>>,
    gate: Extension<Gatekeeper>,
    body: Body,
) -> Result<Response, Refusal> {
    pause(desk, Scope::All, (caller, gate), body).await
}

/// `POST /v1/groups/NAME/pause`
pub async fn pause_group(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    caller: Extension<Option<Caller>>,
    gate: Extension<Gatekeeper>,
    body: Body,
) -> Result<Response, Refusal> {
    pause(desk, named(&name)?, (caller, gate), body).await
}

/// `POST /v1/resume`
pub async fn resume_all(
    State(desk): State<Desk>,
    caller: Extension<Option<Caller>>,
    gate: Extension<Gatekeeper>,
    body: Body,
) -> Result<Response, Refusal> {
    resume(desk, Scope::All, (caller, gate), body).await
}

/// `POST /v1/groups/NAME/resume`
pub async fn resume_group(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    caller: Extension<Option<Caller>>,
    gate: Extension<Gatekeeper>,
    body: Body,
) -> Result<Response, Refusal> {
    resume(desk, named(&name)?, (caller, gate), body).await
}

/// The body of `POST …/adopt`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdoptOrder {
    /// The number of the operation; drawn by the daemon when none is given.
    pub operation: Option<OperationId>,
    /// The instance that is to be the master.
    pub master: Option<Endpoint>,
}

/// `POST /v1/groups/NAME/adopt`
pub async fn adopt_group(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    caller: Extension<Option<Caller>>,
    gate: Extension<Gatekeeper>,
    body: Body,
) -> Result<Response, Refusal> {
    let scope = named(&name)?;
    let admitted = admit((caller, gate)).await?;
    let order: AdoptOrder = read(body).await?;
    let master = order.master.ok_or_else(|| Refusal::BadRequest {
        why: "name the master: {\"master\": \"HOST:PORT\"}".to_owned(),
    })?;
    let wish = Wish::Adopt { master };
    operate(desk, admitted, order.operation, scope, wish).await
}

/// The body of `POST …/switchover`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwitchoverOrder {
    /// The number of the operation; drawn by the daemon when none is given.
    pub operation: Option<OperationId>,
    /// The replica that is to be the master; the best one when none is named.
    pub to: Option<Endpoint>,
    /// Milliseconds for which it is tried; ten seconds when none are given.
    pub within_ms: Option<u64>,
    /// Why, in one line.
    pub reason: Option<Reason>,
}

/// `POST /v1/groups/NAME/switchover`
pub async fn switchover_group(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    caller: Extension<Option<Caller>>,
    gate: Extension<Gatekeeper>,
    body: Body,
) -> Result<Response, Refusal> {
    let scope = named(&name)?;
    let admitted = admit((caller, gate)).await?;
    let order: SwitchoverOrder = read(body).await?;
    let within = order
        .within_ms
        .map_or(SWITCHOVER_WITHIN, Duration::from_millis);
    if within.is_zero() || within > TRIED_FOR_MAX {
        return Err(Refusal::BadRequest {
            why: format!("within_ms is 1 to {}", TRIED_FOR_MAX.as_millis()),
        });
    }
    let wish = Wish::Switchover {
        to: order.to,
        within,
        reason: order.reason,
    };
    operate(desk, admitted, order.operation, scope, wish).await
}

/// `POST /v1/reload`
pub async fn reload(
    State(desk): State<Desk>,
    caller: Extension<Option<Caller>>,
    gate: Extension<Gatekeeper>,
) -> Result<Response, Refusal> {
    admit((caller, gate)).await?;
    let report = desk.ask(Question::Reload).await?;
    write(StatusCode::OK, &report)
}

/// `GET /v1/operations/ID`
pub async fn operation(
    State(desk): State<Desk>,
    Path(operation): Path<String>,
) -> Result<Response, Refusal> {
    let operation = operation.parse().map_err(|_| Refusal::BadRequest {
        why: "an operation has 16 hexadecimal digits".to_owned(),
    })?;
    let found = desk
        .ask(|answer| Question::Operation(operation, answer))
        .await?;
    write(StatusCode::OK, &OperationReport::from(&found))
}

type Gate = (Extension<Option<Caller>>, Extension<Gatekeeper>);

async fn pause(desk: Desk, scope: Scope, gate: Gate, body: Body) -> Result<Response, Refusal> {
    let admitted = admit(gate).await?;
    let order: PauseOrder = read(body).await?;
    let lasts = order.for_ms.map(Duration::from_millis);
    if lasts.is_some_and(|lasts| lasts.is_zero() || lasts > PAUSE_MAX) {
        return Err(Refusal::BadRequest {
            why: "for_ms is 1 to 31536000000 (a year); leave it out to pause without an end"
                .to_owned(),
        });
    }
    let wish = Wish::Pause {
        lasts,
        reason: order.reason,
    };
    operate(desk, admitted, order.operation, scope, wish).await
}

async fn resume(desk: Desk, scope: Scope, gate: Gate, body: Body) -> Result<Response, Refusal> {
    let admitted = admit(gate).await?;
    let order: ResumeOrder = read(body).await?;
    operate(desk, admitted, order.operation, scope, Wish::Resume).await
}

async fn admit((Extension(caller), Extension(gatekeeper)): Gate) -> Result<Admin, Refusal> {
    let caller = caller.ok_or(Refusal::Anonymous)?;
    gatekeeper
        .admit(caller)
        .await
        .map_err(|refused| Refusal::Forbidden {
            why: refused.to_string(),
        })
}

async fn operate(
    desk: Desk,
    admin: Admin,
    operation: Option<OperationId>,
    scope: Scope,
    wish: Wish,
) -> Result<Response, Refusal> {
    let operation = match operation {
        Some(operation) => operation,
        None => OperationId(getrandom::u64().map_err(|_| Refusal::Unwritable)?),
    };
    let order = Order {
        operation,
        scope,
        wish,
        uid: admin.uid,
        user: admin.user,
    };
    let asked = desk.ask(|answer| Question::Operate(order, answer)).await;
    let report = match asked {
        Ok(answered) => {
            let overview = answered.map_err(|impossible| Refusal::Impossible {
                why: impossible.to_string(),
            })?;
            OperationReport::from(&overview)
        }
        // The loop may well be at it.
        Err(Refusal::TooSlow { .. }) => OperationReport::open(operation),
        Err(refusal) => return Err(refusal),
    };
    let status = match report.state {
        OperationState::Done => StatusCode::OK,
        OperationState::Open | OperationState::Unknown => StatusCode::ACCEPTED,
    };
    write(status, &report)
}

fn named(name: &str) -> Result<Scope, Refusal> {
    let group = name.parse().map_err(|_| Refusal::BadRequest {
        why: "that is no name of a group".to_owned(),
    })?;
    Ok(Scope::Group(group))
}

/// An empty body asks for nothing special.
async fn read<T: DeserializeOwned + Default>(body: Body) -> Result<T, Refusal> {
    let broken = Refusal::BadBody {
        max: BODY_LENGTH_MAX,
    };
    let body = match timeout(REQUEST_WAIT_MAX, to_bytes(body, BODY_LENGTH_MAX)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) | Err(_) => return Err(broken),
    };
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|error| Refusal::BadRequest {
        why: error.to_string(),
    })
}

fn write(status: StatusCode, report: &impl Serialize) -> Result<Response, Refusal> {
    let body = serde_json::to_vec(report).map_err(|_| Refusal::Unwritable)?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((status, kind, body).into_response())
}
