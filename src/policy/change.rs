//! Changes of a mandate: what differs, and whether it gives the agent more.

use std::{collections::BTreeSet, fmt};

use jiff::Timestamp;

use super::{
    book::Book,
    cap::{Bound, Cap, CapKey},
    group::{Group, GroupRules},
    mandate::{Mandate, need_tasks},
    names::{GroupId, ServiceId},
    pace::Span,
    rooms::Room,
    stop::{Burst, Streak},
};

/// One line of what a new mandate changes.
#[derive(
    Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Change {
    /// What is changed: `cap per day`, `limit per payment`, `services`, ….
    pub what: String,
    /// As it was; nothing where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// As it will be; nothing where there will be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether it lets the agent do what it could not.
    pub loosens: bool,
}

impl Change {
    /// What differs between two bounds, if anything does: none is the loosest.
    pub(super) fn of_bound<B: Copy + Ord + fmt::Display>(
        what: String,
        from: Option<B>,
        to: Option<B>,
    ) -> Option<Self> {
        let loosens = match (from, to) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(from), Some(to)) => to > from,
        };
        let text = |bound: Option<B>| bound.map(|bound| bound.to_string());
        (from != to).then(|| Self { what, from: text(from), to: text(to), loosens })
    }

    /// What differs between two stops, if anything does: none is the loosest.
    fn of_stop<T: Copy + PartialEq + fmt::Display>(
        what: &str,
        from: Option<T>,
        to: Option<T>,
        looser: impl Fn(&T, &T) -> bool,
    ) -> Option<Self> {
        let loosens = match (&from, &to) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(from), Some(to)) => looser(from, to),
        };
        let text = |stop: Option<T>| stop.map(|stop| stop.to_string());
        let what = what.to_owned();
        (from != to).then(|| Self { what, from: text(from), to: text(to), loosens })
    }

    pub(super) fn of_text(what: &str, from: String, to: String, loosens: bool) -> Option<Self> {
        let what = what.to_owned();
        (from != to).then_some(Self { what, from: Some(from), to: Some(to), loosens })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
        write!(f, "{}: {} → {}", self.what, side(&self.from), side(&self.to))
    }
}

/// What differs where something is put below another group, or below none: only what was below
/// none is surely bounded by more.
fn change_of_group(what: &str, from: Option<&GroupId>, to: Option<&GroupId>) -> Option<Change> {
    let text = |group: Option<&GroupId>| group.map(ToString::to_string);
    let (loosens, what) = (from.is_some(), what.to_owned());
    (from != to).then(|| Change { what, from: text(from), to: text(to), loosens })
}

impl GroupRules {
    /// What `to` would change, caps first.
    pub fn changes(&self, to: &Self) -> Vec<Change> {
        let zones = (self.zone.name().to_owned(), to.zone.name().to_owned());
        let zone = Change::of_text("time zone", zones.0, zones.1, true);
        let parent = change_of_group("parent", self.parent.as_ref(), to.parent.as_ref());
        let caps = changes_of_caps(&self.caps, &to.caps);
        caps.into_iter().chain(parent).chain(zone).collect()
    }
}

/// What differs between two lists of caps, by period.
pub(super) fn changes_of_caps(from: &[Cap], to: &[Cap]) -> Vec<Change> {
    let bound =
        |caps: &[Cap], key: &CapKey| caps.iter().find(|cap| cap.key() == *key).map(|cap| cap.bound);
    let keys: BTreeSet<CapKey> = from.iter().chain(to).map(Cap::key).collect();
    let change = |key: CapKey| Change::of_bound(key.named(), bound(from, &key), bound(to, &key));
    keys.into_iter().filter_map(change).collect()
}

