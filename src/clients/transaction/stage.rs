//! The copy beside the file: written whole and given owner, group, mode and attributes before
//! anybody sees it, and gone again unless it took the file's place.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Before, Location, Original, ReplaceError, Step};

/// Hexadecimal digits behind the name of a copy.
const SUFFIX_LENGTH: usize = 16;

/// The access list, which a directory may also hand down to a file that should have none.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Attributes that the kernel computes from the content: the old ones would be wrong.
const COMPUTED: [&str; 2] = ["security.ima", "security.evm"];

/// The copy under its temporary name.
pub(super) struct Stage {
    location: Arc<Location>,
    name: OsString,
    file: File,
    renamed: bool,
}

impl Stage {
    /// Writes `content` to a new file beside the original, like it in all but content, and syncs it.
    /// Where there is no original, the file gets the given mode.
    pub(super) fn create(
        location: &Arc<Location>,
        original: Result<&Original, u32>,
        content: &[u8],
        before: Before<'_>,
    ) -> Result<Self, ReplaceError> {
        let fails = |step| move |source| ReplaceError::step(step, location.path(), source);
        let name = stage_name(location.name(), fastrand::u64(..));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(location.directory(), &name, flags | OFlags::NOFOLLOW, mode)
            .map_err(|source| fails(Step::Stage)(source.into()))?;
        let mut stage = Self {
            location: Arc::clone(location),
            name,
            file: file.into(),
            renamed: false,
        };
        before(Step::Stage)
            .and_then(|()| stage.file.write_all(content))
            .map_err(fails(Step::Stage))?;
        let mode = match original {
            Ok(original) => {
                stage.keep_owner(original.metadata(), before)?;
                stage.keep_attributes(original.file())?;
                original.metadata().mode() & 0o7777
            }
            Err(mode) => mode,
        };
        // Last, for a change of owner or content takes set-id bits away.
        rustix::fs::fchmod(&stage.file, Mode::from_raw_mode(mode))
            .map_err(|source| fails(Step::Stage)(source.into()))?;
        before(Step::Sync)
            .and_then(|()| stage.file.sync_all())
            .map_err(fails(Step::Sync))?;
        Ok(stage)
    }

    /// Where the copy is.
    pub(super) fn path(&self) -> PathBuf {
        self.location.path().with_file_name(&self.name)
    }

    /// Takes the place of the original: from here on everybody reads the new content.
    pub(super) fn take_place(mut self, before: Before<'_>) -> Result<(), ReplaceError> {
        let directory = self.location.directory();
        before(Step::Rename)
            .and_then(|()| {
                let renamed =
                    rustix::fs::renameat(directory, &self.name, directory, self.location.name());
                Ok(renamed?)
            })
            .map_err(|source| ReplaceError::step(Step::Rename, self.location.path(), source))?;
        self.renamed = true;
        Ok(())
    }

    fn keep_owner(&self, original: &Metadata, before: Before<'_>) -> Result<(), ReplaceError> {
        let path = self.location.path();
        let fails = |source| ReplaceError::step(Step::KeepOwner, path, source);
        let own = self.file.metadata().map_err(fails)?;
        let (owner, group) = (original.uid(), original.gid());
        let change = |owner, group| {
            before(Step::KeepOwner)?;
            Ok(rustix::fs::fchown(&self.file, owner, group)?)
        };
        let mut change = change;
        if own.gid() != group {
            change(None, Some(Gid::from_raw(group))).map_err(|source: io::Error| {
                ReplaceError::Group {
                    path: path.to_owned(),
                    group,
                    source,
                }
            })?;
        }
        if own.uid() != owner {
            change(Some(Uid::from_raw(owner)), None).map_err(|source: io::Error| {
                ReplaceError::Owner {
                    path: path.to_owned(),
                    owner,
                    source,
                }
            })?;
        }
        Ok(())
    }

