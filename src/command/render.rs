//! `promoterd render`: what the clients' files would say, and how that differs from what they say.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use similar::TextDiff;
use thiserror::Error;

use super::asking::{Socket, exit_code, runtime};
use super::{EXIT_FAILURE, EXIT_SETTINGS, complain, load_settings};
use crate::clients::transaction::{Preview, ReplaceError, preview};
use crate::clients::{Publication, Target};
use crate::model::{ClientName, Endpoint, Epoch, GroupName, Replica};
use crate::settings::Settings;
use crate::status::{StatusReport, client};

/// Every file says what it shall.
const NOTHING_CHANGES: u8 = 0;
/// Some would change.
const SOMETHING_CHANGES: u8 = 1;
/// Some cannot be made.
const NOT_MADE: u8 = 3;

/// Which files, and for which master.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only the files of these clients; without a name, those of all.
    #[arg(value_name = "CLIENT")]
    clients: Vec<ClientName>,
    /// Print how each file would change, as `diff -u` does, and not what it would say.
    #[arg(long)]
    diff: bool,
    /// As if this instance were the master of its group, in epoch 0, with its other INSTANCES as
    /// replicas. No daemon is asked.
    #[arg(long, value_name = "HOST:PORT")]
    master: Option<Endpoint>,
    #[command(flatten)]
    socket: Socket,
}

/// Why a file cannot be shown.
#[derive(Debug, Error)]
enum RenderError {
    /// The settings of this host have no such client.
    #[error("no client is called {0}: `promoterd check` shows those of this host")]
    NoClient(ClientName),
    /// The instance is no group's.
    #[error("{0} is in the INSTANCES of no group that has a client here")]
    NoInstance(Endpoint),
    /// Nobody knows what it shall say.
    #[error("client {client}: group {group} has no master yet: name one by --master")]
    NoMaster {
        /// Whose file it is.
        client: ClientName,
        /// Whose master it names.
        group: GroupName,
    },
    /// The daemon could not make it either.
    #[error("client {client}")]
    File {
        /// Whose file it is.
        client: ClientName,
        /// Why not.
        #[source]
        source: ReplaceError,
    },
    /// The standard output does not take it.
    #[error("cannot write to the standard output")]
    Print(#[source] io::Error),
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let settings = match load_settings() {
        Ok(settings) => settings,
        Err(mistakes) => {
            complain(&mistakes);
            return EXIT_SETTINGS;
        }
    };
    let published = match &arguments.master {
        Some(master) => supposed(&settings, master),
        None => match committed(&arguments.socket) {
            Ok(published) => published,
            Err(code) => return code,
        },
    };
    let targets = match chosen(&settings, arguments, &published) {
        Ok(targets) => targets,
        Err(error) => {
            complain(&error);
            return EXIT_FAILURE;
        }
    };
    let mut out = io::stdout().lock();
    let mut code = NOTHING_CHANGES;
    for target in &targets {
        let shown = show(
            target,
            &published,
            arguments.diff,
            targets.len() > 1,
            &mut out,
        );
        code = code.max(match shown {
            Ok(false) => NOTHING_CHANGES,
            Ok(true) => SOMETHING_CHANGES,
            Err(error) => {
                complain(&error);
                NOT_MADE
            }
        });
    }
    code
}

/// What each group publishes, as this host's daemon knows it; else the exit code.
fn committed(socket: &Socket) -> Result<BTreeMap<GroupName, Publication>, u8> {
    let asked = client::get::<StatusReport>(&socket.path, "/v1/status");
    let report = runtime()?.block_on(asked).map_err(|error| {
        complain(&error);
        exit_code(&error)
    })?;
    Ok(published(report))
}

/// The same, as the daemon tells it: a voter by what it watches, an observer by what it was told.
fn published(report: StatusReport) -> BTreeMap<GroupName, Publication> {
    let groups = report.groups.into_iter().filter_map(|group| {
        let watched = group.replicas.into_iter().filter(|replica| replica.member);
        let replicas = match group.readers.is_empty() {
            true => watched.map(|it| Replica::unknown(it.endpoint)).collect(),
            false => group.readers,
        };
        let publication = Publication {
            group: group.name.clone(),
            epoch: group.epoch?,
            master: group.master?,
            replicas,
        };
        Some((group.name, publication))
    });
    groups.collect()
}

/// What the groups would publish that have this instance, if it were their master.
fn supposed(settings: &Settings, master: &Endpoint) -> BTreeMap<GroupName, Publication> {
    let groups = settings.groups.iter();
    let groups = groups.filter(|(_, group)| group.policy.instances.contains(master));
    groups
        .map(|(name, group)| {
            let others = group.policy.instances.iter().filter(|it| *it != master);
            let others = others.cloned().map(Replica::unknown);
            let publication = Publication {
                group: name.clone(),
                epoch: Epoch(0),
                master: master.clone(),
                replicas: others.collect(),
            };
            (name.clone(), publication)
        })
        .collect()
}

/// The files that are asked for: by name, or else all; with a supposed master, all of its group.
fn chosen<'a>(
    settings: &'a Settings,
    arguments: &Arguments,
    published: &BTreeMap<GroupName, Publication>,
) -> Result<Vec<&'a Target>, RenderError> {
    if !arguments.clients.is_empty() {
        let find = |name: &ClientName| {
            let target = settings.clients.get(name);
            target.ok_or_else(|| RenderError::NoClient(name.clone()))
        };
        return arguments.clients.iter().map(find).collect();
    }
    let all = settings.clients.values();
    let Some(master) = &arguments.master else {
        return Ok(all.collect());
    };
    let of_group: Vec<&Target> = all
        .filter(|target| published.contains_key(&target.group))
        .collect();
    match of_group.is_empty() {
        true => Err(RenderError::NoInstance(master.clone())),
        false => Ok(of_group),
    }
}

