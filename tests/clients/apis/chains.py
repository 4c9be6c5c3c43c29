"""LangChain's chat models through the gateway, streaming and not.

Usage: chains.py. `ChatAnthropic` and `ChatOpenAI` know no more of us than a base URL and a token in
place of a key. Each call costs what the vendor counted, to the nano-dollar, and where the budget
says no the chain ends at once, with the reason in the error that its user sees.
"""

from importlib.metadata import version

from langchain_anthropic import ChatAnthropic
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from gateway import CLAUDE, GPT, Paid, pettycash, same

ASK = ChatPromptTemplate.from_messages([("human", "How does {who} pay?")])
WHO = {"who": "an agent"}


class Story(Paid):
    """One vendor, and the chains that are asked to answer."""

    def claude(self, max_tokens):
        model = ChatAnthropic(
            model=CLAUDE,
            api_key=self.token,
            base_url=f"{self.gateway}/anthropic",
            max_tokens=max_tokens,
        )
        return ASK | model | StrOutputParser()

    def gpt(self, **more):
        base_url = f"{self.gateway}/openai"
        model = ChatOpenAI(model=GPT, api_key=self.token, base_url=base_url, **more)
        return ASK | model | StrOutputParser()

    def both(self, model, usage, counts, chain):
        """Asks a chain for all at once and piece by piece."""
        for call in (lambda: chain.invoke(WHO), lambda: "".join(chain.stream(WHO))):
            self.charged(model, usage, counts, call)

    def anthropic(self):
        usage = {
            "input_tokens": 1_234,
            "cache_read_input_tokens": 5_678,
            "cache_creation_input_tokens": 90,
            "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 30},
            "output_tokens": 321,
        }
        counts = {"input": 1_234, "cache_read": 5_678, "cache_write": 60, "cache_write_long": 30}
        self.both(CLAUDE, usage, counts | {"output": 321}, self.claude(400))

    def openai(self):
        usage = {
            "prompt_tokens": 1_000,
            "completion_tokens": 77,
            "total_tokens": 1_077,
            "prompt_tokens_details": {"cached_tokens": 333},
        }
        counts = {"input": 667, "cache_read": 333, "output": 77}
        # With the usage of a stream asked for by LangChain, and by us alone.
        for told in (True, False):
            self.both(GPT, usage, counts, self.gpt(max_completion_tokens=1_000, stream_usage=told))

    def responses(self):
        usage = {
            "input_tokens": 900,
            "input_tokens_details": {"cached_tokens": 128},
            "output_tokens": 55,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 955,
        }
        counts = {"input": 772, "cache_read": 128, "output": 55}
        self.both(GPT, usage, counts, self.gpt(max_tokens=100, use_responses_api=True))

    def stopped(self, chain, reason):
        """The chain ends, nothing is sent, and its user reads why."""
        before = len(self.vendor.asked)
        for call in (lambda: chain.invoke(WHO), lambda: list(chain.stream(WHO))):
            try:
                said = call()
            except Exception as error:
                # Whatever class LangChain makes of it, it is the vendor's own below that.
                same((getattr(error, "status_code", None), reason in str(error)), (402, True))
            else:
                raise AssertionError(f"it was paid: {said}")
        same(len(self.vendor.asked), before)

    def denied(self):
        limit = "over the limit of $0.25 for one payment"
        self.stopped(self.claude(60_000), limit)
        self.stopped(self.gpt(max_completion_tokens=200_000), limit)
        pettycash("agent", "freeze", "scout", "--reason", "looping")
        self.stopped(self.claude(10), "This agent is frozen (looping)")
        self.stopped(self.gpt(max_completion_tokens=10), "This agent is frozen (looping)")


def main():
    story = Story()
    story.anthropic()
    story.openai()
    story.responses()
    story.denied()
    story.nothing_of_ours()
    names = "langchain-anthropic", "langchain-openai"
    models = " and ".join(f"{name} {version(name)}" for name in names)
    calls = f"{story.calls} calls to the nano-dollar"
    print(f"{models} through the gateway: {calls}; 402 ends the chain")


main()
