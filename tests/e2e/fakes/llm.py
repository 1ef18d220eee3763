"""A fake of an OpenAI-compatible LLM server: /v1/chat/completions and /v1/models.

Without a script it streams `tokens` one by one. Scripts of the kinds below are given to plan() or
always(); each helper returns a list of steps (fakes.server)."""

import json
import random
from dataclasses import dataclass, field

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


# ---- the catalogue: what real servers were seen to do, and what is right then ------------------------------

WORDS = ["A password may be", " 64 characters long [1]."]
WHOLE = "".join(WORDS)


@dataclass
class Whole:
    """The answer ends with `done`: all of this text, and a reason that OpenAI's clients know."""

    text: str = WHOLE
    finish: str = "stop"


@dataclass
class Error:
    """The answer ends with an error that says this (a regular expression), after these words."""

    says: str
    so_far: str = ""
    logged: str = ""  # what the operator's log has


@dataclass
class Next:
    """Nothing was said yet: the next upstream is asked, or the fallback; this is the reason that is given."""

    reason: str


@dataclass
class Behaviour:
    name: str
    script: list
    right: Whole | Error | Next
    body: bytes = field(default=b"", repr=False)  # of its event stream, for the random mode


CATALOGUE = []


def observed(name, right, *chunks, cut=False, done=True, end=END, head=STREAM_HEAD):
    """An entry that is an event stream: its chunks are bodies of chunk_json, or bytes as they are."""
    data = b"".join(one if isinstance(one, bytes) else event(one) for one in chunks)
    data += event("[DONE]") if done and not cut else b""
    parts = [Send(head + (piece(data) if head is STREAM_HEAD else data))]
    parts.append(Close() if cut or head is not STREAM_HEAD else Send(end))
    CATALOGUE.append(Behaviour(name, parts, right, data))


def answered(name, right, script):
    """An entry that is anything else."""
    CATALOGUE.append(Behaviour(name, script, right))


def said(*words, finish=None):
    return [chunk_json({"content": word}, finish) for word in words]


def _finishes():
    for reason, means in {
        "stop": "stop", "STOP": "stop", "eos_token": "stop", "end_turn": "stop", "COMPLETE": "stop", "é" * 20: "stop",
        "length": "length", "max_tokens": "length", "MAX_TOKENS": "length", "model_length": "length",
        "content_filter": "content_filter", "SAFETY": "content_filter", "RECITATION": "content_filter",
        "sensitive": "content_filter", "function_call": "function_call", "tool_use": "tool_calls",
    }.items():  # fmt: skip
        observed(f"finish {reason[:20]}", Whole(finish=means), *said(*WORDS), chunk_json({}, reason))
    for reason in ("error", "abort", "insufficient_system_resource", "network_error"):
        observed(f"finish {reason} midway", Error(reason, WORDS[0]), *said(WORDS[0]), chunk_json({}, reason))
        observed(f"finish {reason} at once", Next(reason), chunk_json({"role": "assistant"}), chunk_json({}, reason))
    for null in ("null", "None", ""):
        name = f"finish {null!r} in every chunk"
        observed(name, Whole(), *said(*WORDS, finish=null), chunk_json({}, "stop"))
        observed(f"{name}, cut", Error("middle|lost", WORDS[0]), *said(WORDS[0], finish=null), cut=True)
        observed(f"{name}, ends", Error("middle", WORDS[0]), *said(WORDS[0], finish=null), done=False)
    observed("finish stop in every chunk", Whole(), *said(*WORDS, finish="stop"))
    observed("finish stop in every chunk, cut", Error("middle|lost", WHOLE), *said(*WORDS, finish="stop"), cut=True)
    observed("finish in the last words' chunk", Whole(), *said(WORDS[0]), *said(WORDS[1], finish="stop"))
    observed("no [DONE]", Whole(), *said(*WORDS), chunk_json({}, "stop"), done=False)
    observed("no finish, but [DONE]", Whole(), *said(*WORDS))
    observed("cut behind the finish", Whole(), *said(*WORDS), chunk_json({}, "stop"), cut=True)
    observed("cut before the first word", Next("lost|without an answer"), chunk_json({"role": "assistant"}), cut=True)
    observed("cut midway", Error("lost|middle", WORDS[0]), *said(WORDS[0]), cut=True)


def _forms():
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    text = {"type": "text", "text": WORDS[0]}
    end = [*said(WORDS[1]), chunk_json({}, "stop")]
    observed("parts", Whole(), chunk_json({"content": [thought]}), chunk_json({"content": [text]}), *end)
    observed("parts of several kinds in one", Whole(), chunk_json({"content": [thought, text]}), *end)
    observed("parts as texts", Whole(), chunk_json({"content": [WORDS[0]]}), *end)
    observed("parts too many", Next("too many parts"), chunk_json({"content": [text] * 2000}), *end)
    observed("reasoning_content", Whole(), chunk_json({"content": None, "reasoning_content": "Hm"}), *said(WORDS[0]), *end)
    observed("reasoning", Whole(), chunk_json({"content": "", "reasoning": "Hm"}), *said(WORDS[0]), *end)
    observed("white space first", Whole(text="\n\n" + WHOLE), *said("\n", "\n", *WORDS), chunk_json({}, "stop"))
    long_name = "m" * 300
    observed("long model name", Whole(), *(chunk_json({"content": word}, model=long_name) for word in WORDS), chunk_json({}, "stop"))
    answered("one body", Whole(), whole(WHOLE))
    answered("one body of parts", Whole(), whole([text, {"type": "text", "text": WORDS[1]}]))
    answered("one body, an end of its own", Whole(finish="length"), whole(WHOLE, finish="max_tokens"))
    answered("one body, not finished", Next("could not finish"), whole("", finish="error"))


