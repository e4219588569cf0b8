//! Observers: hosts of clients that follow one voter after the other.
//!
//! What a voter shows, what of that is told, what is known, what the files shall say and the rules of the
//! files and their journal are the product's; connections, disks and the order of calls are simulated.

use std::time::Instant;

use promoterd::clients::Publication;
use promoterd::daemon::{Briefed, NodeAction, PublicView};
use promoterd::decision::GroupRecord;
use promoterd::model::{GroupName, SplitMix};
use promoterd::peer::{Knowledge, News, PublicState};

use super::clock::Clock;
use super::files::{Begun, Files, Happened, Kept, Said};
use super::invariants::{Violation, files_never_go_back};
use super::pipes::Micros;
use super::streams::{Purpose, stream};
use super::world::{Happens, World};

/// One schedule in so many has observers: they cost time.
const ONE_IN: u64 = 4;
/// How often an observer looks whether its voter is there, has a leader, and can be reached.
const LOOKS_EVERY: Micros = 700_000;
/// One connection in so many is found broken then, for whatever reason: another voter may know less.
const BREAKS_ONE_IN: u64 = 2;
/// Pause before the next call.
const CALLS_AFTER: Micros = 60_000;

/// All observers of a world; mostly none.
#[derive(Debug, Default)]
pub struct Observers {
    /// What each voter shows, and in which of its lives.
    views: Vec<(u64, PublicView)>,
    followers: Vec<Follower>,
}

#[derive(Debug)]
struct Follower {
    /// It shares the network of this host.
    host: usize,
    life: u64,
    clock: Clock,
    random: SplitMix,
    connection: Option<Connection>,
    connections: u64,
    /// What the task that follows knows, and the daemon behind it; none while it does not run.
    running: Option<(Knowledge, Briefed)>,
    /// Its state on disk.
    saved: Knowledge,
    kept: Kept,
    files: Option<Files>,
    files_due: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    number: u64,
    voter: usize,
    /// Of the voter's process.
    life: u64,
    /// What was sent over it.
    told: Option<PublicState>,
    /// When the last of that arrives.
    arrives_at: Micros,
}

/// What happens to an observer.
#[derive(Debug)]
pub enum Occurs {
    Starts,
    Crashes,
    Calls,
    Hears { connection: u64, news: News },
    Looks { connection: u64 },
    Saved(Knowledge),
    FilesStep,
    FilesDue,
    ClientRead { place: usize, said: Option<Said> },
}

impl World {
    /// Adds observers in some schedules. Their random numbers are their own, so that nothing else changes.
    pub fn add_observers(&mut self) {
        let mut random = stream(self.seed, Purpose::Observers, 0);
        if random.below(ONE_IN) != 0 {
            return;
        }
        let voters = self.shape.voters;
        self.observers.views = (0..voters).map(|_| (0, PublicView::default())).collect();
        for observer in 0..1 + pick(&mut random, 2) {
            let host = pick(&mut random, self.shape.hosts());
            self.observers.followers.push(Follower {
                host,
                life: 0,
                clock: Clock::draw(self.shape.drift, &mut random),
                random: SplitMix::new(random.next()),
                connection: None,
                connections: 0,
                running: None,
                saved: Knowledge::default(),
                kept: Kept::new(self.shape.groups),
                files: None,
                files_due: None,
            });
            self.occurs_later(observer, random.below(2_000_000), Occurs::Starts);
            for _ in 0..random.below(4) {
                let at = random.below(self.plan.faults_until);
                self.occurs_later(observer, at, Occurs::Crashes);
            }
        }
    }

    /// After a turn of a voter: all that follow it are told what is new.
    pub fn show_observers(&mut self, node: usize, actions: &[NodeAction]) {
        if self.observers.followers.is_empty() {
            return;
        }
        let host = &self.hosts[node];
        let Some(running) = &host.node else {
            return;
        };
        let (life, view) = &mut self.observers.views[node];
        if std::mem::replace(life, host.life) != host.life {
            *view = PublicView::default();
        }
        for action in actions {
            view.note(action, running);
        }
        if view.look(running).is_none() {
            return;
        }
        for observer in 0..self.observers.followers.len() {
            let connection = self.observers.followers[observer].connection.as_ref();
            if connection.is_some_and(|it| it.voter == node && it.life == self.hosts[node].life) {
                self.tell_observer(observer);
            }
        }
    }

    /// Its voter sends what it was not told.
    fn tell_observer(&mut self, observer: usize) {
        let follower = &mut self.observers.followers[observer];
        let Some(connection) = &mut follower.connection else {
            return;
        };
        let (life, view) = &self.observers.views[connection.voter];
        let state = match *life == connection.life {
            true => view.state().clone(),
            false => PublicState::default(),
        };
        let Some(news) = News::between(connection.told.as_ref(), &state) else {
            return;
        };
        connection.told = Some(state);
        let (from, to) = (connection.voter, follower.host);
        let delay = self.pipes.delay(from, to, self.now, &mut follower.random);
        let arrives_at = connection.arrives_at.max(self.now + delay);
        connection.arrives_at = arrives_at;
        let connection = connection.number;
        let hears = Occurs::Hears { connection, news };
        self.occurs_later(observer, arrives_at - self.now, hears);
    }

