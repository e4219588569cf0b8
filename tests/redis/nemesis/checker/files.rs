//! S5: clients' files name masters of committed epochs, in their order, and are never half-written.

use std::collections::BTreeMap;

use super::reigns::Reign;
use super::{Broken, Rule};
use crate::nemesis::history::{At, GroupHistory};

/// Servers log in milliseconds.
const CLOCK_MARGIN: At = At::from_millis(5);

/// Each file goes through the reigns of epochs that are done, forward only; none is named before it is.
pub fn check(group: &GroupHistory, reigns: &[Reign]) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    for file in &group.files {
        let place = places.entry(file.host).or_default();
        let named = match &file.names {
            Ok(instance) => *instance,
            Err(content) => {
                let what = format!("the file of host {} is broken:\n{content}", file.host);
                broken.push(Broken::new(Rule::FilesNameMasters, file.seen, what));
                continue;
            }
        };
        let fits = |reign: &Reign| {
            reign.is_done && reign.instance == named && reign.from <= file.seen + CLOCK_MARGIN
        };
        // The first time it names whom it was made with.
        let next = (*place..reigns.len()).find(|at| fits(&reigns[*at]));
        match next {
            Some(next) => *place = next,
            None => {
                let before = reigns
                    .get(*place)
                    .map(|reign| (reign.epoch, reign.instance));
                let what = format!(
                    "the file of host {} names instance {named}, no master after {before:?} by then",
                    file.host
                );
                broken.push(Broken::new(Rule::FilesNameMasters, file.seen, what));
            }
        }
    }
    broken
}
