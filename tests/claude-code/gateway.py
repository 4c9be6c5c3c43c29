"""A real Claude Code that spends its agent's budget on its own model, through the gateway.

Usage: gateway.py CLAUDE. It is told no more than a base URL and a key, which is an agent's token.
What it asks costs what the table of prices says of what the vendor counts; once its cap leaves too
little for another call, whoever uses it reads why.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "clients" / "apis"))
from vendor import KEY, TEXT, Vendor  # noqa: E402

TWO_MINUTES = 120
MODEL = "claude-sonnet-4-5"
POLICY = """
schema = 1

[agents.coder]
funding = "allowance"
caps = ["{cap}/day"]

[services.anthropic]
payee = "Anthropic"
rail = "proxy"
base_url = "{url}"
secret = {{ file = "{key}" }}
headers = {{ x-api-key = "{{secret}}" }}
allow_headers = ["anthropic-version", "anthropic-beta"]

[[services.anthropic.operations]]
name = "messages"
method = "POST"
path = "/v1/messages"
metered = "anthropic_messages"
"""


def same(got, expected):
    """Unlike a bare assert, says what was there and survives `python -O`."""
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


def pettycash(*args):
    command = [os.environ["PETTYCASH_BIN"], *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def apply(vendor, cap):
    home = Path(os.environ["HOME"])
    key, policy = home / "vendor.key", home / "coder.toml"
    key.touch(mode=0o600)
    key.write_text(KEY)
    policy.write_text(POLICY.format(url=vendor.url, key=key, cap=cap))
    pettycash("apply", str(policy))


def claude(token, *args):
    # A Claude Code that this runs inside of must not be taken for the one that is tried.
    outside = ("CLAUDE", "ANTHROPIC")
    env = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    env |= {
        "ANTHROPIC_API_KEY": token,
        "ANTHROPIC_BASE_URL": f"{os.environ['PETTYCASH_URL']}/gateway/anthropic",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "8000",
        "CLAUDE_CONFIG_DIR": f"{os.environ['HOME']}/claude-gateway",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.argv[1], "--model", MODEL, "--output-format", "json", "-p", *args]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=TWO_MINUTES,
        cwd=os.environ["HOME"],
        env=env,
    )
    return json.loads(ran.stdout)


def main():
    vendor = Vendor()
    vendor.usage = {"input_tokens": 20_000, "output_tokens": 4_000}
    apply(vendor, "2.00")
    token = pettycash("agent", "token", "coder")
    ended = claude(token, "How does an agent pay?")
    same([ended["is_error"], ended["result"]], [False, "".join(TEXT)])
    calls = len(vendor.asked)
    # 20,000 tokens at $3.00 and 4,000 at $15.00 a million.
    spent = json.loads(pettycash("agent", "show", "coder", "--json"))["spent_usd"]
    same(spent, f"{calls * 0.12:.2f}")
    same([token in json.dumps(asked) for asked in vendor.asked], [False] * calls)

    apply(vendor, "0.15")
    ended = claude(token, "And now?")
    same(ended["is_error"], True)
    told = "would pass today's cap of $0.15"
    same([told in ended["result"], len(vendor.asked)], [True, calls])
    version = subprocess.run([sys.argv[1], "--version"], capture_output=True, text=True).stdout
    print(
        f"claude code {version.split()[0]} through the gateway: {calls} metered at $0.12; "
        f"then it reads: {ended['result'][:120]}"
    )


main()
