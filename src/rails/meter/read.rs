//! What vendors say of a call's usage, in whole answers and in streams.
//!
//! Anthropic counts the input without what was read from a cache or written to one, OpenAI with
//! it. In Anthropic's streams the counts of `message_delta` are cumulative, and what one leaves
//! out keeps its earlier value. Counts only grow, so of two the larger is taken.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Flag, Unit, Usage, Wire,
    events::{Event, Events},
    usage::MAX_COUNT,
};

/// The longest name of a tier, region or model that is kept, in bytes.
const MAX_NAME: usize = 128;
/// The calls in an answer of OpenAI's that cost nothing but tokens. Others are of tools that their
/// vendor runs for more, or may be.
const TOKENS_ALONE: [&str; 7] = [
    "function_call",
    "custom_tool_call",
    "computer_call",
    "local_shell_call",
    "apply_patch_call",
    "mcp_call",
    "tool_search_call",
];

/// Reads the usage out of a whole answer, which is JSON or anything else.
///
/// `long_writes` says whether the request asked for the longer lifetime of a cache, as
/// [`super::Bound::long_writes`] tells: what an answer does not divide is taken as it says.
pub fn read(wire: Wire, long_writes: bool, body: &[u8]) -> Usage {
    let mut seen = Seen::default();
    match serde_json::from_slice(body) {
        Ok(answer) => seen.answer(wire, &answer),
        Err(_) => seen.flag(Flag::Unreadable),
    }
    seen.usage(wire, long_writes)
}

/// Reads the usage out of a stream, as it comes by. It keeps no more of it than
/// [`super::MAX_EVENT`] allows.
#[derive(Debug)]
pub struct Meter {
    wire: Wire,
    long_writes: bool,
    events: Events,
    seen: Seen,
}

impl Meter {
    /// A meter for one answer; see [`read`] for `long_writes`.
    pub fn new(wire: Wire, long_writes: bool) -> Self {
        Self { wire, long_writes, events: Events::default(), seen: Seen::default() }
    }

    /// Takes the next bytes of the stream, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (wire, seen) = (self.wire, &mut self.seen);
        self.events.feed(bytes, |event| seen.event(wire, event));
    }

    /// What was used, now that the stream is over.
    pub fn finish(mut self) -> Usage {
        let (wire, seen) = (self.wire, &mut self.seen);
        self.events.finish(|event| seen.event(wire, event));
        self.seen.usage(self.wire, self.long_writes)
    }
}

/// The counts that vendors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Input,
    InputAudio,
    CacheRead,
    CacheWrite,
    CacheWriteShort,
    CacheWriteLong,
    Output,
    OutputAudio,
    Searches,
}

type Parts = BTreeMap<Part, u64>;

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    usage: Usage,
    parts: Parts,
    /// What Anthropic tells apart of its own model's sampling, and leaves out of the totals.
    aside: BTreeMap<Unit, u64>,
    service: Option<String>,
    speed: Option<String>,
    /// Whether there was a number that is none.
    odd: bool,
    /// Whether it came to its end, and whether what came out was counted on the way there: what a
    /// stream of Anthropic's begins with counts a token or none.
    ended: bool,
    counted: bool,
}

impl Seen {
    fn flag(&mut self, flag: Flag) {
        self.usage.flags.insert(flag);
    }

    /// It tells all of it at once.
    fn whole(&mut self) {
        (self.ended, self.counted) = (true, true);
    }

    fn event(&mut self, wire: Wire, event: Event) {
        let data = match event {
            Event::Data(data) => data,
            Event::TooLong => return self.flag(Flag::EventTooLong),
        };
        // Most events hold a few letters of the answer: those are not even parsed.
        let holds = |word: &[u8]| data.windows(word.len()).any(|part| part == word);
        if !holds(b"\"usage\"") && !holds(b"\"annotations\"") && !holds(b"\"message_stop\"") {
            return;
        }
        match serde_json::from_slice(data) {
            Ok(event) => self.told(wire, &event),
            Err(_) => self.flag(Flag::Unreadable),
        }
    }