    fn keep_attributes(&self, original: &File) -> Result<(), ReplaceError> {
        let fails = |name: &str| {
            let (path, name) = (self.location.path().to_owned(), name.to_owned());
            move |source| ReplaceError::Attribute { path, name, source }
        };
        let wanted = attribute_names(original).map_err(fails("list"))?;
        let given = attribute_names(&self.file).map_err(fails("list"))?;
        for name in wanted
            .iter()
            .filter(|name| !COMPUTED.contains(&name.as_str()))
        {
            self.keep_attribute(original, name).map_err(fails(name))?;
        }
        let is_handed_down = |names: &[String]| names.iter().any(|name| name == ACCESS_LIST);
        if is_handed_down(&given) && !is_handed_down(&wanted) {
            rustix::fs::fremovexattr(&self.file, ACCESS_LIST)
                .map_err(|source| fails(ACCESS_LIST)(source.into()))?;
        }
        Ok(())
    }

    fn keep_attribute(&self, original: &File, name: &str) -> io::Result<()> {
        let value = attribute(original, name)?;
        // A label that the directory gave already may need no right that we lack.
        if attribute(&self.file, name).is_ok_and(|given| given == value) {
            return Ok(());
        }
        Ok(rustix::fs::fsetxattr(
            &self.file,
            name,
            &value,
            XattrFlags::empty(),
        )?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.renamed {
            let removed =
                rustix::fs::unlinkat(self.location.directory(), &self.name, AtFlags::empty());
            if let Err(source) = removed {
                tracing::warn!(path = %self.location.path().display(), copy = ?self.name, %source,
                    "copy of a client file could not be removed");
            }
        }
    }
}

/// Removes the copies that an earlier life left beside the file at `path`, and says how many.
///
/// # Errors
/// What the reading of the directory or a removal brought; a directory that does not exist holds none.
pub fn remove_stale_stages(path: &Path) -> io::Result<usize> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(0);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(parent, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut removed = 0;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        if !is_stage_of(name, entry.file_name()) {
            continue;
        }
        let found = rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile {
            rustix::fs::unlinkat(&directory, entry.file_name(), AtFlags::empty())?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// `.redis.promoterd-0123456789abcdef.env`: hidden, and of the same kind for whoever goes by endings.
fn stage_name(name: &OsStr, suffix: u64) -> OsString {
    let (stem, ending) = divide(name);
    let mut stage = OsString::from(".");
    stage.push(OsStr::from_bytes(stem));
    stage.push(format!(".promoterd-{suffix:0SUFFIX_LENGTH$x}"));
    stage.push(OsStr::from_bytes(ending));
    stage
}

fn is_stage_of(name: &OsStr, candidate: &CStr) -> bool {
    let (stem, ending) = divide(name);
    let suffix = candidate
        .to_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(stem))
        .and_then(|rest| rest.strip_prefix(b".promoterd-"))
        .and_then(|rest| rest.strip_suffix(ending));
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    suffix.is_some_and(|suffix| suffix.len() == SUFFIX_LENGTH && suffix.iter().all(is_digit))
}

/// Divides a name before its ending: `redis` and `.env`.
fn divide(name: &OsStr) -> (&[u8], &[u8]) {
    let bytes = name.as_bytes();
    let stem = Path::new(name).file_stem().unwrap_or(name).as_bytes();
    bytes.split_at(stem.len())
}

fn attribute_names(file: &File) -> io::Result<Vec<String>> {
    let list = match sized(|buffer| rustix::fs::flistxattr(file, buffer)) {
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        list => list?,
    };
    let names = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

fn attribute(file: &File, name: &str) -> io::Result<Vec<u8>> {
    Ok(sized(|buffer| rustix::fs::fgetxattr(file, name, buffer))?)
}

/// Calls `read` with a buffer for the largest list or value that Linux allows.
fn sized(read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    const XATTR_SIZE_MAX: usize = 65_536;
    let mut buffer = vec![0; XATTR_SIZE_MAX];
    let length = read(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}
