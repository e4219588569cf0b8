//! The settings that are in force, as a table for people: variable, value, and where it is from.

use std::fmt;

use super::Settings;
use super::source::{Origin, place_in_file};

/// One key with the value that is in force. Secrets are never in it, only the names of their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The variable, whatever the value comes from.
    pub key: String,
    /// The value as it could be given.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Renders all effective settings, one a line, in aligned columns.
#[must_use]
pub fn report(settings: &Settings) -> String {
    let rows: Vec<[String; 3]> = std::iter::once(["VARIABLE", "VALUE", "FROM"].map(str::to_owned))
        .chain(settings.effective().iter().map(row))
        .collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (key_width, value_width) = (width(0), width(1));
    let lines = rows
        .iter()
        .map(|[key, value, origin]| format!("{key:key_width$}  {value:value_width$}  {origin}\n"));
    lines.collect()
}

fn row(setting: &EffectiveSetting) -> [String; 3] {
    [
        setting.key.clone(),
        setting.value.escape_debug().to_string(),
        setting.origin.to_string(),
    ]
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => formatter.pad("environment"),
            Self::File { path, line } => formatter.pad(&place_in_file(Some(path), *line, None)),
            Self::Default => formatter.pad("default"),
            Self::Credential => formatter.pad("credential"),
        }
    }
}
