"""A vendor of language models on loopback: Anthropic's Messages, OpenAI's Chat and Responses.

It answers what it was told to have counted, whole or as a stream of events, in the wire formats
that the vendors publish, to nobody but who shows its key. It keeps what it was asked.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-canary-6Yp1c0ffee+/=Zq"
TEXT = ["Petty ", "cash, ", "paid."]


def anthropic(model, usage, stop="end_turn"):
    """The events of a message."""
    first = dict(usage, output_tokens=1)
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
    message |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": first}
    yield {"type": "message_start", "message": message}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    yield {"type": "ping"}
    for text in TEXT:
        delta = {"type": "text_delta", "text": text}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": stop, "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": usage}
    yield {"type": "message_stop"}


def anthropic_whole(model, usage):
    content = [{"type": "text", "text": "".join(TEXT)}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
    return message | {
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def chat(model, usage, asked):
    """The chunks of a completion; the last tells the usage, where that was asked for."""
    wanted = (asked.get("stream_options") or {}).get("include_usage")
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    head |= {"usage": None} if wanted else {}
    for text in TEXT:
        delta = {"role": "assistant", "content": text}
        yield head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if wanted:
        yield head | {"choices": [], "usage": usage}


def chat_whole(model, usage):
    message = {"role": "assistant", "content": "".join(TEXT), "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    told = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
    return told | {"choices": [choice], "usage": usage}


def response(model, usage, status="completed"):
    part = {"type": "output_text", "text": "".join(TEXT), "annotations": []}
    item = {"id": "item_1", "type": "message", "role": "assistant", "status": status}
    told = {"id": "resp_1", "object": "response", "created_at": 1, "model": model}
    told |= {"status": status, "output": [item | {"content": [part]}], "usage": usage}
    settings = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return told | settings


def responses(model, usage):
    """The events of a response."""
    begun = response(model, None, "in_progress") | {"output": []}
    yield {"type": "response.created", "sequence_number": 0, "response": begun}
    place = {"item_id": "item_1", "output_index": 0, "content_index": 0, "logprobs": []}
    for number, text in enumerate(TEXT, 1):
        delta = {"type": "response.output_text.delta", "sequence_number": number, "delta": text}
        yield delta | place
    done = {"type": "response.completed", "sequence_number": len(TEXT) + 1}
    yield done | {"response": response(model, usage)}


class Vendor:
    """Set `usage` and `status`, then ask it; `asked` has what came, headers and body."""

    def __init__(self):
        self.asked = []
        self.usage = {}
        self.status = 200
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, kind, body):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.send_header("request-id", "req_1")
                self.end_headers()
                self.wfile.write(body)

            def error(self, status, kind, message):
                told = {"type": "error", "error": {"type": kind, "message": message, "code": kind}}
                self.answer(status, "application/json", json.dumps(told).encode())

            def stream(self, events, named, last=b""):
                self.send_response(200)
                self.send_header("content-type", "text/event-stream; charset=utf-8")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for event in events:
                    name = f"event: {event['type']}\n" if named else ""
                    self.chunk(f"{name}data: {json.dumps(event)}\n\n".encode())
                self.chunk(last)
                self.wfile.write(b"0\r\n\r\n")

            def chunk(self, data):
                if data:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"] or 0))
                asked = json.loads(body or b"{}")
                headers = {name.lower(): value for name, value in self.headers.items()}
                vendor.asked.append((self.path, headers, asked))
                shown = headers.get("x-api-key") or headers.get("authorization", "")[7:]
                if shown != KEY:
                    return self.error(401, "authentication_error", "that is not the key")
                if vendor.status != 200:
                    return self.error(vendor.status, "overloaded_error", "not now")
                model, streams = asked["model"], asked.get("stream")
                path = self.path.partition("?")[0]
                if path == "/v1/messages/count_tokens":
                    return self.answer(200, "application/json", b'{"input_tokens":7}')
                if path == "/v1/messages" and streams:
                    return self.stream(anthropic(model, vendor.usage), True)
                if path == "/v1/chat/completions" and streams:
                    events = chat(model, vendor.usage, asked)
                    return self.stream(events, False, b"data: [DONE]\n\n")
                if path == "/v1/responses" and streams:
                    return self.stream(responses(model, vendor.usage), True)
                whole = {
                    "/v1/messages": anthropic_whole,
                    "/v1/chat/completions": chat_whole,
                    "/v1/responses": response,
                }
                if path not in whole:
                    return self.error(404, "not_found_error", "there is no such path")
                told = json.dumps(whole[path](model, vendor.usage)).encode()
                self.answer(200, "application/json", told)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
