//! The second opinion on shadow caps: what a payment that is granted passed.

use super::{Asked, Model, Verdict};

impl Model {
    /// The shadow caps that a payment passes: the most, what was used, and held.
    pub(super) fn passed(&self, agent: u8, asked: &Asked, verdict: &Verdict) -> Vec<[i128; 3]> {
        let Verdict::Granted { amount, .. } = verdict else { return Vec::new() };
        let (service, kind) = (&self.services[&asked.service], self.kind(agent, asked.task));
        let shadow = self.agents[&agent].terms.shadow.iter();
        let those = shadow.filter(|cap| cap.on.covers(asked.service, service, kind));
        let rooms = those.map(|cap| (cap, self.room_within(agent, *cap, asked.run, asked.task)));
        let passed = rooms.filter(|(cap, room)| room.left < if cap.counts { 1 } else { *amount });
        passed
            .map(|(cap, room)| {
                let counted = [cap.most, room.paid, room.open];
                if cap.counts { counted } else { [cap.most, room.used, room.held] }
            })
            .collect()
    }
}
