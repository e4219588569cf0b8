//! `promoterd check`: the settings that are in force, or all mistakes in them.

use super::{EXIT_SETTINGS, complain, load_settings, say};
use crate::settings;

pub(super) fn run() -> u8 {
    match load_settings() {
        Ok(settings) => {
            say(&settings::report(&settings));
            for warning in &settings.warnings {
                say(&format!("warning: {warning}\n"));
            }
            0
        }
        Err(mistakes) => {
            complain(&mistakes);
            EXIT_SETTINGS
        }
    }
}
