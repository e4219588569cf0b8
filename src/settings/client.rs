//! The settings of clients: which file is kept right, and where in it the master stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::keys::{self, Key, Scope};
use super::mistakes::Problem;
use super::parse::{AbsolutePath, EditPaths, EnvKeys, InvalidValue, Span, quote};
use super::reader::{Reader, Reading, example};
use super::source::Origin;
use crate::clients::command::{Command, CommandLine};
use crate::clients::{Content, Format, KeyPath, Target};
use crate::model::{ClientName, GroupName};

/// Most clients on one host.
const CLIENTS_MAX: usize = 1024;

/// Extensions of formats that are known and not edited, or not told by that alone.
const OTHER_FORMATS: [&str; 7] = ["json5", "cfg", "xml", "j2", "tmpl", "template", "tpl"];

/// Who changes what of which file; all of it where no path is named.
type Owners = BTreeMap<PathBuf, Vec<(ClientName, Option<KeyPath>)>>;

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
    let content = read_content(reader, label, file.as_deref());
    let is_own = match (&name, &file, &content) {
        (Some(name), Some(file), Some(content)) => claim(reader, name, file, content, owners),
        (None, _, _) | (_, None, _) | (_, _, None) => false,
    };
    let check = read_command(reader, label, &keys::CHECK, &keys::CHECK_TIMEOUT);
    let reload = read_command(reader, label, &keys::RELOAD, &keys::RELOAD_TIMEOUT);
    let name = name?;
    let target = Target {
        client: name.clone(),
        group: group?,
        path: file?,
        content: content?,
        check: check?,
        reload: reload?,
    };
    is_own.then_some((name, target))
}

fn read_command(
    reader: &mut Reader,
    label: &str,
    key: &'static Key,
    limit: &'static Key,
) -> Option<Option<Command>> {
    let line: Option<Option<CommandLine>> = reader.read_or_told(key, label);
    let limit: Option<Span> = reader.read_within(limit, label);
    let (line, Span(limit)) = (line?, limit?);
    Some(line.map(|line| Command { line, limit }))
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

/// The words that `FORMAT` may be.
const WORDS: &str =
    "env, json, toml, jsonc, ini, properties, yaml, haproxy, twemproxy, hosts and template";

/// What `FORMAT` may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    As(Format),
    ByTemplate,
}

impl FromStr for Written {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "template" => Ok(Self::ByTemplate),
            text => {
                let format = Format::ALL.into_iter().find(|format| format.name() == text);
                format.map(Self::As).ok_or_else(|| InvalidValue::Word {
                    given: quote(text),
                    known: WORDS,
                })
            }
        }
    }
}

fn read_content(reader: &mut Reader, label: &str, file: Option<&Path>) -> Option<Content> {
    let written = match reader.read(&keys::FORMAT, label) {
        Reading::Given(written) => Some(written),
        Reading::Mistaken => return None,
        Reading::Absent if reader.is_given(&keys::TEMPLATE, label) => {
            reader.settle(&keys::FORMAT, label, "template");
            Some(Written::ByTemplate)
        }
        Reading::Absent => tell_format(reader, label, file).map(Written::As),
    };
    match written {
        Some(Written::ByTemplate) => read_template(reader, label),
        Some(Written::As(format)) => read_edit(reader, label, Some(format)),
        // The rest of the section is read all the same, for its own mistakes.
        None => read_edit(reader, label, None),
    }
}

fn tell_format(reader: &mut Reader, label: &str, file: Option<&Path>) -> Option<Format> {
    let key = &keys::FORMAT;
    let extension = file?.extension().unwrap_or_default();
    let extension = extension.to_string_lossy().to_lowercase();
    if OTHER_FORMATS.contains(&extension.as_str()) {
        let insist = example(key, label, &Origin::Environment);
        let problem = Problem::OtherFormat { extension, insist };
        reader.refuse(&keys::FILE, label, problem);
        return None;
    }
    let is_hosts = file == Some(Path::new("/etc/hosts"));
    let format = match Format::of_extension(&extension) {
        Some(format) => format,
        None if is_hosts => Format::Hosts,
        None => Format::Env,
    };
    reader.settle(key, label, format.name());
    Some(format)
}

