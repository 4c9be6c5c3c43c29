//! The tools: what each is called, what it says of itself to a model, and what it takes and gives.
//!
//! A model sees name, description and input schema, never the output schema: so the description
//! says what comes back. The three main tools stay under 2,900 bytes together.

use std::sync::{Arc, LazyLock};

use rmcp::model::{JsonObject, MetaObject, Tool as Described, ToolAnnotations};
use serde_json::{Value, json};

use super::schema;
use crate::policy::answer::{
    BalanceAnswer, FinishTaskAnswer, LedgerAnswer, OpenTaskAnswer, PayAnswer, ServicesAnswer,
};

/// Every tool as `tools/list` answers it to those who have it, built once.
pub static TOOLS: LazyLock<Vec<Described>> =
    LazyLock::new(|| Tool::ALL.into_iter().map(Tool::described).collect());

/// A tool that a model can call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Pays.
    PayForApiCall,
    /// Says what can be spent.
    GetBalance,
    /// Lists what was paid and refused.
    Ledger,
    /// Lists what may be paid.
    ListServices,
    /// Opens a task; for those who may.
    OpenTask,
    /// Finishes one; for those who may.
    FinishTask,
}

const PAY: &str = "Pay for one API call from your own budget. One over a limit is denied and costs \
nothing.\n\
Returns `outcome`: paid (payment_id, charged_usd, available_usd, note; response: only data, a file \
as a `resource`); \
denied or failed (code, message, advice and, where known, max_affordable_usd, retry_after_s, \
alternatives); in_progress (learn it later with payment_id alone, or the same arguments \
and idempotency_key); in_doubt (it may have been paid: do not pay it again); allowed (dry_run).\n\
Unless paid, follow `advice`: fix_request = correct the arguments; shrink = if less is of use, pay \
at most max_affordable_usd; wait = not before retry_after_s; ask_operator = only a human can \
change this: tell your user and do other work; stop = do not pay again.\n\
Never split a purchase to fit a limit.";

const BALANCE: &str = "What you can spend now: available_usd (balance and caps, except those on a \
service, category or payee), held_usd, per_call_limit_usd, and each cap with what is used and when \
it resets. Free. Call it before you plan paid work. With service_id also a quote: how many \
such calls fit now, which limit comes first, when it frees up, and how many fit by a time.";

const LEDGER: &str = "Your payments, refusals and top-ups, newest first, with spent_today_usd. \
Free. See here whether an earlier payment went through before you pay again. since, until: a time, \
a day, or 24h (ago). format columns is shortest. For older lines pass next_cursor as cursor with \
the same arguments, also where a page is empty.";

const SERVICES: &str = "The services you may pay: service_id, payee and price_usd. Where price_usd \
is missing, the amount you give is the price. A service with operations is an API that \
pay_for_api_call calls for you, with its key: name one as request.operation, with its params. \
Free. Pages by name: pass next_cursor as cursor.";

const OPEN_TASK: &str = "Open a task: a unit of work with a budget of its own. Returns task_id, \
cap_usd and available_usd; give task_id with each payment of that work. Free. A task that runs out \
is failed and only a human can resume it.";

const FINISH_TASK: &str = "Finish a task once its work is done or given up: nothing more is paid \
in it. Returns used_usd and held_usd. Free.";

impl Tool {
    /// Every tool, the one that matters first.
    pub const ALL: [Self; 6] = [
        Self::PayForApiCall,
        Self::GetBalance,
        Self::Ledger,
        Self::ListServices,
        Self::OpenTask,
        Self::FinishTask,
    ];
    /// Those that everybody has.
    pub const COMMON: [Self; 4] =
        [Self::PayForApiCall, Self::GetBalance, Self::Ledger, Self::ListServices];

