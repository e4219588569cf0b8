//! Which processes the fencer may end: those of certain services, if these start fenced again.

use std::fmt::Write as _;
use std::io;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::process::Process;
use crate::model::with_causes;

/// Longest time that systemctl may take.
const SYSTEMCTL_MAX: Duration = Duration::from_secs(5);
/// Most that is read of what it says, in bytes.
const ANSWER_LENGTH_MAX: u64 = 64 * 1024;
/// The arguments with which a server takes no writes until somebody lets it.
const FENCED: [(&str, &str); 2] = [
    ("min-replicas-to-write", "2147483647"),
    ("min-replicas-max-lag", "1"),
];
/// What a server's program is called.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Whom the fencer believes about what it may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The service manager: the services of these names, as far as they start fenced.
    Services(Vec<ServiceName>),
    /// The operator: any Redis or Valkey server, whoever starts it again.
    Vouched,
}

/// The name of a service, or `NAME@*.service` for all instances of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

/// A text that is no [`ServiceName`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no service: use NAME.service, or NAME@*.service for all instances of a template")]
pub struct InvalidServiceName(String);

/// Why a process is not one that may be held.
#[derive(Debug, Error)]
pub(super) enum Distrust {
    #[error(
        "process {process_id} belongs to no service of systemd: start the server as one, or set \
         PROMOTERD_FENCER_ASSUME=starts-fenced for the fencer where whatever starts it starts it fenced"
    )]
    NoService { process_id: u32 },
    #[error(
        "process {process_id} belongs to {service}, and the fencer may not end that: by `systemctl edit \
         promoterd-fencer` add {service} to PROMOTERD_FENCER_UNITS"
    )]
    Unlisted { process_id: u32, service: String },
    #[error(
        "{service} starts a server that takes writes at once: by `systemctl edit {service}` put in [Service] the lines \
         `ExecStart=` and `ExecStart={command}` (for Debian's services that is systemd/redis-fenced.conf or valkey-fenced.conf)"
    )]
    Unfenced { service: String, command: String },
    #[error("process {process_id} is {name:?}, neither redis-server nor valkey-server")]
    OtherProgram { process_id: u32, name: String },
    #[error("the fencer may not end process {process_id}: run it as root, with CAP_KILL")]
    NotAllowed { process_id: u32 },
    #[error("process {process_id} cannot be looked at")]
    Unseen {
        process_id: u32,
        #[source]
        source: io::Error,
    },
    #[error(
        "systemctl does not say how {service} starts: try `systemctl show -P ExecStart {service}`"
    )]
    Unknown {
        service: String,
        #[source]
        source: io::Error,
    },
}

impl Trust {
    /// Says whether `process` may be held: quickly, or after a word with the service manager.
    pub(super) async fn assess(&self, process: &Process) -> Result<(), String> {
        let process_id = process.key.process_id;
        let assessed = match self {
            _ if !process.may_end() => Err(Distrust::NotAllowed { process_id }),
            Self::Vouched => is_server(process),
            Self::Services(services) => self::starts_fenced(services, process).await,
        };
        assessed.map_err(|distrust| with_causes(&distrust))
    }
}

fn is_server(process: &Process) -> Result<(), Distrust> {
    let process_id = process.key.process_id;
    let name = process
        .name()
        .map_err(|source| Distrust::Unseen { process_id, source })?;
    // As `redis-server-8`, where several versions are installed.
    match PROGRAMS.iter().any(|program| name.starts_with(program)) {
        true => Ok(()),
        false => Err(Distrust::OtherProgram { process_id, name }),
    }
}

async fn starts_fenced(services: &[ServiceName], process: &Process) -> Result<(), Distrust> {
    let process_id = process.key.process_id;
    let service = process
        .service()
        .map_err(|source| Distrust::Unseen { process_id, source })?
        .ok_or(Distrust::NoService { process_id })?;
    if !services.iter().any(|listed| listed.covers(&service)) {
        return Err(Distrust::Unlisted {
            process_id,
            service,
        });
    }
    let said = timeout(SYSTEMCTL_MAX, exec_start(service.clone()));
    let said = said
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let commands = match said.map(|said| commands(&said)) {
        Ok(commands) => commands,
        Err(source) => return Err(Distrust::Unknown { service, source }),
    };
    match commands.iter().find(|command| !is_fenced(command)) {
        None if !commands.is_empty() => Ok(()),
        unfenced => Err(Distrust::Unfenced {
            command: fenced(unfenced.map_or("/usr/bin/redis-server", String::as_str)),
            service,
        }),
    }
}

/// What systemctl says of the commands that start a service.
async fn exec_start(service: String) -> io::Result<String> {
    let mut command = Command::new("systemctl");
    command
        .args(["show", "--no-pager", "-P", "ExecStart", "--"])
        .arg(service)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    // The caller of `vfork` stands still until the program is read, and disks may hang.
    let mut child = spawn_blocking(move || command.spawn()).await??;
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut said = String::new();
    output
        .take(ANSWER_LENGTH_MAX)
        .read_to_string(&mut said)
        .await?;
    let status = child.wait().await?;
    match status.success() {
        true => Ok(said),
        false => Err(io::Error::other(format!("it ended with {status}"))),
    }
}

/// The commands in `{ path=… ; argv[]=… ; ignore_errors=… }`, one a line.
fn commands(said: &str) -> Vec<String> {
    let command = |line: &str| {
        let (_, behind) = line.split_once(" argv[]=")?;
        let (command, _) = behind.split_once(" ; ignore_errors=")?;
        Some(command.to_owned())
    };
    said.lines().filter_map(command).collect()
}