/// Prints one file, under its path where it is one of several; true when it would change.
fn show(
    target: &Target,
    published: &BTreeMap<GroupName, Publication>,
    diff: bool,
    is_named: bool,
    out: &mut impl Write,
) -> Result<bool, RenderError> {
    let client = target.client.clone();
    let publication = published.get(&target.group);
    let publication = publication.ok_or_else(|| RenderError::NoMaster {
        client: client.clone(),
        group: target.group.clone(),
    })?;
    let Preview { present, future } =
        preview(target, publication).map_err(|source| RenderError::File { client, source })?;
    let changes = present.as_deref() != Some(&future);
    let path = target.path.display();
    let printed = if diff {
        let before = String::from_utf8_lossy(present.as_deref().unwrap_or_default());
        let after = String::from_utf8_lossy(&future);
        let (epoch, master) = (publication.epoch, &publication.master);
        let named = format!("{path} ({epoch}, {master})");
        let changed = TextDiff::from_lines(&*before, &*after);
        let mut unified = changed.unified_diff();
        write!(out, "{}", unified.header(&path.to_string(), &named))
    } else {
        let title = match is_named {
            true => writeln!(out, "==> {path} <=="),
            false => Ok(()),
        };
        title.and_then(|()| out.write_all(&future))
    };
    printed
        .and_then(|()| out.flush())
        .map_err(RenderError::Print)?;
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::settings::{self, Sources};
    use crate::status::{FollowedOverview, FollowingOverview, StatusSource, example};

    /// A host with two clients of one group, whose files are below `directory`.
    fn settings(directory: &Path) -> Settings {
        let file = |name: &str| directory.join(name).display().to_string();
        let variables = [
            ("PROMOTERD_NODE", "a".to_owned()),
            ("PROMOTERD_ALONE", "true".to_owned()),
            (
                "PROMOTERD_GROUPS__FEATURES__INSTANCES",
                "10.0.0.1:6379,10.0.0.2:6379".to_owned(),
            ),
            ("PROMOTERD_CLIENTS__API__FILE", file("api.env")),
            ("PROMOTERD_CLIENTS__API__EDIT", "REDIS".to_owned()),
            ("PROMOTERD_CLIENTS__JOBS__FILE", file("jobs.conf")),
            ("PROMOTERD_CLIENTS__JOBS__TEMPLATE", file("jobs.j2")),
        ];
        settings::load(&Sources::new(variables, "a")).unwrap()
    }

    fn asked(clients: &[&str], master: &str) -> Arguments {
        let clients = clients.iter().map(|name| name.parse().unwrap());
        Arguments {
            clients: clients.collect(),
            diff: true,
            master: Some(master.parse().unwrap()),
            socket: Socket {
                path: "/nowhere".into(),
            },
        }
    }

    #[test]
    fn files_are_shown_as_they_would_be_and_stay_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let env = directory.path().join("api.env");
        let template = directory.path().join("jobs.j2");
        fs::write(&env, "A=1\nREDIS=10.0.0.1:6379\n").unwrap();
        fs::write(&template, "{{ master.host }} {{ replicas|length }}\n").unwrap();
        let arguments = asked(&[], "10.0.0.2:6379");
        let published = supposed(&settings, arguments.master.as_ref().unwrap());
        let targets = chosen(&settings, &arguments, &published).unwrap();
        let shown = |diff: bool| {
            let mut out = Vec::new();
            for target in &targets {
                assert!(show(target, &published, diff, true, &mut out).unwrap());
            }
            String::from_utf8(out).unwrap()
        };
        let path = directory.path().display();
        let whole = format!(
            "==> {path}/api.env <==\nA=1\nREDIS=10.0.0.2:6379\n==> {path}/jobs.conf <==\n10.0.0.2 1\n"
        );
        assert_eq!(shown(false), whole);
        let diff = format!(
            "--- {path}/api.env\n+++ {path}/api.env (0, 10.0.0.2:6379)\n@@ -1,2 +1,2 @@\n A=1\n\
             -REDIS=10.0.0.1:6379\n+REDIS=10.0.0.2:6379\n\
             --- {path}/jobs.conf\n+++ {path}/jobs.conf (0, 10.0.0.2:6379)\n@@ -0,0 +1 @@\n+10.0.0.2 1\n"
        );
        assert_eq!(shown(true), diff);
        let kept = fs::read_to_string(&env).unwrap();
        assert_eq!(kept, "A=1\nREDIS=10.0.0.1:6379\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_voter_publishes_the_members_that_it_watches_and_an_observer_those_that_it_was_told_of() {
        let healthy = example::healthy();
        let group = &healthy.groups[0];
        let decided = group.decided.as_ref().unwrap();
        let others = |publication: &Publication| publication.replicas.clone();
        let voter = published(StatusReport::from(&healthy));
        let of_voter = &voter[&group.name];
        assert_eq!(
            (of_voter.epoch, &of_voter.master),
            (decided.epoch, &decided.master)
        );
        assert_eq!(of_voter.replicas.len(), 2);
        let told = FollowedOverview {
            name: group.name.clone(),
            epoch: of_voter.epoch,
            master: of_voter.master.clone(),
            replicas: others(of_voter),
            is_paused: false,
        };
        let observer = StatusSource {
            following: Some(FollowingOverview {
                voter: None,
                since: None,
                stale: None,
                is_informed: true,
                unsaved: None,
                unknown: Vec::new(),
                groups: vec![told],
            }),
            groups: Vec::new(),
            ..healthy.clone()
        };
        assert_eq!(published(StatusReport::from(&observer)), voter);
    }

    #[test]
    fn what_says_it_already_would_not_change() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        fs::write(directory.path().join("api.env"), "REDIS=10.0.0.1:6379\n").unwrap();
        let arguments = asked(&["api"], "10.0.0.1:6379");
        let published = supposed(&settings, arguments.master.as_ref().unwrap());
        let targets = chosen(&settings, &arguments, &published).unwrap();
        let mut out = Vec::new();
        let [target] = targets[..] else {
            panic!("{targets:?}");
        };
        assert!(!show(target, &published, true, false, &mut out).unwrap());
        assert_eq!(out, b"");
    }

    #[test]
    fn what_cannot_be_shown_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(directory.path());
        let find = |clients: &[&str], master: &str| {
            let arguments = asked(clients, master);
            let published = supposed(&settings, arguments.master.as_ref().unwrap());
            let targets = chosen(&settings, &arguments, &published)?;
            show(targets[0], &published, true, false, &mut Vec::new())
        };
        for (clients, master, expected) in [
            (&["api"][..], "10.0.0.1:6379", "client api"),
            (
                &["api"],
                "10.0.0.9:6379",
                "group features has no master yet",
            ),
            (&["web"], "10.0.0.1:6379", "no client is called web"),
            (
                &[],
                "10.0.0.9:6379",
                "10.0.0.9:6379 is in the INSTANCES of no",
            ),
        ] {
            let error = find(clients, master).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
