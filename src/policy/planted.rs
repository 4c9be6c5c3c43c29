//! Mistakes on purpose: the suite must find every one of them.
//!
//! Only the feature `planted` makes them, one at a time and as a test chooses; without it nothing
//! of them is left in the program.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("`planted` is for tests: no release may have it");

macro_rules! bugs {
    ($($name:ident: $doc:literal),* $(,)?) => {
        /// A mistake that can be made on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug {
            $(#[doc = $doc] $name,)*
        }

        impl Bug {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

bugs! {
    HoldNotCounted: "A hold does not count under a cap.",
    CapPassedByANano: "A payment may pass a cap by a nano-dollar.",
    CapRefusesExact: "A payment that brings the sum exactly to a cap is refused.",
    SumHeldAtTheMost: "A sum that does not fit is held at the most there is, and compared so.",
    LimitRefusesExact: "A payment of exactly the limit is refused.",
    BalanceIgnoresHolds: "What is held can be spent once more.",
    BalanceOverflows: "What comes back is lost where the balance was full.",
    FrozenPays: "A frozen agent may pay.",
    UnfreezeRevives: "A revoked agent can be unfrozen.",
    RevokeVoidsSent: "A revocation releases what was sent.",
    SentIsVoided: "What was sent can be voided without proof.",
    ExpiryIsLate: "A mandate still holds at the instant it ends.",
    AvailableAfterExpiry: "What can be spent is told as if a mandate never ended.",
    AllowBeatsDeny: "A service that is allowed and denied may be paid.",
    RemovedIsPaid: "A service that was removed can be paid.",
    MaximumIsCharged: "A priced service costs what the caller was willing to pay.",
    VoidedTwice: "A voided hold can be voided again.",
    CaptureLeavesHold: "What a capture leaves of a hold stays held.",
    OverrunUncounted: "What is taken beyond a hold does not count.",
    FailureKeepsHold: "A payment that failed keeps its hold.",
    RefundCountedTwice: "What comes back comes back twice.",
    RefundsNotSummed: "More comes back than was taken, in parts.",
    OldWindowChangesNew: "What becomes of an older window's payment changes the newest.",
    WindowOfCapture: "A capture counts in the windows of its own moment.",
    MonthIsADay: "The month is counted as a day.",
    ZoneIgnored: "Windows are those of UTC.",
    HourNotCut: "An hour is not cut where the offset changes.",
    DateTwice: "A date that occurs twice opens two windows.",
    ZoneChangeResets: "A new zone forgets what was spent.",
    ZoneChangeAtOnce: "A new zone takes effect at once.",
    ZoneChangeFarthest: "After a change of zone a window ends at the farther boundary.",
    RollingTooShort: "A rolling window is a bucket too short.",
    RollingForgetsHeld: "A hold does not count in a rolling window.",
    RollingNotRestarted: "A rolling cap that was taken away goes on where it was.",
    RunIgnoresName: "All runs are one.",
    RunForgottenWhileHeld: "A run is forgotten while it holds money.",
    RunRefundsOlder: "A refund of an older run gives room in the newer one of its name.",
    KeyFreedAtCapture: "A key can pay again once its payment is captured.",
    KeyEndsWhileOpen: "A key ends while its payment is open.",
    KeyKeptAfterVoid: "A key stands for a payment that was voided.",
    KeyForgetsAmount: "A key stands for any amount.",
    KeyKeptTooLong: "A key is kept at the instant it ends.",
    TimeGoesBack: "After a denial the time that counts goes back with the clock.",
    LoopIsLate: "Only the fourth identical denial in a row is a loop.",
    LoopHidesRevoked: "A loop of denials that say to stop is told as a loop.",
    LoopForgetsCounted: "Denials that are not written down yet are no part of a loop.",
    PaceTooShort: "A sliding window is a bucket too short.",
    PaceOneMore: "A rate allows one payment more.",
    BurstIgnoresAmount: "Payments of any amount to a service are equal.",
    StreakIsLate: "A streak is a denial longer than the mandate says.",
    ThrottleGrows: "A denial in the time of a throttle makes that longer.",
    MildestAdvice: "The mildest advice wins.",
    EarliestReset: "A wait is told for the first cap that opens, not the last.",
    FirstBreachOnly: "Only the first reason is told.",
    BarredPays: "An agent that is not for local clients pays for one.",
    EndedTokenPays: "A token pays that was revoked, has ended, or is another agent's.",
    TokenEndsLate: "A token still lets in at the instant it ends.",
    ThrottleStays: "Each throttle of a row is as short as the first.",
    FlaggedAgain: "A burst that goes on is told at each payment.",
    TightenedForgets: "A mandate that is tightened ends a row of denials.",
    ServiceCapCountsAll: "A cap on one service counts every payment.",
    ServiceCapCountsAnew: "A cap on a service that changes forgets what it counted.",
    CategoryOfNow: "What was paid is settled under the category that its service has by now.",
    FirstCapOfAPeriod: "Of several caps for one period only the first is looked at.",
    CountForgetsHeld: "A payment that is held does not count under a cap on how many.",
    CountKeptAfterVoid: "A payment that was voided still counts under a cap on how many.",
    RefundGivesCountBack: "What comes back gives a payment back under a cap on how many.",
    OnlyTheNearestGroup: "Of the groups above an agent only the nearest is looked at.",
    GroupKeepsHold: "A hold that ends goes on counting in its groups.",
    CountShrinks: "A smaller payment is advised where a cap on how many is in the way.",
    QuoteOneTooMany: "A quote counts a payment too many.",
    QuoteForgetsBalance: "A quote counts as if the balance had no end.",
    QuoteTakesTheEnd: "A quote counts what opens at the very moment until which it counts.",
    WarningIsLate: "Nothing is said at exactly 80 % of a cap.",
    WarningForgetsHeld: "What is held does not count for the line that says that a cap is near.",
    HoursOfUtc: "Active hours are those of UTC.",
    HoursEndAtMidnight: "Hours that go over midnight never open.",
    CooldownIsShort: "A cooldown is a second too short.",
    GroupMovedAsPlanned: "A group's new zone is written down as of when it was planned.",
    FreezeLiftsThrottle: "A throttle ends where the next denials in a row are to freeze.",
    TaskForgetsHeld: "A hold does not count under a task's caps.",
    OwnCapIgnored: "A task's own cap bounds nothing.",
    FinishedTaskPays: "A finished task can be charged.",
    FailedTaskPays: "A task that ran out can be charged.",
    TaskNotNeeded: "Where there is a cap per task, a payment beside any task is made.",
    TaskFailsAtOnce: "A task fails though a smaller amount would be paid.",
    TypeCapIgnored: "A cap on a type of task bounds nothing.",
    DearPriceFails: "A task fails by a price above its whole cap.",
    DearPriceGoesOn: "A task with nothing left goes on while its whole cap is not enough.",
    LimitFailsTask: "A task fails by a price that something else refuses in any task.",
    GroupsTypeNeedsNoTask: "A group's cap on a type of task is evaded beside any task.",
    KeyForgetsTask: "The same key asks for the same in another task.",
    ToolsFinishFailed: "The tools finish a task that ran out.",
    ResumeBeginsAnew: "A task that is resumed forgets what was spent in it.",
    WarningForgetsCounts: "Nothing is said near the end of a cap on how many.",
    WaitsForNothing: "A wait is told that ends when the mandate is over.",
    PinIgnored: "Whoever the catalogue has is paid, whatever payee is pinned.",
    PinFreesFirstPayee: "Where a payee is pinned, it does not matter who was paid first.",
    FirstPayeeFree: "Whoever the catalogue has is paid, whoever was paid first.",
    FirstPayeeForgotten: "Another mandate forgets who was paid first.",
    TierIsEarly: "A tier is reached an hour early.",
    TierIsFarmed: "Payments of next to nothing count for a tier.",
    TierIsLowered: "Tiers that stay are reached by less, and that gives no more.",
    FreezeKeepsTier: "A freeze is no incident.",
    DoubtKeepsTier: "A payment in doubt is no incident.",
    ExposureWindowShort: "The worst case is told for a window less than there are.",
    ShadowDenies: "A shadow cap denies.",
    ShadowUntold: "That a payment passed a shadow cap is not written down.",
    TrialSpendsDenied: "What a policy would deny is spent in its trial.",
    DowngradeIsLate: "At exactly the percentage of a cap the dearer model is still used.",
    ExplainsADayLate: "A payment is explained with the sums of a day later.",
}

#[cfg(feature = "planted")]
thread_local! {
    /// The mistake that is made on this thread.
    static HERE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// The mistake that is made on every thread, by its number; none is beyond them all.
#[cfg(feature = "planted")]
static EVERYWHERE: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(u8::MAX);

/// Makes a mistake, or none, on this thread from now on: others may look for other mistakes.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    HERE.set(bug);
}

/// Makes a mistake, or none, on every thread from now on.
#[cfg(feature = "planted")]
pub fn plant_everywhere(bug: Option<Bug>) {
    let number = bug.map_or(u8::MAX, |bug| bug as u8);
    EVERYWHERE.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether this mistake is to be made.
#[cfg(feature = "planted")]
pub(super) fn is(bug: Bug) -> bool {
    HERE.get() == Some(bug) || EVERYWHERE.load(std::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this mistake is to be made: never.
#[cfg(not(feature = "planted"))]
pub(super) const fn is(_: Bug) -> bool {
    false
}
