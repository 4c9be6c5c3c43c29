//! What stories do to groups.

use pettycash::policy::{
    change::Change,
    group::GroupRules,
    names::GroupId,
    plan::{self, Around, Planned},
    terms::{GroupTerms, PolicyTerms},
    window::Zone,
};

use super::Story;

impl Story {
    /// `group NAME [below=GROUP] [zone=ZONE]: CAP, CAP`, as a policy says it.
    pub(super) fn group(&mut self, line: &str) -> String {
        let (head, caps) = line.split_once(':').expect("group NAME: CAPS");
        let mut words = head.split_whitespace();
        let name: GroupId = words.next().unwrap().parse().unwrap();
        let (mut parent, mut zone) = (None, Zone::utc());
        for word in words {
            match word.split_once('=').unwrap() {
                ("below", group) => parent = Some(group.parse().unwrap()),
                ("zone", name) => zone = name.parse().unwrap(),
                other => panic!("group with {other:?}"),
            }
        }
        let caps = caps.split(',').map(str::trim).filter(|cap| !cap.is_empty());
        let caps = caps.map(|cap| cap.parse().unwrap()).collect();
        let rules = GroupRules { caps, parent, zone };
        let groups = [(name, GroupTerms::of(&rules))].into();
        let policy = PolicyTerms { groups, ..PolicyTerms::default() };
        let around = Around { rails: Vec::new(), distance: |_, _| usize::MAX };
        let now = self.bench.engine_now();
        let Planned { plan, drafts, .. } = plan::plan(&self.bench.state, &policy, &around, now);
        let mut told: Vec<String> = plan.faults.iter().map(|fault| fault.message.clone()).collect();
        if plan.is_refused() {
            return format!("refused: {}", told.join("; "));
        }
        for group in &plan.groups {
            let more = |change: &Change| if change.loosens { " (gives more)" } else { "" };
            told.extend(group.changes.iter().map(|one| format!("{one}{}", more(one))));
            told.extend(group.remarks.iter().cloned());
        }
        self.bench.write(drafts);
        std::iter::once("ok".to_owned()).chain(told).collect::<Vec<_>>().join("; ")
    }
}
