//! What is owed to the record: acts that are in force and could not be recorded, and what happened
//! to the record itself. It is recorded before anything else, as soon as there is room.

use super::{
    Purpose, StoreError, accept,
    condition::Recording,
    writer::{TICK_DRAFTS, Writer},
};
use crate::policy::{
    entry::{By, Draft, Fact, Incident},
    names::Note,
    operate,
    token::TokenFact,
};

impl Writer {
    /// Records what could not be recorded before. There is room for one record, and again after.
    pub(super) fn record_owed(&mut self) -> Result<(), StoreError> {
        while !self.owed.is_empty() {
            let now = self.clock.now().max(self.state.now());
            let mut count = self.owed.len().min(TICK_DRAFTS);
            while let Err(error) = self.record_all(self.owed[..count].to_vec(), now) {
                // Fewer may fit, or find the room that all of them did not.
                let (StoreError::TooLarge { .. } | StoreError::Full) = error else {
                    return Err(error);
                };
                if count == 1 {
                    return Err(error);
                }
                count /= 2;
            }
            self.owed.drain(..count);
            self.make_room()?;
        }
        self.condition.set_in_memory(0);
        self.condition.set(Recording::Sound);
        Ok(())
    }

    /// Records what the operator accepts, and freezes every active agent with it; synced when it
    /// returns. It says how many were frozen.
    pub(crate) fn accept(
        &mut self,
        incident: &Incident,
        note: Option<&Note>,
    ) -> Result<usize, StoreError> {
        let (reason, mut frozen) = (accept::reason()?, 0);
        loop {
            let mut drafts = operate::freeze_all(&self.state, &reason, note);
            frozen += drafts.len();
            // More than one record holds are frozen first, so that the last one tells the whole.
            let last = drafts.len() < operate::MAX_AT_ONCE;
            if last {
                let fact = Fact::Incident(incident.clone());
                drafts.insert(0, Draft { agent: None, by: By::Operator, fact });
            }
            let now = self.clock.now().max(self.state.now());
            self.prepare(Purpose::Lower)?;
            self.record_all(drafts, now)?;
            self.flush();
            if last {
                self.sync();
                return self.poison.clone().map_or(Ok(frozen), Err);
            }
        }
    }

    /// Tries again to record what is owed.
    pub(super) fn settle_up(&mut self) {
        if self.owed.is_empty() || self.poison.is_some() {
            return;
        }
        // The ballast is for what takes power away, not for what is merely told.
        let purpose = if self.owes_an_act() { Purpose::Lower } else { Purpose::Record };
        match self.prepare(purpose) {
            Ok(()) => {
                self.flush();
                self.sync();
                self.bring_up_anchor();
            }
            Err(error) => tracing::debug!(%error, "what is owed to the record was not recorded"),
        }
    }

    /// Whether an act is in force that the record does not tell yet.
    pub(super) fn owes_an_act(&self) -> bool {
        self.owed.iter().any(lowers)
    }

    /// Does what takes power from an agent without a record, and says whether it was that.
    pub(super) fn lower_in_memory(&mut self, drafts: Vec<Draft>) -> bool {
        let now = self.clock.now().max(self.state.now());
        let before = self.owed.len();
        self.owed.extend(drafts.into_iter().filter(lowers));
        for draft in &self.owed[before..] {
            tracing::error!(agent = ?draft.agent, "in force in memory only: it is not recorded");
            self.state.lower_in_memory(draft, now);
        }
        self.condition.set_in_memory(self.owed.iter().filter(|draft| lowers(draft)).count());
        self.tick_is_due = true;
        self.owed.len() > before
    }
}

/// Whether a fact takes power from an agent, and can be in force without a record.
pub(crate) fn lowers(draft: &Draft) -> bool {
    matches!(
        draft.fact,
        Fact::Frozen { .. }
            | Fact::Revoked { .. }
            | Fact::MandateSet { .. }
            | Fact::Token(TokenFact::Revoked { .. })
    )
}