    fn told(&mut self, wire: Wire, event: &Value) {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        match (wire, kind) {
            (Wire::AnthropicMessages, "message_start") => {
                if let Some(message) = event.get("message") {
                    self.anthropic(message);
                }
            }
            (Wire::AnthropicMessages, "message_delta") => {
                self.anthropic(event);
                let reason = event.get("delta").and_then(|delta| delta.get("stop_reason"));
                self.ended |= reason.is_some_and(Value::is_string);
                let out = event.pointer("/usage/output_tokens");
                self.counted |= out.is_some_and(|out| !out.is_null());
            }
            (Wire::AnthropicMessages, "message_stop") => self.ended = true,
            (Wire::OpenAiChat, _) => self.chat(event),
            (
                Wire::OpenAiResponses,
                "response.completed" | "response.incomplete" | "response.failed",
            ) => {
                if let Some(response) = event.get("response") {
                    self.responses(response);
                }
            }
            (Wire::AnthropicMessages | Wire::OpenAiResponses, _) => {}
        }
    }

    fn answer(&mut self, wire: Wire, answer: &Value) {
        match wire {
            Wire::AnthropicMessages => {
                self.anthropic(answer);
                self.whole();
            }
            Wire::OpenAiChat => self.chat(answer),
            Wire::OpenAiResponses => self.responses(answer),
        }
    }

    /// Reads a `message` of Anthropic's, or an event that has its `usage`.
    fn anthropic(&mut self, message: &Value) {
        self.name(message.get("model"), |seen| &mut seen.usage.model);
        let Some(usage) = message.get("usage").filter(|usage| !usage.is_null()) else {
            return;
        };
        let mut parts = std::mem::take(&mut self.parts);
        self.anthropic_parts(usage, &mut parts);
        self.parts = parts;
        let tools = usage.get("server_tool_use");
        for (tool, count) in tools.and_then(Value::as_object).into_iter().flatten() {
            match tool.as_str() {
                "web_search_requests" | "web_fetch_requests" => {}
                _ if count.as_u64() == Some(0) || count.is_null() => {}
                _ => self.flag(Flag::UnpricedTool),
            }
        }
        self.name(usage.get("service_tier"), |seen| &mut seen.service);
        self.name(usage.get("speed"), |seen| &mut seen.speed);
        self.name(usage.get("inference_geo"), |seen| &mut seen.usage.region);
        if let Some(rounds) = usage.get("iterations").and_then(Value::as_array) {
            self.rounds(rounds);
        }
    }

    fn anthropic_parts(&mut self, usage: &Value, parts: &mut Parts) {
        self.count(parts, Part::Input, usage.get("input_tokens"));
        self.count(parts, Part::CacheRead, usage.get("cache_read_input_tokens"));
        self.count(parts, Part::CacheWrite, usage.get("cache_creation_input_tokens"));
        self.count(parts, Part::Output, usage.get("output_tokens"));
        let split = usage.get("cache_creation");
        let split = |field: &str| split.and_then(|split| split.get(field));
        self.count(parts, Part::CacheWriteShort, split("ephemeral_5m_input_tokens"));
        self.count(parts, Part::CacheWriteLong, split("ephemeral_1h_input_tokens"));
        let tools = usage.get("server_tool_use");
        let searches = tools.and_then(|tools| tools.get("web_search_requests"));
        self.count(parts, Part::Searches, searches);
    }

    /// Reads Anthropic's `iterations`: what the model took to sum up its context, or another one
    /// to advise it, is told there alone.
    fn rounds(&mut self, rounds: &[Value]) {
        self.aside.clear();
        for round in rounds {
            match round.get("type").and_then(Value::as_str) {
                Some("message") => continue,
                Some("fallback_message") => {
                    self.flag(Flag::OtherModel);
                    continue;
                }
                Some("compaction") => {}
                _ => self.flag(Flag::OtherModel),
            }
            let mut parts = Parts::new();
            self.anthropic_parts(round, &mut parts);
            for (unit, count) in outside_cache(&parts, false) {
                let sum = self.aside.entry(unit).or_default();
                *sum = sum.saturating_add(count).min(MAX_COUNT);
            }
        }
    }

