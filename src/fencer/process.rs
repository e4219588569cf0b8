//! One process of this host, held by a descriptor of the kernel's and not by its number.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, test_kill_process};
use thiserror::Error;

use super::holds::ProcessKey;

/// Most that is read of a file of /proc, in bytes.
const LENGTH_MAX: u64 = 16 * 1024;

/// A process that was there when it was looked for.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) key: ProcessKey,
    descriptor: OwnedFd,
}

/// Why nothing is known of a process.
#[derive(Debug, Error)]
pub(super) enum NoProcess {
    #[error("there is no process {process_id} on this host")]
    Absent { process_id: u32 },
    #[error(
        "process {process_id} cannot be looked at: let the fencer run as root, and see all of /proc"
    )]
    Unseen {
        process_id: u32,
        #[source]
        source: io::Error,
    },
    #[error(
        "process {process_id} is in a pid namespace of its own, as in a container, where it has another number: run \
         promoterd and the fencer in the one of the server"
    )]
    Nested { process_id: u32 },
}

impl Process {
    /// Takes hold of the process that has this number now.
    pub(super) fn open(process_id: u32) -> Result<Self, NoProcess> {
        let absent = NoProcess::Absent { process_id };
        let Some(id) = i32::try_from(process_id).ok().and_then(Pid::from_raw) else {
            return Err(absent);
        };
        let unseen = |source: io::Error| match source.raw_os_error() {
            Some(code) if code == rustix::io::Errno::SRCH.raw_os_error() => {
                NoProcess::Absent { process_id }
            }
            Some(_) | None => NoProcess::Unseen { process_id, source },
        };
        let descriptor =
            pidfd_open(id, PidfdFlags::empty()).map_err(|error| unseen(error.into()))?;
        let unreadable = || unseen(io::ErrorKind::InvalidData.into());
        let stat = read(process_id, "stat").map_err(unseen)?;
        let started = start_of(&stat).ok_or_else(unreadable)?;
        let status = read(process_id, "status").map_err(unseen)?;
        let process = Self {
            key: ProcessKey {
                process_id,
                started,
            },
            descriptor,
        };
        // It held the number all the while that was read, unless it has exited.
        if process.has_exited().map_err(unseen)? {
            return Err(absent);
        }
        match is_nested(&status) {
            true => Err(NoProcess::Nested { process_id }),
            false => Ok(process),
        }
    }

    /// Ends it at once; false when it had ended already.
    pub(super) fn end(&self) -> io::Result<bool> {
        match pidfd_send_signal(&self.descriptor, Signal::KILL) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the kernel would let us end it.
    pub(super) fn may_end(&self) -> bool {
        let id = i32::try_from(self.key.process_id)
            .ok()
            .and_then(Pid::from_raw);
        id.is_some_and(|id| test_kill_process(id).is_ok())
    }

    pub(super) fn has_exited(&self) -> io::Result<bool> {
        let mut watched = [PollFd::new(&self.descriptor, PollFlags::IN)];
        let ready = poll(&mut watched, Some(&Timespec::default()))?;
        Ok(ready > 0)
    }

    /// The name of its program, of at most 15 bytes.
    pub(super) fn name(&self) -> io::Result<String> {
        read(self.key.process_id, "comm").map(|name| name.trim_end().to_owned())
    }

    /// The service of the system's service manager that it belongs to.
    pub(super) fn service(&self) -> io::Result<Option<String>> {
        let groups = read(self.key.process_id, "cgroup")?;
        Ok(service_of(&groups).map(str::to_owned))
    }
}

/// What tells this boot of the host from all others.
pub(super) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim_end().to_owned())
}

