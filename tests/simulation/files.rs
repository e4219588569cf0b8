//! The clients' files of a host and their journal: the real rules of when a file is replaced, what the
//! journal remembers and which client is to read its file again, on a simulated disk.
//!
//! One client a group. The file's rename, the record in the journal and the client's reload are steps of
//! their own, and a crash may come between any two.

use std::time::{Duration, Instant};

use promoterd::clients::journal::{Book, Entry, Write};
use promoterd::clients::reloads::Reloads;
use promoterd::clients::schedule::{Due, Schedule};
use promoterd::clients::{Content, Digest, Publication, Target};
use promoterd::model::{Endpoint, Epoch, GroupName, SplitMix};

use super::disk::Ailment;
use super::pipes::Micros;

/// What a file says, or what a client has read.
pub type Said = (Epoch, Endpoint);

/// What is on the disk and in the clients, and outlives the daemon.
#[derive(Debug)]
pub struct Kept {
    /// By group, in the order of the targets.
    pub files: Vec<Option<Said>>,
    pub read: Vec<Option<Said>>,
    /// The bytes of the journal; none when there is no such file.
    journal: Option<Vec<u8>>,
    /// A file was replaced that the journal could not be told of first: its disk refused.
    pub is_behind: bool,
    /// It was so when the daemon ended: whether the client read the file since, nobody knows any more.
    pub has_forgotten: bool,
}

impl Kept {
    pub fn new(groups: usize) -> Self {
        Self {
            files: vec![None; groups],
            read: vec![None; groups],
            journal: None,
            is_behind: false,
            has_forgotten: false,
        }
    }

    pub fn journal_length(&self) -> usize {
        self.journal.as_ref().map_or(0, Vec::len)
    }

    /// Somebody removes the state directory; the files lie elsewhere.
    pub fn wipe(&mut self) {
        self.journal = None;
    }
}

/// What the daemon's thread for files does, in one life.
#[derive(Debug)]
pub struct Files {
    targets: Vec<Target>,
    schedule: Schedule,
    reloads: Reloads,
    book: Book,
    /// Files that say what they shall, of which the journal does not know durably.
    written: Vec<(usize, Epoch)>,
    step: Option<Step>,
    /// What waits for the end of a step, in the order in which it came.
    mail: Vec<Publication>,
    /// Commands that ended, by the place of their client.
    ended: Vec<usize>,
}

/// What takes its time.
#[derive(Debug)]
enum Step {
    /// The copy is staged and synced; then it takes the file's place.
    Replace(Due),
    Journal(Write, Next),
}

/// What follows once the journal is written, or could not be.
#[derive(Debug)]
enum Next {
    /// What is reported is durable.
    Report,
    Replace(Due),
    Nothing,
}

/// What a step came to, for the world outside.
#[derive(Debug, PartialEq, Eq)]
pub enum Happened {
    /// A file was replaced: what it said, and what it says.
    Replaced(GroupName, Option<Said>, Said),
    /// All files of a group say so, durably.
    Rewritten(GroupName, Epoch),
    /// The journal could not be written.
    NotJournalled,
}

/// What begins.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// A step that takes so long.
    Step(Micros),
    /// The command by which a client reads what its file says now.
    Reload(usize, Option<Said>, Micros),
}

impl Files {
    /// Starts with what the disk holds; none when the journal cannot be understood.
    pub fn start(kept: &mut Kept, groups: &[GroupName]) -> Option<Self> {
        let target = |group: &GroupName| Target {
            client: group.as_str().parse().expect("a client may bear that name"),
            group: group.clone(),
            path: format!("/{group}").into(),
            content: Content::Template { source: "/".into() },
            check: None,
            reload: None,
        };
        let targets: Vec<Target> = groups.iter().map(target).collect();
        let book = match &mut kept.journal {
            Some(bytes) => {
                let book = Book::read(bytes).ok()?;
                bytes.truncate(book.length());
                book
            }
            None => {
                let mut book = Book::begin();
                let whole = book.whole();
                book.written(&Write::Replace(whole.clone()));
                kept.journal = Some(whole);
                book
            }
        };
        Some(Self {
            schedule: Schedule::new(&targets),
            reloads: Reloads::new(targets.len()),
            targets,
            book,
            written: Vec::new(),
            step: None,
            mail: Vec::new(),
            ended: Vec::new(),
        })
    }

