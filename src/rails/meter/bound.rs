//! The most that a call may cost, from its request.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Flag, ModelPrices, Prices, Unit, UnknownModel, Wire,
    body::{Facts, Writes, facts, number, twin},
    charge::{Sum, dearest},
    request,
    table::{Regions, Tiers},
};
use crate::policy::money::Usd;

/// How many bytes of a request are likely to be one token, at least.
const BYTES_PER_TOKEN: u64 = 3;
/// How many tokens a vendor may add to a call unseen, and how many more for each tool. An
/// assumption: what it tells the model of tools is known to be some hundreds, and no contract
/// bounds it.
const ADDED: u64 = 1_024;
/// How many tokens a picture is likely to be, at most. An assumption: what vendors say of their
/// present models is less, and no contract bounds it.
const PICTURE: u64 = 16_384;
/// The models that have another number, and what their names contain: OpenAI counts 2,833 tokens
/// for a picture and 5,667 for each of its tiles, of which there are eight at most.
const PICTURES: [(&str, u64); 1] = [("gpt-4o-mini", 2_833 + 8 * 5_667)];

/// How sure a bound has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimate {
    /// A third of a token for each byte of the request that is no picture, so many for each
    /// picture, and as much as the model takes where something else is brought in that the request
    /// does not hold. What goes beyond is booked as it comes.
    Likely,
    /// A token for each byte and what the vendor adds; every tier and region that the request
    /// leaves open; and no request whose input its bytes do not bound.
    Sure,
}

/// The most that a call may cost, as far as its request tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The model that the request names, which has prices.
    pub model: String,
    /// How much to hold.
    pub amount: Usd,
    /// How many tokens of input it is for.
    pub input_tokens: u64,
    /// How many tokens of output it is for, all choices together: the most that the model puts out
    /// where the request does not bound them.
    pub output_tokens: u64,
    /// How many searches of the web it is for.
    pub searches: u64,
    /// Whether `stream_options.include_usage` has to be set, without which the stream tells
    /// no usage.
    pub include_usage: bool,
    /// Whether the request asks for the longer lifetime of a cache; the [`super::Meter`] takes it.
    pub long_writes: bool,
    /// Why it may cost more: nothing if the estimate is [`Estimate::Sure`].
    pub flags: BTreeSet<Flag>,
}

/// Why there is no bound, and so no call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// It is not JSON, or not an object, or has a key twice.
    #[error("the request has to be one JSON object with each key once: {0}")]
    Unreadable(String),
    /// It names no model.
    #[error("the request has to name its `model`")]
    NoModel,
    /// There is no price for its model.
    #[error(transparent)]
    UnknownModel(#[from] UnknownModel),
    /// A number is none.
    #[error("`{field}` has to be a whole number above zero")]
    Number {
        /// Which.
        field: &'static str,
    },
    /// Nothing says how much may come out.
    #[error("nothing bounds the output: set `{field}`")]
    NoMaximum {
        /// The field to set.
        field: &'static str,
    },
    /// Its bytes do not bound its input.
    #[error(
        "`{what}` may bring in more than the request holds, so that its cost has no sure \
             bound: leave it out, or send the text itself"
    )]
    NotBounded {
        /// The field, or the kind of part or tool.
        what: String,
    },
    /// It may bring in as much as the model takes, and nobody knows how much that is.
    #[error(
        "`{what}` may bring in more than the request holds, and no table says how much the model \
             takes: leave it out, or add `max_input_tokens` to the model in a table of prices"
    )]
    NoWindow {
        /// The field, or the kind of part or tool.
        what: String,
    },
    /// A tool that its vendor runs, for a price that no table has.
    #[error("the vendor takes for `{what}` what no table has a price for: leave it out")]
    UnpricedTool {
        /// The kind of tool.
        what: String,
    },
    /// It would be answered later, out of sight.
    #[error("an answer in the background is not metered: leave `background` out")]
    Background,
    /// Less may come out than it is to think.
    #[error(
        "no more than {most} tokens may come out, so `thinking.budget_tokens` has to be below that"
    )]
    Thinking {
        /// How many may come out.
        most: u64,
    },
    /// It asks for more choices than tokens may come out.
    #[error("no more than {most} tokens may come out, so `n` has to be at most that")]
    TooManyChoices {
        /// How many may come out.
        most: u64,
    },
    /// What says how it streams is no object.
    #[error("`stream_options` has to be an object")]
    StreamOptions,
    /// There is no price for what it asks for.
    #[error("the model has no price for `{}`: add one to a table of prices", .0.name())]
    NoPrice(Unit),
    /// It might cost more than an amount can be.
    #[error("the call might cost more than any amount can be: lower `{field}`")]
    TooLarge {
        /// The field that bounds the output.
        field: &'static str,
    },
}

