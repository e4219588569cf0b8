//! People who change clients' files.

use promoterd::model::Epoch;

use crate::world::World;

impl World {
    /// Somebody puts another address into a client's file, and the client goes by it.
    pub fn change_file(&mut self, node: usize, group: usize) {
        let place = self.pick(self.groups[group].servers.len());
        let server = self.groups[group].servers[place];
        let said = (Epoch(0), self.servers[server].endpoint.clone());
        let kept = &mut self.hosts[node].kept;
        if kept.files[group].is_none() {
            return;
        }
        kept.files[group] = Some(said.clone());
        kept.read[group] = Some(said.clone());
        self.note(|| format!("somebody writes {said:?} into a file of host {node}"));
        self.disturb_all();
        self.see_changed_file(node, group);
    }
}
