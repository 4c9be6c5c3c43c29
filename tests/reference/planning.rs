//! What is said before anything is paid: by paying, in a copy of everything.

use super::{Asked, Came, Cap, Kind, Model, On, Room, Verdict};

/// What a quote says.
#[derive(Debug, PartialEq)]
pub(crate) struct Quoted {
    pub(crate) fits: u32,
    /// The codes of what refuses one more, and when there is room for it, if that is known.
    pub(crate) limit: Option<(Vec<&'static str>, Option<i64>)>,
    pub(crate) fits_by: u32,
}

impl Model {
    /// Makes payments one by one, and waits for room as long as there is any before `by`.
    pub(crate) fn quote(&self, agent: u8, asked: &Asked, calls: u32, by: i64) -> Quoted {
        let mut copy = self.clone();
        let mut quoted = Quoted { fits: calls, limit: None, fits_by: 0 };
        while quoted.fits_by < calls {
            // What would be said of it, and not that it is said again and again.
            let Verdict::Denied { breaches, resets, .. } = copy.weigh(agent, asked) else {
                copy.ask(agent, Came::Operator, asked, true);
                quoted.fits_by += 1;
                continue;
            };
            if quoted.limit.is_none() {
                let codes = breaches.iter().map(|breach| breach.code).collect();
                (quoted.fits, quoted.limit) = (quoted.fits_by, Some((codes, resets)));
            }
            match resets {
                Some(at) if at < by && at > copy.wall => copy.wall = at,
                _ => break,
            }
        }
        quoted
    }
}

/// A cap of which at most a fifth is left: its kind, what it is, and what is spent of it.
pub(crate) type Warning = (Kind, i128, i128);

/// Of such caps on all that an agent spends, the one that leaves least; the first of several.
pub(crate) fn nearly_used_up(caps: &[Cap], rooms: &[Room]) -> Option<Warning> {
    let both = caps.iter().zip(rooms).filter(|(cap, _)| cap.on == On::All && !cap.counts);
    let both = both.map(|(cap, room)| (cap.kind, cap.most, room));
    let near = both.filter(|(_, cap, room)| 5 * (room.used + room.held) >= 4 * cap);
    let least = near.min_by_key(|(_, _, room)| room.left);
    least.map(|(kind, cap, room)| (kind, cap, room.used + room.held))
}
