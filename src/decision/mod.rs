//! The pure core: who is down, may we act, whom to promote, what to do next.
//!
//! [`Supervisor`] takes events and the current time and returns actions. What nodes *see* they tell
//! one another in [`Report`]s; what they *decide* goes through the log as [`Entry`]s and is kept in
//! [`Records`]. Only the leader decides, and only on what is committed.

mod adoption;
mod agreement;
mod change;
mod choice;
mod desk;
mod discovery;
mod entry;
mod equality;
mod event;
mod failover;
mod failover_record;
mod fencing;
mod group;
mod guard;
mod happening;
mod health;
mod held_back;
mod instance_event;
mod lead;
mod lease;
mod outline;
mod overview;
mod pause;
mod policy;
mod process_watch;
mod readers;
mod record;
mod remains;
mod repair;
mod request;
mod rescue;
mod sentinels;
mod settings_digest;
mod settling;
mod stream;
mod supervisor;
mod switchover;
mod transitions;
mod view;
mod watch;

#[cfg(test)]
mod ground_tests;

pub use adoption::{Adoption, NotAdoptable};
pub use agreement::{Circumstances, Verdict, Veto, judge};
pub use change::Change;
pub use choice::{Choice, Ineligible, LostMaster, assess, choose};
pub use discovery::{Discovered, WaitingFor};
pub use entry::{
    AbortReason, Begin, Candidate, ENTRY_LENGTH_MAX, Entry, Evidence, Grounds, Identity,
    InvalidEntry, Step, StepName,
};
pub use equality::Difference;
pub use event::{Action, Deadline, DeadlineReason, Event};
pub use failover::{Check, Failover};
pub use failover_record::{FailoverRecord, Outcome};
pub use fencing::{FenceCause, FenceClaim, FenceOverview, HeldFence, lifting_command};
pub use group::Group;
pub use guard::{GuardOrder, GuardOutcome, GuardOverview, GuardTask};
pub use happening::Happening;
pub use health::{Cause, Health, Trouble};
pub use held_back::HeldBack;
pub use instance_event::{
    CommandFailure, ConnectFailure, FollowOrder, FollowOutcome, LinkId, Login, ProbeCommand,
    ProbeEvent, ProbeOrder, ProbeReport, PromoteOrder,
};
pub use lease::{
    DRIFT_MAX_PERCENT, HoldFailure, HoldOrder, HoldOutcome, HoldTask, LeaseClaim, LeaseMessage,
    LeaseMessageKind, LeaseRule,
};
pub use outline::{GroupOutline, InstanceOutline, OpenEpoch};
pub use overview::{Decided, DownOverview, GroupOverview, InstanceOverview, Phase};
pub use pause::{Pause, PauseRecord, PausedBy, Resume, ResumedBy};
pub use policy::{Fencing, GroupPolicy};
pub use readers::{ChangedReaders, Readers};
pub use record::{GroupRecord, Mandate, Records};
pub use repair::Standing;
pub use request::{
    Impossible, InvalidOperationId, InvalidReason, OperationId, Reason, Request, Requester, Scope,
    Wish,
};
pub use rescue::{
    Divergence, RescueClaim, RescueLimits, RescueOrder, RescueOutcome, RescueState, Rescued,
    divergence,
};
pub use sentinels::SentinelWatch;
pub use settings_digest::{GroupClaim, KeyMark, SettingsDigest};
pub use supervisor::{Supervisor, WallClock};
pub use switchover::{Asked, GivenUp, HOLD, NotSwitched, Stage, TRIED_FOR_MAX};
pub use transitions::{TRANSITIONS, Taken, Transition};
pub use view::{Claims, HeldView, Opinion, REPORT_INTERVAL, Report, VIEW_FRESH_FOR, View};
pub use watch::{LinkIds, Pace, Sample, Watch};
