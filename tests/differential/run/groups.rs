//! Groups, set by policy and by the reference.

use pettycash::policy::plan::retimed;

use super::{Pair, same, words};
use crate::{differential::decide::grouped, reference::GroupTerms};

impl Pair {
    /// Makes a group or changes it, by a policy that is written down some time after it is planned.
    pub(super) fn group(&mut self, name: u8, terms: &GroupTerms, waits: i64) -> Result<(), String> {
        let policy = words::group_policy(name, terms);
        let planned = self.subject.read(move |state, now| grouped(state, &policy, now));
        if waits > 0 {
            self.model.wall = self.model.now() + waits;
            self.subject.set_clock(self.model.wall);
        }
        let expected = self.model.set_group(name, terms);
        let came = self.subject.commit(move |state, _, now| match planned {
            Ok(drafts) => {
                let changed = !drafts.is_empty();
                (retimed(state, drafts, now), Ok(changed))
            }
            Err(wrong) => (Vec::new(), Err(wrong)),
        });
        self.count(if came.is_ok() { "op group" } else { "op group refused" });
        same(&format!("group {name} {terms:?}"), &expected, &came)
    }
}