/// Whether a server that is started so takes no writes: of each argument the last one counts.
fn is_fenced(command: &str) -> bool {
    let words: Vec<String> = command
        .split_ascii_whitespace()
        .map(|word| word.trim_matches(['"', '\'']).to_ascii_lowercase())
        .collect();
    FENCED.iter().all(|(name, value)| {
        let old_name = name.replace("replicas", "slaves");
        let is_it = |word: &&String| {
            word.strip_prefix("--")
                .is_some_and(|word| word == *name || word == old_name)
        };
        let last = words.iter().rposition(|word| is_it(&word));
        last.and_then(|at| words.get(at + 1))
            .is_some_and(|given| given == value)
    })
}

/// The same command for a server that takes no writes.
fn fenced(command: &str) -> String {
    let mut command = command.to_owned();
    for (name, value) in FENCED {
        // A string takes all that is written to it.
        let _ = write!(command, " --{name} {value}");
    }
    command
}

impl ServiceName {
    fn covers(&self, service: &str) -> bool {
        match self.0.split_once("@*") {
            None => self.0 == service,
            Some((template, end)) => service
                .strip_prefix(template)
                .and_then(|rest| rest.strip_prefix('@'))
                .and_then(|rest| rest.strip_suffix(end))
                .is_some_and(|instance| !instance.is_empty()),
        }
    }
}

impl FromStr for ServiceName {
    type Err = InvalidServiceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        /// As systemd has it.
        const LENGTH_MAX: usize = 255;
        let text = text.trim();
        let invalid = || InvalidServiceName(text.chars().take(LENGTH_MAX).collect());
        let name = text.strip_suffix(".service").ok_or_else(invalid)?;
        let name = name.strip_suffix("@*").unwrap_or(name);
        let is_fine = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'@' | b'\\')
        };
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !starts_well || text.len() > LENGTH_MAX || !name.bytes().all(is_fine) {
            return Err(invalid());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str =
        "/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no";

    #[test]
    fn a_server_starts_fenced_when_both_arguments_have_their_values_to_the_end() {
        for (arguments, fenced) in [
            ("", false),
            ("--min-replicas-to-write 2147483647", false),
            (
                "--min-replicas-to-write 2147483647 --min-replicas-max-lag 1",
                true,
            ),
            (
                "--min-slaves-max-lag 1 --MIN-replicas-to-write '2147483647'",
                true,
            ),
            (
                "--min-replicas-to-write 2147483647 --min-replicas-max-lag 0",
                false,
            ),
            (
                "--min-replicas-to-write 2147483647 --min-replicas-max-lag",
                false,
            ),
            ("--min-replicas-to-write 1 --min-replicas-max-lag 1", false),
            (
                "--min-replicas-to-write 2147483647 --min-replicas-max-lag 1 --min-slaves-to-write 0",
                false,
            ),
            (
                "min-replicas-to-write 2147483647 min-replicas-max-lag 1",
                false,
            ),
        ] {
            assert_eq!(
                is_fenced(&format!("{PLAIN} {arguments}")),
                fenced,
                "{arguments}"
            );
        }
        assert!(is_fenced(&super::fenced(PLAIN)));
    }

    #[test]
    fn commands_are_found_in_what_systemctl_says() {
        let line = |command: &str| {
            format!(
                "{{ path=/usr/bin/redis-server ; argv[]={command} ; ignore_errors=no ; start_time=[n/a] ; pid=0 }}\n"
            )
        };
        assert_eq!(commands(&line(PLAIN)), [PLAIN]);
        assert_eq!(
            commands(&format!("{}{}", line("a"), line("b ; c"))),
            ["a", "b ; c"]
        );
        for nothing in [
            "",
            "\n",
            "{ path=/bin/true ; argv[]=/bin/true",
            "argv[]=a ; ignore_errors=no",
        ] {
            assert_eq!(commands(nothing), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn a_name_covers_one_service_or_all_instances_of_a_template() {
        for (name, service, covered) in [
            ("redis.service", "redis.service", true),
            ("redis.service", "redis2.service", false),
            ("redis-server@*.service", "redis-server@a.service", true),
            ("redis-server@*.service", "redis-server@.service", false),
            ("redis-server@*.service", "redis-server.service", false),
            (
                "redis-server@*.service",
                "other@redis-server@a.service",
                false,
            ),
            ("redis@a.service", "redis@b.service", false),
        ] {
            let name: ServiceName = name.parse().unwrap();
            assert_eq!(name.covers(service), covered, "{name:?} {service}");
        }
    }

    #[test]
    fn what_would_cover_anything_is_no_name() {
        for text in [
            "",
            "*",
            "*.service",
            "@*.service",
            ".service",
            "a*.service",
            "redis",
            "-x.service",
            "a b.service",
            "a@*b.service",
        ] {
            assert!(text.parse::<ServiceName>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_no_server_is_not_trusted_and_one_without_a_service_neither() {
        let own = Process::open(std::process::id()).unwrap();
        let name = own.name().unwrap();
        let reason = Trust::Vouched.assess(&own).await.unwrap_err();
        assert!(reason.contains(&name), "{reason}");
        let services = Trust::Services(vec!["redis.service".parse().unwrap()]);
        let reason = services.assess(&own).await.unwrap_err();
        assert!(reason.contains("PROMOTERD_FENCER"), "{reason}");
    }
}
