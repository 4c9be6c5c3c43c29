//! What a request's body says of the size of its call.

use serde_json::{Map, Value};

use super::{BoundError, Wire, shown};

/// The fields of a request of which is known that they bring in nothing but themselves.
const KNOWN_ANTHROPIC: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "system",
    "metadata",
    "stop_sequences",
    "stream",
    "temperature",
    "top_k",
    "top_p",
    "thinking",
    "tools",
    "tool_choice",
    "cache_control",
    "service_tier",
    "inference_geo",
    "speed",
    "output_config",
];
const KNOWN_CHAT: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "stop",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "service_tier",
    "seed",
    "store",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "modalities",
    "audio",
    "prediction",
    "verbosity",
    "web_search_options",
];
const KNOWN_RESPONSES: &[&str] = &[
    "model",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "text",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "service_tier",
    "store",
    "metadata",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "top_logprobs",
    "truncation",
    "include",
    "background",
];
/// The fields that bring in what is kept at the vendor's, or what others' servers answer there.
const REFERRING: &[&str] =
    &["previous_response_id", "conversation", "prompt", "thread", "container", "mcp_servers"];
/// The parts of a message that are in the body as text, all of them.
const TEXTUAL: &[&str] = &[
    "text",
    "thinking",
    "redacted_thinking",
    "tool_use",
    "tool_result",
    "search_result",
    "input_text",
    "output_text",
    "message",
    "refusal",
    "function",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "custom",
    "ephemeral",
    "content",
    "char_location",
    "content_block_location",
    "search_result_location",
];
/// The parts that are a picture, of which no text says how many tokens it has.
const PICTURES: &[&str] =
    &["image", "image_url", "input_image", "computer_screenshot", "image_generation_call"];
/// The parts that are in the body, all of them, though not as text, or have the parts in them that
/// are looked at by themselves.
const HELD: &[&str] = &[
    "reasoning_text",
    "summary_text",
    "input_audio",
    "tool_reference",
    "mcp_list_tools",
    "mcp_approval_request",
    "mcp_approval_response",
    "file_path",
];
/// How the names of others of them end.
const HELD_ENDS: &[&str] =
    &["_call", "_output", "_tool_use", "_tool_result", "_result", "_citation", "_location"];
/// What ends like them, and is looked up at the vendor's by its id: what was found or came out.
const KEPT: &[&str] = &["web_search_call", "file_search_call", "code_interpreter_call"];
/// The beginnings of the names of tools that the caller runs, not the vendor.
const CALLERS: &[&str] = &["bash_", "text_editor_", "computer_", "memory_"];
/// The kinds of tools that the caller runs, not the vendor.
const CALLERS_KINDS: &[&str] =
    &["custom", "function", "local_shell", "apply_patch", "computer", "computer_use_preview"];

/// The beginnings of the names of tools that the vendor runs and takes nothing for but tokens, or
/// what has a price.
const PRICED: &[&str] = &["web_search", "web_fetch", "mcp", FINDS_TOOLS];
/// The one of them that brings in nothing but what the request has of tools.
const FINDS_TOOLS: &str = "tool_search";

/// How deep parts of messages may lie in one another.
const MAX_DEPTH: usize = 32;

/// Whether a body has something written to a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Writes {
    /// No.
    #[default]
    Nothing,
    /// Yes, for the shorter time.
    Short,
    /// Yes, for the longer time, some of it at least.
    Long,
}

impl Writes {
    /// What is written with that lifetime.
    fn lasting(ttl: Option<&Value>, short: &str) -> Self {
        match ttl.filter(|ttl| !ttl.is_null()) {
            Some(ttl) if ttl != short => Self::Long,
            _ => Self::Short,
        }
    }
}

/// What a body says of the size of its call.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Something brings in what the body does not hold: the field or the kind of part it is in.
    pub(super) refers: Option<String>,
    /// What may bring in as much as the model takes, whatever the body's size: the field, the kind
    /// of part, or the tool.
    pub(super) brings: Option<String>,
    /// How many pictures there are.
    pub(super) pictures: u64,
    /// How many bytes of the body are pictures.
    pub(super) picture_bytes: u64,
    /// A field that nothing is known of.
    pub(super) unknown: Option<String>,
    /// A tool that the vendor runs, whose results become input.
    pub(super) server_tool: Option<String>,
    /// One of them that costs more than tokens and has no price.
    pub(super) unpriced: Option<String>,
    /// How many searches of the web may be made, and whether that is all.
    pub(super) searches: u64,
    pub(super) more_searches: bool,
    /// How many tools there are, each of which the vendor may tell the model more about.
    pub(super) tools: u64,
    /// Whether there is sound in the input.
    pub(super) sound: bool,
    /// What is written to a cache.
    pub(super) writes: Writes,
}

