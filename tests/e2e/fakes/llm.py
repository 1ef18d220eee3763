"""A fake of an OpenAI-compatible LLM server: /v1/chat/completions and /v1/models.

Without a script it streams `tokens` one by one. Scripts of the kinds below are given to plan() or
always(); each helper returns a list of steps (fakes.server)."""

import json

from .server import Close, FakeServer, Gate, Hang, Send, Sleep, json_response, response

DEFAULT_TOKENS = ["The ", "answer ", "is ", "in ", "the ", "passages ", "[1]", "."]

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
# the stream ends with the connection, as HTTP/1.0 servers do
STREAM_HEAD_CLOSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
)


def piece(data):
    """One HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


END = b"0\r\n\r\n"


def chunk_json(delta=None, finish=None, model="fake-llm", usage=None, choices=True, **more):
    body = {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": model,
        "choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}] if choices else [],
        **more,
    }
    if usage:
        body["usage"] = usage
    return json.dumps(body, ensure_ascii=False)


def event(data, newline="\n"):
    return f"data: {data}{newline}{newline}".encode()


def events_of(tokens, finish="stop", usage=None, model="fake-llm", newline="\n"):
    """The events of an ordinary answer, as bytes each."""
    out = [event(chunk_json({"role": "assistant", "content": ""}, model=model), newline)]
    out += [event(chunk_json({"content": token}, model=model), newline) for token in tokens]
    out.append(event(chunk_json({}, finish, model), newline))
    if usage:
        out.append(event(chunk_json(usage=usage, choices=False, model=model), newline))
    out.append(event("[DONE]", newline))
    return out


USAGE = {"prompt_tokens": 321, "completion_tokens": 8, "total_tokens": 329}


def stream(
    tokens=None, first=0.0, every=0.0, finish="stop", usage=USAGE, model="fake-llm", newline="\n"
):
    """An ordinary answer: first token after `first` seconds, the others `every` so many."""
    tokens = DEFAULT_TOKENS if tokens is None else tokens
    events = events_of(tokens, finish, usage, model, newline)
    steps = [Send(STREAM_HEAD + piece(events[0]))]
    for index, data in enumerate(events[1:]):
        wait = first if index == 0 else every if index < len(tokens) else 0
        if wait:
            steps.append(Sleep(wait))
        steps.append(Send(piece(data)))
    return steps + [Send(END)]


def stream_bytes(data, sizes=(1,), head=STREAM_HEAD, end=True, pause=0.0):
    """The bytes of a stream, cut into writes of these sizes, over and over."""
    steps, at, turn = [Send(head)], 0, 0
    chunked = head is STREAM_HEAD
    while at < len(data):
        size = sizes[turn % len(sizes)]
        part = data[at : at + size]
        steps.append(Send(piece(part) if chunked else part))
        if pause:
            steps.append(Sleep(pause))
        at, turn = at + size, turn + 1
    if end:
        steps.append(Send(END) if chunked else Close())
    return steps


def gated(before, after, gate=None):
    """An answer that stops at a gate between these tokens; returns (script, gate)."""
    gate = gate or Gate()
    events = events_of([*before, *after], usage=USAGE)
    first = events[: 1 + len(before)]
    rest = events[1 + len(before) :]
    steps = [Send(STREAM_HEAD), *(Send(piece(data)) for data in first), gate]
    return steps + [Send(piece(data)) for data in rest] + [Send(END)], gate


def cut(tokens, reset=False):
    """The connection ends after these tokens, in the middle of the chunked body."""
    data = b"".join(events_of(tokens)[: 1 + len(tokens)])
    return [Send(STREAM_HEAD + piece(data)), Close(reset)]


def silent(tokens=()):
    """Falls silent after these tokens (with none: right after the headers)."""
    steps = [Send(STREAM_HEAD)]
    if tokens:
        steps.append(Send(piece(b"".join(events_of(tokens)[: 1 + len(tokens)]))))
    return steps + [Hang()]


def never():
    """Takes the request and never says anything."""
    return [Hang()]


def error(status, message="the fake says no", code="fake_error", kind="fake", headers=None):
    body = {"error": {"message": message, "type": kind, "code": code, "param": None}}
    return [Send(json_response(status, body, headers))]


def html(status=200):
    page = b"<!doctype html><html><body><h1>It works!</h1></body></html>"
    return [Send(response(status, {"Content-Type": "text/html"}, page))]


def whole(text="An answer in one piece [1].", finish="stop", model="fake-llm", usage=USAGE):
    """A JSON body instead of a stream."""
    return [
        Send(
            json_response(
                200,
                {
                    "id": "chatcmpl-fake",
                    "object": "chat.completion",
                    "created": 1700000000,
                    "model": model,
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": text},
                            "finish_reason": finish,
                        }
                    ],
                    "usage": usage,
                },
            )
        )
    ]


def raw_stream(data):
    """These bytes as the body of an event stream."""
    return [Send(STREAM_HEAD + piece(data)), Send(END)]


class FakeLLM(FakeServer):
    model = "fake-llm"

    def __init__(self):
        super().__init__()
        self.tokens, self.owner = list(DEFAULT_TOKENS), None

    def reset(self):
        super().reset()
        self.tokens, self.owner = list(DEFAULT_TOKENS), None

    def default_script(self, recorded):
        path = recorded.path.split("?")[0]
        if path == "/v1/models":
            model = {"id": self.model, "object": "model"} | ({"owned_by": self.owner} if self.owner else {})
            return [Send(json_response(200, {"object": "list", "data": [model]}))]
        if path != "/v1/chat/completions" or recorded.method != "POST":
            return error(404, f"the fake has no {recorded.method} {path}")
        if recorded.json.get("stream"):
            return stream(self.tokens)
        return whole("".join(self.tokens))

    def asked(self):
        """The questions that came (warming and probing requests left out)."""
        return [
            recorded
            for recorded in list(self.requests)
            if recorded.method == "POST" and recorded.path.startswith("/v1/chat/completions")
        ]

    def prompt(self, recorded=None):
        """All messages of the last question as one text."""
        recorded = recorded or self.asked()[-1]
        return "\n".join(str(message["content"]) for message in recorded.json["messages"])


def sent_times(recorded, token):
    """When a token was written."""
    needle = json.dumps({"content": token}, ensure_ascii=False).encode()[1:-1]
    return [at for at, data in recorded.sent if needle in data]