impl Mandate {
    /// What `to` would change, bounds first.
    pub fn changes(&self, to: &Self) -> Vec<Change> {
        let limits = (self.per_call_limit, to.per_call_limit);
        let limit = Change::of_bound("limit per payment".to_owned(), limits.0, limits.1);
        let caps = changes_of_caps(&self.caps, &to.caps);
        let zones = (self.zone.name().to_owned(), to.zone.name().to_owned());
        // Days that begin elsewhere are not more money, but not surely less either.
        let zone = Change::of_text("time zone", zones.0, zones.1, true);
        let services = Change::of_text(
            "services",
            self.services(),
            to.services(),
            !self.covers_services_of(to),
        );
        let ends =
            |mandate: &Self| mandate.expires_at.map_or("never".to_owned(), |at| at.to_string());
        let later = match (self.expires_at, to.expires_at) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(from), Some(to)) => to > from,
        };
        let expiry = Change::of_text("expires", ends(self), ends(to), later);
        let locals = (self.local.to_string(), to.local.to_string());
        let local = Change::of_text("local clients", locals.0, locals.1, to.local.is_allowed());
        let stops = self.stop_changes(to);
        let active = (self.active_words(), to.active_words());
        let hours = (active.0 != active.1).then(|| Change {
            what: "active hours".to_owned(),
            loosens: !self.covers_hours_of(to),
            from: active.0,
            to: active.1,
        });
        let stops = stops.into_iter().chain(hours);
        let group = change_of_group("group", self.group.as_ref(), to.group.as_ref());
        let services = services.into_iter().chain(self.changes_of_payees(to));
        let openers = (self.tasks.to_string(), to.tasks.to_string());
        let tasks =
            Change::of_text("tasks opened by", openers.0, openers.1, !to.tasks.is_operator());
        let last = local.into_iter().chain(group).chain(tasks);
        let others = stops.chain(services).chain(zone).chain(expiry).chain(last);
        let limits = limit.into_iter().chain(self.changes_of_tiers(to));
        let others = others.chain(self.changes_of_models(to)).chain(self.shadow_changes(to));
        limits.chain(caps).chain(others).collect()
    }

    /// What differs in what is only told of, which gives nobody more or less.
    fn shadow_changes(&self, to: &Self) -> impl Iterator<Item = Change> {
        let changes = changes_of_caps(&self.shadow_caps, &to.shadow_caps).into_iter();
        changes.map(|change| Change {
            what: format!("shadow {}", change.what),
            loosens: false,
            ..change
        })
    }

    /// What differs in how often may be paid, and in what is done about loops.
    fn stop_changes(&self, to: &Self) -> Vec<Change> {
        let rate = |mandate: &Self, span| {
            mandate.rates.iter().find(|rate| rate.span == span).map(|rate| rate.count)
        };
        let mut spans: Vec<Span> = self.rates.iter().chain(&to.rates).map(|r| r.span).collect();
        spans.sort_unstable();
        spans.dedup();
        let rates = spans.into_iter().filter_map(|span| {
            let what = format!("payments in {}", span.any());
            Change::of_stop(&what, rate(self, span), rate(to, span), |from, to| to > from)
        });
        let milder = |from: &Burst, to: &Burst| {
            // Another span begins to count anew, so it is not surely less.
            let more = to.rate.count > from.rate.count || to.rate.span != from.rate.span;
            more || to.action < from.action
        };
        let burst = Change::of_stop("equal payments", self.burst, to.burst, milder);
        let streak = |from: &Streak, to: &Streak| to.count > from.count || to.action < from.action;
        let denials = Change::of_stop("denials in a row", self.denials, to.denials, streak);
        let cooldown =
            Change::of_stop("cooldown", self.cooldown, to.cooldown, |from, to| to < from);
        let cooldown = cooldown.map(|change| Change {
            from: self.cooldown.map(Span::counted),
            to: to.cooldown.map(Span::counted),
            ..change
        });
        rates.chain(burst).chain(denials).chain(cooldown).collect()
    }

    /// How often and when may be paid, and what is done about loops, in words.
    pub fn stops(&self) -> Vec<String> {
        let rates = self.rates.iter().map(|rate| format!("{rate} payments"));
        let burst = self.burst.map(|burst| format!("{burst} equal payments"));
        let denials = self.denials.map(|streak| format!("{streak} denials"));
        let cooldown = self.cooldown.map(|span| format!("{} between two payments", span.counted()));
        let hours = self.active_words();
        rates.chain(burst).chain(denials).chain(cooldown).chain(hours).collect()
    }

    /// Whether everything that `other` allows is allowed here too.
    fn covers_services_of(&self, other: &Self) -> bool {
        let denied = |id: &ServiceId| other.deny.contains(id);
        if other.allow.is_empty() {
            return self.allow.is_empty() && self.deny.iter().all(denied);
        }
        other.allow.iter().all(|id| denied(id) || self.allows(id))
    }

    /// The services in words.
    pub fn services(&self) -> String {
        let names = |ids: &std::collections::BTreeSet<ServiceId>| {
            ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        match (self.allow.is_empty(), self.deny.is_empty()) {
            (true, true) => "all".to_owned(),
            (true, false) => format!("all but {}", names(&self.deny)),
            (false, true) => names(&self.allow),
            (false, false) => format!("{}; never {}", names(&self.allow), names(&self.deny)),
        }
    }
}

