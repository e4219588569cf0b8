//! S1: at most one instance is promoted in an epoch.

use promoterd::model::{Endpoint, Epoch, GroupName, RunId};

use super::{Oracle, Violation};

const PROMISE: &str = "S1: at most one instance is promoted in an epoch";

/// A process accepted the promotion of `epoch`: no other one ever did, and it is the one that the
/// committed `Begin` names (S2).
pub fn check(
    oracle: &mut Oracle,
    group: &GroupName,
    epoch: Epoch,
    process: (Endpoint, RunId),
) -> Result<(), Violation> {
    let key = (group.clone(), epoch);
    let begin = oracle.mandates.get(&key);
    let named = begin.map(|begin| (begin.candidate.endpoint.clone(), begin.candidate.run_id));
    if named.as_ref() != Some(&process) {
        let what = format!("{group} epoch {epoch} promoted {process:?}, committed is {named:?}");
        return Err(Violation::new(
            "S2: nothing is promoted without a Begin that names it",
            what,
        ));
    }
    let first = oracle
        .promoted
        .entry(key)
        .or_insert_with(|| process.clone());
    if *first != process {
        let what = format!("{group} epoch {epoch} promoted {first:?} and {process:?}");
        return Err(Violation::new(PROMISE, what));
    }
    Ok(())
}
