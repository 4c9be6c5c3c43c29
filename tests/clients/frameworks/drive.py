"""The README's snippet for a framework, as it stands, driven by a scripted model.

Usage: drive.py langchain|openai-agents|pydantic-ai|crewai, with PETTYCASH_URL and
PETTYCASH_TOKEN in the environment, as the snippets want them. In the framework's own loop the
model pays, is denied, is denied again (some frameworks end the run only then), pays what it may,
and ends.
"""

import asyncio
import json
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

README = Path(__file__).resolve().parents[3] / "README.md"
PAY, END = "pay_for_api_call", "That is all."
A_MINUTE = 60


def same(got, expected):
    """Unlike a bare assert, says what was there and survives `python -O`."""
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")


def snippet(name):
    """The names that the README's snippet leaves behind."""
    text = README.read_text(encoding="utf-8")
    found = re.findall(rf"^```python {re.escape(name)}\n(.*?)^```$", text, re.M | re.S)
    same(len(found), 1)
    os.environ["PETTYCASH_URL"] += "/mcp"
    names = {"__name__": "snippet"}
    exec(compile(found[0], f"README.md, {name}", "exec"), names)
    return names


class Script:
    """What the model does with the answers that reach it, and what they must be."""

    def __init__(self):
        self.answers = []

    def told(self, answer):
        """An answer as the model sees it: some frameworks put words around it."""
        text = answer if isinstance(answer, str) else json.dumps(answer)
        self.answers.append(json.JSONDecoder().raw_decode(text, text.index("{"))[0])

    def step(self):
        """The arguments of the next payment, or None at the end."""
        shrunk = self.answers[-1].get("max_affordable_usd") if self.answers else None
        amounts = ["0.10", "0.40", "0.30", shrunk]
        if len(self.answers) == len(amounts):
            return None
        return {"service_id": "report", "amount_usd": amounts[len(self.answers)]}

    def judge(self, ended):
        same(END in ended, True)
        paid, denied, again, adapted = self.answers
        same([paid["outcome"], paid["charged_usd"]], ["paid", "0.10"])
        for asked, answer in ("0.40", denied), ("0.30", again):
            # Every field of the denial, so that none is lost on the way to the model.
            answer.pop("payment_id")
            code = "per_call_limit_exceeded"
            breach = {"code": code, "scope": "agent", "limit_usd": "0.25", "asked_usd": asked}
            message = f"${asked} is over the limit of $0.25 for one payment. Nothing was charged."
            same(
                answer,
                {
                    "outcome": "denied",
                    "code": code,
                    "message": message,
                    "advice": "shrink",
                    "max_affordable_usd": "0.25",
                    "breached": [breach],
                },
            )
        same([adapted["outcome"], adapted["charged_usd"]], ["paid", "0.25"])
        return "paid 0.10; per_call_limit_exceeded, whole, twice; paid 0.25; the run ends"


async def langchain(names, script):
    from langchain.agents import create_agent
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, ToolMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    class Model(BaseChatModel):
        _llm_type = "script"

        def bind_tools(self, tools, **_):
            return self

        def _generate(self, messages, *_, **__):
            if isinstance(messages[-1], ToolMessage):
                content = messages[-1].content
                script.told(content if isinstance(content, str) else content[0]["text"])
                paid = script.answers[-1]["outcome"] == "paid"
                same(messages[-1].status, "success" if paid else "error")
            args = script.step()
            call = {"name": PAY, "args": args, "id": f"call_{len(messages)}"}
            message = AIMessage(END) if args is None else AIMessage("", tool_calls=[call])
            return ChatResult(generations=[ChatGeneration(message=message)])

    agent = create_agent(Model(), await names["client"].get_tools())
    ended = await agent.ainvoke({"messages": [("user", "Buy a report.")]})
    return ended["messages"][-1].content


async def openai_agents(names, script):
    from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
    from openai.types.responses import (
        ResponseFunctionToolCall,
        ResponseOutputMessage,
        ResponseOutputText,
    )

    def told(output):
        """A framework that hands on a text's content block hands on the text in it."""
        script.told(output if isinstance(output, str) else output[0]["text"])

    class Scripted(Model):
        async def get_response(self, system_instructions, input, *_, **__):
            if isinstance(input, list) and input[-1].get("type") == "function_call_output":
                told(input[-1]["output"])
            args = script.step()
            if args is None:
                text = ResponseOutputText(text=END, type="output_text", annotations=[])
                said = ResponseOutputMessage(
                    id="said", content=[text], role="assistant", status="completed", type="message"
                )
            else:
                said = ResponseFunctionToolCall(
                    call_id=f"call_{len(input)}",
                    name=PAY,
                    arguments=json.dumps(args),
                    type="function_call",
                )
            return ModelResponse(output=[said], usage=Usage(), response_id=None)

        def stream_response(self, *_, **__):
            raise NotImplementedError("the run below does not stream")

    set_tracing_disabled(True)
    async with names["pettycash"] as server:
        agent = Agent(name="buyer", model=Scripted(), mcp_servers=[server])
        return (await Runner.run(agent, "Buy a report.")).final_output


async def pydantic_ai(names, script):
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    def model(messages, _):
        for part in messages[-1].parts:
            if part.part_kind in ("tool-return", "retry-prompt"):
                script.told(part.content)
        args = script.step()
        return ModelResponse(parts=[TextPart(END) if args is None else ToolCallPart(PAY, args)])

    agent = Agent(FunctionModel(model), toolsets=[names["pettycash"]])
    return (await agent.run("Buy a report.")).output


async def crewai(names, script):
    from crewai import Agent, BaseLLM, Crew, Task

    class Model(BaseLLM):
        def call(self, messages, *_, **__):
            # What a tool answered is put behind the model's own words.
            own = [said["content"] for said in messages if said["role"] == "assistant"]
            if own:
                script.told(own[-1].partition("Observation:")[2])
            args = script.step()
            if args is None:
                return f"Thought: I now know the final answer\nFinal Answer: {END}"
            tool = re.search(rf"\S*{PAY}", str(messages)).group().strip("'\"`,")
            return f"Thought: I pay\nAction: {tool}\nAction Input: {json.dumps(args)}"

    who = {"role": "buyer", "goal": "buy", "backstory": "buys"}
    agent = Agent(**who, llm=Model(model="script"), mcps=[names["pettycash"]])
    task = Task(description="Buy a report.", expected_output="a report", agent=agent)
    return str(await asyncio.to_thread(Crew(agents=[agent], tasks=[task]).kickoff))


RUNS = {
    "langchain": (langchain, "langchain-mcp-adapters"),
    "openai-agents": (openai_agents, "openai-agents"),
    "pydantic-ai": (pydantic_ai, "pydantic-ai-slim"),
    "crewai": (crewai, "crewai"),
}


async def main(name):
    run, package = RUNS[name]
    # Some frameworks print as they go; the line at the end is ours alone.
    ours, sys.stdout = sys.stdout, sys.stderr
    script = Script()
    ended = await asyncio.wait_for(run(snippet(name), script), A_MINUTE)
    told = script.judge(ended)
    print(f"{name} ({package} {version(package)}) over http: {told}", file=ours, flush=True)


asyncio.run(main(sys.argv[1]))
