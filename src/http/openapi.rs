//! The document of the operators' plane, `OpenAPI` 3.1, made from the routes themselves.

use serde_json::{Map, Value, json};

use super::route::{Route, Schemas, Told};
use crate::policy::terms::Problem;

/// Where the schemas are in the document.
const BELOW: &str = "/components/schemas";

const ABOUT: &str = "What the commands of pettycash do, in JSON: everything that grants, widens or \
ends an agent's budget, and all that is known. It is served on `operator.sock` in the data \
directory, where the system knows who asks, and over HTTP with an operator's token. Fields may be \
added to answers; codes are never renamed.";

const PROOF: &str = "Takes an operator's proof once there is a passphrase: on the socket an \
operator's token or the passphrase; over HTTP the token that came is one.";

/// Every code of a problem, and what it means.
const CODES: &[(&str, &str)] = &[
    ("agent_revoked", "the agent was revoked, which is for good"),
    ("agent_unknown", "there is no such agent"),
    ("amount_too_large", "a balance cannot hold as much"),
    ("amount_zero", "an amount is above zero"),
    ("body_too_large", "the body is longer than is read"),
    ("body_too_slow", "the body did not arrive in time"),
    ("endpoint_invalid", "a service cannot call the API that is said, or none is"),
    ("engine_unavailable", "`serve` is on its way to its end"),
    ("first_payee_free", "nothing has the first payees of the agent stay"),
    ("funding_fixed", "an agent's funding never changes"),
    ("group_in_use", "an agent or another group is in the group"),
    ("group_unknown", "there is no such group"),
    ("handle_taken", "there is or was an agent of that name"),
    ("host_foreign", "the Host header names somebody else"),
    ("internal_error", "something broke inside; it may have been done all the same"),
    ("invalid_request", "the path, query, header or body does not fit"),
    ("ledger_damaged", "the record cannot be read where it must be"),
    ("ledger_unwritable", "the record cannot be written"),
    ("mandate_invalid", "the mandate would contradict itself, or what is asked of it does"),
    ("method_not_allowed", "the path does not take this method"),
    ("model_unknown", "no price is known of such a model"),
    ("no_balance", "an allowance has no balance to add to"),
    ("not_json", "the body is not declared to be JSON"),
    ("operator_proof_busy", "too many passphrases are being looked at"),
    ("operator_proof_required", "this gives an agent more, and nothing proves an operator"),
    ("operator_proof_wrong", "the passphrase or token is not an operator's"),
    ("origin_foreign", "a web page of another origin asks"),
    ("passphrase_set", "another passphrase was set meanwhile"),
    ("passphrase_unfit", "the passphrase is too short or too long"),
    ("path_unknown", "there is no such path"),
    ("payment_not_captured", "nothing of the payment was taken, or not yet"),
    ("payment_not_in_doubt", "of the payment it is known how it ended, or it goes on"),
    ("payment_unknown", "there is no such payment"),
    ("policy_changed", "what a policy changes is not what was shown"),
    ("policy_refused", "the policy contradicts itself, or what is there"),
    ("policy_too_large", "the policy changes more than one step can"),
    ("prices_changed", "what a table of prices changes is not what was shown"),
    ("prices_invalid", "the table of prices is none, or has a price that is none"),
    ("prices_too_large", "all prices that are set are more than one record holds"),
    ("rail_unknown", "there is no such rail"),
    ("refund_too_large", "more than can still come back"),
    ("response_gone", "nothing is kept of what was answered to the payment, or not any more"),
    ("service_taken", "the catalogue has another service of that name"),
    ("service_unknown", "the catalogue has no such service"),
    ("settlement_too_large", "more than is held, of what is not metered"),
    ("task_has_nothing_left", "its caps leave the task nothing to go on with"),
    ("task_unknown", "there is no such task, or it is over"),
    ("token_in_url", "a token was in the address"),
    ("token_over", "the token would have ended already"),
    ("token_unknown", "there is no such token, or none that stands for anybody"),
    ("token_wrong_kind", "an agent's token opens nothing of the operator's"),
    ("too_many_tasks", "the agent has as many tasks as it may"),
    ("too_many_groups", "there are as many groups as there may be"),
    ("too_many_tokens", "the agent has as many tokens as it may"),
];

