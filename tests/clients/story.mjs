// What every client must be able to live through, whatever it does to our answers on the way:
// pay, be refused, adapt, make a mistake, read the ledger, be revoked while connected.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

const { PETTYCASH_BIN: bin, PETTYCASH_HOME: home } = process.env;
assert(bin && home, "PETTYCASH_BIN and PETTYCASH_HOME are not set: start tests/clients/run");

/** How a client starts the server. Clients hand on few variables, so the home is named outright. */
export const server = {
  command: bin,
  args: ["mcp", "--agent", "scout"],
  env: { PETTYCASH_HOME: home },
};

/** Where `serve` listens, and the token that lets a client in, where one comes over HTTP. */
export const { PETTYCASH_URL: url, PETTYCASH_TOKEN: token } = process.env;
export const headers = { Authorization: `Bearer ${token}` };

const TOOLS = ["get_balance", "ledger", "list_services", "pay_for_api_call"];
const NOT_AN_ERROR = [undefined, "paid", "in_progress", "allowed"];

/**
 * Plays the story through `list()` and `call(tool, arguments)`, and returns it in a line.
 * `call` gives the tool result as the client hands it to its user. A token ends with its agent:
 * with `byToken`, who is revoked is no longer let in.
 */
export async function play({ list, call, byToken = false }) {
  assert.deepEqual((await list()).map((tool) => tool.name).sort(), TOOLS);

  const ask = async (tool, args = {}) => read(await call(tool, args));
  const pay = (args) => ask("pay_for_api_call", args);

  const before = await ask("get_balance");
  assert.deepEqual(
    [before.handle, before.standing, before.available_usd],
    ["scout", "active", "5.00"],
  );
  const { services } = await ask("list_services");
  assert.deepEqual(services.map((service) => service.service_id).sort(), ["report", "search"]);

  const first = await pay({ service_id: "search" });
  assert.deepEqual(
    [first.outcome, first.charged_usd, first.available_usd],
    ["paid", "0.02", "4.98"],
  );

  // A number, not a string: models and `--tool-arg` send either.
  const refused = await pay({ service_id: "report", amount_usd: 0.4 });
  assert.deepEqual(
    [refused.outcome, refused.code, refused.advice, refused.max_affordable_usd],
    ["denied", "per_call_limit_exceeded", "shrink", "0.25"],
  );
  const adapted = await pay({ service_id: "report", amount_usd: refused.max_affordable_usd });
  assert.deepEqual([adapted.outcome, adapted.charged_usd], ["paid", "0.25"]);

  for (const [field, args] of [
    ["service_id", {}],
    ["amount_usd", { service_id: "report", amount_usd: "0.25 USD" }],
  ]) {
    const mistake = await pay(args);
    assert.deepEqual(
      [mistake.outcome, mistake.code, mistake.advice, mistake.field],
      ["denied", "invalid_request", "fix_request", field],
    );
  }

  const ledger = await ask("ledger");
  assert.equal(ledger.spent_today_usd, "0.27");
  for (const [answer, service_id, amount_usd] of [
    [first, "search", "0.02"],
    [refused, "report", "0.40"],
    [adapted, "report", "0.25"],
  ]) {
    const entry = ledger.entries.find((entry) => entry.payment_id === answer.payment_id);
    assert(entry, `the ledger does not show ${answer.payment_id}`);
    assert.deepEqual(
      [entry.service_id, entry.amount_usd, entry.outcome, entry.code],
      [service_id, amount_usd, answer.outcome, answer.code],
    );
  }

  const revoke = ["agent", "revoke", "scout", "--reason", "compromised"];
  execFileSync(bin, revoke, { stdio: ["ignore", "ignore", "inherit"] });
  let end = "not let in";
  if (byToken) {
    // A bridge that is refused goes on to a login, and finds that there is none here.
    const refused = /401|unauthorized|auth_required|Client Registration rejected/i;
    await assert.rejects(async () => call("pay_for_api_call", { service_id: "search" }), refused);
  } else {
    const last = await pay({ service_id: "search" });
    assert.deepEqual([last.outcome, last.code, last.advice], ["denied", "agent_revoked", "stop"]);
    end = last.code;
  }

  return [
    `${TOOLS.length} tools`,
    `${first.outcome} ${first.charged_usd}`,
    `${refused.code}, ${refused.advice}`,
    `${adapted.outcome} ${adapted.charged_usd}`,
    "mistakes named",
    "ledger agrees",
    end,
  ].join("; ");
}

/** The answer in a tool result, once it is sure that every host would show the same one. */
function read({ content, structuredContent: answer, isError = false }) {
  assert(answer, "an answer without structuredContent");
  assert.equal(content[0]?.type, "text");
  const { text } = content[0];
  assert.equal(text, JSON.stringify(answer), "the text is not the structured answer, to the byte");
  assert.equal(isError, !NOT_AN_ERROR.includes(answer.outcome), `isError is ${isError}: ${text}`);
  return answer;
}
