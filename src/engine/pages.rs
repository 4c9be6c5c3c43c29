//! Pages of the ledger, newest first, and what one payment came to.

use super::{
    Engine, EngineError,
    gates::{Asker, Gate},
};
use crate::{
    policy::{
        denial::{Denial, Refusal},
        entry::{Entry, Fact},
        names::{Handle, PaymentId},
        operate::OperateError,
    },
    store::{Cursor, Recording, Store, StoreError},
};

/// How many pages are searched for the end of a hold.
const MAX_SEARCHED_PAGES: usize = 100;

/// The text of a cursor, as a page gives it and takes it back.
pub(super) fn written(cursor: Cursor) -> String {
    format!("{:x}-{:x}", cursor.position, cursor.n)
}

/// Reads a cursor, and only as a page wrote it: no sign, no leading zeros, no capitals.
pub(super) fn read(text: &str) -> Result<Cursor, EngineError> {
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let parts = text.split_once('-').and_then(|(position, n)| Some((hex(position)?, hex(n)?)));
    let cursor = parts.map(|(position, n)| Cursor { position, n });
    cursor.filter(|cursor| written(*cursor) == text).ok_or(EngineError::Cursor)
}

impl Engine {
    /// Up to `limit` entries of an agent, or of all, and where the next page begins.
    async fn entries(
        &self,
        who: &Asker,
        agent: Option<Handle>,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<String>), EngineError> {
        let given = cursor.as_deref().map(read).transpose()?;
        let newest = self.newest(agent.clone()).await?;
        let Some(start) = self.start(given, newest)? else { return Ok((Vec::new(), None)) };
        let page = self.search(who, move |store| match agent {
            Some(agent) => store.agent_entries(&agent, start, limit),
            None => store.all_entries(start, limit),
        });
        let page = match page.await {
            Err(EngineError::Store(StoreError::NoRecord { .. })) if given.is_some() => {
                return Err(EngineError::Cursor);
            }
            other => other?,
        };
        let entries = page.lines.into_iter().map(|(_, line)| line.entry).collect();
        Ok((entries, page.next.map(written)))
    }

    /// Where a page begins: as its cursor says, or with the newest entry, if there is any.
    pub(super) fn start(
        &self,
        given: Option<Cursor>,
        newest: Option<Cursor>,
    ) -> Result<Option<Cursor>, EngineError> {
        let Some(start) = given.or(newest) else { return Ok(None) };
        // A cursor points back; one beyond the newest entry was never given.
        if newest.is_none_or(|newest| start.position > newest.position) {
            return Err(self.is_whole().err().unwrap_or(EngineError::Cursor));
        }
        Ok(Some(start))
    }

    /// The newest entry of an agent, or the end of the whole record.
    pub(super) async fn newest(
        &self,
        agent: Option<Handle>,
    ) -> Result<Option<Cursor>, EngineError> {
        let Some(agent) = agent else {
            let head = self.store.read(|_, head| head).await?;
            return Ok(head.position.map(Cursor::all));
        };
        let handle = agent.clone();
        let link = self.look(move |state, _| state.link(&handle)).await?;
        let Some(link) = link else {
            self.is_whole()?;
            return Err(OperateError::UnknownAgent(agent).into());
        };
        // An agent whose creation could not be written has no entry yet.
        Ok(Some(Cursor { position: link.position, n: link.n }).filter(|newest| newest.n > 0))
    }

    /// The fact that began a payment or refusal of `agent`, if there is one.
    pub(super) async fn first_entry(
        &self,
        agent: &Handle,
        payment: PaymentId,
    ) -> Result<Option<Fact>, EngineError> {
        let who = Asker::Agent(agent.clone());
        let own = self.entry_of(&who, payment, |entry| entry.agent.as_ref() == Some(agent)).await?;
        Ok(own.map(|entry| entry.fact))
    }

    /// The entry that began a payment or refusal, if there is one that is `meant`.
    pub(super) async fn entry_of(
        &self,
        who: &Asker,
        payment: PaymentId,
        meant: impl Fn(&Entry) -> bool,
    ) -> Result<Option<Entry>, EngineError> {
        let head = self.store.read(|_, head| head).await?;
        if head.position.is_none_or(|last| payment.position() > last) {
            return self.is_whole().map(|()| None);
        }
        match self.search(who, move |store| store.first(payment)).await {
            Err(EngineError::Store(StoreError::NoRecord { .. })) => Ok(None),
            found => Ok(found?.map(|line| line.entry).filter(|entry| meant(entry))),
        }
    }

    /// Looks into the files for what is not behind the newest record. Whoever makes up a cursor or
    /// an id points into the middle of something, where there is no record; damage is told as such.
    ///
    /// To tell the two apart takes reading up to a whole segment: one at a time, so that those
    /// who make up many take no more than a part of the machine from the others.
    pub(super) async fn search<R: Send + 'static>(
        &self,
        who: &Asker,
        look: impl FnOnce(&Store) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, EngineError> {
        let store = self.store.clone();
        let found = self.gates.pass(who, Gate::Reading, move || look(&store)).await?;
        let Err(StoreError::NoRecord { position }) = found else { return Ok(found?) };
        let store = self.store.clone();
        let missing = move || store.missing(position);
        Err(self.gates.pass(who, Gate::Walking, missing).await?.into())
    }

    /// That what is not there never was. A record that is sealed ends before what was once
    /// acknowledged, so there nobody is told that.
    pub(super) fn is_whole(&self) -> Result<(), EngineError> {
        match self.store.condition().recording {
            Recording::Sealed(error) => Err(error.into()),
            Recording::Sound
            | Recording::Low { .. }
            | Recording::Full
            | Recording::Poisoned { .. } => Ok(()),
        }
    }

    /// What somebody is told who is not let in. Of this nothing is recorded.
    pub(super) fn turned_away(&self, why: Denial) -> Result<Refusal, EngineError> {
        if let Denial::AgentUnknown { .. } = &why {
            self.is_whole()?;
        }
        Ok(Refusal::only(why))
    }

    /// The fact that ended a hold of `agent` that is no longer open.
    pub(super) async fn settlement(
        &self,
        who: &Asker,
        agent: &Handle,
        payment: PaymentId,
    ) -> Result<Fact, EngineError> {
        let mut cursor = None;
        for _ in 0..MAX_SEARCHED_PAGES {
            let page =
                self.entries(who, Some(agent.clone()), cursor, crate::store::MAX_PAGE).await?;
            let mut facts = page.0.into_iter().map(|entry| entry.fact);
            if let Some(end) = facts.find(|fact| fact.ends() == Some(payment)) {
                return Ok(end);
            }
            cursor = page.1;
            if cursor.is_none() {
                break;
            }
        }
        Err(EngineError::Unsettled(payment))
    }
}
