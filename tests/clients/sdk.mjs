// The TypeScript SDK v1. It is the strictest client: it refuses the whole tool list for one bad
// schema, and holds structuredContent against outputSchema even when the result is an error.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { play, server } from "./story.mjs";

const locked = createRequire(import.meta.url)("./package.json").dependencies;
const version = locked["@modelcontextprotocol/sdk"];

// Its validator only warns of what it cannot check, and then checks nothing.
const warnings = [];
console.warn = (...words) => warnings.push(words.join(" "));

const transport = new StdioClientTransport(server);
let protocol;
transport.setProtocolVersion = (agreed) => (protocol = agreed);

const client = new Client({ name: "pettycash-clients", version: "1" });
await client.connect(transport);
try {
  const told = await play({
    list: async () => (await client.listTools()).tools,
    call: (name, args) => client.callTool({ name, arguments: args }),
  });
  assert.deepEqual(warnings, []);
  console.log(`typescript sdk ${version} (${protocol}): ${told}`);
} finally {
  await client.close();
}