/// Says from a request how much to hold for it.
///
/// What the request leaves open is taken at the dearest that could apply: of the prices of input
/// those for writing to a cache where it asks for that, of the sizes of input all that its bytes
/// could reach. `region` is that of the host that is asked, where the vendor has one for each.
pub fn bound(
    wire: Wire,
    body: &[u8],
    prices: &Prices,
    estimate: Estimate,
    region: Option<&str>,
) -> Result<Bound, BoundError> {
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let unreadable = |why: &str| BoundError::Unreadable(why.to_owned());
    let body = request::read(body).map_err(|why| unreadable(&why.to_string()))?;
    let body = body.as_object().ok_or_else(|| unreadable("it is no object"))?;
    if let Some(twin) = twin(wire, body) {
        return Err(unreadable(&twin));
    }
    let model = body.get("model").and_then(Value::as_str).ok_or(BoundError::NoModel)?;
    let table = prices.find(model)?;
    if body
        .get("background")
        .is_some_and(|asked| !matches!(asked, Value::Null | Value::Bool(false)))
    {
        return Err(BoundError::Background);
    }
    let facts = facts(wire, body);
    if let Some(what) = facts.unpriced {
        return Err(BoundError::UnpricedTool { what });
    }
    let open = Open::of(&facts);
    if let (Estimate::Sure, Some(what)) = (estimate, open.what) {
        return Err(BoundError::NotBounded { what: what.to_owned() });
    }
    let (output_field, told) = output(wire, body)?;
    let choices = match wire {
        Wire::OpenAiChat => number(body, "n")?.unwrap_or(1),
        Wire::AnthropicMessages | Wire::OpenAiResponses => 1,
    };
    let each = told.or_else(|| table.max_output_tokens());
    let each = each.ok_or(BoundError::NoMaximum { field: output_field })?;
    let sure = bytes.saturating_add(ADDED.saturating_mul(facts.tools.saturating_add(1)));
    let text = match estimate {
        Estimate::Likely => bytes.saturating_sub(facts.picture_bytes).div_ceil(BYTES_PER_TOKEN),
        Estimate::Sure => sure,
    };
    let other = PICTURES.iter().find(|(name, _)| model.contains(name));
    let picture = other.map_or(PICTURE, |(_, tokens)| *tokens);
    let seen = text.saturating_add(picture.saturating_mul(facts.pictures));
    let input_tokens = match (&facts.brings, table.max_input_tokens()) {
        (None, _) => seen,
        (Some(_), Some(window)) => seen.max(window),
        (Some(what), None) => return Err(BoundError::NoWindow { what: what.clone() }),
    };
    let mut bound = Bound {
        model: model.to_owned(),
        amount: Usd::ZERO,
        input_tokens,
        // A predicted text that does not come true is paid for as output.
        output_tokens: each.saturating_mul(choices).saturating_add(
            if body.get("prediction").is_some_and(|it| !it.is_null()) { text } else { 0 },
        ),
        searches: facts.searches.saturating_mul(choices),
        include_usage: wire == Wire::OpenAiChat && streams(body) && !includes_usage(body),
        long_writes: facts.writes == Writes::Long,
        flags: open.flags,
    };
    let reach = if facts.brings.is_none() { sure.max(input_tokens) } else { u64::MAX };
    bound.amount = amount(&mut bound, table, &facts, &asked(wire, body, estimate, region), reach)?;
    if bound.flags.contains(&Flag::TooLarge) {
        return Err(BoundError::TooLarge { field: output_field });
    }
    Ok(bound)
}

/// What keeps a request's bytes from bounding it: what to tell, and the flags.
struct Open<'a> {
    what: Option<&'a str>,
    flags: BTreeSet<Flag>,
}

impl<'a> Open<'a> {
    fn of(facts: &'a Facts) -> Self {
        let mut flags = BTreeSet::new();
        if facts.refers.is_some() || facts.server_tool.is_some() {
            flags.insert(Flag::InputNotBounded);
        }
        if facts.unknown.is_some() {
            flags.insert(Flag::UnknownField);
        }
        if facts.more_searches {
            flags.insert(Flag::SearchesNotBounded);
        }
        let what = facts.refers.as_deref().or(facts.unknown.as_deref());
        Self { what: what.or(facts.server_tool.as_deref()), flags }
    }
}