/// The document of these routes.
pub(super) fn document(routes: &[Route]) -> Map<String, Value> {
    let mut schemas = Schemas::new(BELOW);
    let mut paths = Map::new();
    for route in routes {
        let told = (route.tell)(&mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(route, told);
    }
    let problem = schemas.answered.subschema_for::<Problem>();
    let mut answered = schemas.answered.take_definitions(true);
    answered.values_mut().for_each(never_null);
    let mut named = schemas.sent.take_definitions(true);
    debug_assert!(
        named.iter().all(|(name, sent)| answered.get(name).is_none_or(|other| other == sent)),
        "one name for what is sent and what is answered, and they differ"
    );
    named.append(&mut answered);
    named.sort_keys();
    let problems = json!({"application/problem+json": {"schema": problem}});
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pettycash for operators",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:7402", "description": "`serve --listen`"}],
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": named,
            "responses": {"problem": {"description": codes(), "content": problems}},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An operator's token, `opr_…`, of `pettycash operator token`. \
                                    The socket asks for none.",
                },
                "passphrase": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "On the socket: the operators' passphrase as the password, \
                                    under any name.",
                },
            },
        },
    });
    if let Value::Object(document) = document { document } else { Map::new() }
}

fn operation(route: &Route, told: Told) -> Value {
    let Told { named, query, body, proven, mut answer } = told;
    let mut operation = json!({"operationId": route.id, "summary": route.summary});
    if proven {
        operation["description"] = PROOF.into();
        operation["security"] = json!([{"token": []}, {"passphrase": []}, {}]);
    }
    let parameters: Vec<Value> = in_path(route.path, named).chain(in_query(query)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = body {
        let content = json!({"application/json": {"schema": schema}});
        operation["requestBody"] = json!({"required": true, "content": content});
    }
    if let Some(answer) = answer.as_object_mut() {
        answer.values_mut().for_each(never_null);
    }
    operation["responses"] = json!({
        "200": {
            "description": "Done; the answer says what came of it.",
            "content": {"application/json": {"schema": answer}},
        },
        "default": {"$ref": "#/components/responses/problem"},
    });
    operation
}

/// What stands in braces in a path.
fn in_path(path: &str, schema: Option<schemars::Schema>) -> impl Iterator<Item = Value> {
    let name = path.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let named = name.map(|(name, _)| name.to_owned()).zip(schema);
    let told =
        |(name, schema)| json!({"name": name, "in": "path", "required": true, "schema": schema});
    named.map(told).into_iter()
}

/// The fields of a query, each of which may be left out.
fn in_query(query: Option<schemars::Schema>) -> impl Iterator<Item = Value> {
    let query = query.map(schemars::Schema::to_value).unwrap_or_default();
    let fields = query["properties"].as_object().cloned().unwrap_or_default();
    fields.into_iter().map(|(name, mut schema)| {
        never_null(&mut schema);
        json!({"name": name, "in": "query", "schema": schema})
    })
}

/// What has no value is left out of an answer, and is never null in it.
fn never_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    fields.insert("type".to_owned(), one);
                }
            }
            if let Some(Value::Array(any)) = fields.get_mut("anyOf") {
                any.retain(|one| one["type"] != "null");
                if let [Value::Object(one)] = any.as_mut_slice() {
                    let one = std::mem::take(one);
                    fields.remove("anyOf");
                    fields.extend(one);
                }
            }
            fields.values_mut().for_each(never_null);
        }
        Value::Array(all) => all.iter_mut().for_each(never_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// All codes, as a list for people; each is its own word for programs.
fn codes() -> String {
    let lines = CODES.iter().map(|(code, meaning)| format!("- `{code}`: {meaning}"));
    let lines: Vec<String> = lines.collect();
    format!("It was not done, and `code` says why:\n\n{}", lines.join("\n"))
}
