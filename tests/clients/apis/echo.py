"""httpbin as the API that an agent pays for, over MCP: headers, bodies, statuses and prices.

Usage: echo.py. httpbin tells what reached it, so what is judged here is what an API would get, and
what of its answers comes back to the model. Its own key is what it must not come back with.
"""

import asyncio
import json
import os
import subprocess
import threading
from importlib.metadata import version
from pathlib import Path

from httpbin import app
from mcp import Client, StdioServerParameters
from werkzeug.serving import WSGIRequestHandler, make_server

KEY = "canary-0b4Rq+/7="
POLICY = """
schema = 1

[services.httpbin]
payee = "httpbin"
rail = "proxy"
base_url = "{url}"
secret = {{ file = "{key}" }}
headers = {{ authorization = "Bearer {{secret}}", x-set = "by the operator" }}
allow_headers = ["x-asked"]
price = "0.01"
"""
# name, method, path, and how it is priced beside the service's own price
OPERATIONS = [
    ("echo", "POST", "/anything/{word}", ""),
    ("status", "GET", "/status/{code}", ""),
    ("away", "GET", "/redirect-to", ""),
    ("packed", "GET", "/gzip", ""),
    ("bytes", "GET", "/bytes/{count}", ""),
    ("page", "GET", "/html", ""),
    ("in-header", "GET", "/response-headers", '{ header = "x-cost", at_most = "0.05" }'),
    ("in-body", "POST", "/post", '{ json = "/json/cost", at_most = "0.05" }'),
]


def same(got, expected):
    """Unlike a bare assert, says what was there and survives `python -O`."""
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        pass


def listen():
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def apply(url):
    home = Path(os.environ["HOME"])
    key, policy = home / "httpbin.key", home / "httpbin.toml"
    key.touch(mode=0o600)
    key.write_text(KEY)
    text = POLICY.format(url=url, key=key)
    for name, method, path, price in OPERATIONS:
        text += "\n[[services.httpbin.operations]]\n"
        text += f'name = "{name}"\nmethod = "{method}"\npath = "{path}"\n'
        text += f"price_from = {price}\n" if price else ""
    policy.write_text(text)
    command = [os.environ["PETTYCASH_BIN"], "apply", str(policy)]
    subprocess.run(command, check=True, capture_output=True)


class Story:
    def __init__(self, client):
        self.client = client
        self.told = []

    async def pay(self, operation, outcome, charged=None, **request):
        """Makes a call, of which the outcome and the charge must be these."""
        arguments = {"service_id": "httpbin", "request": {"operation": operation, **request}}
        result = await self.client.call_tool("pay_for_api_call", arguments)
        answer = result.structured_content
        self.told.append(json.dumps([answer, result.content[0].text]))
        same((answer["outcome"], answer.get("charged_usd")), (outcome, charged))
        return answer.get("response", {})

    async def play(self):
        told = await self.pay(
            "echo",
            "paid",
            "0.01",
            params={"word": "a&b=c é"},
            query={"q": ["1", "2"], "r": "x/y?z"},
            headers={"x-asked": "yes"},
            body={"n": 1.5, "deep": [{"t": "é"}]},
        )
        reached = told["body"]
        same(reached["url"].rpartition("/")[0].endswith("/anything"), False)
        same(reached["args"], {"q": ["1", "2"], "r": "x/y?z"})
        same(reached["json"], {"n": 1.5, "deep": [{"t": "é"}]})
        headers = reached["headers"]
        same((headers["X-Asked"], headers["X-Set"]), ("yes", "by the operator"))
        # It was there, for httpbin tells it; what is told to the model is without it.
        same(headers["Authorization"].startswith("Bearer "), True)
        for code, outcome in (("204", "paid"), ("404", "failed"), ("429", "failed")):
            charged = "0.01" if outcome == "paid" else None
            told = await self.pay("status", outcome, charged, params={"code": code})
            same(told["status"], int(code))
        told = await self.pay("page", "paid", "0.01")
        same(("Herman Melville" in told["body"], told["untrusted"]), (True, True))
        told = await self.pay("bytes", "paid", "0.01", params={"count": "1000"})
        same(("body" in told, told["bytes"]), (False, 1000))
        told = await self.pay("in-header", "paid", "0.03", query={"x-cost": "0.03"})
        told = await self.pay("in-body", "paid", "0.02", body={"cost": "0.02"})
        await self.pay("in-body", "paid", "0.05", body={"cost": "7"})
        # Nobody knows what these cost: it is neither said to be paid nor given back.
        told = await self.pay("away", "in_doubt", query={"url": "http://127.0.0.1:1/"})
        same(told["status"], 302)
        await self.pay("status", "in_doubt", params={"code": "503"})
        told = await self.pay("packed", "paid", "0.01")
        same("body" in told, False)
        same([one for one in self.told if KEY in one], [])
        return len(self.told)


async def main():
    apply(listen())
    home = {"PETTYCASH_HOME": os.environ["PETTYCASH_HOME"], "HOME": os.environ["HOME"]}
    args = ["mcp", "--agent", "scout"]
    server = StdioServerParameters(command=os.environ["PETTYCASH_BIN"], args=args, env=home)
    async with Client(server, read_timeout_seconds=30) as client:
        calls = await Story(client).play()
    print(f"httpbin {version('httpbin')} paid over stdio: {calls} calls")


asyncio.run(main())
