//! Replacement on a real directory, with failures and foreign writes put between its steps.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use tempfile::TempDir;

use super::*;
use crate::clients::Format;
use crate::model::Epoch;

const OLD: &str = "# features\r\nREDIS_URL=redis://:hunter2@10.0.0.1:6379/0 # cache\r\nX=1";
const NEW: &str = "# features\r\nREDIS_URL=redis://:hunter2@10.0.0.2:6379/0 # cache\r\nX=1";
const STEPS: [Step; 9] = [
    Step::Open,
    Step::Read,
    Step::Stage,
    Step::KeepOwner,
    Step::Sync,
    Step::Compare,
    Step::Rename,
    Step::SyncDirectory,
    Step::ReadBack,
];

fn target(path: &Path) -> Target {
    Target {
        client: "api".parse().unwrap(),
        group: "features".parse().unwrap(),
        path: path.to_owned(),
        content: Content::Edit {
            format: Format::Env,
            keys: vec!["REDIS_URL".parse().unwrap()],
            lists: Vec::new(),
            value: None,
        },
        check: None,
        reload: None,
    }
}

fn publication() -> Publication {
    Publication {
        group: "features".parse().unwrap(),
        epoch: Epoch(2),
        master: "10.0.0.2:6379".parse().unwrap(),
        replicas: Vec::new(),
    }
}

fn file_of_old_content() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("redis.env");
    fs::write(&path, OLD).unwrap();
    (directory, path)
}

fn names_in(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    entries.map(name).collect()
}

fn text_of(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", text_of(source)),
        None => error.to_string(),
    }
}

#[test]
fn a_file_is_replaced_once_and_then_left_alone() {
    let (directory, path) = file_of_old_content();
    let first = replace(&target(&path), &publication()).unwrap();
    assert!(first.changed);
    assert_eq!(first.digest, Digest::of(NEW.as_bytes()));
    assert_eq!(fs::read_to_string(&path).unwrap(), NEW);
    let inode = fs::metadata(&path).unwrap().ino();
    let second = replace(&target(&path), &publication()).unwrap();
    assert!(!second.changed);
    assert_eq!(second.digest, first.digest);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert_eq!(names_in(&directory), ["redis.env"]);
}

