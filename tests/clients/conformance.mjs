// The official conformance suite for servers, against the shipped binary over HTTP.
//
// The suite can send no token, so a proxy on loopback stands between: it adds one, and changes
// nothing else, except that the Host of whoever addresses the proxy becomes the server's. A foreign
// Host or Origin reaches the server as it came. What of the suite does not apply to this server is
// in conformance.yml; the suite fails if something else fails, and also if something there passes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { headers, url } from "./story.mjs";

const APPLY = [
  "server-initialize",
  "ping",
  "tools-list",
  "server-sse-multiple-streams",
  "dns-rebinding-protection",
];

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
const exceptions = new URL("conformance.yml", import.meta.url).pathname;
const results = join(process.env.HOME, "conformance");
const said = [];
const running = spawn(
  process.execPath,
  [join(dirname(suite), Object.values(bin)[0]), "server", "--url", `http://${own}/mcp`]
    .concat(["--expected-failures", exceptions, "--output-dir", results]),
  { stdio: ["ignore", "pipe", "pipe"], timeout: 120_000 },
);
running.stdout.on("data", (data) => said.push(data));
running.stderr.on("data", (data) => said.push(data));
const status = await new Promise((ended) => running.on("close", ended));
proxy.closeAllConnections();
proxy.close();

const text = Buffer.concat(said).toString();
assert.equal(status, 0, text);
const lines = [...text.matchAll(/^(\S+) ([a-z0-9-]+): (\d+) passed, (\d+) failed/gm)];
const passed = lines.filter(([, , , passes, fails]) => passes !== "0" && fails === "0");
assert.deepEqual(passed.map(([, , name]) => name).sort(), APPLY.toSorted(), text);
console.log(
  `conformance ${version} over http (2025-11-25): ${APPLY.join(", ")} pass; ` +
    `${lines.length - passed.length} do not apply, each for the reason in conformance.yml`,
);