fn read_template(reader: &mut Reader, label: &str) -> Option<Content> {
    let mut is_right = true;
    for key in [&keys::EDIT, &keys::VALUE] {
        if reader.is_given(key, label) {
            reader.refuse(key, label, Problem::NotWithTemplate);
            is_right = false;
        } else {
            reader.settle(key, label, "none");
        }
    }
    let source = match reader.read_or_told(&keys::TEMPLATE, label)? {
        Some(AbsolutePath(source)) => source,
        None => {
            let example = example(&keys::TEMPLATE, label, &Origin::Environment);
            reader.refuse(&keys::TEMPLATE, label, Problem::Missing { example });
            return None;
        }
    };
    is_right.then_some(Content::Template { source })
}

fn read_edit(reader: &mut Reader, label: &str, format: Option<Format>) -> Option<Content> {
    let is_free = !reader.is_given(&keys::TEMPLATE, label);
    if is_free {
        reader.settle(&keys::TEMPLATE, label, keys::TEMPLATE.default);
    } else {
        reader.refuse(&keys::TEMPLATE, label, Problem::NotWithFormat);
    }
    let edits = read_paths(reader, label, format);
    let value = reader.read_or_told(&keys::VALUE, label);
    let (format, EditPaths { keys, lists }) = (format?, edits?);
    let content = Content::Edit {
        format,
        keys,
        lists,
        value: value?,
    };
    is_free.then_some(content)
}

fn read_paths(reader: &mut Reader, label: &str, format: Option<Format>) -> Option<EditPaths> {
    let key = &keys::EDIT;
    let paths: EditPaths = match format {
        Some(Format::Env) => {
            let EnvKeys(paths) = reader.read_or_default(key, label)?;
            paths
        }
        Some(_) | None => reader.read_or_default(key, label)?,
    };
    let misplaced = |path: &KeyPath| {
        let (shape, example) = format?.misplaced(path)?;
        Some((path.to_string(), shape, example))
    };
    let mut misplaced: Vec<_> = paths.iter().filter_map(misplaced).collect();
    if format.is_some_and(|format| !format.has_lists()) {
        let list = |path: &KeyPath| {
            let shape = "it without =replicas, or have a template make the file";
            (format!("{path}=replicas"), shape, "FORMAT=template")
        };
        misplaced.extend(paths.lists.iter().map(list));
    }
    for (item, shape, example) in &misplaced {
        let (item, shape) = (item.clone(), *shape);
        let example = (*example).to_owned();
        reader.refuse(
            key,
            label,
            Problem::Misplaced {
                item,
                shape,
                example,
            },
        );
    }
    // Two spellings of one path are one.
    let mut seen = BTreeSet::new();
    let twice: Vec<_> = paths
        .iter()
        .filter(|path| !seen.insert(path.segments().to_vec()))
        .collect();
    for path in &twice {
        let item = path.to_string();
        reader.refuse(key, label, Problem::ListedTwice { item });
    }
    (twice.is_empty() && misplaced.is_empty()).then(|| paths.clone())
}

/// Notes who changes what; false when another client changes some of it too.
fn claim(
    reader: &mut Reader,
    name: &ClientName,
    file: &Path,
    content: &Content,
    owners: &mut Owners,
) -> bool {
    let claims: Vec<Option<&KeyPath>> = match content {
        Content::Edit { keys, lists, .. } => keys.iter().chain(lists).map(Some).collect(),
        Content::Template { .. } => vec![None],
    };
    let taken = owners.entry(file.to_owned()).or_default();
    let mut is_own = true;
    for wanted in claims {
        let clash = taken.iter().find(|(_, path)| match (path, wanted) {
            (Some(path), Some(wanted)) => path.segments() == wanted.segments(),
            (None, _) | (_, None) => true,
        });
        if let Some((other, _)) = clash {
            let (other, path) = (other.clone(), file.to_owned());
            let (key, problem) = match wanted {
                Some(wanted) => {
                    let edit = wanted.to_string();
                    (&keys::EDIT, Problem::SameEdit { other, edit, path })
                }
                None => (&keys::TEMPLATE, Problem::SameFile { other, path }),
            };
            reader.refuse(key, name.as_str(), problem);
            is_own = false;
        }
        taken.push((name.clone(), wanted.cloned()));
    }
    is_own
}
