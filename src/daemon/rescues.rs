//! What the status socket tells of the data sets that were saved on this host.

use std::collections::BTreeMap;
use std::path::Path;

use super::node::Node;
use crate::model::{Endpoint, GroupName};
use crate::redis::rescue;
use crate::status::{RescueReport, RescuesReport};

/// The masters of all groups, as committed.
pub(super) fn masters(node: &Node) -> BTreeMap<GroupName, Endpoint> {
    let records = node.supervisor().records().iter();
    records
        .map(|(name, record)| (name.clone(), record.master().endpoint.clone()))
        .collect()
}

/// Those that are kept. Reads the disk.
pub(super) fn report(state_dir: &Path, masters: &BTreeMap<GroupName, Endpoint>) -> RescuesReport {
    let kept = rescue::list(state_dir).into_iter();
    let rescues = kept.map(|(path, kept)| RescueReport {
        master: masters.get(&kept.group).cloned(),
        group: kept.group,
        instance: kept.instance,
        epoch: kept.epoch,
        at: kept.at,
        path,
        bytes: kept.bytes,
        diverged_bytes: kept.diverged_bytes,
    });
    RescuesReport {
        rescues: rescues.collect(),
        ..RescuesReport::default()
    }
}
