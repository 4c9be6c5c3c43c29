"""FastMCP's client, over HTTP, through the story of sdk.py. Usage: fast.py."""

import asyncio
import os
from importlib.metadata import version
from types import SimpleNamespace

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from sdk import play


class AsSdk:
    """The methods that the story calls, and the SDK's names for what comes back."""

    def __init__(self, client):
        self.client = client

    async def list_tools(self):
        return SimpleNamespace(tools=await self.client.list_tools())

    async def call_tool(self, name, arguments):
        # By default a tool's error is raised as its text; the structured answer is gone then.
        return await self.client.call_tool(name, arguments, raise_on_error=False)


async def main():
    headers = {"Authorization": f"Bearer {os.environ['PETTYCASH_TOKEN']}"}
    transport = StreamableHttpTransport(f"{os.environ['PETTYCASH_URL']}/mcp", headers=headers)
    async with Client(transport, timeout=30) as client:
        told = await play(AsSdk(client), True)
        print(f"fastmcp {version('fastmcp-slim')} over http: {told}")


asyncio.run(main())
