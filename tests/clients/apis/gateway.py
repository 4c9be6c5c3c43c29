"""What every program that is paid for through the gateway is tried with: a vendor, and its prices.

Each call costs what the table of prices says of what the vendor counted, to the nano-dollar; here
that is worked out anew, with decimals.
"""

import json
import os
import subprocess
import threading
from decimal import ROUND_UP, Decimal
from pathlib import Path

from vendor import KEY, TEXT, Vendor

HERE = Path(__file__).parent
TABLE = json.loads((HERE / "../../../src/rails/meter/prices.json").read_text())["models"]
NANO = Decimal("0.000000001")
CLAUDE, GPT = "claude-sonnet-4-5", "gpt-5-mini"
POLICY = """
schema = 1

[services.anthropic]
payee = "Anthropic"
rail = "proxy"
base_url = "{url}"
secret = {{ file = "{key}" }}
headers = {{ x-api-key = "{{secret}}", anthropic-version = "2023-06-01" }}
allow_headers = ["anthropic-beta"]

[[services.anthropic.operations]]
name = "messages"
method = "POST"
path = "/v1/messages"
metered = "anthropic_messages"

[services.openai]
payee = "OpenAI"
rail = "proxy"
base_url = "{url}/v1"
secret = {{ file = "{key}" }}
headers = {{ authorization = "Bearer {{secret}}" }}

[[services.openai.operations]]
name = "chat"
method = "POST"
path = "/chat/completions"
metered = "openai_chat"

[[services.openai.operations]]
name = "responses"
method = "POST"
path = "/responses"
metered = "openai_responses"
"""


def same(got, expected):
    """Unlike a bare assert, says what was there and survives `python -O`."""
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


def pettycash(*args):
    """What a command of the operator's prints as JSON."""
    command = [os.environ["PETTYCASH_BIN"], *args, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def newest():
    return pettycash("ledger", "scout")["entries"][0]


def costs(model, counts):
    """What so many of each unit come to, rounded up to a nano-dollar once."""
    rates = TABLE[model]["rates"]["standard"]
    total = sum(Decimal(rates[unit]) * count for unit, count in counts.items())
    return total.quantize(NANO, ROUND_UP)


def settled():
    """The newest entry, once nothing is held any more."""
    for _ in range(100):
        if Decimal(pettycash("agent", "show", "scout")["held_usd"]) == 0:
            return newest()
        threading.Event().wait(0.05)
    raise AssertionError("something stays held")


class Paid:
    """A vendor behind the gateway, the agent's token, and what each call cost."""

    def __init__(self):
        self.vendor = Vendor()
        key = Path(os.environ["HOME"]) / "vendor.key"
        key.touch(mode=0o600)
        key.write_text(KEY)
        policy = Path(os.environ["HOME"]) / "gateway.toml"
        policy.write_text(POLICY.format(url=self.vendor.url, key=key))
        pettycash("apply", str(policy))
        self.token = os.environ["PETTYCASH_TOKEN"]
        self.gateway = f"{os.environ['PETTYCASH_URL']}/gateway"
        self.calls = 0

    def charged(self, model, usage, counts, call):
        """Makes a call of which the vendor says that usage; it must cost those counts."""
        self.vendor.usage, before = usage, len(self.vendor.asked)
        same(call(), "".join(TEXT))
        same(len(self.vendor.asked), before + 1)
        # The end of a stream is read before the entry is written.
        entry = settled()
        same(entry["outcome"], "captured")
        same(Decimal(entry["amount_usd"]), costs(model, counts))
        self.calls += 1

    def nothing_of_ours(self):
        """The vendor saw its key and no token; nobody else saw the key."""
        for _, headers, body in self.vendor.asked:
            same(self.token in json.dumps([headers, body]), False)
        home = Path(os.environ["PETTYCASH_HOME"])
        files = [file for file in home.rglob("*") if file.is_file()]
        same([file.name for file in files if KEY.encode() in file.read_bytes()], [])