    /// The core says what the files of a group have to say.
    pub fn publish(&mut self, publication: Publication) {
        self.mail.push(publication);
    }

    /// Goes on with what an earlier life did not finish.
    pub fn resume(&mut self, unfinished: &[(usize, Publication)], now: Instant) {
        for (index, publication) in unfinished {
            self.schedule.accept_for(*index, publication, now);
        }
    }

    /// Begins what is due; call it until it gives nothing more.
    pub fn begin(&mut self, now: Instant, kept: &Kept, random: &mut SplitMix) -> Option<Begun> {
        while self.step.is_none() {
            for publication in self.mail.drain(..) {
                self.schedule.accept(&publication, now);
            }
            if let Some(index) = self.ended.pop() {
                self.note_reloaded(index, now);
            } else if let Some(due) = self.schedule.due(true, now) {
                self.begin_replacing(due, kept, now);
            } else if !self.written.is_empty() {
                self.begin_journal(Next::Report);
            } else if let Some((index, _)) = self.reloads.due(now) {
                self.reloads.begin(index);
                let lasts = 1_000 + random.below(60_000);
                return Some(Begun::Reload(index, kept.files[index].clone(), lasts));
            } else {
                return None;
            }
            match &self.step {
                Some(Step::Replace(_)) => return Some(Begun::Step(300 + random.below(6_000))),
                Some(Step::Journal(..)) => return Some(Begun::Step(50 + random.below(3_000))),
                None => {}
            }
        }
        None
    }

    /// When something is due that is not yet.
    pub fn next(&self) -> Option<Instant> {
        let both = [self.schedule.next(true), self.reloads.next()];
        both.into_iter().flatten().min()
    }

    fn begin_replacing(&mut self, due: Due, kept: &Kept, now: Instant) {
        let target = &self.targets[due.index];
        let (client, group, epoch) = (&target.client, &target.group, due.publication.epoch);
        if self.book.may_publish(client, group, epoch).is_err() {
            self.schedule.settle(due.index);
        } else if kept.files[due.index].as_ref() == Some(&said(&due)) {
            self.note_right(&due, false, now);
        } else if self.book.note_replacing(client, group, epoch) {
            self.begin_journal(Next::Replace(due));
        } else {
            self.step = Some(Step::Replace(due));
        }
    }

    fn begin_journal(&mut self, next: Next) {
        // Nothing new is as good as written.
        let write = self.book.unwritten().unwrap_or(Write::Append(Vec::new()));
        self.step = Some(Step::Journal(write, next));
    }

    /// The step that was begun is done, or the disk refused it.
    pub fn finish(
        &mut self,
        kept: &mut Kept,
        ailment: Option<Ailment>,
        now: Instant,
        random: &mut SplitMix,
    ) -> Vec<Happened> {
        match self.step.take() {
            None => Vec::new(),
            Some(Step::Replace(due)) if ailment.is_some() => {
                self.schedule.fail(due.index, due.publication.epoch, now);
                Vec::new()
            }
            Some(Step::Replace(due)) => {
                let replaced = kept.replace(&due, &self.targets);
                if due.is_revisit {
                    self.schedule.note_correction(due.index, now);
                }
                self.note_right(&due, true, now);
                vec![replaced]
            }
            Some(Step::Journal(write, next)) if ailment.is_some() => {
                kept.tear(&write, random);
                self.book.failed(&write);
                match next {
                    Next::Report => {
                        for (index, epoch) in std::mem::take(&mut self.written) {
                            self.schedule.fail(index, epoch, now);
                        }
                    }
                    // The file is more important.
                    Next::Replace(due) => {
                        kept.is_behind = true;
                        self.step = Some(Step::Replace(due));
                    }
                    Next::Nothing => {}
                }
                vec![Happened::NotJournalled]
            }
            Some(Step::Journal(write, next)) => {
                kept.write(&write);
                kept.is_behind = false;
                self.book.written(&write);
                self.after_journal(next)
            }
        }
    }

