"""The official Python SDK, through the same story as story.mjs.

Usage: sdk.py auto|legacy stdio|http|sse. `auto` finds the newest protocol both sides speak, without a handshake;
`legacy` is `initialize` and a session.
"""

import asyncio
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from importlib.metadata import version

from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

BIN, HOME = os.environ["PETTYCASH_BIN"], os.environ["PETTYCASH_HOME"]
TOOLS = ["get_balance", "ledger", "list_services", "pay_for_api_call"]
NOT_AN_ERROR = (None, "paid", "in_progress", "allowed")


def same(got, expected):
    """Unlike a bare assert, says what was there and survives `python -O`."""
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


def fields(answer, *names):
    return [answer.get(name) for name in names]


async def play(client, by_token):
    async def ask(tool, **arguments):
        result = await client.call_tool(tool, arguments)
        answer, text = result.structured_content, result.content[0].text
        same(text, json.dumps(answer, separators=(",", ":"), ensure_ascii=False))
        same(bool(result.is_error), answer.get("outcome") not in NOT_AN_ERROR)
        return answer

    async def pay(**arguments):
        return await ask("pay_for_api_call", **arguments)

    same(sorted(tool.name for tool in (await client.list_tools()).tools), TOOLS)
    before = await ask("get_balance")
    same(fields(before, "handle", "standing", "available_usd"), ["scout", "active", "5.00"])
    services = (await ask("list_services"))["services"]
    same(sorted(service["service_id"] for service in services), ["report", "search"])

    begun = datetime.now(timezone.utc)
    planned = (await ask("get_balance", service_id="search", calls=300, by="2h"))["quote"]
    # The cap is per day, and near midnight two hours reach into the next one.
    days = {(at + timedelta(hours=2)).date() > at.date() for at in (begun, datetime.now(timezone.utc))}
    by_then = 300 if True in days and planned["fits_by"] != 250 else 250
    same(fields(planned, "fits", "fits_by", "price_usd"), [250, by_then, "0.02"])
    same(fields(planned["limit"], "code", "period"), ["cap_exceeded", "day"])
    dry = await pay(service_id="search", dry_run=True)
    same(fields(dry, "outcome", "dry_run", "price_usd"), ["allowed", True, "0.02"])

    first = await pay(service_id="search")
    same(fields(first, "outcome", "charged_usd", "available_usd"), ["paid", "0.02", "4.98"])

    refused = await pay(service_id="report", amount_usd=0.4)
    same(
        fields(refused, "outcome", "code", "advice", "max_affordable_usd"),
        ["denied", "per_call_limit_exceeded", "shrink", "0.25"],
    )
    adapted = await pay(service_id="report", amount_usd=refused["max_affordable_usd"])
    same(fields(adapted, "outcome", "charged_usd"), ["paid", "0.25"])

    for field, arguments in [
        ("service_id", {}),
        ("amount_usd", {"service_id": "report", "amount_usd": "0.25 USD"}),
        ("amount_usd", {"service_id": "report", "amount_usd": None}),
    ]:
        mistake = await pay(**arguments)
        same(
            fields(mistake, "outcome", "code", "advice", "field"),
            ["denied", "invalid_request", "fix_request", field],
        )

    ledger = await ask("ledger")
    same(ledger["spent_today_usd"], "0.27")
    entries = {entry.get("payment_id"): entry for entry in ledger["entries"]}
    for answer, service, amount in [
        (first, "search", "0.02"),
        (refused, "report", "0.40"),
        (adapted, "report", "0.25"),
    ]:
        same(
            fields(entries[answer["payment_id"]], "service_id", "amount_usd", "outcome", "code"),
            [service, amount, answer["outcome"], answer.get("code")],
        )

    table = await ask("ledger", service_id="report", outcome="paid", format="columns")
    same(table["columns"], ["at", "outcome", "service_id", "amount_usd", "payment_id"])
    same([row[3:] for row in table["rows"]], [["0.25", adapted["payment_id"]]])

    subprocess.run(
        [BIN, "agent", "revoke", "scout", "--reason", "compromised"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    if by_token:
        # A token ends with its agent: who is revoked is no longer let in.
        try:
            last = await pay(service_id="search")
        except Exception:
            end = "not let in"
        else:
            raise AssertionError(f"a revoked agent was answered {last}")
    else:
        last = await pay(service_id="search")
        same(fields(last, "outcome", "code", "advice"), ["denied", "agent_revoked", "stop"])
        end = last["code"]

    return (
        f"{len(TOOLS)} tools; {first['outcome']} {first['charged_usd']}; "
        f"{refused['code']}, {refused['advice']}; {adapted['outcome']} {adapted['charged_usd']}; "
        f"mistakes named; ledger agrees; {end}"
    )


def server(over):
    if over == "stdio":
        # The SDK hands on few variables, so the home is named outright.
        return StdioServerParameters(
            command=BIN, args=["mcp", "--agent", "scout"], env={"PETTYCASH_HOME": HOME}
        )
    url = os.environ["PETTYCASH_URL"]
    headers = {"Authorization": f"Bearer {os.environ['PETTYCASH_TOKEN']}"}
    if over == "sse":
        return sse_client(f"{url}/sse", headers=headers)
    return streamable_http_client(f"{url}/mcp", http_client=create_mcp_http_client(headers))


async def main(mode, over):
    async with Client(server(over), mode=mode, read_timeout_seconds=30) as client:
        told = await play(client, over != "stdio")
        print(f"python sdk {version('mcp')} over {over} ({client.protocol_version}): {told}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
