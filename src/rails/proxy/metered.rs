//! Calls of language models: what is sent, what is held for it, and how it is counted.

use std::{borrow::Cow, sync::Arc};

use crate::{
    policy::{
        denial::BadField,
        endpoint::{Asking, Endpoint, Metered},
        models::Models,
        names::ModelName,
    },
    rails::{
        Bounded, Terms,
        meter::{
            Bound, BoundError, Changes, Estimate, Metering, Prices, UnknownModel, Wire, bound,
            rewritten,
        },
    },
};

/// How an operator has a model paid for that has no price.
const ADD_A_PRICE: &str = "an operator adds a price with `pettycash prices update FILE`";
/// The hosts of OpenAI's that serve in one region, and what the table calls it.
const REGIONS: [(&str, &str); 2] = [("eu.api.openai.com", "eu"), ("us.api.openai.com", "us")];

/// What is held for a call, and what is sent: the request as it came, but for what the mandate
/// says of it, and for what a stream has to tell.
pub(super) fn bounded(
    endpoint: &Endpoint,
    (metered, strict): (Metered, bool),
    prices: &Arc<Prices>,
    mut asking: Asking,
    terms: Terms,
) -> Result<Bounded, BadField> {
    let wire = wire(metered);
    let estimate = if strict { Estimate::Sure } else { Estimate::Likely };
    let region = region(endpoint);
    let bound_of = |body: &[u8]| bound(wire, body, prices, estimate, region);
    let asked = match (bound_of(&asking.body), terms.max_output_tokens) {
        // What nothing else bounds the mandate does.
        (Err(BoundError::NoMaximum { .. } | BoundError::TooLarge { .. }), Some(_)) => {
            let limited = Changes { max_output: terms.max_output_tokens, ..Changes::default() };
            rewritten(wire, &asking.body, &limited).and_then(|body| bound_of(&body))
        }
        (bound, _) => bound,
    };
    let asked = asked.map_err(|why| bad(&why))?;
    let changes = Changes {
        model: terms.model.filter(|model| *model != asked.model),
        max_output: terms.max_output_tokens,
        include_usage: asked.include_usage,
    };
    let body = match rewritten(wire, &asking.body, &changes).map_err(|why| bad(&why))? {
        Cow::Borrowed(_) => None,
        Cow::Owned(body) => Some(body),
    };
    let used = match body {
        None => asked.clone(),
        Some(body) => {
            asking.body = body.into();
            bound_of(&asking.body).map_err(|why| bad(&why))?
        }
    };
    let models = models(&asked, &used).ok_or_else(|| {
        bad(&UnknownModel { model: used.model.clone(), nearest: Vec::new() }.into())
    })?;
    let metering = Metering {
        hides_usage: asked.include_usage,
        ..Metering::of(wire, Arc::clone(prices), &used, region)
    };
    Ok(Bounded {
        amount: Some(used.amount),
        asking,
        model: Some(models),
        metering: Some(Arc::new(metering)),
    })
}

fn wire(metered: Metered) -> Wire {
    match metered {
        Metered::AnthropicMessages => Wire::AnthropicMessages,
        Metered::OpenAiChat => Wire::OpenAiChat,
        Metered::OpenAiResponses => Wire::OpenAiResponses,
    }
}

/// The region that the host is of, where it has prices of its own.
fn region(endpoint: &Endpoint) -> Option<&'static str> {
    let host = endpoint.base_url.host();
    REGIONS.into_iter().find(|(named, _)| *named == host).map(|(_, region)| region)
}

/// The models by their names. One that is written as none is has no price.
fn models(asked: &Bound, used: &Bound) -> Option<Models> {
    let name = |bound: &Bound| bound.model.parse::<ModelName>().ok();
    Some(Models::of(name(asked)?, name(used)?))
}

/// What has to be otherwise about a request.
fn bad(why: &BoundError) -> BadField {
    let field = match why {
        BoundError::NoModel | BoundError::UnknownModel(_) => ".model".to_owned(),
        BoundError::Number { field }
        | BoundError::NoMaximum { field }
        | BoundError::TooLarge { field } => format!(".{field}"),
        BoundError::Thinking { .. } => ".thinking.budget_tokens".to_owned(),
        BoundError::TooManyChoices { .. } => ".n".to_owned(),
        BoundError::StreamOptions => ".stream_options".to_owned(),
        BoundError::Background => ".background".to_owned(),
        BoundError::UnpricedTool { .. } => ".tools".to_owned(),
        BoundError::Unreadable(_)
        | BoundError::NotBounded { .. }
        | BoundError::NoWindow { .. }
        | BoundError::NoPrice(_) => String::new(),
    };
    let got = match why {
        BoundError::UnknownModel(UnknownModel { model, .. }) => format!("\"{model}\""),
        BoundError::NoModel | BoundError::NoMaximum { .. } => "nothing".to_owned(),
        BoundError::NotBounded { what }
        | BoundError::NoWindow { what }
        | BoundError::UnpricedTool { what } => format!("\"{what}\""),
        BoundError::Unreadable(why) => why.clone(),
        BoundError::NoPrice(unit) => format!("\"{}\"", unit.name()),
        BoundError::Number { .. }
        | BoundError::TooLarge { .. }
        | BoundError::Thinking { .. }
        | BoundError::TooManyChoices { .. }
        | BoundError::StreamOptions
        | BoundError::Background => "something else".to_owned(),
    };
    let (expected, example) = right(why);
    BadField { field: format!("request.body{field}"), got, expected, example: example.to_owned() }
}

/// What would do in its place, and an example.
fn right(why: &BoundError) -> (String, &'static str) {
    match why {
        BoundError::UnknownModel(UnknownModel { nearest, .. }) => match nearest.as_slice() {
            [] => (format!("a model that has a price: {ADD_A_PRICE}"), ""),
            near => (format!("`{}`, or {ADD_A_PRICE}", near.join("` or `")), ""),
        },
        BoundError::Unreadable(_) => ("one JSON object with each key once".to_owned(), ""),
        BoundError::NoModel => ("the name of a model".to_owned(), ""),
        BoundError::Number { .. } => ("a whole number above zero".to_owned(), "1024"),
        BoundError::NoMaximum { .. } => {
            ("a number, for nothing else bounds what comes out".to_owned(), "1024")
        }
        BoundError::TooLarge { .. } => {
            ("a lower number, for the call might cost more than any amount".to_owned(), "1024")
        }
        BoundError::NotBounded { what } => {
            let why = "may bring in more than the request holds, so that there is no sure bound";
            (format!("a request without `{what}`, which {why}"), "")
        }
        BoundError::NoWindow { what } => {
            let why = "may bring in as much as the model takes, which no table of prices says";
            (format!("a request without `{what}`, which {why}"), "")
        }
        BoundError::UnpricedTool { what } => {
            (format!("tools without `{what}`, which costs more than tokens and has no price"), "")
        }
        BoundError::NoPrice(unit) => {
            let unit = unit.name();
            (format!("a request without `{unit}`, which has no price there: {ADD_A_PRICE}"), "")
        }
        BoundError::Background => ("false, for what ends later is not metered".to_owned(), "false"),
        BoundError::Thinking { most } => {
            (format!("less than {most}, for no more tokens may come out in all"), "")
        }
        BoundError::TooManyChoices { most } => {
            (format!("at most {most}, for no more tokens may come out in all"), "1")
        }
        BoundError::StreamOptions => ("an object".to_owned(), "{}"),
    }
}