/// What an operator should know of a mandate that is set on a book as it is at `now`.
pub fn remarks(book: &Book, to: &Mandate, now: Timestamp) -> Vec<String> {
    let changes_zone = book.mandate.zone != to.zone;
    let after = book.with_mandate(to, now);
    let spent = to.caps.iter().filter_map(|cap| spent(cap, &after.room(cap, None, now)));
    let anew = to.caps.iter().filter(|cap| !book.counts(cap));
    let anew = anew.map(|cap| format!("the new {} counts from now on", cap.key().named()));
    let shadows = to.shadow_caps.iter().filter(|cap| !book.counts(cap));
    let shadows =
        shadows.map(|cap| format!("the new shadow {} counts from now on", cap.key().named()));
    let joins = to.group.as_ref().filter(|_| book.mandate.group != to.group);
    let joins = joins.map(|group| {
        format!("what it pays from now on counts in the group `{group}`, what it paid does not")
    });
    let tasks = (to.needs_tasks() && !book.mandate.needs_tasks())
        .then(|| "whatever is paid belongs to an open task from now on".to_owned());
    let zone = changes_zone.then(|| of_zone(to.zone.name()));
    let locks = book.mandate.first_payee.is_free() && !to.first_payee.is_free();
    let locks = locks.then(|| "whoever each service pays first from now on stays".to_owned());
    let pinned = to.pinned.iter().filter(|(id, payee)| book.mandate.pinned_to(id) != Some(payee));
    let pinned = pinned.filter_map(|(id, payee)| {
        let first = after.first_paid(id).filter(|first| *first != payee)?;
        Some(format!(
            "`{id}` was paid to {first} first, which stays: nothing is paid for it until \
             `pettycash agent repin` says otherwise"
        ))
    });
    let tiers = (book.track.is_none() && !to.tiers.is_empty())
        .then(|| "what is captured counts for tiers from now on".to_owned());
    let anew = anew.chain(shadows);
    let held = locks.into_iter().chain(pinned);
    spent.chain(anew).chain(joins).chain(tasks).chain(held).chain(tiers).chain(zone).collect()
}

/// What an operator should know of a group that gets other rules.
pub fn remarks_of_group(group: &Group, to: &GroupRules, now: Timestamp) -> Vec<String> {
    let after = group.with_rules(to, now);
    let spent = to.caps.iter().filter_map(|cap| spent(cap, &after.room(cap, now)));
    let anew = to.caps.iter().filter(|cap| !group.counts(cap));
    let anew = anew.map(|cap| format!("the new {} counts from now on", cap.key().named()));
    let zone = (group.rules.zone != to.zone).then(|| of_zone(to.zone.name()));
    let tasks = (need_tasks(&to.caps) && !need_tasks(&group.rules.caps))
        .then(|| "whatever its agents pay belongs to an open task from now on".to_owned());
    spent.chain(anew).chain(tasks).chain(zone).collect()
}

fn of_zone(zone: &str) -> String {
    format!("what is open now ends at a boundary in {zone}; nothing opens at once")
}

/// That a cap leaves nothing, if it does.
fn spent(cap: &Cap, room: &Room) -> Option<String> {
    let until = room.resets_at.map_or("for good".to_owned(), |at| format!("until {at}"));
    let (whose, on) = (cap.period.possessive(), cap.on.in_words());
    let (is_full, counts) = match cap.bound {
        Bound::Amount(most) => {
            let spent = room.used.saturating_plus(room.held);
            (spent >= most, format!("{spent} counts"))
        }
        Bound::Count(most) => {
            let made = room.paid.saturating_add(room.open);
            (made >= u64::from(most), format!("{made} payments count"))
        }
    };
    is_full.then(|| {
        let bound = format!("{whose} cap of {}{on}", cap.bound);
        let of_it = if cap.on.is_all() { "" } else { " of it" };
        format!("{counts} under {bound}: nothing more{of_it} is paid {until}")
    })
}
