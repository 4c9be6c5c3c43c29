//! Operations: what can be called at an endpoint, and what a call costs.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{header::HeaderName, path::Path};
use crate::policy::{
    money::Usd,
    names::{NameError, ServiceId},
    pace::shorthand,
    terms::Amount,
};

/// The longest pointer into an answer, in bytes.
const MAX_POINTER: usize = 256;

/// What an operation is called, spelled like a service.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct OperationName(ServiceId);

impl OperationName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for OperationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for OperationName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

macro_rules! words {
    (
        $(#[$doc:meta])* $type:ident, $rule:literal,
        $($(#[$each:meta])* $name:ident: $text:literal),*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum $type {
            $($(#[$each])* $name,)*
        }

        impl $type {
            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let known = [$(Self::$name),*].into_iter().find(|known| known.as_str() == text);
                known.ok_or_else(|| $rule.to_owned())
            }
        }

        shorthand!($type, $rule);
    };
}

words!(
    /// What is done with what an operation names.
    Method,
    "a method is GET, HEAD, POST, PUT, PATCH or DELETE",
    /// Reads.
    Get: "GET",
    /// Reads all but the body.
    Head: "HEAD",
    /// Gives something to work on.
    Post: "POST",
    /// Sets.
    Put: "PUT",
    /// Changes a part.
    Patch: "PATCH",
    /// Takes away.
    Delete: "DELETE"
);

impl Method {
    /// Whether a call may carry a body.
    pub fn has_body(self) -> bool {
        match self {
            Self::Get | Self::Head => false,
            Self::Post | Self::Put | Self::Patch | Self::Delete => true,
        }
    }
}

words!(
    /// What a metered API speaks, and so how its use is counted.
    Metered,
    "what is metered is anthropic_messages, openai_chat or openai_responses",
    /// Anthropic's messages.
    AnthropicMessages: "anthropic_messages",
    /// OpenAI's chat completions.
    OpenAiChat: "openai_chat",
    /// OpenAI's responses.
    OpenAiResponses: "openai_responses"
);

words!(
    /// What becomes of the money of a call that nobody knows the outcome of.
    OnUnknown,
    "an unknown outcome is `hold` or `capture`",
    /// It stays held until an operator settles it.
    Hold: "hold",
    /// It is taken in full.
    Capture: "capture"
);

/// Where a value stands in a body of JSON: `/usage/cost`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pointer(String);

shorthand!(Pointer, "a JSON pointer of at most 256 bytes, such as /usage/cost");

impl Pointer {
    /// The pointer as text (RFC 6901).
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pointer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let escaped = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        let fits = text.len() <= MAX_POINTER && text.len() > 1 && text.starts_with('/');
        let right = plain && escaped && fits;
        let rule = "a place in JSON is a pointer of at most 256 bytes, such as /usage/cost";
        right.then(|| Self(text.to_owned())).ok_or_else(|| rule.to_owned())
    }
}

/// Where an answer says what a call costs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceAt {
    /// In a header.
    Header(HeaderName),
    /// In its body of JSON.
    Json(Pointer),
}

/// What a call of an operation costs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pricing {
    /// What the service says, which has to be something.
    Service,
    /// So much.
    Fixed(Usd),
    /// What the vendor counts, by a table of prices.
    Metered {
        /// What the API speaks.
        metered: Metered,
        /// Whether the hold has to be the most that the call can cost, and not what is likely.
        strict: bool,
    },
    /// What the answer says.
    Answered {
        /// Where it says so.
        at: PriceAt,
        /// The most, which is held.
        at_most: Usd,
    },
}

/// One thing that can be called at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OperationTerms", into = "OperationTerms")]
pub struct Operation {
    /// What a caller calls it.
    pub name: OperationName,
    /// The method.
    pub method: Method,
    /// The path, which follows the base URL's own.
    pub path: Path,
    /// What a call costs.
    pub price: Pricing,
}

impl Operation {
    /// What it is metered by, if it is.
    pub fn metered(&self) -> Option<Metered> {
        match self.price {
            Pricing::Metered { metered, .. } => Some(metered),
            Pricing::Service | Pricing::Fixed(_) | Pricing::Answered { .. } => None,
        }
    }
}

/// Where an answer says what a call costs, and the most it may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceFrom {
    /// The header that says it; this or `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "HeaderName")]
    pub header: Option<HeaderName>,
    /// Where the body of JSON says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Pointer")]
    pub json: Option<Pointer>,
    /// The most a call may cost, which is held for it.
    pub at_most: Amount,
}

/// What a document says of one operation. At most one of `price`, `metered` and `price_from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperationTerms {
    /// What a caller calls it.
    pub name: OperationName,
    /// The method.
    pub method: Method,
    /// The path, which follows that of the base URL.
    pub path: Path,
    /// What a call costs; the service's price unless said, which then has to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Amount")]
    pub price: Option<Amount>,
    /// What the API speaks, if a call costs what its vendor counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Metered")]
    pub metered: Option<Metered>,
    /// Whether the most that a metered call can cost is held, and not what is likely.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Where the answer says what a call costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PriceFrom")]
    pub price_from: Option<PriceFrom>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's own shape")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl TryFrom<OperationTerms> for Operation {
    type Error = &'static str;

    fn try_from(terms: OperationTerms) -> Result<Self, Self::Error> {
        let OperationTerms { name, method, path, price, metered, strict, price_from } = terms;
        let price = match (price, metered, price_from) {
            (None, None, None) => Pricing::Service,
            (Some(Amount(price)), None, None) => Pricing::Fixed(price),
            (None, Some(metered), None) => Pricing::Metered { metered, strict },
            (None, None, Some(from)) => answered(from)?,
            (Some(_), Some(_), _) | (_, Some(_), Some(_)) | (Some(_), _, Some(_)) => {
                return Err("an operation has one of price, metered and price_from");
            }
        };
        if strict && metered.is_none() {
            return Err("strict is for what is metered");
        }
        Ok(Self { name, method, path, price })
    }
}

fn answered(from: PriceFrom) -> Result<Pricing, &'static str> {
    let PriceFrom { header, json, at_most: Amount(at_most) } = from;
    let at = match (header, json) {
        (Some(header), None) => PriceAt::Header(header),
        (None, Some(pointer)) => PriceAt::Json(pointer),
        (None, None) | (Some(_), Some(_)) => return Err("price_from has one of header and json"),
    };
    if at_most.is_zero() {
        return Err("at_most is above zero: it is what is held");
    }
    Ok(Pricing::Answered { at, at_most })
}

impl From<Operation> for OperationTerms {
    fn from(Operation { name, method, path, price }: Operation) -> Self {
        let plain = Self {
            name,
            method,
            path,
            price: None,
            metered: None,
            strict: false,
            price_from: None,
        };
        match price {
            Pricing::Service => plain,
            Pricing::Fixed(price) => Self { price: Some(Amount(price)), ..plain },
            Pricing::Metered { metered, strict } => {
                Self { metered: Some(metered), strict, ..plain }
            }
            Pricing::Answered { at, at_most } => {
                let (header, json) = match at {
                    PriceAt::Header(header) => (Some(header), None),
                    PriceAt::Json(pointer) => (None, Some(pointer)),
                };
                let from = PriceFrom { header, json, at_most: Amount(at_most) };
                Self { price_from: Some(from), ..plain }
            }
        }
    }
}

impl JsonSchema for Operation {
    fn inline_schema() -> bool {
        OperationTerms::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        OperationTerms::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        OperationTerms::json_schema(generator)
    }
}