def _silent():
    observed("nothing at all", Next("without a word"), chunk_json({"role": "assistant", "content": ""}), chunk_json({}, "stop"))
    observed("white space alone", Next("without a word"), *said(" ", "\n"), chunk_json({}, "stop"))
    observed("only [DONE]", Next("without a word"))
    observed("thoughts alone", Next("thoughts"), chunk_json({"reasoning_content": "Hm"}), chunk_json({}, "stop"))
    observed("a tool's call", Next("tool"), chunk_json({"tool_calls": [{"index": 0, "id": "c"}]}), chunk_json({}, "tool_calls"))
    answered("one empty body", Next("without a word"), whole(""))
    used_up = Error("thinking.*max_tokens")
    observed("thinking used it up", used_up, chunk_json({"reasoning_content": "Hm hm"}), chunk_json({}, "length"))
    observed("thinking in parts used it up", used_up, chunk_json({"content": [{"type": "thinking", "thinking": "Hm"}]}), chunk_json({}, "length"))
    observed("length without a word", Error("max_tokens"), chunk_json({}, "length"))
    filtered = Error("filter")
    observed("content filter", filtered, chunk_json({"content": ""}), chunk_json({}, "content_filter"))
    observed("content filter of another name", filtered, chunk_json({"content": ""}), chunk_json({}, "SAFETY"))
    no = "I can't help with that."
    refused = Whole(no, "content_filter")
    observed("refusal", refused, chunk_json({"content": None, "refusal": no}), chunk_json({}, "stop"))
    observed("refusal in pieces", refused, chunk_json({"refusal": no[:7]}), chunk_json({"refusal": no[7:]}), chunk_json({}, "stop"))
    observed("refusal as a part", refused, chunk_json({"content": [{"type": "refusal", "refusal": no}]}), chunk_json({}, "stop"))


def _errors():
    remedy = "Please ensure that multiturn requests alternate between user and model, " + "and " * 60 + "that the last is the user's."
    body = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": remedy}}
    listed, plain = [Send(json_response(400, [body]))], [Send(json_response(400, body))]
    answered("error as a list", Error("400|generator|model", logged="the last is the user's"), listed)
    answered("error with its remedy at the end", Error("400|generator|model", logged="the last is the user's"), plain)
    for status in (400, 401, 403, 404):
        answered(f"status {status}", Error(".", logged="has its reasons"), error(status, "the fake has its reasons"))
    for status in (408, 500, 502, 503, 504, 529):
        answered(f"status {status}", Next(str(status)), error(status, "the fake has its reasons"))
    answered("status 429", Next("429"), error(429, "slow down", headers={"Retry-After": "3600"}))
    answered("refused at once", Next("lost"), [Close()])
    answered("reset at once", Next("lost"), [Close(reset=True)])
    over = json.dumps({"id": "x", "choices": [], "error": {"code": 502, "message": "overloaded"}})
    observed("error object midway", Error("overloaded|model", WORDS[0], logged="overloaded"), *said(WORDS[0]), over)
    observed("error object at once", Next("overloaded"), over)
    observed("error object in a list", Next("overloaded"), json.dumps([{"error": {"code": 503, "message": "overloaded"}}]))
    inside = json.dumps({"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "overloaded"}}]})
    observed("error in the choice", Next("overloaded"), inside)
    observed("error in the choice midway", Error("overloaded|model", WORDS[0], logged="overloaded"), *said(WORDS[0]), inside)
    wrong = json.dumps({"error": {"code": 400, "message": "context length exceeded"}})
    observed("error object that is the request's", Error("context|model", logged="context length"), wrong)


for _entries in (_finishes, _forms, _silent, _errors):
    _entries()


def random_script(dice: random.Random):
    """An entry of the catalogue, its stream in odd pieces, now and then late, now and then cut at any byte.
    Returns (entry, script, whether it was cut)."""
    one = dice.choice(CATALOGUE)
    if not one.body:
        return one, one.script, False
    closes = any(isinstance(step, Close) for step in one.script)
    size = dice.randrange(len(one.body)) if dice.random() < 0.2 else len(one.body)
    sizes = [dice.choice((1, 2, 7, 40, 300)) for _ in range(5)]
    steps = stream_bytes(one.body[:size], sizes, end=False, pause=dice.choice((0, 0, 0, 0.0005)))
    cut_off = size < len(one.body)
    return one, [*steps, Close() if cut_off or closes else Send(END)], cut_off
