//! What is odd about what a mandate says of language models.

use super::{Agent, Review};
use crate::policy::terms::{FaultCode, Place, Severity};

impl Review<'_> {
    /// A cheaper model where there is no cap of which a part could be spent, its own or a group's.
    pub(super) fn models(&mut self, agent: &Agent<'_>) {
        let Some((part, to)) = agent.mandate.downgrade() else { return };
        let after = self.after();
        let shared = after.caps_of(&after.chain(agent.mandate.group.as_ref()));
        if !agent.mandate.caps.is_empty() || !shared.is_empty() {
            return;
        }
        let label = Some("this never comes to bear".to_owned());
        let at = vec![
            agent.place("downgrade_at", label),
            agent.place("downgrade_to", Some("the model".to_owned())),
        ];
        self.tell(Severity::Warning, FaultCode::DowngradeWithoutCap, at, |_| {
            let handle = agent.handle;
            let message = format!(
                "`{handle}` has no cap to be {part} spent: {to} is used only in tasks with a cap \
                 of their own"
            );
            (message, "give it a cap, or take `downgrade_at` and `downgrade_to` out")
        });
    }
}

impl Agent<'_> {
    /// Where half of a downgrade is said, and where the other half is missing.
    pub(super) fn contradicts_by_models(
        &self,
        given: &str,
        missing: &str,
    ) -> (FaultCode, String, Vec<Place>) {
        let example = match missing {
            "downgrade_to" => "`downgrade_to = \"claude-haiku-4-5\"`",
            _ => "`downgrade_at = 80`",
        };
        let at = vec![
            self.place(given, Some("half of a downgrade".to_owned())),
            self.place(missing, Some(format!("`{missing}` is missing here"))),
        ];
        let hint = format!("write {example}, for example, or take `{given}` out");
        (FaultCode::DowngradeInHalf, hint, at)
    }
}
