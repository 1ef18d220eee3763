"""A fake of an OpenAI-compatible embedding server: hashed bags of words, so that texts that share
words are near each other; of any dimension, and wrong in every way that a test asks for."""

import base64
import json
import math
import re
import struct
import zlib

from .server import FakeServer, Hang, Send, Sleep, json_response, response

STOP = set("a an and are as at be by can do does for from has how i if in is it its of on or that the"
           " this to was what when where which who why will with you".split())


def words(text):
    for word in re.findall(r"\w+", text.lower()):
        if word not in STOP:
            yield word[:-1] if len(word) > 3 and word.endswith("s") else word


def embed(text, dimension):
    """A unit vector; the same for the same words."""
    vector = [0.0] * dimension
    for word in words(text):
        code = zlib.crc32(word.encode())
        vector[code % dimension] += 1.0 if code & 0x40000000 else -1.0
        vector[(code >> 8) % dimension] += 0.5
    length = math.sqrt(sum(x * x for x in vector))
    if length == 0:
        vector[0] = length = 1.0
    return [x / length for x in vector]


def body_of(recorded, dimension, change=None):
    """The OpenAI response to a request; `change` may alter the list of vectors."""
    asked = recorded.json
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vectors = [embed(text, dimension) for text in texts]
    if change:
        vectors = change(vectors)
    as_base64 = asked.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": (
                base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
                if as_base64
                else vector
            ),
        }
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "model": asked.get("model", "?"),
        "data": data,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


# ---- scripts: functions of the Recorded ----------------------------------------------------------


def slow(seconds, dimension):
    return lambda recorded: [Sleep(seconds), Send(json_response(200, body_of(recorded, dimension)))]


def of_dimension(dimension):
    return lambda recorded: [Send(json_response(200, body_of(recorded, dimension)))]


def one_missing(dimension):
    """One vector fewer than there were texts."""
    return lambda recorded: [
        Send(json_response(200, body_of(recorded, dimension, lambda vectors: vectors[:-1])))
    ]


def not_a_number(dimension):
    """NaN, as some servers write it (it is no JSON)."""

    def change(vectors):
        return [[float("nan")] + vector[1:] for vector in vectors]

    return lambda recorded: [Send(json_response(200, body_of(recorded, dimension, change)))]


def nulls(dimension):
    def change(vectors):
        return [[None] + vector[1:] for vector in vectors]

    def script(recorded):
        asked = {**recorded.json, "encoding_format": "float"}
        recorded.body = json.dumps(asked).encode()
        return [Send(json_response(200, body_of(recorded, dimension, change)))]

    return script


def zeros(dimension):
    """A vector that cannot be normalised."""

    def change(vectors):
        return [[0.0] * len(vector) for vector in vectors]

    return lambda recorded: [Send(json_response(200, body_of(recorded, dimension, change)))]


def backwards(dimension):
    """The right vectors in the wrong order, told apart by "index" only."""

    def script(recorded):
        body = body_of(recorded, dimension)
        body["data"].reverse()
        return [Send(json_response(200, body))]

    return script


def malformed():
    return [Send(response(200, {"Content-Type": "application/json"}, b'{"data":[{"embedding":[0.1,'))]


def html(status=200):
    return [Send(response(status, {"Content-Type": "text/html"}, b"<html><h1>Welcome</h1></html>"))]


def error(status, message="the fake says no", headers=None):
    body = {"error": {"message": message, "type": "fake", "code": "fake", "param": None}}
    return [Send(json_response(status, body, headers))]


def never():
    return [Hang()]


class FakeEmbed(FakeServer):
    model = "fake-embed"

    def __init__(self, dimension=64):
        self.dimension = dimension
        super().__init__()

    def default_script(self, recorded):
        path = recorded.path.split("?")[0]
        if path == "/v1/models":
            return [Send(json_response(200, {"object": "list", "data": [{"id": self.model}]}))]
        if path != "/v1/embeddings" or recorded.method != "POST":
            return error(404, f"the fake has no {recorded.method} {path}")
        return [Send(json_response(200, body_of(recorded, self.dimension)))]

    def texts(self):
        """Every text that was embedded."""
        out = []
        for recorded in list(self.requests):
            if recorded.path.startswith("/v1/embeddings"):
                asked = recorded.json["input"]
                out += asked if isinstance(asked, list) else [asked]
        return out
