//! The settings of clients: which file is kept right, and where in it the master stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::keys::{self, Scope};
use super::mistakes::Problem;
use super::parse::{AbsolutePath, EditKey, List};
use super::reader::{Reader, Reading, example};
use super::source::Origin;
use crate::clients::{Format, Target};
use crate::model::{ClientName, GroupName};

/// Most clients on one host.
const CLIENTS_MAX: usize = 256;

/// Extensions of formats that are known and not edited yet.
const OTHER_FORMATS: [&str; 14] = [
    "json",
    "jsonc",
    "json5",
    "toml",
    "yaml",
    "yml",
    "ini",
    "properties",
    "cfg",
    "xml",
    "j2",
    "tmpl",
    "template",
    "tpl",
];

/// Who changes which key of which file.
type Owners = BTreeMap<(PathBuf, String), ClientName>;

/// Reads all sections; none when there is a mistake in one. The names of the groups are not known
/// when one of them is mistaken.
pub(super) fn read_clients(
    reader: &mut Reader,
    groups: Option<&BTreeSet<GroupName>>,
) -> Option<BTreeMap<ClientName, Target>> {
    let labels = reader.labels(Scope::Client);
    if labels.len() > CLIENTS_MAX {
        let (count, max) = (labels.len(), CLIENTS_MAX);
        reader.refuse(&keys::FILE, &labels[0], Problem::TooMany { count, max });
        return None;
    }
    let mut owners = Owners::new();
    let read: Vec<_> = labels
        .iter()
        .map(|label| read_client(reader, label, groups, &mut owners))
        .collect();
    read.into_iter().collect()
}

fn read_client(
    reader: &mut Reader,
    label: &str,
    groups: Option<&BTreeSet<GroupName>>,
    owners: &mut Owners,
) -> Option<(ClientName, Target)> {
    let name = read_name(reader, label);
    let group = read_group(reader, label, groups);
    let file = reader
        .read_or_default(&keys::FILE, label)
        .map(|AbsolutePath(path)| path);
    let format = read_format(reader, label, file.as_deref());
    let edits = read_edits(reader, label);
    let is_own = match (&name, &file, &edits) {
        (Some(name), Some(file), Some(edits)) => claim(reader, name, file, edits, owners),
        (None, _, _) | (_, None, _) | (_, _, None) => false,
    };
    let value = reader.read_or_told(&keys::VALUE, label);
    let capable = [&keys::TEMPLATE, &keys::CHECK, &keys::RELOAD]
        .map(|key| reader.read_restricted(key, label));
    let name = name?;
    let target = Target {
        client: name.clone(),
        group: group?,
        path: file?,
        format: format?,
        keys: edits?,
        value: value?,
    };
    (is_own && capable.iter().all(|capable| *capable)).then_some((name, target))
}

fn read_name(reader: &mut Reader, label: &str) -> Option<ClientName> {
    match label.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            let reason = format!("the label of the section is not usable: {error}");
            let example = example(&keys::FILE, "api", &Origin::Environment);
            reader.refuse(&keys::FILE, label, Problem::Invalid { reason, example });
            None
        }
    }
}

fn read_group(
    reader: &mut Reader,
    label: &str,
    groups: Option<&BTreeSet<GroupName>>,
) -> Option<GroupName> {
    let key = &keys::CLIENT_GROUP;
    let reading: Reading<GroupName> = reader.read(key, label);
    let groups = groups.filter(|groups| !groups.is_empty())?;
    let known = || {
        groups
            .iter()
            .map(GroupName::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    match reading {
        Reading::Given(group) if groups.contains(&group) => Some(group),
        Reading::Given(group) => {
            let known = known();
            reader.refuse(key, label, Problem::NoSuchGroup { group, known });
            None
        }
        Reading::Mistaken => None,
        Reading::Absent => match groups.first().filter(|_| groups.len() == 1) {
            Some(only) => {
                reader.settle(key, label, only);
                Some(only.clone())
            }
            None => {
                let example = example(key, label, &Origin::Environment);
                let known = known();
                reader.refuse(key, label, Problem::WhichGroup { known, example });
                None
            }
        },
    }
}

fn read_format(reader: &mut Reader, label: &str, file: Option<&Path>) -> Option<Format> {
    let key = &keys::FORMAT;
    if reader.is_given(key, label) {
        return reader.read_restricted(key, label).then_some(Format::Env);
    }
    let extension = file?.extension().unwrap_or_default();
    let extension = extension.to_string_lossy().to_lowercase();
    if OTHER_FORMATS.contains(&extension.as_str()) {
        let insist = example(key, label, &Origin::Environment);
        reader.refuse(
            &keys::FILE,
            label,
            Problem::OtherFormat { extension, insist },
        );
        return None;
    }
    reader.settle(key, label, "env");
    Some(Format::Env)
}

fn read_edits(reader: &mut Reader, label: &str) -> Option<Vec<String>> {
    let List(edits) = reader.read_or_default(&keys::EDIT, label)?;
    let edits: Vec<String> = edits.into_iter().map(|EditKey(edit)| edit).collect();
    let is_right = reader.demand_once(&keys::EDIT, label, edits.iter().cloned());
    is_right.then_some(edits)
}

/// Notes who changes what; false when another client changes one of these too.
fn claim(
    reader: &mut Reader,
    name: &ClientName,
    file: &Path,
    edits: &[String],
    owners: &mut Owners,
) -> bool {
    let mut is_own = true;
    for edit in edits {
        let target = (file.to_owned(), edit.clone());
        if let Some(other) = owners.insert(target, name.clone()) {
            let (edit, path) = (edit.clone(), file.to_owned());
            reader.refuse(
                &keys::EDIT,
                name.as_str(),
                Problem::SameEdit { other, edit, path },
            );
            is_own = false;
        }
    }
    is_own
}
