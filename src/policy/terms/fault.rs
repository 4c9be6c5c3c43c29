//! What may be wrong with a policy, and where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that is wrong with a policy, or should be known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// Whether it stands in the way.
    pub severity: Severity,
    /// What, for programs.
    pub code: FaultCode,
    /// What, in a sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where in the document, the first place before others that have to do with it.
    pub at: Vec<Place>,
}

/// Whether a fault stands in the way.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is applied.
    Error,
    /// It should be known.
    Warning,
}

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// A JSON pointer, such as `/agents/scout/caps/0`.
    pub pointer: String,
    /// What is to be seen there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident),* $(,)?) => {
        /// What may be wrong with a policy.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum FaultCode {
            $($(#[$doc])* $code,)*
        }

        impl FaultCode {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$code),*];
        }
    };
}

codes! {
    /// The agent was revoked, which is for good.
    AgentRevoked,
    /// A shadow cap that the cap of the same kind keeps from ever being passed.
    ShadowAboveCap,
    /// Nothing would bound what is spent.
    AllowanceWithoutCap,
    /// A cap per task on some of what is paid in it.
    CapOnPartOfTask,
    /// Two caps of one kind.
    CapTwice,
    /// A list of what is allowed that names nothing, which would allow everything.
    AllowEmpty,
    /// A service is allowed and denied.
    DeniedToo,
    /// The time is over already.
    Expired,
    /// An agent's funding never changes.
    FundingFixed,
    /// A limit is above a cap: no payment gets there.
    LimitAboveCap,
    /// No service is left that could be paid.
    NothingAllowed,
    /// There is no such rail.
    RailUnknown,
    /// Two rates for one length of time.
    RateTwice,
    /// Neither the document nor the catalogue has the service.
    ServiceUnknown,
    /// More rates than a book can carry.
    TooManyRates,
    /// More rolling caps than a book can carry.
    TooManyRolling,
    /// More services than a book can carry.
    TooManyServices,
    /// A bound or price of zero.
    Zero,
    /// A burst that a rate never lets come about.
    BurstUnreachable,
    /// A cap is above another that counts all that it counts: of any length that has its windows,
    /// on the same or on all payments.
    CapNeverBinds,
    /// No service that is known is of the category.
    CategoryUnknown,
    /// No service that is known pays the payee.
    PayeeUnknown,
    /// More caps than anybody looks after.
    TooManyCaps,
    /// Hours that do not open before the mandate ends.
    NeverOpen,
    /// A cap is above one of a group above that counts all that it counts.
    CapAboveGroup,
    /// A group would be above itself.
    GroupCircle,
    /// The name is taken for something else.
    GroupNameTaken,
    /// More groups one above the other than a payment is held against.
    GroupTooDeep,
    /// Neither the document nor the record has the group.
    GroupUnknown,
    /// A group has no runs.
    RunOfGroup,
    /// A group has no tasks.
    TaskOfGroup,
    /// A payee is pinned that the service does not pay.
    PinnedElsewhere,
    /// A payee is pinned for a service that the agent may not pay.
    PinnedUnpaid,
    /// More payees than a book can carry.
    TooManyPinned,
    /// The limit of a tier is above a cap: no payment gets there.
    TierAboveCap,
    /// A tier takes no more, or gives no more, than what is before it.
    TierBelow,
    /// Tiers without a limit that they raise.
    TierWithoutLimit,
    /// More tiers than anybody looks after.
    TooManyTiers,
    /// It is said when a cheaper model is used but not which, or which but not when.
    DowngradeInHalf,
    /// A cheaper model where there is no cap of which a part could be spent.
    DowngradeWithoutCap,
    /// A service that is allowed costs more than one payment may.
    PriceAboveLimit,
    /// A service that is allowed costs more than a cap ever leaves.
    PriceAboveCap,
    /// Nothing bounds any more how many payments an agent makes that does not change in that.
    NumberUnbounded,
    /// A cap is on what the agent may not pay at all.
    CapNeverMatches,
    /// An API that cannot be called as it is written.
    EndpointInvalid,
    /// The rail calls an API, and none is said.
    EndpointMissing,
    /// An API is said that the rail does not call.
    EndpointUnused,
}