    fn occurs_later(&mut self, observer: usize, delay: Micros, occurs: Occurs) {
        let life = self.observers.followers[observer].life;
        let happens = Happens::Observer {
            observer,
            life,
            occurs,
        };
        self.later(delay, happens);
    }

    pub fn on_observer(&mut self, observer: usize, life: u64, occurs: Occurs) {
        let is_current = self.observers.followers[observer].life == life;
        match occurs {
            // Drawn at the beginning, for whatever life.
            Occurs::Crashes => self.crash_observer(observer),
            Occurs::ClientRead { place, said } => {
                self.on_observers_client_read(observer, place, said)
            }
            Occurs::Starts if is_current => self.start_observer(observer),
            Occurs::Calls if is_current => self.call_voter(observer),
            Occurs::Hears { connection, news } if is_current => {
                self.hear_news(observer, connection, news);
            }
            Occurs::Looks { connection } if is_current => self.look_at_voter(observer, connection),
            Occurs::Saved(knowledge) if is_current => {
                self.observers.followers[observer].saved = knowledge;
            }
            Occurs::FilesStep if is_current => self.on_observers_step(observer),
            Occurs::FilesDue if is_current => {
                self.observers.followers[observer].files_due = None;
                self.work_on_observers_files(observer);
            }
            Occurs::Starts
            | Occurs::Calls
            | Occurs::Hears { .. }
            | Occurs::Looks { .. }
            | Occurs::Saved(_)
            | Occurs::FilesStep
            | Occurs::FilesDue => {}
        }
    }

    fn start_observer(&mut self, observer: usize) {
        let groups: Vec<GroupName> = self.groups.iter().map(|group| group.name.clone()).collect();
        let follower = &mut self.observers.followers[observer];
        let Some(mut files) = Files::start(&mut follower.kept, &groups) else {
            let what = format!("observer {observer} cannot read its journal");
            return self.fail(Violation::new("recovery of the clients' journal", what));
        };
        let briefed = Briefed::new(follower.saved.clone());
        for publication in files.unfinished(&briefed) {
            files.publish(publication);
        }
        follower.running = Some((follower.saved.clone(), briefed));
        follower.files = Some(files);
        follower.files_due = None;
        self.note(|| format!("observer {observer} starts"));
        self.work_on_observers_files(observer);
        self.occurs_later(observer, 0, Occurs::Calls);
    }

    fn crash_observer(&mut self, observer: usize) {
        let follower = &mut self.observers.followers[observer];
        if follower.running.take().is_none() {
            return;
        }
        follower.life += 1;
        follower.connection = None;
        let files = follower.files.take();
        let happened = files.and_then(|it| it.crash(&mut follower.kept, &mut follower.random));
        let away = 1_000 + follower.random.below(3_000_000);
        self.tally.observers_crashed += 1;
        self.note(|| format!("observer {observer} crashes"));
        self.on_observers_file(observer, happened);
        self.occurs_later(observer, away, Occurs::Starts);
    }

    fn call_voter(&mut self, observer: usize) {
        let voters = self.shape.voters;
        let follower = &mut self.observers.followers[observer];
        let voter = pick(&mut follower.random, voters);
        let host = &self.hosts[voter];
        if !host.is_running() || !self.pipes.is_open_both_ways(voter, follower.host) {
            return self.occurs_later(observer, CALLS_AFTER, Occurs::Calls);
        }
        follower.connections += 1;
        let number = follower.connections;
        follower.connection = Some(Connection {
            number,
            voter,
            life: host.life,
            told: None,
            arrives_at: 0,
        });
        self.note(|| format!("observer {observer} follows node {voter}"));
        self.tell_observer(observer);
        let looks = Occurs::Looks { connection: number };
        self.occurs_later(observer, LOOKS_EVERY, looks);
    }

    fn hear_news(&mut self, observer: usize, number: u64, news: News) {
        let follower = &mut self.observers.followers[observer];
        let connection = follower.connection.as_ref();
        let Some(connection) = connection.filter(|it| it.number == number) else {
            return;
        };
        if self.pipes.is_cut(connection.voter, follower.host) {
            return self.leave_voter(observer);
        }
        let Some((knowledge, briefed)) = &mut follower.running else {
            return;
        };
        let is_confirmed = news.is_confirmed;
        let before = knowledge.clone();
        let taken = match knowledge.take_in(news) {
            Ok(taken) => taken,
            Err(error) => return self.fail(Violation::new("observers", error.to_string())),
        };
        let publications = briefed.take_in(is_confirmed, &taken, knowledge.clone());
        let saved = knowledge.clone();
        let lasts = 300 + follower.random.below(8_000);
        if let Some(files) = &mut follower.files {
            publications
                .into_iter()
                .for_each(|publication| files.publish(publication));
        }
        for (name, group) in &taken {
            let known = before.groups().get(name);
            let known = known.map(|known| (known.epoch, known.master.clone()));
            let told = (group.epoch, group.master.clone());
            if let Err(violation) = files_never_go_back::check_file(self, name, known, &told) {
                return self.fail(violation);
            }
        }
        if !taken.is_empty() {
            self.tally.observers_told += 1;
            self.note(|| format!("observer {observer} is told {taken:?}"));
            self.occurs_later(observer, lasts, Occurs::Saved(saved));
        }
        self.work_on_observers_files(observer);
    }

