// The official conformance suite for servers, against the shipped binary over HTTP (`ours`) or
// against the same stack with the tools that the suite wants (`fixtures`), in both eras.
//
// The suite can send no token, so a proxy on loopback stands between: it adds one, and changes
// nothing else, except that the Host of whoever addresses the proxy becomes the server's. A foreign
// Host or Origin reaches the server as it came. What does not pass is exactly what conformance.yml
// lists with its reason; what the suite only warns of has not passed either.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { createServer, request } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { headers, url } from "./story.mjs";

const ERAS = ["2025-11-25", "2026-07-28"];
const subject = process.argv[2];

const server = new URL(url);
const proxy = createServer((asked, answer) => {
  const { method, url: path, rawHeaders } = asked;
  const isHost = (at) => at % 2 === 1 && rawHeaders[at - 1].toLowerCase() === "host";
  const sent = rawHeaders.map((word, at) => (isHost(at) && word === own ? server.host : word));
  sent.push("Authorization", headers.Authorization);
  const { hostname: host, port } = server;
  const onward = request({ host, port, method, path, headers: sent, setHost: false });
  onward.on("response", (reply) => {
    answer.writeHead(reply.statusCode, reply.rawHeaders);
    answer.flushHeaders();
    reply.pipe(answer);
  });
  // Whoever hangs up on one side hangs up on the other.
  onward.on("error", () => answer.destroy());
  answer.on("close", () => onward.destroy());
  asked.pipe(onward);
});
await new Promise((listening) => proxy.listen(0, "127.0.0.1", listening));
const own = `127.0.0.1:${proxy.address().port}`;

const { resolve } = createRequire(import.meta.url);
const suite = resolve("@modelcontextprotocol/conformance/package.json");
const { version, bin } = JSON.parse(readFileSync(suite, "utf8"));
const listed = createRequire(suite)("yaml").parse(
  readFileSync(new URL("conformance.yml", import.meta.url), "utf8"),
)[subject];

// Runs every scenario of an era, and gives the checks of each.
async function run(era) {
  const results = join(process.env.HOME, `conformance-${subject}-${era}`);
  const said = [];
  const running = spawn(
    process.execPath,
    [join(dirname(suite), Object.values(bin)[0]), "server", "--url", `http://${own}/mcp`]
      .concat(["--suite", "all", "--spec-version", era, "--output-dir", results]),
    { stdio: ["ignore", "pipe", "pipe"], timeout: 120_000 },
  );
  running.stdout.on("data", (data) => said.push(data));
  running.stderr.on("data", (data) => said.push(data));
  await new Promise((ended) => running.on("close", ended));
  const text = Buffer.concat(said).toString();
  const names = [...text.matchAll(/^=== Running scenario: (\S+) ===$/gm)].map(([, name]) => name);
  assert.ok(names.length > 0, text);
  const files = readdirSync(results);
  const checks = names.map((name) => {
    const own = files.find((file) => /^-\d{4}-/.test(file.replace(`server-${name}`, "")));
    assert.ok(own, `${name} left no result\n${text}`);
    return JSON.parse(readFileSync(join(results, own, "checks.json"), "utf8"));
  });
  return names.map((name, at) => [name, checks[at]]);
}

// What did not pass of a scenario: all of it, or these checks.
function missed([name, checks]) {
  const wrong = checks.filter(({ status }) => ["FAILURE", "WARNING"].includes(status));
  const right = checks.filter(({ id, status }) => status === "SUCCESS" && !id.startsWith("wire-"));
  if (right.length === 0) return [name];
  return wrong.map(({ id }) => `${name}:${id}`);
}

for (const era of ERAS) {
  const scenarios = await run(era);
  const found = [...new Set(scenarios.flatMap(missed))].sort();
  const expected = [...(listed.both ?? []), ...(listed[era] ?? [])].sort();
  const why = scenarios.flatMap(([name, checks]) =>
    checks.map(({ id, status, errorMessage }) => `${status} ${name}:${id} ${errorMessage ?? ""}`),
  );
  assert.deepEqual(found, expected, why.join("\n"));
  const whole = scenarios.filter((scenario) => missed(scenario).length === 0).length;
  console.log(
    `conformance ${version} of ${subject} over http (${era}): ${whole} of ${scenarios.length} ` +
      "scenarios pass, the others as far as conformance.yml says",
  );
}
proxy.closeAllConnections();
proxy.close();
