//! What is done to daemons, their disks and their clocks.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use promoterd::status::StatusReport;
use rustix::process::Signal;

use super::history::{Change, HostId};
use super::listeners::{get_now, is_voter};
use super::nemesis::{Nemesis, Undo};
use super::plan::{Disk, State};

impl Nemesis<'_> {
    fn must_be_well(&self, host: HostId) -> Result<(), String> {
        match self.daemons_ill.contains(&host) {
            true => Err(format!("daemon {host} is not well")),
            false => Ok(()),
        }
    }

    fn make_ill(&mut self, host: HostId, how: &str) {
        self.daemons_ill.insert(host);
        self.change(Change::Daemon {
            host,
            is_well: false,
        });
        self.note(None, format!("daemon {host}: {how}"));
    }

    fn make_well(&mut self, host: HostId, how: &str) {
        self.daemons_ill.remove(&host);
        self.change(Change::Daemon {
            host,
            is_well: true,
        });
        self.note(None, format!("daemon {host}: {how}"));
    }

    pub(super) fn stop_daemon(&mut self, host: HostId, span: Duration) -> Result<(), String> {
        self.must_be_well(host)?;
        self.make_ill(host, "SIGSTOP");
        self.site.daemons[host].signal(Signal::STOP);
        self.later(span, Undo::ContinueDaemon(host));
        Ok(())
    }

    pub(super) fn continue_daemon(&mut self, host: HostId) {
        self.site.daemons[host].signal(Signal::CONT);
        self.make_well(host, "SIGCONT");
    }

    pub(super) fn kill_daemon(
        &mut self,
        host: HostId,
        back: State,
        after: Duration,
    ) -> Result<(), String> {
        self.must_be_well(host)?;
        if back != State::All {
            self.may_lose_its_state(host)?;
        }
        let older = self.older_state(host);
        if back == State::Older && !older.exists() {
            return Err("there is no older state yet".to_owned());
        }
        self.make_ill(host, &format!("SIGKILL, back with {back:?}"));
        self.site.daemons[host].kill();
        let state = self.site.daemons[host].state.clone();
        match back {
            State::All => {
                drop(fs::remove_dir_all(&older));
                copy_all(&state, &older);
            }
            State::Nothing => fs::remove_dir_all(&state).unwrap(),
            State::Older => {
                fs::remove_dir_all(&state).unwrap();
                copy_all(&older, &state);
            }
        }
        if back != State::All {
            self.change(Change::Voter {
                host,
                is_one: false,
            });
            // It gets another incarnation, and a copy of the one before would be told that its place is
            // taken, which is for an administrator to end.
            drop(fs::remove_dir_all(&older));
        }
        self.later(after, Undo::StartDaemon(host));
        Ok(())
    }

    fn older_state(&self, host: HostId) -> PathBuf {
        let name = &self.site.daemons[host].name;
        self.site.directory.path().join(format!("{name}-older"))
    }

    /// README.md: a state that is lost, or an old copy of it, is noticed by the others that ran
    /// meanwhile; so they have to, and all be voters.
    fn may_lose_its_state(&self, host: HostId) -> Result<(), String> {
        if self.is_network_ill || !self.daemons_ill.is_empty() {
            return Err("something else is wrong".to_owned());
        }
        let others = self
            .site
            .daemons
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != host);
        for (_, daemon) in others {
            let report: StatusReport = get_now(&daemon.socket, "/v1/status")?;
            if !is_voter(&report) || report.leader.is_none() {
                return Err(format!("{} is no voter yet", daemon.name));
            }
        }
        Ok(())
    }

    pub(super) fn start_daemon(&mut self, host: HostId) {
        self.site.daemons[host].start();
        self.make_well(host, "started");
    }

    /// The daemon ends by itself as soon as it has to write.
    pub(super) fn fail_disk(
        &mut self,
        host: HostId,
        how: Disk,
        span: Duration,
    ) -> Result<(), String> {
        self.must_be_well(host)?;
        let name = match how {
            Disk::Sync => "sync",
            Disk::Full => "full",
        };
        self.make_ill(host, &format!("its disk fails: {name}"));
        fs::write(self.site.fault_of(host, name), "").unwrap();
        self.later(span, Undo::EndFault(host, name));
        Ok(())
    }

    /// Sets the wall clock of one daemon only.
    pub(super) fn set_clock(
        &mut self,
        host: HostId,
        seconds: i64,
        span: Duration,
    ) -> Result<(), String> {
        let path = self.site.fault_of(host, "clock");
        if path.exists() {
            return Err("it is set already".to_owned());
        }
        fs::write(path, seconds.to_string()).unwrap();
        self.note(None, format!("daemon {host}: clock set by {seconds} s"));
        self.later(span, Undo::EndFault(host, "clock"));
        Ok(())
    }

    pub(super) fn end_fault(&mut self, host: HostId, name: &str) {
        fs::remove_file(self.site.fault_of(host, name)).unwrap();
        self.note(None, format!("daemon {host}: no more {name}"));
        if name == "clock" {
            return;
        }
        // Whether it had to write meanwhile or not.
        self.site.daemons[host].kill();
        self.start_daemon(host);
    }

    /// As `systemctl restart` on one host after the other does it, once another program lies there.
    pub(super) fn upgrade(&mut self) -> Result<(), String> {
        if !self.daemons_ill.is_empty() {
            return Err("a daemon is not well".to_owned());
        }
        let [before, next] = &self.site.programs;
        let is_next = self.site.daemons[0].program == *next;
        let program = if is_next { before } else { next }.clone();
        for host in 0..self.site.daemons.len() {
            self.make_ill(host, "SIGTERM");
            self.site.daemons[host].stop();
            self.site.daemons[host].program = program.clone();
            self.start_daemon(host);
        }
        Ok(())
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
