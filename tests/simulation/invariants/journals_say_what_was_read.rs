//! S5: what the journal of the clients' files says of a client, the client has read.

use super::{Violation, World};

const PROMISE: &str = "S5: a client that is not told to read its file has read it";

/// A daemon starts. Where a file says what its client has read by the journal, that is so: the client will
/// not be told to read it.
pub fn check(world: &World, node: usize) -> Result<(), Violation> {
    let host = &world.hosts[node];
    let Some(files) = host.files.as_ref().filter(|_| !host.kept.is_behind) else {
        return Ok(());
    };
    for (index, file) in host.kept.files.iter().enumerate() {
        let journalled = files.journalled_read(index);
        let read = &host.kept.read[index];
        if journalled.is_some() && journalled == *file && read != file {
            let what = format!("node {node}: the file says {file:?}, the client has read {read:?}");
            return Err(Violation::new(PROMISE, what));
        }
    }
    Ok(())
}
