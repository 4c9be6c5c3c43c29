"""The official Anthropic and OpenAI SDKs through the gateway, streaming and not.

Usage: sdks.py. Each call costs what the table of prices says of what the vendor counted, to the
nano-dollar; here that is worked out anew, with decimals. The vendor sees its key and nothing of
the agent's token, and what is not paid for is told by the SDK's own error.
"""

import threading
from decimal import Decimal
from importlib.metadata import version

import anthropic
import openai

from gateway import CLAUDE, GPT, Paid, costs, pettycash, same, settled
from vendor import TEXT

HELLO = [{"role": "user", "content": "How does an agent pay?"}]


class Story(Paid):
    """One vendor, both SDKs, and what each call cost."""

    def __init__(self):
        super().__init__()
        self.claude = anthropic.Anthropic(api_key=self.token, base_url=f"{self.gateway}/anthropic")
        self.gpt = openai.OpenAI(api_key=self.token, base_url=f"{self.gateway}/openai")

    def anthropic(self):
        usage = {
            "input_tokens": 1_234,
            "cache_read_input_tokens": 5_678,
            "cache_creation_input_tokens": 90,
            "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 30},
            "output_tokens": 321,
            "server_tool_use": {"web_search_requests": 0},
            "service_tier": "standard",
        }
        counts = {"input": 1_234, "cache_read": 5_678, "cache_write": 60, "cache_write_long": 30}
        counts["output"] = 321
        asked = {"model": CLAUDE, "max_tokens": 400, "messages": HELLO}

        def whole():
            return self.claude.messages.create(**asked).content[0].text

        def streamed():
            with self.claude.messages.stream(**asked) as stream:
                return "".join(stream.text_stream)

        for call in (whole, streamed):
            self.charged(CLAUDE, usage, counts, call)

    def openai(self):
        usage = {
            "prompt_tokens": 1_000,
            "completion_tokens": 77,
            "total_tokens": 1_077,
            "prompt_tokens_details": {"cached_tokens": 333},
            "completion_tokens_details": {"reasoning_tokens": 11},
        }
        counts = {"input": 667, "cache_read": 333, "output": 77}
        asked = {"model": GPT, "max_completion_tokens": 100, "messages": HELLO}

        def whole():
            return self.gpt.chat.completions.create(**asked).choices[0].message.content

        def streamed():
            chunks = self.gpt.chat.completions.create(**asked, stream=True)
            # Nobody asked for the chunk that tells the usage, which has no choices.
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

        def with_usage():
            chunks = self.gpt.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
            *texts, last = chunks
            same(last.usage.prompt_tokens, 1_000)
            return "".join(chunk.choices[0].delta.content or "" for chunk in texts)

        for call in (whole, streamed, with_usage):
            self.charged(GPT, usage, counts, call)

    def responses(self):
        usage = {
            "input_tokens": 900,
            "input_tokens_details": {"cached_tokens": 128},
            "output_tokens": 55,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 955,
        }
        counts = {"input": 772, "cache_read": 128, "output": 55}
        asked = {"model": GPT, "max_output_tokens": 100, "input": "How does an agent pay?"}

        def whole():
            return self.gpt.responses.create(**asked).output_text

        def streamed():
            events = self.gpt.responses.create(**asked, stream=True)
            deltas = (one for one in events if one.type == "response.output_text.delta")
            return "".join(one.delta for one in deltas)

        for call in (whole, streamed):
            self.charged(GPT, usage, counts, call)

    def refused_above(self):
        """A vendor that has no time costs nothing, and is told as it tells it."""
        self.vendor.status = 529
        asked = {"model": CLAUDE, "max_tokens": 10, "messages": HELLO}
        try:
            self.claude.with_options(max_retries=0).messages.create(**asked)
            raise AssertionError("529 is no answer")
        except anthropic.APIStatusError as error:
            same(error.status_code, 529)
        self.vendor.status = 200
        same(settled()["outcome"], "failed")

    def denied(self):
        """What would pass the limit is told with the reason, and is not tried again."""
        before, limit = len(self.vendor.asked), "over the limit of $0.25"
        asked = {"model": CLAUDE, "max_tokens": 60_000, "messages": HELLO}
        try:
            # The SDK would not ask for so much without a stream.
            with self.claude.messages.stream(**asked) as stream:
                raise AssertionError(f"it was paid: {stream.get_final_text()}")
        except anthropic.APIStatusError as error:
            same((error.status_code, limit in str(error)), (402, True))
            same(error.body["code"], "per_call_limit_exceeded")
        asked = {"model": "gpt-5", "max_completion_tokens": 100_000, "messages": HELLO}
        try:
            self.gpt.chat.completions.create(**asked)
            raise AssertionError("it was paid")
        except openai.APIStatusError as error:
            same((error.status_code, limit in str(error)), (402, True))
        same(len(self.vendor.asked), before)
        try:
            self.gpt.chat.completions.create(model="gpt-none", messages=HELLO)
            raise AssertionError("it was paid")
        except openai.BadRequestError as error:
            same("adds a price with `pettycash prices update FILE`" in str(error), True)

    def strangers(self):
        """Who shows no token of an agent's is let in by neither."""
        try:
            stranger = self.claude.with_options(api_key="agt_none", max_retries=0)
            stranger.messages.create(model=CLAUDE, max_tokens=10, messages=HELLO)
            raise AssertionError("a stranger was let in")
        except anthropic.AuthenticationError:
            pass

    def at_once(self):
        """Sixteen streams beside each other are sixteen payments."""
        self.vendor.usage = {"input_tokens": 10, "output_tokens": 5}
        asked, told = {"model": CLAUDE, "max_tokens": 20, "messages": HELLO}, []

        def one():
            with self.claude.messages.stream(**asked) as stream:
                told.append("".join(stream.text_stream))

        threads = [threading.Thread(target=one) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        same(told, ["".join(TEXT)] * 16)
        settled()
        entries = pettycash("ledger", "scout")["entries"][:64]
        each = costs(CLAUDE, {"input": 10, "output": 5})
        paid = [one for one in entries if one["outcome"] == "captured"]
        same(sum(Decimal(one["amount_usd"]) == each for one in paid), 16)
        self.calls += 16


def main():
    story = Story()
    story.anthropic()
    story.openai()
    story.responses()
    story.refused_above()
    story.denied()
    story.strangers()
    story.at_once()
    story.nothing_of_ours()
    sdks = f"anthropic {version('anthropic')} and openai {version('openai')}"
    print(f"{sdks} through the gateway: {story.calls} calls charged to the nano-dollar")


main()
