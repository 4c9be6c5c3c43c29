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
            let Verdict::Denied { breaches, resets, ran_out, .. } = copy.weigh(agent, asked) else {
                copy.ask(agent, Came::Operator, asked, true);
                quoted.fits_by += 1;
                continue;
            };
            if quoted.limit.is_none() {
                // Nothing fails of being asked about.
                let told = breaches.iter().skip(usize::from(ran_out));
                let codes = told.map(|breach| breach.code).collect();
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

/// A cap of which at most a fifth is left: the group whose it is, its kind, whether it is on how
/// many, what it is, and what is spent of it.
pub(crate) type Warning = (Option<u8>, Kind, bool, i128, i128);

/// Of such caps on all that an agent spends, the one that leaves least; the first of several.
/// Between one on amounts and one on how many, it is the one that leaves less in proportion.
pub(crate) fn nearly_used_up(caps: &[(Option<u8>, Cap)], rooms: &[Room]) -> Option<Warning> {
    let least = |counts: bool| {
        let both = caps.iter().zip(rooms);
        let both = both.filter(|((_, cap), _)| cap.on == On::All && cap.counts == counts);
        let spent = both.map(|((group, cap), room)| {
            let spent = if counts { room.paid + room.open } else { room.used + room.held };
            (*group, cap.kind, counts, cap.most, spent)
        });
        let near = spent.filter(|(.., most, spent)| 5 * spent >= 4 * most);
        near.min_by_key(|(.., most, spent)| (most - spent).max(0))
    };
    match (least(false), least(true)) {
        (Some(amount), Some(count)) => {
            let left = |(.., most, spent): Warning| (most - spent).max(0);
            let nearer = left(count) * amount.3 < left(amount) * count.3;
            Some(if nearer { count } else { amount })
        }
        (amount, count) => amount.or(count),
    }
}
