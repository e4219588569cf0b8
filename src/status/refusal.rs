//! Answers that are none: a JSON object with the reason, under the fitting status code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no such path.
    #[error(
        "no such path: there are /v1/status, /v1/groups/NAME, /v1/history, /v1/events, /livez and \
         /readyz"
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
    /// Nothing can be changed here.
    #[error("only GET and HEAD are answered here")]
    WrongMethod,
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
        let mut response = (self.status(), body).into_response();
        if self == Self::WrongMethod {
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
