//! What is put right when the record is opened.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::watch;

use super::{Engine, EngineError, Tally, seats::Seats};
use crate::{
    clock::Clock,
    policy::{
        entry::{Draft, VoidCause},
        names::{Handle, RailName},
        settle,
        state::State,
    },
    rails::Rails,
    store::{Decision, Disk, FileDisk, Options, Purpose, Store, StoreError, with_archive},
};

pub use crate::store::{Accept, Acceptable, Accepted};

/// Where a record is.
#[derive(Clone, Debug)]
pub struct Places {
    /// The journal's segments.
    pub journal: PathBuf,
    /// Segments that were moved away, if any were.
    pub archive: Option<PathBuf>,
    /// The desk.
    pub desk: PathBuf,
    /// The head anchors, if there is a place for them.
    pub anchors: Option<PathBuf>,
}

impl Places {
    /// The journal, with what was moved away, to be read beside whoever writes to it.
    pub(super) fn segments(&self) -> Result<Arc<dyn Disk>, StoreError> {
        let here: Arc<dyn Disk> = Arc::new(FileDisk::look(&self.journal)?);
        Ok(match &self.archive {
            Some(archive) => with_archive(here, Arc::new(FileDisk::look(archive)?)),
            None => here,
        })
    }

    /// The anchors, where there is a directory of them.
    pub(super) fn anchors(&self) -> Result<Option<Arc<dyn Disk>>, StoreError> {
        let Some(dir) = self.anchors.as_ref().filter(|dir| dir.exists()) else { return Ok(None) };
        Ok(Some(Arc::new(FileDisk::shared(dir)?)))
    }
}

/// Has a sealed record go on as the operator accepts it, with every active agent frozen, and says
/// what was done. A recovery that broke off is done once more in the same way.
///
/// Nobody may serve the home meanwhile: the caller holds the lock of those who start a `serve`, and
/// has seen that nobody owns the home. The locks on the journal and the desk are taken here.
///
/// # Errors
/// If the record is in use, sound as it is, or sealed for the other reason; or if a disk fails.
pub async fn accept(places: &Places, accept: Accept, clock: Clock) -> Result<Accepted, StoreError> {
    let options = Options {
        anchor: places.anchors()?,
        accept: Some(accept),
        ..Options::new(clock, places.desk.clone())
    };
    let store = Store::open(Arc::new(FileDisk::open(&places.journal)?), options)?;
    let accepted = store.opened().accepted.clone();
    store.close().await;
    accepted.ok_or(StoreError::NothingToAccept)
}

impl Engine {
    /// Takes over a store: whatever was held and never sent when it was last left is released,
    /// and whatever was sent and has no outcome is in doubt from now on.
    ///
    /// What cannot be written down stays held: a sealed record, or one on a full disk, is still to
    /// be read.
    ///
    /// # Errors
    /// If the store fails in a way that leaves nothing to read.
    pub async fn open(store: Store, rails: Rails, clock: Clock) -> Result<Self, EngineError> {
        let (under_way, parked) = (Tally::new(), watch::Sender::new(false));
        let seats = Seats::default();
        let (doors, noting, turns) = (Arc::default(), Tally::new(), Arc::default());
        let (gates, spool, proven) = (Arc::default(), Arc::default(), None);
        let engine = Self {
            store,
            rails,
            clock,
            under_way,
            seats,
            parked,
            doors,
            gates,
            noting,
            spool,
            turns,
            proven,
        };
        engine.refresh_doors().await?;
        engine.meter_by_the_record().await?;
        match engine.put_right().await {
            Ok(()) => {}
            Err(EngineError::Store(error)) if error.leaves_reading() => {
                tracing::warn!(%error, "what was held when the record was left stays as it was");
            }
            Err(error) => return Err(error),
        }
        Ok(engine)
    }

    /// Has every token let in whom the state says.
    pub(super) async fn refresh_doors(&self) -> Result<(), StoreError> {
        let doors = Arc::clone(&self.doors);
        self.store.read(move |state, _| doors.refresh_all(state)).await
    }

    async fn put_right(&self) -> Result<(), EngineError> {
        let voided = self.void_unsent(None, VoidCause::Recovery).await?;
        if voided > 0 {
            tracing::warn!(voided, "released holds of which nothing was sent");
        }
        let doubted = self.settle_all(settle::doubt_sent).await?;
        if doubted > 0 {
            tracing::warn!(doubted, "nobody knows what became of payments that were under way");
        }
        Ok(())
    }

    /// Releases every hold of which nothing was sent, of one agent or of all; says how many.
    pub(super) async fn void_unsent(
        &self,
        agent: Option<Handle>,
        cause: VoidCause,
    ) -> Result<usize, EngineError> {
        let unsent = move |state: &State| settle::void_unsent(state, agent.as_ref(), cause);
        self.settle_all(unsent).await
    }

    /// Records what `some` finds, a record at a time, until it finds nothing; says how much.
    async fn settle_all(
        &self,
        some: impl Fn(&State) -> Vec<Draft> + Clone + Send + 'static,
    ) -> Result<usize, EngineError> {
        let mut settled = 0;
        loop {
            let some = some.clone();
            let decide = move |state: &State, _, _| {
                let drafts = some(state);
                let count = drafts.len();
                if drafts.is_empty() {
                    return Decision::Answer(count);
                }
                let answer = Box::new(move |_: &State| count);
                Decision::Commit { drafts, durable: true, answer }
            };
            match self.store.commit(Purpose::Record, decide).await? {
                0 => return Ok(settled),
                count => settled += count,
            }
        }
    }

    /// That a service can be paid by this rail.
    pub(super) fn knows_rail(&self, rail: &RailName) -> Result<(), EngineError> {
        if self.rails.get(rail).is_some() {
            return Ok(());
        }
        let known: Vec<String> = self.rails.names().map(|name| format!("`{name}`")).collect();
        Err(EngineError::UnknownRail { rail: rail.clone(), known: known.join(", ") })
    }

    /// Whether nothing is set aside, as it is for every payment under way, and nothing is in force
    /// or waits to be read in memory only: a `serve` that nobody uses may end.
    pub async fn is_idle(&self) -> bool {
        if self.store.condition().is_ahead() || self.spool.holds_any() {
            return false;
        }
        self.look(|state, _| state.all_open().next().is_none()).await.unwrap_or(true)
    }
}