#[test]
fn mode_group_and_attributes_stay() {
    let (_directory, path) = file_of_old_content();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o2641)).unwrap();
    let flags = XattrFlags::empty();
    let has_attributes =
        rustix::fs::setxattr(&path, "user.note", b"kept\0", flags) != Err(Errno::NOTSUP);
    // user::rw-, user:4242:r--, group::r--, mask::r--, other::--x, as Linux stores it.
    let list: Vec<u8> = [
        (1u16, 6u16, u32::MAX),
        (2, 4, 4242),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 1, u32::MAX),
    ]
    .iter()
    .flat_map(|(tag, rights, id)| {
        [
            &tag.to_le_bytes()[..],
            &rights.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    })
    .collect();
    let list = [&2u32.to_le_bytes()[..], &list].concat();
    let access_list = "system.posix_acl_access";
    let has_list = rustix::fs::setxattr(&path, access_list, &list, flags) != Err(Errno::NOTSUP);
    let before = fs::metadata(&path).unwrap();

    assert!(replace(&target(&path), &publication()).unwrap().changed);

    let after = fs::metadata(&path).unwrap();
    assert_ne!(after.ino(), before.ino());
    assert_eq!(after.mode(), before.mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    let mut value = [0; 100];
    if has_attributes {
        let length = rustix::fs::getxattr(&path, "user.note", &mut value).unwrap();
        assert_eq!(&value[..length], b"kept\0");
    }
    if has_list {
        let length = rustix::fs::getxattr(&path, access_list, &mut value).unwrap();
        assert_eq!(&value[..length], list);
    }
}

#[test]
fn a_failure_at_any_step_leaves_one_whole_file_and_no_copy() {
    for failing in STEPS {
        let (directory, path) = file_of_old_content();
        if failing == Step::KeepOwner && !rustix::process::geteuid().is_root() {
            continue; // Nobody else can make a file of another owner.
        }
        if failing == Step::KeepOwner {
            std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
        }
        let mut reached = Vec::new();
        let result = replace_watched(&target(&path), &publication(), &mut |step| {
            reached.push(step);
            if step == failing {
                Err(Errno::IO.into())
            } else {
                Ok(())
            }
        });
        let error = text_of(&result.unwrap_err());
        assert_eq!(reached.last(), Some(&failing), "{error}");
        assert!(error.ends_with("(os error 5)"), "{error}");
        let is_replaced = matches!(failing, Step::SyncDirectory | Step::ReadBack);
        let expected = if is_replaced { NEW } else { OLD };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{failing:?}");
        assert_eq!(names_in(&directory), ["redis.env"], "{failing:?}");
        assert!(!error.contains("hunter2"));
    }
}

#[test]
fn at_every_step_a_reader_sees_the_old_or_the_new_file() {
    let (_directory, path) = file_of_old_content();
    replace_watched(&target(&path), &publication(), &mut |step| {
        let is_replaced = matches!(step, Step::SyncDirectory | Step::ReadBack);
        let expected = if is_replaced { NEW } else { OLD };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{step:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_write_by_somebody_else_is_noticed_and_kept() {
    type Write = fn(&Path);
    let in_place: Write = |path| fs::write(path, OLD.replace("X=1", "X=2")).unwrap();
    let by_rename: Write = |path| {
        let copy = path.with_extension("copy");
        fs::write(&copy, OLD.replace("X=1", "X=2")).unwrap();
        fs::rename(copy, path).unwrap();
    };
    for write in [in_place, by_rename] {
        for moment in [Step::Stage, Step::Sync, Step::Compare] {
            let (directory, path) = file_of_old_content();
            let mut writes = 0;
            let replaced = replace_watched(&target(&path), &publication(), &mut |step| {
                if step == moment && writes == 0 {
                    writes += 1;
                    write(&path);
                }
                Ok(())
            });
            assert!(replaced.unwrap().changed);
            let expected = NEW.replace("X=1", "X=2");
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{moment:?}");
            assert_eq!(names_in(&directory), ["redis.env"]);
        }
    }
}

#[test]
fn a_change_of_mode_meanwhile_is_kept() {
    let (_directory, path) = file_of_old_content();
    let mut changes = 0;
    replace_watched(&target(&path), &publication(), &mut |step| {
        if step == Step::Compare && changes == 0 {
            changes += 1;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn a_file_put_back_right_after_the_rename_is_edited_again() {
    let (_directory, path) = file_of_old_content();
    let mut writes = 0;
    replace_watched(&target(&path), &publication(), &mut |step| {
        if step == Step::ReadBack && writes == 0 {
            writes += 1;
            fs::write(&path, OLD).unwrap();
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), NEW);
}

#[test]
fn a_file_that_changes_all_the_time_is_given_up() {
    let (directory, path) = file_of_old_content();
    let mut writes = 0;
    let result = replace_watched(&target(&path), &publication(), &mut |step| {
        if step == Step::Compare {
            writes += 1;
            fs::write(&path, format!("{OLD}{writes}")).unwrap();
        }
        Ok(())
    });
    assert!(matches!(result, Err(ReplaceError::KeepsChanging { .. })));
    assert_eq!(writes, ATTEMPTS_MAX);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{OLD}{writes}"));
    assert_eq!(names_in(&directory), ["redis.env"]);
}

#[test]
fn a_file_that_vanishes_meanwhile_is_not_made_again() {
    let (directory, path) = file_of_old_content();
    let result = replace_watched(&target(&path), &publication(), &mut |step| {
        if step == Step::Compare {
            fs::remove_file(&path).unwrap();
        }
        Ok(())
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("create the file"), "{error}");
    assert!(names_in(&directory).is_empty());
}

#[test]
fn what_is_no_regular_file_is_refused_and_kept() {
    let (directory, path) = file_of_old_content();
    let beside = |name: &str| directory.path().join(name);
    symlink("redis.env", beside("link")).unwrap();
    fs::create_dir(beside("directory")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        beside("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(beside("socket")).unwrap();
    fs::write(beside("large"), vec![b'#'; LENGTH_MAX as usize + 1]).unwrap();
    let end = path.canonicalize().unwrap();
    for (name, message) in [
        (
            "link",
            format!(
                "is a symbolic link: set FILE to {}, where it leads",
                end.display()
            ),
        ),
        (
            "directory",
            "is no regular file: set FILE to one".to_owned(),
        ),
        ("pipe", "is no regular file: set FILE to one".to_owned()),
        ("socket", "is no regular file: set FILE to one".to_owned()),
        (
            "large",
            "is larger than 1048576 bytes: move the keys to a file of their own".to_owned(),
        ),
        (
            "missing",
            "create the file and its directory, or correct FILE".to_owned(),
        ),
        (
            "missing/file",
            "create the file and its directory, or correct FILE".to_owned(),
        ),
        (
            "redis.env/file",
            "a part of the path is no directory: correct FILE".to_owned(),
        ),
        (
            "..",
            "names no file: set FILE to the full path of one".to_owned(),
        ),
    ] {
        let error = replace(&target(&beside(name)), &publication())
            .unwrap_err()
            .to_string();
        assert!(error.ends_with(&message), "{name}: {error}");
    }
    assert!(fs::symlink_metadata(beside("link")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
}

#[test]
fn every_refusal_of_the_system_says_what_to_do() {
    for (step, errno, advice) in [
        (
            Step::Rename,
            Errno::BUSY,
            "list the directory and not the file",
        ),
        (
            Step::Stage,
            Errno::ROFS,
            "list its directory in ReadWritePaths=",
        ),
        (Step::Stage, Errno::NOSPC, "free some space"),
        (Step::Sync, Errno::DQUOT, "free some space"),
        (
            Step::Stage,
            Errno::ACCESS,
            "let the service user write to its directory",
        ),
        (Step::Open, Errno::ACCESS, "let the service user read it"),
        (
            Step::Rename,
            Errno::PERM,
            "let the service user write to its directory",
        ),
        (Step::Rename, Errno::XDEV, "spans two file systems"),
    ] {
        let (_directory, path) = file_of_old_content();
        let result = replace_watched(&target(&path), &publication(), &mut |reached| {
            if reached == step {
                Err(errno.into())
            } else {
                Ok(())
            }
        });
        let error = result.unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
        assert!(error.contains("redis.env"), "{error}");
    }
}

#[test]
fn an_owner_or_group_that_cannot_be_kept_is_a_refusal_with_advice() {
    if !rustix::process::geteuid().is_root() {
        return; // Nobody else can make a file of another owner.
    }
    for (owner, group, advice) in [
        (Some(1234), None, "belongs to user 1234"),
        (None, Some(4321), "belongs to group 4321"),
    ] {
        let (directory, path) = file_of_old_content();
        std::os::unix::fs::chown(&path, owner, group).unwrap();
        let result = replace_watched(&target(&path), &publication(), &mut |step| {
            if step == Step::KeepOwner {
                Err(Errno::PERM.into())
            } else {
                Ok(())
            }
        });
        let error = result.unwrap_err().to_string();
        assert!(error.contains(advice), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
        assert_eq!(names_in(&directory), ["redis.env"]);
    }
}

#[test]
fn an_edit_that_is_refused_names_file_and_key_but_no_password() {
    let (directory, path) = file_of_old_content();
    let mut target = target(&path);
    target.content = Content::Edit {
        format: Format::Env,
        keys: vec!["CACHE_URL".parse().unwrap()],
        lists: Vec::new(),
        value: None,
    };
    let error = text_of(&replace(&target, &publication()).unwrap_err());
    assert!(
        error.contains("redis.env") && error.contains("CACHE_URL"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    assert_eq!(names_in(&directory), ["redis.env"]);
}

#[test]
fn only_our_own_stale_copies_of_this_file_are_removed() {
    let (directory, path) = file_of_old_content();
    let kept = [
        ".other.promoterd-0123456789abcdef.env",
        ".redis.promoterd-0123456789abcde.env",
        ".redis.promoterd-0123456789abcdeg.env",
        ".redis.promoterd-0123456789abcdef0.env",
        "redis.promoterd-0123456789abcdef.env",
        ".redis.env.swp",
        ".redis.promoterd-0123456789abcdef.json",
        ".redis.promoterd-0123456789abcdef",
    ];
    for name in kept {
        fs::write(directory.path().join(name), "").unwrap();
    }
    fs::create_dir(
        directory
            .path()
            .join(".redis.promoterd-00000000deadbeef.env"),
    )
    .unwrap();
    fs::write(
        directory
            .path()
            .join(".redis.promoterd-0123456789abcdef.env"),
        "",
    )
    .unwrap();
    assert_eq!(remove_stale_stages(&path).unwrap(), 1);
    assert_eq!(names_in(&directory).len(), kept.len() + 2);
    assert_eq!(
        remove_stale_stages(Path::new("/missing/redis.env")).unwrap(),
        0
    );
}

#[test]
fn a_copy_left_by_a_crash_is_recognised_as_stale() {
    let (directory, path) = file_of_old_content();
    let mut names = Vec::new();
    let _ = replace_watched(&target(&path), &publication(), &mut |step| {
        if step == Step::Rename {
            names = names_in(&directory);
        }
        Ok(())
    });
    let copy = names.iter().find(|name| *name != "redis.env").unwrap();
    fs::write(directory.path().join(copy), OLD).unwrap();
    assert_eq!(remove_stale_stages(&path).unwrap(), 1);
    assert_eq!(names_in(&directory), ["redis.env"]);
}