    /// Its name, on MCP and on `/v1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::PayForApiCall => "pay_for_api_call",
            Self::GetBalance => "get_balance",
            Self::Ledger => "ledger",
            Self::ListServices => "list_services",
            Self::OpenTask => "open_task",
            Self::FinishTask => "finish_task",
        }
    }

    /// Whether only those have it who may open tasks.
    pub(super) fn is_of_tasks(name: &str) -> bool {
        [Self::OpenTask, Self::FinishTask].iter().any(|tool| tool.name() == name)
    }

    /// The tool of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    fn described(self) -> Described {
        let (title, description, input, output) = match self {
            Self::PayForApiCall => (
                "Pay for an API call",
                PAY,
                pay_input(),
                schema::of_answer::<PayAnswer>(&["outcome"]),
            ),
            Self::GetBalance => {
                ("Budget", BALANCE, quote_input(), schema::of_answer::<BalanceAnswer>(&[]))
            }
            Self::Ledger => {
                ("Ledger", LEDGER, ledger_input(), schema::of_answer::<LedgerAnswer>(&[]))
            }
            Self::ListServices => {
                ("Services", SERVICES, page_input(), schema::of_answer::<ServicesAnswer>(&[]))
            }
            Self::OpenTask => {
                let output = schema::of_answer::<OpenTaskAnswer>(&[]);
                ("Open a task", OPEN_TASK, open_input(), output)
            }
            Self::FinishTask => {
                let output = schema::of_answer::<FinishTaskAnswer>(&[]);
                ("Finish a task", FINISH_TASK, finish_input(), output)
            }
        };
        let mut tool = Described::new(self.name(), description, Arc::new(input));
        tool.title = Some(title.to_owned());
        tool.output_schema = Some(Arc::new(output));
        tool.annotations = Some(self.annotations());
        // Without this one host hides a tool behind a search until the model looks for it.
        let shown = [("anthropic/alwaysLoad".to_owned(), Value::Bool(true))];
        tool.meta = Some(MetaObject(shown.into_iter().collect()));
        tool
    }

    /// Paying reaches out and spends, and without a key twice is twice; opening and finishing tasks
    /// writes here alone; the rest only reads.
    fn annotations(self) -> ToolAnnotations {
        let pays = self == Self::PayForApiCall;
        let reads = !pays && !Self::is_of_tasks(self.name());
        let again = reads || self == Self::FinishTask;
        ToolAnnotations::new().read_only(reads).destructive(pays).idempotent(again).open_world(pays)
    }
}

fn pay_input() -> JsonObject {
    input(json!({
        "service_id": {
            "type": "string",
            "description": "As list_services names it."
        },
        "amount_usd": {
            "type": "string",
            "description": "US dollars, such as \"0.25\": the most to pay; of a service without a \
                            price, the price."
        },
        "idempotency_key": {
            "type": "string",
            "description": "Your own name for this payment. Repeat it only to retry: it is never \
                            charged twice."
        },
        "payment_id": {
            "type": "string",
            "description": "Alone: fetch its outcome."
        },
        "dry_run": {
            "type": "boolean",
            "description": "Only say what would happen."
        },
        "task_id": { "type": "string" },
        "request": {
            "type": "object",
            "description": "If it has operations: {operation, params, query, body}"
        }
    }))
}

fn open_input() -> JsonObject {
    input(json!({
        "task_type": {
            "type": "string",
            "description": "The kind of work: a-z, 0-9, - and _, such as research."
        },
        "cap_usd": {
            "type": "string",
            "description": "The most to spend in it, US dollars (optional). It widens no limit."
        }
    }))
}

fn finish_input() -> JsonObject {
    input(json!({
        "task_id": { "type": "string", "description": "The task, as open_task named it." },
        "outcome": { "type": "string", "description": "success, failed or abandoned." }
    }))
}

fn quote_input() -> JsonObject {
    input(json!({
        "service_id": { "type": "string" },
        "amount_usd": { "type": "string" },
        "calls": { "type": "integer", "minimum": 1 },
        "by": { "type": "string", "description": "Such as 18:00 or 2h." },
        "task_id": { "type": "string" }
    }))
}

fn page_input() -> JsonObject {
    input(page_fields())
}

fn page_fields() -> Value {
    json!({
        "limit": { "type": "integer", "minimum": 1, "maximum": 100, "default": 20 },
        "cursor": { "type": "string" }
    })
}

/// What needs no more than its name is told in the tool's description, if at all.
fn ledger_input() -> JsonObject {
    let mut fields = page_fields();
    for name in ["since", "until", "service_id", "outcome", "run", "format", "task_id"] {
        fields[name] = json!({ "type": "string" });
    }
    input(fields)
}

fn input(properties: Value) -> JsonObject {
    let schema = [
        ("type", Value::from("object")),
        ("properties", properties),
        ("additionalProperties", Value::Bool(false)),
    ];
    schema.map(|(keyword, value)| (keyword.to_owned(), value)).into_iter().collect()
}
