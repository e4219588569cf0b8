//! Answers that are none: a JSON object with the reason, under the fitting status code.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no such path.
    #[error(
        "no such path: there are /v1/status, /v1/groups/NAME, /v1/history, /v1/rescues, /v1/events, \
         /v1/operations/ID, /livez and /readyz; and by POST /v1/pause, /v1/resume, /v1/reload, \
         /v1/groups/NAME/pause, /v1/groups/NAME/resume, /v1/groups/NAME/adopt and \
         /v1/groups/NAME/switchover"
    )]
    UnknownPath,
    /// There is no such group.
    #[error("no group is called \"{name}\": {}", describe_known(.known))]
    UnknownGroup {
        /// As asked for, shortened.
        name: String,
        /// The groups that there are.
        known: Vec<String>,
    },
    /// Asked for in another way than it can be.
    #[error(
        "not by this method: what is read is asked for by GET or HEAD, what is changed by POST"
    )]
    WrongMethod,
    /// The system did not say who asks.
    #[error("the system does not say who asks, so nothing is changed")]
    Anonymous,
    /// Whoever asks may not.
    #[error("{why}")]
    Forbidden {
        /// Why not, and what to do.
        why: String,
    },
    /// What is asked for is not understood.
    #[error("not understood: {why}")]
    BadRequest {
        /// Why not.
        why: String,
    },
    /// The body does not come, or is too long.
    #[error("the body of the request is broken off, late, or longer than {max} bytes")]
    BadBody {
        /// How long it may be.
        max: usize,
    },
    /// There is nothing to do it to.
    #[error("{why}")]
    Impossible {
        /// Why not.
        why: String,
    },
    /// More questions wait than the loop may be asked at once.
    #[error("the daemon is asked too much at once: try again")]
    Busy,
    /// The loop does not answer.
    #[error("the daemon did not answer within {waited_ms} ms: its loop is stuck or starved")]
    TooSlow {
        /// Milliseconds waited.
        waited_ms: u64,
    },
    /// The loop is gone.
    #[error("the daemon is stopping")]
    Stopping,
    /// All streams are taken.
    #[error("{max} event streams are open already: close one")]
    TooManyStreams {
        /// How many there may be.
        max: usize,
    },
    /// A report could not be written.
    #[error("the answer could not be written as JSON: please report this")]
    Unwritable,
}

fn describe_known(known: &[String]) -> String {
    if known.is_empty() {
        "there are no groups".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    }
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::UnknownPath | Self::UnknownGroup { .. } => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Anonymous | Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::BadRequest { .. } => StatusCode::BAD_REQUEST,
            Self::BadBody { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Impossible { .. } => StatusCode::CONFLICT,
            Self::Busy | Self::TooSlow { .. } | Self::Stopping | Self::TooManyStreams { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unwritable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({"error": self.to_string()}));
        (self.status(), body).into_response()
    }
}
