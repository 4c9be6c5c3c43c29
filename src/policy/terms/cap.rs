//! Caps as operators write them: over the wire in fields, in a policy as one text.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::policy::{
    cap::{Bound, Cap, Dimension, one_bound},
    money::{Usd, decimal},
    names::{Category, Payee, ServiceId, TaskType},
    window::Period,
};

/// A cap as operators write it over the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct CapTerms(pub Cap);

/// The fields of a cap: one of `cap_usd` and `cap_count`, and at most one that it is on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    period: Period,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "decimal::option")]
    cap_usd: Option<Usd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cap_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service_id: Option<ServiceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    category: Option<Category>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payee: Option<Payee>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_type: Option<TaskType>,
}

impl From<CapTerms> for Fields {
    fn from(CapTerms(cap): CapTerms) -> Self {
        let (service_id, category, payee, task_type) = cap.on.fields();
        let cap_count = if let Bound::Count(most) = cap.bound { Some(most) } else { None };
        let (period, cap_usd) = (cap.period, cap.amount());
        Self { period, cap_usd, cap_count, service_id, category, payee, task_type }
    }
}

impl TryFrom<Fields> for CapTerms {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let Fields { period, cap_usd, cap_count, service_id, category, payee, task_type } = fields;
        let bound = one_bound(cap_usd, cap_count)?;
        let on = Dimension::of_fields((service_id, category, payee, task_type))?;
        Ok(Self(Cap { period, bound, on }))
    }
}

impl JsonSchema for CapTerms {
    fn schema_name() -> Cow<'static, str> {
        "CapTerms".into()
    }

    /// The same whether it is sent or answered.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "a bound on the payments in each window: how much (cap_usd) or how many \
                            (cap_count), one of the two; on all of them, or on those of one \
                            service_id, category, payee or task_type",
            "properties": {
                "period": generator.subschema_for::<Period>(),
                "cap_usd": generator.subschema_for::<Usd>(),
                "cap_count": {"type": "integer", "minimum": 0},
                "service_id": generator.subschema_for::<ServiceId>(),
                "category": generator.subschema_for::<Category>(),
                "payee": generator.subschema_for::<Payee>(),
                "task_type": generator.subschema_for::<TaskType>(),
            },
            "required": ["period"],
            "additionalProperties": false,
        })
    }
}

/// A cap as it is written: `5.00/day`, `100x/day service=search`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CapText(pub Cap);

impl TryFrom<String> for CapText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl From<CapText> for String {
    fn from(cap: CapText) -> Self {
        cap.0.to_string()
    }
}

impl JsonSchema for CapText {
    fn schema_name() -> Cow<'static, str> {
        "Cap".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]+(\\.[0-9]{1,9})?|(0|[1-9][0-9]{0,9})x)/\
                        (hour|day|week|month|lifetime|run|task|\
                        (rolling_)?([1-9][0-9]?|[1-6][0-9]{2}|7[0-3][0-9]|74[0-4])h)\
                        ( (service=|category=|type=)[a-z0-9][a-z0-9_-]{0,62}| payee=.{1,120})?$",
            "description": "the most for one window, such as 5.00/day, 20.00/month, 5.00/24h (any \
                            24 hours in a row), 1.00/run, 0.50/task or 100x/day (so many \
                            payments), on all payments or on some: 1.00/day service=search, \
                            20x/hour category=llm, 50.00/month payee=Acme Inc, 0.50/task \
                            type=research"
        })
    }
}