/// The field that bounds the output, and the most that the request says.
fn output(
    wire: Wire,
    body: &Map<String, Value>,
) -> Result<(&'static str, Option<u64>), BoundError> {
    match wire {
        Wire::AnthropicMessages => Ok(("max_tokens", number(body, "max_tokens")?)),
        Wire::OpenAiResponses => Ok(("max_output_tokens", number(body, "max_output_tokens")?)),
        Wire::OpenAiChat => {
            // A vendor may look at either.
            let (old, new) = (number(body, "max_tokens")?, number(body, "max_completion_tokens")?);
            Ok(("max_completion_tokens", old.max(new)))
        }
    }
}

fn streams(body: &Map<String, Value>) -> bool {
    body.get("stream") == Some(&Value::Bool(true))
}

fn includes_usage(body: &Map<String, Value>) -> bool {
    let options = body.get("stream_options");
    options.and_then(|options| options.get("include_usage")) == Some(&Value::Bool(true))
}

/// The tiers that a request asks for, of which nothing is any, and the regions.
struct Asked<'a> {
    tiers: Option<Vec<&'a str>>,
    regions: Regions<'a>,
}

fn asked<'a>(
    wire: Wire,
    body: &'a Map<String, Value>,
    estimate: Estimate,
    region: Option<&'a str>,
) -> Asked<'a> {
    let text = |field: &str| match body.get(field) {
        None | Some(Value::Null) => None,
        Some(value) => Some(value.as_str().unwrap_or("?")),
    };
    let sure = estimate == Estimate::Sure;
    let service = text("service_tier");
    let tiers = match wire {
        Wire::AnthropicMessages => match (text("speed").unwrap_or("standard"), service) {
            ("standard", Some("standard_only")) => Some(vec!["standard"]),
            ("standard", None | Some("auto")) if !sure => Some(vec!["standard"]),
            ("standard", _) => None,
            (speed, _) if !sure => Some(vec!["standard", speed]),
            _ => None,
        },
        Wire::OpenAiChat | Wire::OpenAiResponses => match service {
            None | Some("auto") if sure => None,
            None | Some("auto" | "default") => Some(vec!["standard"]),
            // So it is told in answers.
            Some("fast") => Some(vec!["standard", "priority"]),
            Some(tier) => Some(vec!["standard", tier]),
        },
    };
    let regions = match (wire, text("inference_geo")) {
        (Wire::AnthropicMessages, Some("global")) => Regions::Of(None),
        (Wire::AnthropicMessages, Some(region)) => Regions::Of(Some(region)),
        // A workspace of Anthropic's has a region of its own; one of OpenAI's is in the host.
        (Wire::OpenAiChat | Wire::OpenAiResponses, _) if region.is_some() => Regions::Of(region),
        (_, _) if sure => Regions::Any,
        (_, _) => Regions::Of(None),
    };
    Asked { tiers, regions }
}

/// What the bounded call comes to, at the dearest that could apply.
fn amount(
    bound: &mut Bound,
    table: &ModelPrices,
    facts: &Facts,
    asked: &Asked,
    reach: u64,
) -> Result<Usd, BoundError> {
    let tiers = asked.tiers.as_deref().map_or(Tiers::Any, Tiers::Of);
    let (rates, unknown) = table.rates(tiers, asked.regions);
    bound.flags.extend(unknown);
    let price = |unit| {
        // That a price stands in for another is no matter here: the dearest counts.
        dearest(&rates, unit, |rate, unit| rate.up_to(unit, reach), &mut BTreeSet::new())
    };
    let mut inputs = vec![Unit::Input, Unit::CacheRead];
    inputs.extend(facts.sound.then_some(Unit::InputAudio));
    inputs.extend((facts.writes >= Writes::Short).then_some(Unit::CacheWrite));
    inputs.extend((facts.writes == Writes::Long).then_some(Unit::CacheWriteLong));
    let mut sum = Sum::default();
    sum.add(bound.input_tokens, inputs.into_iter().filter_map(price).max());
    let outputs = [Unit::Output, Unit::OutputAudio];
    sum.add(bound.output_tokens, outputs.into_iter().filter_map(price).max());
    if bound.searches > 0 {
        let search = price(Unit::WebSearch).ok_or(BoundError::NoPrice(Unit::WebSearch))?;
        sum.add(bound.searches, Some(search));
    }
    Ok(sum.amount(&mut bound.flags))
}
