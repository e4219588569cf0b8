//! `promoterd keygen`: a new cluster key.

use super::{EXIT_FAILURE, complain, say};
use crate::peer::ClusterKey;

pub(super) fn run() -> u8 {
    match ClusterKey::generate() {
        Ok(key) => {
            say(&format!("{}\n", *key.to_text()));
            0
        }
        Err(error) => {
            complain(&error);
            EXIT_FAILURE
        }
    }
}