/// The fields of a kind of API of which something is known.
fn known(wire: Wire) -> &'static [&'static str] {
    match wire {
        Wire::AnthropicMessages => KNOWN_ANTHROPIC,
        Wire::OpenAiChat => KNOWN_CHAT,
        Wire::OpenAiResponses => KNOWN_RESPONSES,
    }
}

/// A field that some readers of JSON, Go's own among them, take for one that is known, for they
/// overlook the case of letters: the last of the two would be theirs, and another ours.
pub(super) fn twin(wire: Wire, body: &Map<String, Value>) -> Option<String> {
    let fold = |field: &str| field.to_uppercase().to_lowercase();
    let of = |field: &String| {
        let same = |known: &&&str| **known != field && fold(known) == fold(field);
        let known = known(wire).iter().chain(REFERRING).find(same)?;
        Some(format!("`{}`, which some take for `{known}`", shown(field)))
    };
    body.keys().find_map(of)
}

/// Reads the facts of a body.
pub(super) fn facts(wire: Wire, body: &Map<String, Value>) -> Facts {
    let mut facts = Facts::default();
    let known = known(wire);
    let texts: &[&str] = match wire {
        Wire::AnthropicMessages => &["messages", "system"],
        Wire::OpenAiChat => &["messages"],
        Wire::OpenAiResponses => &["input", "instructions"],
    };
    let given = body.iter().filter(|(_, value)| !value.is_null()).map(|(field, _)| field.as_str());
    for field in given {
        if REFERRING.contains(&field) {
            facts.refers.get_or_insert_with(|| field.to_owned());
            facts.brings.get_or_insert_with(|| field.to_owned());
        } else if !known.contains(&field) {
            facts.unknown.get_or_insert_with(|| shown(field));
        }
    }
    // A thorough kind of thinking samples more than once.
    let mode = body.get("reasoning").and_then(|reasoning| reasoning.get("mode"));
    if mode.is_some_and(|mode| !mode.is_null() && mode != "standard") {
        facts.unknown.get_or_insert_with(|| "reasoning.mode".to_owned());
    }
    for value in texts.iter().filter_map(|field| body.get(*field)) {
        facts.parts(value, 0);
    }
    if wire == Wire::OpenAiResponses {
        facts.items(body.get("input"));
    }
    match wire {
        Wire::AnthropicMessages => facts.caches_in(body),
        Wire::OpenAiChat | Wire::OpenAiResponses => {
            let options = body.get("prompt_cache_options");
            facts.writes = Writes::lasting(options.and_then(|options| options.get("ttl")), "30m");
        }
    }
    facts.tools(wire, body);
    facts
}

