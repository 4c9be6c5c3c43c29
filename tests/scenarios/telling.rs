//! What is told later: of a payment, of the worst case, of other rules.

use pettycash::policy::{
    entry::Fact,
    explain::Decided,
    state::State,
    terms::{AgentExposure, AgentTerms, AtMost, Explained, PolicyTerms},
    trial::Trial,
};

use super::Story;

impl Story {
    /// What is told of a payment later: `P1`, or of the newest refusal: `no`.
    pub(super) fn explain(&self, name: &str) -> String {
        let id = (name != "no").then(|| self.payment(name));
        let told = self.bench.entries.iter().enumerate().rev().find_map(|(at, (entry, ..))| {
            let denied = id.is_none() && matches!(entry.fact, Fact::Denied(_));
            let begun = entry.fact.begins().filter(|begun| denied || Some(*begun) == id)?;
            Some((at, entry, Decided::of(&entry.fact, begun)?, begun))
        });
        let (at, entry, decided, payment) = told.expect("such a payment");
        let mut past = State::default();
        for (entry, position, _) in &self.bench.entries[..at] {
            past.relive(entry, *position);
        }
        let book = past.book(&self.agent).unwrap();
        let agent = self.agent.clone();
        let told =
            Explained::recorded(payment, agent, entry.at, &decided, "").by(&past, book, &decided);
        assert_eq!(told.differs, None, "decided on once more");
        let bounds = told.bounds.iter().map(|bound| {
            let sums = [bound.used_usd, bound.held_usd, bound.left_usd];
            let [used, held, left] =
                sums.map(|sum| sum.map_or(String::new(), |sum| sum.to_string()));
            let fits = if bound.fits { "" } else { ", too little" };
            let rule = &bound.rule;
            match (bound.cap_usd, bound.cap_count, bound.used_count, bound.held_count) {
                (Some(most), ..) => {
                    format!("{rule} {most}: {used} used, {held} held, {left} left{fits}")
                }
                (None, most, used, held) => {
                    let [most, used, held] = [most, used, held].map(Option::unwrap);
                    format!("{rule} {most}: {used} made, {held} held{fits}")
                }
            }
        });
        let rule = told.rule.unwrap_or_else(|| "no rule".to_owned());
        std::iter::once(format!("by {rule}")).chain(bounds).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn exposure(&self) -> String {
        let state = &self.bench.state;
        let book = state.book(&self.agent).unwrap();
        let AtMost { today_usd, this_week_usd, this_month_usd, until_expiry_usd } =
            AgentExposure::of(state, book, self.bench.engine_now()).at_most;
        let told = [
            ("today", today_usd),
            ("this week", this_week_usd),
            ("this month", this_month_usd),
            ("until it expires", until_expiry_usd),
        ];
        let told = told.map(|(until, most)| {
            let most = most.map_or("not bounded".to_owned(), |most| most.to_string());
            format!("{until} {most}")
        });
        told.join("; ")
    }

    /// What other caps, or the rules of an agent's table as JSON, and nothing else, would have said
    /// to all of this.
    pub(super) fn trial(&self, words: &[&str]) -> String {
        let mut terms = match words {
            ["rules", rules @ ..] => serde_json::from_str(&rules.join(" ")).unwrap(),
            caps => {
                let caps = caps.iter().map(|cap| (*cap).to_owned().try_into().unwrap()).collect();
                AgentTerms { caps: Some(caps), ..AgentTerms::default() }
            }
        };
        terms.funding = Some(self.mandate.funding);
        let agents = [(self.agent.clone(), terms)].into();
        let mut trial = Trial::new(&PolicyTerms { agents, ..PolicyTerms::default() }, None);
        for (entry, position, _) in &self.bench.entries {
            trial.live(entry, *position);
        }
        let told = trial.told();
        let rules = told.agents.iter().flat_map(|agent| &agent.rules);
        let rules = rules.map(|(rule, sum)| format!(" ({} by {rule})", sum.count));
        let (denied, paid) = (told.would_deny, told.would_pay);
        format!(
            "would deny {} of {}, {}{}; would pay {} of {}, {}",
            denied.count,
            told.paid.count,
            denied.sum_usd,
            rules.collect::<String>(),
            paid.count,
            told.denied,
            paid.sum_usd
        )
    }
}