fn read(process_id: u32, name: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{process_id}/{name}"));
    let file = file.map_err(|error| match error.kind() == io::ErrorKind::NotFound {
        // As the kernel says of a process that exits while it is read.
        true => rustix::io::Errno::SRCH.into(),
        false => error,
    })?;
    file.take(LENGTH_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Field 22 of `/proc/PID/stat`. The second one is a name in brackets that may hold anything.
fn start_of(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Whether `/proc/PID/status` gives it a number in a further namespace. Source: NSpid in proc(5).
fn is_nested(status: &str) -> bool {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.is_some_and(|numbers| numbers.split_ascii_whitespace().count() > 1)
}

/// The unit in `/proc/PID/cgroup`: the first part of the path behind the slices, if it is a service.
///
/// What follows is the service's own affair: a user's services lie below `user@1000.service`.
fn service_of(groups: &str) -> Option<&str> {
    let paths = groups.lines().filter_map(|line| {
        let unified = line.strip_prefix("0::");
        // Of a host with cgroup v1, the hierarchy of systemd; its number differs.
        unified.or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    });
    let behind_slices = |path| {
        str::strip_prefix(path, '/')?
            .split('/')
            .find(|part| !part.ends_with(".slice"))
    };
    let mut units = paths.filter_map(behind_slices);
    units.find(|unit| unit.ends_with(".service"))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn cat() -> Child {
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_process_is_ended_by_its_descriptor_and_no_other_in_its_place() {
        let mut child = cat();
        let process = Process::open(child.id()).unwrap();
        assert_eq!(process.name().unwrap(), "cat");
        assert!(!process.has_exited().unwrap());
        assert!(process.end().unwrap());
        child.wait().unwrap();
        assert!(process.has_exited().unwrap());
        assert!(!process.end().unwrap());
    }

    #[test]
    fn two_processes_differ_and_one_is_always_the_same() {
        let mut children = [cat(), cat()];
        let [one, two] = [0, 1].map(|at| Process::open(children[at].id()).unwrap().key);
        assert_ne!(one, two);
        assert_eq!(Process::open(children[0].id()).unwrap().key, one);
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn what_is_no_process_is_not_there() {
        let mut dead = cat();
        dead.kill().unwrap();
        dead.wait().unwrap();
        let mut zombie = cat();
        zombie.kill().unwrap();
        while !fs::read_to_string(format!("/proc/{}/stat", zombie.id()))
            .unwrap()
            .contains(") Z ")
        {}
        for process_id in [0, dead.id(), zombie.id(), u32::MAX] {
            let error = Process::open(process_id).unwrap_err();
            assert!(matches!(error, NoProcess::Absent { .. }), "{error}");
        }
        zombie.wait().unwrap();
    }

    #[test]
    fn the_start_of_a_process_is_read_whatever_its_name_is() {
        let rest = (3..=52)
            .map(|field| format!(" {field}"))
            .collect::<String>();
        for (name, start) in [
            ("redis-server", Some(22)),
            (") 1 2 3", Some(22)),
            ("a b", Some(22)),
        ] {
            assert_eq!(start_of(&format!("1 ({name}){rest}\n")), start, "{name}");
        }
        for stat in [
            "",
            "1 (cat",
            "1 (cat) S 1",
            "1 (cat) S 4 5 6 7 8 9 a b c d e f g h i j k l m",
        ] {
            assert_eq!(start_of(stat), None, "{stat}");
        }
    }

    #[test]
    fn a_process_with_a_number_of_its_own_in_a_container_is_nested() {
        for (status, nested) in [
            ("Name:\tcat\nNSpid:\t7\n", false),
            ("Name:\tredis-server\nNSpid:\t70\t1\n", true),
            ("Name:\tcat\n", false),
        ] {
            assert_eq!(is_nested(status), nested, "{status}");
        }
    }

    #[test]
    fn the_service_is_the_first_thing_behind_the_slices() {
        for (groups, service) in [
            (
                "0::/system.slice/redis-server.service\n",
                Some("redis-server.service"),
            ),
            (
                "0::/system.slice/system-redis\\x2dserver.slice/redis-server@a.service/b.service",
                Some("redis-server@a.service"),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/redis-server.service",
                Some("user@1000.service"),
            ),
            (
                "12:pids:/x.service\n1:name=systemd:/system.slice/redis.service\n0::/",
                Some("redis.service"),
            ),
            (
                "9:name=systemd:/\n4:memory:/x.service\n0::/system.slice/redis.service",
                Some("redis.service"),
            ),
            (
                "0::/system.slice/docker-1234.scope/redis-server.service",
                None,
            ),
            ("0::/user.slice/session-1.scope", None),
            ("0::/", None),
            ("0::", None),
            ("", None),
        ] {
            assert_eq!(service_of(groups), service, "{groups}");
        }
    }
}
