"""A real Claude Code, driven by a scripted model that listens on loopback.

Usage: drive.py CLAUDE stdio|http. Claude Code finds, connects to and is let in by the server as it
is configured, and its model pays, is denied, pays what it may, and ends. The model sees only what
Claude Code hands on, so that is what is judged here.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAY, END = "mcp__pettycash__pay_for_api_call", "That is all."
TWO_MINUTES = 120


def same(got, expected):
    """Unlike a bare assert, says what was there and survives `python -O`."""
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


class Script:
    """What the model does with the answers that reach it."""

    def __init__(self):
        self.answers = []
        self.tools = []

    def reply(self, asked):
        """The content of the next message. Claude Code also asks for titles, without tools."""
        tools = [tool["name"] for tool in asked.get("tools") or []]
        if PAY not in tools:
            return {"type": "text", "text": "A title"}
        self.tools = sorted(tool for tool in tools if tool.startswith("mcp__"))
        contents = [message["content"] for message in asked["messages"]]
        blocks = [block for content in contents if isinstance(content, list) for block in content]
        results = [block for block in blocks if block.get("type") == "tool_result"]
        self.answers = [(bool(one.get("is_error")), told(one["content"])) for one in results]
        shrunk = self.answers[-1][1].get("max_affordable_usd") if self.answers else None
        amounts = ["0.10", "0.40", shrunk]
        done = len(self.answers)
        if done >= len(amounts):
            return {"type": "text", "text": END}
        args = {"service_id": "report", "amount_usd": amounts[done]}
        return {"type": "tool_use", "id": f"toolu_{done}", "name": PAY, "input": args}


def told(content):
    """The answer in a tool result as the model gets it: a text, or blocks of text."""
    text = content if isinstance(content, str) else "".join(block["text"] for block in content)
    return json.loads(text)


def events(model, number, content):
    """A message as the stream of events that a model's answer comes in."""
    start = dict(content, text="") if content["type"] == "text" else dict(content, input={})
    if content["type"] == "text":
        delta, stop = {"type": "text_delta", "text": content["text"]}, "end_turn"
    else:
        written = json.dumps(content["input"])
        delta, stop = {"type": "input_json_delta", "partial_json": written}, "tool_use"
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": message}
    yield {"type": "content_block_start", "index": 0, "content_block": start}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": stop, "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


def listen(script):
    """The model's address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, kind, body):
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            self.answer("application/json", b"")

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
            if not self.path.partition("?")[0].endswith("/messages"):
                return self.answer("application/json", b'{"input_tokens":1}')
            # Messages of one id would be taken for parts of one message.
            stream = events(asked["model"], len(asked["messages"]), script.reply(asked))
            lines = (f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in stream)
            self.answer("text/event-stream", "".join(lines).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def configured(over):
    """The server, in the form of the README."""
    if over == "stdio":
        home = {"PETTYCASH_HOME": os.environ["PETTYCASH_HOME"]}
        args = ["mcp", "--agent", "scout"]
        return {"command": os.environ["PETTYCASH_BIN"], "args": args, "env": home}
    headers = {"Authorization": f"Bearer {os.environ['PETTYCASH_TOKEN']}"}
    return {"type": "http", "url": f"{os.environ['PETTYCASH_URL']}/mcp", "headers": headers}


def claude(*args, **more):
    """Runs Claude Code so that it speaks to nobody but the model and the server."""
    # A Claude Code that this runs inside of must not be taken for the one that is tried.
    outside = ("CLAUDE", "ANTHROPIC")
    env = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    env |= {
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_BASE_URL": more.pop("model", "http://127.0.0.1:1"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CONFIG_DIR": f"{os.environ['HOME']}/claude-{sys.argv[2]}",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    ran = subprocess.run(
        [sys.argv[1], *args],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=TWO_MINUTES,
        cwd=os.environ["HOME"],
        env=env,
    )
    if ran.returncode != 0:
        raise AssertionError(f"claude {' '.join(args)}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def main(over):
    server = configured(over)
    claude("mcp", "add-json", "--scope", "user", "pettycash", json.dumps(server))
    listed = [line for line in claude("mcp", "list").splitlines() if line.startswith("pettycash")]
    same(["Connected" in line for line in listed], [True])

    script = Script()
    allowed = ["--allowedTools", "mcp__pettycash"]
    form = ["--output-format", "json"]
    said = claude("-p", "Buy a report.", *allowed, *form, model=listen(script))
    ended = json.loads(said)
    same([ended["is_error"], ended["result"]], [False, END])

    (_, paid), (wrong, denied), (_, adapted) = script.answers
    same([paid["outcome"], paid["charged_usd"]], ["paid", "0.10"])
    code = "per_call_limit_exceeded"
    same([wrong, denied["outcome"], denied["code"]], [True, "denied", code])
    same([denied["advice"], denied["max_affordable_usd"]], ["shrink", "0.25"])
    same([adapted["outcome"], adapted["charged_usd"]], ["paid", "0.25"])
    version = claude("--version").split()[0]
    print(
        f"claude code {version} over {over}: connected; {len(script.tools)} tools; "
        f"paid 0.10; {code}, {denied['advice']}; paid 0.25; the run ends"
    )


main(sys.argv[2])
