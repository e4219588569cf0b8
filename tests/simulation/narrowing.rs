//! What is left out of a schedule, so that people see what matters when it fails.

use std::collections::BTreeSet;
use std::env;

use super::theme::Theme;

/// A part of a schedule, and what it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    pub theme: Theme,
    /// Only these faults and requests, by the order in which they come; all when none.
    pub only: Option<BTreeSet<u64>>,
    /// At most so many of the groups.
    pub groups: Option<usize>,
    /// It is over when the faults are: nothing has to settle.
    pub is_brief: bool,
    /// Clocks run evenly, and messages come in order.
    pub is_calm: bool,
}

impl Narrowing {
    /// All of a schedule about `theme`.
    pub fn whole(theme: Theme) -> Self {
        Self {
            theme,
            ..Self::default()
        }
    }

    /// What the environment asks for.
    pub fn from_environment() -> Self {
        let only = env::var("PROMOTERD_SIM_ONLY").ok().map(|text| {
            let numbers = text.split(',').filter(|number| !number.is_empty());
            numbers
                .map(|number| number.trim().parse().expect("PROMOTERD_SIM_ONLY=3,7"))
                .collect()
        });
        let groups = env::var("PROMOTERD_SIM_GROUPS").ok();
        Self {
            theme: Theme::from_environment(),
            only,
            groups: groups.map(|text| text.parse().expect("PROMOTERD_SIM_GROUPS=1")),
            is_brief: false,
            is_calm: env::var_os("PROMOTERD_SIM_CALM").is_some(),
        }
    }

    /// Whether the fault or request of this number comes.
    pub fn keeps(&self, ordinal: u64) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.contains(&ordinal))
    }

    /// The variables that ask for it.
    pub fn variables(&self) -> String {
        let mut text = self.theme.variables();
        if let Some(only) = &self.only {
            let numbers: Vec<String> = only.iter().map(u64::to_string).collect();
            text.push_str(&format!("PROMOTERD_SIM_ONLY={} ", numbers.join(",")));
        }
        if let Some(groups) = self.groups {
            text.push_str(&format!("PROMOTERD_SIM_GROUPS={groups} "));
        }
        if self.is_calm {
            text.push_str("PROMOTERD_SIM_CALM=1 ");
        }
        text
    }
}
