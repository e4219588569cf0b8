//! Clusters whose daemons have a Sentinel endpoint.

use promoterd::model::Endpoint;

use crate::cluster::{Cluster, local};
use crate::process::free_port;
use crate::server::Kind;

/// A cluster that is not started, and where its endpoints will be. No other runs: all of this is about time.
pub fn prepare() -> (Cluster, Vec<Endpoint>) {
    let mut cluster = Cluster::prepare_alone(Kind::Redis7);
    let endpoints: Vec<Endpoint> = cluster.daemons.iter().map(|_| local(free_port())).collect();
    for (daemon, endpoint) in cluster.daemons.iter_mut().zip(&endpoints) {
        daemon.set("SENTINEL__LISTEN", &endpoint.to_string());
    }
    (cluster, endpoints)
}

/// The same, started and well.
pub fn start() -> (Cluster, Vec<Endpoint>) {
    let (mut cluster, endpoints) = prepare();
    cluster.start_servers();
    cluster.start_daemons();
    cluster.await_healthy(1);
    (cluster, endpoints)
}
