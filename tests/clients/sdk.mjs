// The TypeScript SDK v1. It is the strictest client: it refuses the whole tool list for one bad
// schema, and holds structuredContent against outputSchema even when the result is an error.
// Usage: sdk.mjs stdio|http|sse|mcp-remote; the last is stdio to a bridge that goes on over HTTP,
// for clients that speak stdio alone.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { headers, play, server, url } from "./story.mjs";

const require = createRequire(import.meta.url);
const locked = require("./package.json").dependencies;
const version = locked["@modelcontextprotocol/sdk"];

// Its validator only warns of what it cannot check, and then checks nothing.
const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));

/** How a client starts the bridge. The header has no blank: some clients break arguments there. */
const bridge = {
  command: process.execPath,
  args: [
    join(dirname(require.resolve("mcp-remote/package.json")), "dist/proxy.js"),
    `${url}/mcp`,
    ...["--header", "Authorization:${AUTHORIZATION}"],
  ],
  env: { ...process.env, AUTHORIZATION: headers.Authorization },
};

const over = process.argv[2];
const transport = {
  stdio: () => new StdioClientTransport(server),
  "mcp-remote": () => new StdioClientTransport(bridge),
  http: () => new StreamableHTTPClientTransport(new URL("/mcp", url), { requestInit: { headers } }),
  sse: () => new SSEClientTransport(new URL("/sse", url), { requestInit: { headers } }),
}[over]();
let protocol;
const told = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (agreed) => {
  protocol = agreed;
  told?.(agreed);
};

const client = new Client({ name: "pettycash-clients", version: "1" });
await client.connect(transport);
try {
  const line = await play({
    list: async () => (await client.listTools()).tools,
    call: (name, args) => client.callTool({ name, arguments: args }),
    byToken: over !== "stdio",
  });
  assert.deepEqual(warnings, []);
  const way = over === "mcp-remote" ? `stdio, mcp-remote ${locked[over]} and http` : over;
  console.log(`typescript sdk ${version} over ${way} (${protocol}): ${line}`);
} finally {
  await client.close();
}
