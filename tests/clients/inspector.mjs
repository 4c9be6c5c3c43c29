// The MCP Inspector's command line, one process and so one `pettycash mcp` per call.
// Usage: inspector.mjs legacy|modern stdio|http|sse, the protocol era to ask for and the transport.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { headers, play, server, url } from "./story.mjs";

const [, , era, over] = process.argv;
const { resolve } = createRequire(import.meta.url);
const found = resolve("@modelcontextprotocol/inspector/package.json");
const { version, bin } = JSON.parse(readFileSync(found, "utf8"));
const cli = join(dirname(found), bin["mcp-inspector"]);

const OK = 0;
const TOOL_IS_ERROR = 5;

function inspect(method, expected, ...options) {
  const env = Object.entries(server.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const header = ["--header", `Authorization: ${headers.Authorization}`];
  const target = {
    stdio: [...env, server.command, ...server.args],
    http: [`${url}/mcp`, "--transport", "http", ...header],
    sse: [`${url}/sse`, "--transport", "sse", ...header],
  }[over];
  const asked = ["--protocol-era", era, "--format", "json", "--method", method, ...options];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [cli, "--cli", ...target, ...asked],
    { encoding: "utf8", timeout: 30_000 },
  );
  assert(expected.includes(status), `${asked.join(" ")}: exit ${status}\n${stdout}${stderr}`);
  return { status, ...JSON.parse(stdout) };
}

const told = await play({
  // --strict turns a schema that some hosts would choke on into exit 6.
  list: () => inspect("tools/list", [OK], "--strict").result.tools,
  call: (tool, args) => {
    // Anything that looks like a number travels as one, as it does from many a model.
    const pairs = Object.entries(args).map(([name, value]) => `${name}=${value}`);
    const options = ["--tool-name", tool, ...(pairs.length ? ["--tool-arg", ...pairs] : [])];
    const { status, result } = inspect("tools/call", [OK, TOOL_IS_ERROR], ...options);
    assert.equal(status === TOOL_IS_ERROR, result.isError === true);
    return result;
  },
  byToken: over !== "stdio",
});
console.log(`inspector ${version} over ${over} (${era}): strict clean; ${told}`);