    /// Reads a completion of OpenAI's, or a chunk of one.
    fn chat(&mut self, answer: &Value) {
        self.name(answer.get("model"), |seen| &mut seen.usage.model);
        self.name(answer.get("service_tier"), |seen| &mut seen.service);
        let choices: &[Value] =
            answer.get("choices").and_then(Value::as_array).map_or(&[], Vec::as_slice);
        // The last chunk of a stream has no choices; some that speak the same put it in the one
        // that ends a choice, and others count on the way.
        let ends = |choice: &Value| choice.get("finish_reason").is_some_and(Value::is_string);
        let last = choices.is_empty() || choices.iter().any(ends);
        let cites = choices.iter().any(|choice| {
            let said = choice.get("message").or_else(|| choice.get("delta"));
            let notes = said.and_then(|said| said.get("annotations")).and_then(Value::as_array);
            notes.is_some_and(|notes| !notes.is_empty())
        });
        let mut parts = std::mem::take(&mut self.parts);
        if cites {
            // The answer says that it searched and not how often; a model of this kind does once.
            parts.insert(Part::Searches, 1);
        }
        if let Some(usage) = answer.get("usage").filter(|usage| !usage.is_null()) {
            if last {
                self.whole();
            }
            self.count(&mut parts, Part::Input, usage.get("prompt_tokens"));
            self.count(&mut parts, Part::Output, usage.get("completion_tokens"));
            self.openai_details(usage.get("prompt_tokens_details"), &mut parts);
            let output = usage.get("completion_tokens_details");
            let sound = output.and_then(|details| details.get("audio_tokens"));
            self.count(&mut parts, Part::OutputAudio, sound);
        }
        self.parts = parts;
    }

    /// Reads a `response` of OpenAI's.
    fn responses(&mut self, response: &Value) {
        self.name(response.get("model"), |seen| &mut seen.usage.model);
        self.name(response.get("service_tier"), |seen| &mut seen.service);
        let mut parts = std::mem::take(&mut self.parts);
        let mut searches = 0_u64;
        for item in response.get("output").and_then(Value::as_array).into_iter().flatten() {
            match item.get("type").and_then(Value::as_str).unwrap_or_default() {
                "web_search_call" => {
                    let action = item.get("action").and_then(|action| action.get("type"));
                    let reads = ["open_page", "find_in_page"];
                    let reads = action.and_then(Value::as_str).is_some_and(|a| reads.contains(&a));
                    searches = searches.saturating_add(u64::from(!reads));
                }
                call if TOKENS_ALONE.contains(&call) => {}
                // `file_search_call` and others, and whatever comes next.
                call if call.ends_with("_call") => self.flag(Flag::UnpricedTool),
                _ => {}
            }
        }
        if searches > 0 {
            parts.insert(Part::Searches, searches);
        }
        if let Some(usage) = response.get("usage").filter(|usage| !usage.is_null()) {
            self.whole();
            self.count(&mut parts, Part::Input, usage.get("input_tokens"));
            self.count(&mut parts, Part::Output, usage.get("output_tokens"));
            self.openai_details(usage.get("input_tokens_details"), &mut parts);
        }
        self.parts = parts;
    }

    fn openai_details(&mut self, details: Option<&Value>, parts: &mut Parts) {
        let Some(details) = details else { return };
        self.count(parts, Part::InputAudio, details.get("audio_tokens"));
        self.count(parts, Part::CacheRead, details.get("cached_tokens"));
        self.count(parts, Part::CacheWrite, details.get("cache_write_tokens"));
        let split = details.get("cache_write_tokens_details");
        let split = |field: &str| split.and_then(|split| split.get(field));
        self.count(parts, Part::CacheWriteShort, split("ttl_30m_tokens"));
        self.count(parts, Part::CacheWriteLong, split("ttl_12h_tokens"));
    }

    /// Keeps a count that is one, if it is more than before.
    fn count(&mut self, parts: &mut Parts, part: Part, told: Option<&Value>) {
        let Some(told) = told.filter(|told| !told.is_null()) else { return };
        if let Some(count) = told.as_u64().filter(|count| *count <= MAX_COUNT) {
            let kept = parts.entry(part).or_insert(count);
            if *kept > count {
                self.usage.flags.insert(Flag::OddCount);
            }
            *kept = count.max(*kept);
        } else {
            self.odd = true;
            self.flag(Flag::OddCount);
        }
    }

