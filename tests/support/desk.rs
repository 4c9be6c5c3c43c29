//! A desk in memory: the documents it was told of, by their names.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pettycash::policy::{
    documents::{DocKey, Document},
    state::State,
};

#[derive(Clone, Default)]
pub(crate) struct Desk {
    pub(crate) documents: BTreeMap<DocKey, Vec<u8>>,
}

impl Desk {
    /// Takes over what changed, as the store does at a tick.
    pub(crate) fn take(&mut self, state: &mut State) {
        self.take_all(state.drain(false));
    }

    /// Takes over documents, and lets go of those that are gone.
    pub(crate) fn take_all(&mut self, drained: Vec<(DocKey, Option<Document>)>) {
        for (name, document) in drained {
            match document {
                Some(document) => {
                    let text = serde_json::to_vec(&document).unwrap();
                    self.documents.insert(name, text);
                }
                None => drop(self.documents.remove(&name)),
            }
        }
    }

    /// What is read back of it.
    pub(crate) fn state(&self, now: Timestamp) -> State {
        let text = self.documents.values();
        State::restored(text.map(|text| serde_json::from_slice(text).unwrap()), now)
    }

    /// The texts of the chunks of keys.
    pub(crate) fn chunks(&self) -> Vec<&[u8]> {
        let keys = self.documents.iter().filter(|(name, _)| matches!(name, DocKey::Keys(..)));
        keys.map(|(_, text)| text.as_slice()).collect()
    }
}

/// A document as the desk gives it back.
pub(crate) fn read_back(document: &Document) -> Document {
    serde_json::from_slice(&serde_json::to_vec(document).unwrap()).unwrap()
}
