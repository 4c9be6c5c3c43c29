//! Policies tried on what happened.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Engine, EngineError,
    policy::{check_size, refused},
};
use crate::{
    policy::{
        moment::Moment,
        plan::{Around, Ground},
        shadow::Shadows,
        state::State,
        terms::{PolicyTrial, TrialAsked},
        trial::Trial,
        window::Zone,
    },
    store::{Head, Record, StoreError},
};

impl Engine {
    /// What shadow caps would have denied of what was paid since some time, or ever. It is read
    /// beside those who pay.
    ///
    /// # Errors
    /// If `since` has not been, the record cannot be read, or something of that time was moved
    /// away.
    pub async fn shadows(&self, since: Option<Moment>) -> Result<PolicyTrial, EngineError> {
        let now = self.look(|_, now| now).await?;
        let been = |at: &Timestamp| *at <= now;
        let since = since.map(|moment| moment.past(&Zone::utc(), now).filter(been).ok_or(moment));
        let since = since.transpose().map_err(|moment| {
            EngineError::Asked(format!("`since` is a moment that has been, which {moment} is not"))
        })?;
        let look = |state: &State, head: Head| {
            let having = state.books().filter(|book| !book.mandate.shadow_caps.is_empty());
            (having.map(|book| book.handle.clone()).collect::<BTreeSet<_>>(), head)
        };
        let (having, head) = self.store.read(look).await?;
        let shadows = Shadows::new(since);
        let Some(position) = head.position else { return Ok(shadows.told(&having)) };
        let read = move |(shadows, begun): &mut (Shadows, Option<bool>), record: &Record| {
            // Whatever was since then is here, if something from before it is.
            let before = record.lines.iter().any(|line| since.is_some_and(|at| line.entry.at < at));
            begun.get_or_insert(record.seq == 1 || before);
            record.lines.iter().for_each(|line| shadows.add(&line.entry));
        };
        let (shadows, begun) = self.replayed(position, (shadows, None), read).await?;
        if begun == Some(false) {
            return Err(StoreError::Archived { position: 0 }.into());
        }
        Ok(shadows.told(&having))
    }

    /// What a policy would have said to what the agents that it names did. It changes nothing, and
    /// nobody who pays waits for it.
    ///
    /// # Errors
    /// If something is wrong with it, the record cannot be read, or its beginning was moved away.
    pub async fn try_policy(&self, asked: TrialAsked) -> Result<PolicyTrial, EngineError> {
        let TrialAsked { policy, since } = asked;
        check_size(&policy)?;
        let looking = policy.clone();
        let look = move |state: &State, now| Ground::of(state, &looking, now);
        let ground = self.look(look).await?;
        let around = Around {
            rails: self.rails.names().cloned().collect(),
            distance: strsim::damerau_levenshtein,
        };
        let trial = Trial::new(&policy, since);
        let planned = tokio::task::spawn_blocking(move || ground.plan(&policy, &around));
        let plan = planned.await.map_err(|_| StoreError::Panicked)?.plan;
        if plan.is_refused() {
            return Err(refused(&plan).into());
        }
        let head = self.store.read(|_, head| head).await?;
        let Some(position) = head.position else { return Ok(trial.told()) };
        let read = |(trial, begun): &mut (Trial, Option<bool>), record: &Record| {
            begun.get_or_insert(record.seq == 1);
            for line in &record.lines {
                trial.live(&line.entry, record.position);
            }
        };
        let (trial, begun) = self.replayed(position, (trial, None), read).await?;
        if begun == Some(false) {
            return Err(StoreError::Archived { position: 0 }.into());
        }
        Ok(trial.told())
    }
}