    /// Keeps a name. What is too long, or no text, becomes one that no table has.
    fn name(&mut self, told: Option<&Value>, kept: impl Fn(&mut Self) -> &mut Option<String>) {
        if let Some(told) = told.filter(|told| !told.is_null()) {
            let name = told.as_str().filter(|name| name.len() <= MAX_NAME);
            *kept(self) = Some(name.unwrap_or("?").to_owned());
        }
    }

    /// What all of it says.
    fn usage(self, wire: Wire, long_writes: bool) -> Usage {
        let Self { mut usage, parts, aside, service, speed, odd, ended, counted } = self;
        let whole = [Part::Input, Part::Output].iter().all(|part| parts.contains_key(part));
        usage.complete = ended && counted && whole && !odd;
        let plain = |name: &String| !["standard", "default"].contains(&name.as_str());
        let (service, speed) = (service.filter(plain), speed.filter(plain));
        usage.tier = match (service, speed) {
            (Some(service), Some(speed)) => Some(format!("{service} {speed}")),
            (service, speed) => service.or(speed),
        };
        usage.region = usage.region.filter(|at| !["", "global", "not_available"].contains(&&**at));
        usage.counts = match wire {
            Wire::AnthropicMessages => outside_cache(&parts, long_writes),
            Wire::OpenAiChat | Wire::OpenAiResponses => {
                inside_cache(&parts, long_writes, &mut usage)
            }
        };
        for (unit, count) in aside {
            let sum = usage.counts.entry(unit).or_default();
            *sum = sum.saturating_add(count);
        }
        usage.counts.retain(|_, count| *count > 0);
        usage
    }
}

fn of(parts: &Parts, part: Part) -> u64 {
    parts.get(&part).copied().unwrap_or_default()
}

/// The tokens that were written to a cache, for the shorter time and for the longer. Of what is
/// not divided, all is for the longer time where that was asked for or is known of a part of it.
fn writes(parts: &Parts, long_writes: bool) -> (u64, u64) {
    let (short, long) = (of(parts, Part::CacheWriteShort), of(parts, Part::CacheWriteLong));
    let rest = of(parts, Part::CacheWrite).saturating_sub(short).saturating_sub(long);
    if long_writes || long > 0 {
        (short, long.saturating_add(rest))
    } else {
        (short.saturating_add(rest), long)
    }
}

/// The units where the input is told without what a cache had to do with.
fn outside_cache(parts: &Parts, long_writes: bool) -> BTreeMap<Unit, u64> {
    let (short, long) = writes(parts, long_writes);
    BTreeMap::from([
        (Unit::Input, of(parts, Part::Input)),
        (Unit::CacheRead, of(parts, Part::CacheRead)),
        (Unit::CacheWrite, short),
        (Unit::CacheWriteLong, long),
        (Unit::Output, of(parts, Part::Output)),
        (Unit::WebSearch, of(parts, Part::Searches)),
    ])
}

/// The units where the whole input is told, and then its parts: those are taken out of it.
fn inside_cache(parts: &Parts, long_writes: bool, usage: &mut Usage) -> BTreeMap<Unit, u64> {
    let (short, long) = writes(parts, long_writes);
    let (sound, read) = (of(parts, Part::InputAudio), of(parts, Part::CacheRead));
    let told = [sound, read, short, long].into_iter().fold(0, u64::saturating_add);
    let (input, output) = (of(parts, Part::Input), of(parts, Part::Output));
    let spoken = of(parts, Part::OutputAudio);
    if told > input || spoken > output {
        usage.flags.insert(Flag::OddParts);
    }
    BTreeMap::from([
        (Unit::Input, input.saturating_sub(told)),
        (Unit::InputAudio, sound),
        (Unit::CacheRead, read),
        (Unit::CacheWrite, short),
        (Unit::CacheWriteLong, long),
        (Unit::Output, output.saturating_sub(spoken)),
        (Unit::OutputAudio, spoken),
        (Unit::WebSearch, of(parts, Part::Searches)),
    ])
}
