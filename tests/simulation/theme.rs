//! What a schedule is about: everything, or one promise that a broad mix of faults puts to the test too
//! seldom.

use std::env;

/// What its shape, its settings and its faults are drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Theme {
    #[default]
    Everything,
    /// Strict fencing: a master whose host, daemon or network fails in all ways at once, beside causes of a
    /// failover that are faster than its lease.
    Leases,
    /// What has to be on a disk before it counts: power that is cut between two steps, and files that
    /// somebody else changes.
    Disks,
}

/// The variable that names one.
const VARIABLE: &str = "PROMOTERD_SIM_THEME";

impl Theme {
    pub fn from_environment() -> Self {
        match env::var(VARIABLE).as_deref() {
            Err(_) => Self::Everything,
            Ok("leases") => Self::Leases,
            Ok("disks") => Self::Disks,
            Ok(other) => panic!("{VARIABLE}={other} is neither leases nor disks"),
        }
    }

    /// What to set to have it again.
    pub fn variables(self) -> String {
        match self {
            Self::Everything => String::new(),
            Self::Leases => format!("{VARIABLE}=leases "),
            Self::Disks => format!("{VARIABLE}=disks "),
        }
    }
}