    fn after_journal(&mut self, next: Next) -> Vec<Happened> {
        match next {
            Next::Report => {
                let written = std::mem::take(&mut self.written).into_iter();
                let group = |index: usize| self.targets[index].group.clone();
                written
                    .map(|(index, epoch)| Happened::Rewritten(group(index), epoch))
                    .collect()
            }
            Next::Replace(due) => {
                self.step = Some(Step::Replace(due));
                Vec::new()
            }
            Next::Nothing => Vec::new(),
        }
    }

    /// A step that follows another without a decision between them.
    pub fn follows(&self, random: &mut SplitMix) -> Option<Micros> {
        self.step.as_ref().map(|_| 300 + random.below(6_000))
    }

    /// Somebody else changed a file.
    pub fn see_changed(&mut self, index: usize, now: Instant) {
        self.schedule.revisit(index, Duration::ZERO, now);
    }

    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// What the journal says of a target.
    pub fn journalled(&self, target: &Target) -> Option<&Entry> {
        self.book.last(&target.client, &target.group)
    }

    /// What the journal says that a client has read.
    pub fn journalled_read(&self, index: usize) -> Option<Said> {
        let target = &self.targets[index];
        let entry = self.journalled(target)?;
        entry.reloaded.then(|| (entry.epoch, entry.master.clone()))
    }

    /// A client has read what its file said when the command began.
    pub fn reloaded(&mut self, index: usize) {
        self.ended.push(index);
    }

    fn note_reloaded(&mut self, index: usize, now: Instant) {
        if self.reloads.end(index, true, now) {
            let target = &self.targets[index];
            self.book.note_reloaded(&target.client, &target.group);
            self.begin_journal(Next::Nothing);
        }
    }

    fn note_right(&mut self, due: &Due, changed: bool, now: Instant) {
        let client = &self.targets[due.index].client;
        let epoch = due.publication.epoch;
        let digest = Digest::of(due.publication.master.to_string().as_bytes());
        let reloaded = self
            .book
            .note_right(client, &due.publication, digest, changed);
        if !reloaded {
            self.reloads.want(due.index, epoch, now);
        }
        self.schedule.settle(due.index);
        self.written.push((due.index, epoch));
    }

    /// The power fails, or the process is killed: what was under way may be done, or a part of it.
    pub fn crash(self, kept: &mut Kept, random: &mut SplitMix) -> Option<Happened> {
        kept.has_forgotten |= kept.is_behind;
        match self.step? {
            Step::Replace(due) => (random.below(2) == 0).then(|| kept.replace(&due, &self.targets)),
            Step::Journal(write, _) => {
                kept.tear(&write, random);
                None
            }
        }
    }
}

impl Kept {
    /// The rename.
    fn replace(&mut self, due: &Due, targets: &[Target]) -> Happened {
        let group = targets[due.index].group.clone();
        let before = self.files[due.index].replace(said(due));
        Happened::Replaced(group, before, said(due))
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Append(records) => {
                let journal = self.journal.get_or_insert_default();
                records.iter().for_each(|record| journal.extend(record));
            }
            Write::Replace(content) => self.journal = Some(content.clone()),
        }
    }

    /// Of an append any part may be there, the earlier records first; a replacement is there or not.
    fn tear(&mut self, write: &Write, random: &mut SplitMix) {
        match write {
            Write::Append(records) => {
                let mut bytes = records.concat();
                let length = random.below(bytes.len() as u64 + 1);
                bytes.truncate(usize::try_from(length).expect("a length"));
                self.journal.get_or_insert_default().extend(bytes);
            }
            Write::Replace(_) if random.below(2) == 0 => self.write(write),
            Write::Replace(_) => {}
        }
    }
}

fn said(due: &Due) -> Said {
    (due.publication.epoch, due.publication.master.clone())
}