    /// Whether the voter is worth following any longer.
    fn look_at_voter(&mut self, observer: usize, number: u64) {
        let follower = &mut self.observers.followers[observer];
        let breaks = follower.random.below(BREAKS_ONE_IN) == 0;
        let connection = follower.connection.as_ref();
        let Some(connection) = connection.filter(|it| it.number == number) else {
            return;
        };
        let host = &self.hosts[connection.voter];
        let is_there = host.is_running() && host.life == connection.life;
        let is_reached = self
            .pipes
            .is_open_both_ways(connection.voter, follower.host);
        let is_confirmed = connection
            .told
            .as_ref()
            .is_some_and(|told| told.is_confirmed);
        if is_there && is_reached && is_confirmed && !breaks {
            let looks = Occurs::Looks { connection: number };
            return self.occurs_later(observer, LOOKS_EVERY, looks);
        }
        self.leave_voter(observer);
    }

    fn leave_voter(&mut self, observer: usize) {
        self.observers.followers[observer].connection = None;
        self.occurs_later(observer, CALLS_AFTER, Occurs::Calls);
    }

    fn work_on_observers_files(&mut self, observer: usize) {
        let follower = &mut self.observers.followers[observer];
        let now = follower.clock.read(self.now);
        let Some(files) = &mut follower.files else {
            return;
        };
        let mut begun = Vec::new();
        while let Some(next) = files.begin(now, &follower.kept, &mut follower.random) {
            begun.push(next);
        }
        let due = files.next().filter(|at| *at > now);
        let is_news = due.is_some() && due != follower.files_due;
        follower.files_due = due;
        let due_at = due.filter(|_| is_news).map(|at| follower.clock.reaches(at));
        for begun in begun {
            match begun {
                Begun::Step(lasts) => self.occurs_later(observer, lasts, Occurs::FilesStep),
                Begun::Reload(place, said, lasts) => {
                    self.occurs_later(observer, lasts, Occurs::ClientRead { place, said });
                }
            }
        }
        if let Some(at) = due_at {
            self.occurs_later(observer, at.saturating_sub(self.now), Occurs::FilesDue);
        }
    }

    fn on_observers_step(&mut self, observer: usize) {
        let follower = &mut self.observers.followers[observer];
        let now = follower.clock.read(self.now);
        let Some(files) = &mut follower.files else {
            return;
        };
        let happened = files.finish(&mut follower.kept, None, now, &mut follower.random);
        let follows = files.follows(&mut follower.random);
        self.on_observers_file(observer, happened);
        match follows {
            Some(lasts) => self.occurs_later(observer, lasts, Occurs::FilesStep),
            None => self.work_on_observers_files(observer),
        }
    }

    /// S5 holds for an observer's files as for a voter's, whatever became of the process.
    fn on_observers_file(&mut self, observer: usize, happened: impl IntoIterator<Item = Happened>) {
        for happened in happened {
            let Happened::Replaced(group, before, said) = happened else {
                continue;
            };
            self.tally.observers_files += 1;
            self.note(|| format!("observer {observer}: the file of {group} names {said:?}"));
            if let Err(violation) = files_never_go_back::check_file(self, &group, before, &said) {
                self.fail(violation);
            }
        }
    }

    fn on_observers_client_read(&mut self, observer: usize, place: usize, said: Option<Said>) {
        let follower = &mut self.observers.followers[observer];
        follower.kept.read[place] = said;
        if let Some(files) = &mut follower.files {
            files.reloaded(place);
            self.work_on_observers_files(observer);
        }
    }
}

impl Files {
    fn unfinished(&self, briefed: &Briefed) -> Vec<Publication> {
        briefed.unfinished(self.targets(), |target| self.journalled(target))
    }
}

/// Every observer has what the voters have, and so do its clients.
///
/// # Errors
/// The first that has not.
pub fn check(world: &World, group: &GroupName, record: &GroupRecord) -> Result<(), String> {
    let wanted = Some((record.epoch(), record.master().endpoint.clone()));
    let place = world.groups.iter().position(|it| it.name == *group);
    let place = place.expect("it is one of them");
    for (observer, follower) in world.observers.followers.iter().enumerate() {
        let kept = &follower.kept;
        for (what, said) in [("file", &kept.files[place]), ("client", &kept.read[place])] {
            if *said != wanted {
                return Err(format!(
                    "the {what} of {group} at observer {observer} names {said:?} and not {wanted:?}"
                ));
            }
        }
    }
    Ok(())
}

fn pick(random: &mut SplitMix, count: usize) -> usize {
    let place = random.below(u64::try_from(count).expect("a short list"));
    usize::try_from(place).expect("a place in it")
}
