//! The status socket: what this node knows, as JSON over HTTP/1.1 on a Unix socket.
//!
//! [`StatusServer`] owns the socket and asks the daemon's loop by [`Question`]s; the loop answers
//! with a [`StatusSource`], and all that is made of it is made elsewhere. [`client`] reads the same
//! socket, [`verdict`] says in words what is wrong, [`render()`] is the page for a person on call.

mod admin;
pub mod client;
#[cfg(test)]
mod client_tests;
mod convert;
mod convert_failover;
mod convert_observers;
mod events;
mod operate;
#[cfg(test)]
mod operate_tests;
mod refusal;
mod render;
mod render_observers;
mod render_rescues;
#[cfg(test)]
mod render_tests;
mod routes;
mod schema;
mod schema_history;
mod schema_observers;
mod schema_pause;
mod schema_reload;
mod schema_rescue;
mod schema_switchover;
mod server;
mod socket;
mod source;
mod stall;
mod table;
mod text;
pub mod verdict;

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod server_tests;

pub use admin::Gatekeeper;
pub use events::EventFeed;
pub use operate::{AdoptOrder, PauseOrder, ResumeOrder, SwitchoverOrder};
pub use render::{describe_pause, render};
pub use render_rescues::describe_rescues;
pub use schema::{
    ClientReloadReport, DifferingReport, DownReport, FileReport, GroupAnswer, GroupReport,
    InstanceReport, PassedOver, Readiness, SCHEMA, StatusReport, VoterReport,
};
pub use schema_history::{
    CauseName, FailoverReport, HistoryReport, OutcomeName, Planned, StepReport, ViewReport,
};
pub use schema_observers::{FollowingReport, ObserverReport, ToldReport};
pub use schema_pause::{
    AdoptionReport, BystanderReport, OperatedGroup, OperationReport, PauseReport,
};
pub use schema_reload::ReloadReport;
pub use schema_rescue::{RescueReport, RescuesReport};
pub use schema_switchover::{GivenUpReport, SwitchoverOutcome, SwitchoverReport};
pub use server::StatusServer;
pub use socket::StatusError;
pub use source::{
    AdoptionOverview, ClientReloadOverview, EngineOverview, EngineRole, FileOverview,
    FollowedOverview, FollowingOverview, ObserverOverview, OperatedOverview, OperationOverview,
    OperationState, Order, Question, ReloadStanding, StatusSource, SwitchoverOverview,
    VoterOverview,
};