impl Facts {
    /// Looks for parts of messages that are not text in the body.
    fn parts(&mut self, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            self.refer("parts within parts");
            return;
        }
        let deeper = depth.saturating_add(1);
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.parts(item, deeper)),
            Value::Object(fields) => {
                let kind = fields.get("type").and_then(Value::as_str);
                if let Some(kind) = kind.filter(|kind| !TEXTUAL.contains(kind)) {
                    self.sound |= kind.contains("audio");
                    if PICTURES.contains(&kind) {
                        self.picture(kind, fields);
                    } else {
                        self.part(kind, fields);
                    }
                }
                // An assistant's message of OpenAI's may name sound by its id alone.
                if fields.get("audio").is_some_and(Value::is_object) {
                    self.sound = true;
                    self.refer("audio");
                }
                // What a model gave to a tool is text, whatever it looks like, and what a picture
                // is made of is looked at above.
                let ends = |end| kind.is_some_and(|kind| kind.ends_with(end));
                let given = |field: &str| match field {
                    "input" => ends("tool_use"),
                    "action" | "actions" => ends("_call"),
                    "source" | "image_url" => kind.is_some_and(|kind| PICTURES.contains(&kind)),
                    _ => false,
                };
                let fields = fields.iter().filter(|(field, _)| !given(field));
                fields.for_each(|(_, value)| self.parts(value, deeper));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Something brings in what the body does not hold, and nobody knows how much.
    fn refer(&mut self, what: &str) {
        self.refers.get_or_insert_with(|| shown(what));
        self.brings.get_or_insert_with(|| shown(what));
    }

    /// A part that is neither text nor a picture.
    fn part(&mut self, kind: &str, fields: &Map<String, Value>) {
        let source = fields.get("source").and_then(|source| source.get("type"));
        let is_text = source.is_some_and(|kind| kind == "text" || kind == "content");
        let has = |field| fields.get(field).is_some_and(Value::is_string);
        let held = match kind {
            // In the body where the vendor sealed it, and else at the vendor's.
            "reasoning" => has("encrypted_content"),
            "compaction" => has("encrypted_content") || has("content"),
            kind if KEPT.contains(&kind) => false,
            kind => HELD.contains(&kind) || HELD_ENDS.iter().any(|end| kind.ends_with(end)),
        };
        if held || kind == "document" && is_text {
            self.refers.get_or_insert_with(|| shown(kind));
        } else {
            self.refer(kind);
        }
    }

    /// A picture, which may be in the body or not.
    fn picture(&mut self, kind: &str, fields: &Map<String, Value>) {
        self.refers.get_or_insert_with(|| shown(kind));
        self.pictures = self.pictures.saturating_add(1);
        let of = |field: &str, within: &str| {
            let value = fields.get(field)?;
            value.as_str().or_else(|| value.get(within)?.as_str())
        };
        let held = [of("source", "data"), of("image_url", "url"), of("result", "")];
        let held = held.into_iter().flatten().map(str::len).max().unwrap_or_default();
        let held = u64::try_from(held).unwrap_or(u64::MAX);
        self.picture_bytes = self.picture_bytes.saturating_add(held);
    }

    /// Looks for items that are named by their id alone, which need not say that they are.
    fn items(&mut self, input: Option<&Value>) {
        let named = |item: &Value| {
            item.get("id").is_some_and(Value::is_string)
                && ["type", "role"].iter().all(|field| item.get(*field).is_none_or(Value::is_null))
        };
        if input.and_then(Value::as_array).is_some_and(|items| items.iter().any(named)) {
            self.refer("item_reference");
        }
    }

    /// Looks for Anthropic's `cache_control`, anywhere. JSON that was read is not deep.
    fn caches_in(&mut self, fields: &Map<String, Value>) {
        if let Some(control) = fields.get("cache_control").filter(|it| !it.is_null()) {
            self.writes = self.writes.max(Writes::lasting(control.get("ttl"), "5m"));
        }
        fields.values().for_each(|value| self.caches(value));
    }

    fn caches(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.caches(item)),
            Value::Object(fields) => self.caches_in(fields),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Counts the tools, and looks for those that the vendor runs.
    fn tools(&mut self, wire: Wire, body: &Map<String, Value>) {
        let tools = body.get("tools").and_then(Value::as_array);
        for tool in tools.into_iter().flatten() {
            self.tools = self.tools.saturating_add(1);
            let Some(kind) = tool.get("type").and_then(Value::as_str) else { continue };
            let callers = CALLERS_KINDS.contains(&kind)
                || wire == Wire::AnthropicMessages
                    && CALLERS.iter().any(|start| kind.starts_with(start));
            if callers {
                continue;
            }
            self.server_tool.get_or_insert_with(|| shown(kind));
            if !kind.starts_with(FINDS_TOOLS) {
                self.brings.get_or_insert_with(|| shown(kind));
            }
            if !PRICED.iter().any(|start| kind.starts_with(start)) {
                self.unpriced.get_or_insert_with(|| shown(kind));
            }
            if kind.starts_with("web_search") {
                let most = match wire {
                    Wire::AnthropicMessages => tool.get("max_uses"),
                    Wire::OpenAiChat | Wire::OpenAiResponses => body.get("max_tool_calls"),
                };
                self.searches_up_to(most.and_then(Value::as_u64));
            }
        }
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
        let asked = body.get("web_search_options").is_some_and(|options| !options.is_null());
        if wire == Wire::OpenAiChat && (asked || model.contains("search")) {
            self.server_tool.get_or_insert_with(|| "web_search_options".to_owned());
            self.brings.get_or_insert_with(|| "web_search_options".to_owned());
            self.searches_up_to(Some(1));
        }
    }

    fn searches_up_to(&mut self, most: Option<u64>) {
        self.more_searches |= most.is_none();
        self.searches = self.searches.saturating_add(most.unwrap_or(1));
    }
}

/// A whole number of a body, where it has that field.
pub(super) fn number(
    body: &Map<String, Value>,
    field: &'static str,
) -> Result<Option<u64>, BoundError> {
    match body.get(field).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match value.as_u64().filter(|number| *number > 0) {
            Some(number) => Ok(Some(number)),
            None => Err(BoundError::Number { field }),
        },
    }
}
