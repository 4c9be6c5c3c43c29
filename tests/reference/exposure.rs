//! The worst case until an agent's day or week ends, window by window.

use super::{Cap, Kind, Model, On, Standing};

impl Model {
    /// The most that can still go out, what is held included; nothing where nothing bounds it.
    pub(crate) fn at_most(&self, agent: u8, until: Kind) -> Option<i128> {
        let book = &self.agents[&agent];
        let (now, held) = (self.now(), self.held(agent));
        let end = self.window(agent, until).1.min(book.terms.expires.unwrap_or(i64::MAX));
        if book.standing != Standing::Active || end <= now {
            return Some(held);
        }
        let caps = book.terms.caps.iter().filter(|cap| cap.on == On::All && !cap.counts);
        let caps = caps.filter_map(|cap| self.more(agent, *cap, end));
        caps.chain(self.funds(agent)).min().map(|more| held + more)
    }

    /// Whether nothing else bounds it: no group, and no cap on some of the payments or on how many,
    /// and no pace that a limit makes an amount.
    pub(crate) fn is_plain(&self, agent: u8) -> bool {
        let terms = &self.agents[&agent].terms;
        let paced = !terms.rates.is_empty() || terms.cooldown.is_some();
        terms.group.is_none()
            && terms.caps.iter().all(|cap| cap.on == On::All && !cap.counts)
            && !(paced && terms.limit.is_some())
    }

    fn more(&self, agent: u8, cap: Cap, end: i64) -> Option<i128> {
        let room = self.room(agent, cap, None);
        match cap.kind {
            Kind::Run | Kind::Task => None,
            Kind::Lifetime => Some(room.left),
            Kind::Rolling(hours) => {
                let lasts = (end - self.now() - 1).div_euclid(hours * 3_600);
                let stays = lasts == 0 && room.resets.is_none_or(|leaves| leaves >= end);
                Some(if stays { room.left } else { cap.most * i128::from(lasts + 1) })
            }
            Kind::Hour | Kind::Day | Kind::Week | Kind::Month => {
                let (mut begins, mut all) = (self.window(agent, cap.kind).1, room.left);
                while begins < end {
                    all += cap.most;
                    begins =
                        self.calendar.window(self.agents[&agent].terms.zone, cap.kind, begins).1;
                }
                Some(all)
            }
        }
    }
}
