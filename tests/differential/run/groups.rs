//! Groups, set by policy and by the reference.

use super::{Pair, same, words};
use crate::{differential::decide::grouped, reference::GroupTerms};

impl Pair {
    /// Makes a group or changes it, by a policy.
    pub(super) fn group(&mut self, name: u8, terms: &GroupTerms) -> Result<(), String> {
        let expected = self.model.set_group(name, terms);
        let policy = words::group_policy(name, terms);
        let came = self.subject.commit(move |state, _, now| match grouped(state, &policy, now) {
            Ok(drafts) => {
                let changed = !drafts.is_empty();
                (drafts, Ok(changed))
            }
            Err(wrong) => (Vec::new(), Err(wrong)),
        });
        self.count(if came.is_ok() { "op group" } else { "op group refused" });
        same(&format!("group {name} {terms:?}"), &expected, &came)
    }
}
