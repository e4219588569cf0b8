//! Threads that look all the time at what must never be wrong.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use promoterd::status::client;

/// Looks at something until it is asked what it saw.
pub struct Observer<T> {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<T>,
}

impl<T: Send + 'static> Observer<T> {
    fn start(look: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::spawn(move || look(&flag));
        Self { stop, thread }
    }

    /// What it saw.
    pub fn seen(self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Every content that a file ever has, in order.
pub fn contents_of(file: PathBuf) -> Observer<Vec<String>> {
    Observer::start(move |stop| {
        let mut contents: Vec<String> = Vec::new();
        loop {
            let is_last = stop.load(Ordering::Relaxed);
            // A file that is missing for a moment is one that a client cannot read.
            let now = fs::read_to_string(&file).unwrap_or_else(|error| error.to_string());
            if contents.last() != Some(&now) {
                contents.push(now);
            }
            if is_last {
                return contents;
            }
            thread::sleep(Duration::from_micros(200));
        }
    })
}

/// Every reason for which a daemon of the cluster said that it is not ready.
pub fn refusals_of_readiness(cluster: &Cluster) -> Observer<Vec<String>> {
    let sockets: Vec<PathBuf> = cluster.daemons.iter().map(|it| it.socket.clone()).collect();
    Observer::start(move |stop| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut refusals = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            for socket in &sockets {
                let ready = runtime.block_on(client::get::<Value>(socket, "/readyz"));
                refusals.extend(ready.err().map(|error| error.to_string()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        refusals
    })
}
