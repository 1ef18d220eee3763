"""ragline's messages from Python (msgpack maps, see common/proto.h), right and wrong ones, and the
parts of a worker or a gateway that a test plays itself."""

import random
import struct

import msgpack
import zmq

VERSION = 1
TYPES = [
    "announce", "leave", "welcome", "search", "hits", "failed",
    "generate", "credit", "cancel", "progress", "token", "done",
]  # fmt: skip
NUMBER = {name: at + 1 for at, name in enumerate(TYPES)}


def message(name, **fields):
    return msgpack.packb({"v": VERSION, "m": NUMBER[name], **fields})


def unpack(data):
    """The messages in one frame: (name, fields) each."""
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=16 << 20)
    unpacker.feed(data)
    out = []
    for fields in unpacker:
        out.append((TYPES[fields.pop("m") - 1], fields))
    return out


def vector(values):
    return struct.pack(f"<{len(values)}f", *values)


def announcement(worker="fake/0/lexical", kind="lexical", tasks="tcp://127.0.0.1:1", **fields):
    base = dict(
        worker=worker, kind=kind, route=0, tasks=tasks, period_ms=250, ready=True, slots=1,
        collection="docs", shards=1, generation="g-000001", passages=1, language="english",
    )  # fmt: skip
    base.update(fields)
    return message("announce", **base)


# ---- bytes that no honest peer sends ---------------------------------------------------------------


def foul_messages(valid, seed=1):
    """Yields (what it is, bytes): garbage, and `valid` (a list of good messages) mangled."""
    rng = random.Random(seed)
    yield "nothing", b""
    yield "one zero", b"\0"
    yield "text", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "never used byte", b"\xc1"
    yield "no map", msgpack.packb([1, 2, 3])
    yield "empty map", msgpack.packb({})
    yield "a number", msgpack.packb(7)
    yield "array said to be huge", b"\xdd\xff\xff\xff\xff"
    yield "map said to be huge", b"\xdf\xff\xff\xff\xff"
    yield "string said to be huge", b"\x81\xdb\xff\xff\xff\xffab"
    yield "binary said to be huge", b"\x81\xa1v\xc6\xff\xff\xff\xff"
    yield "nested 100,000 deep", b"\x91" * 100_000
    yield "maps nested 50,000 deep", b"\x81\xa1v" * 50_000
    for v in (0, 2, 99, -1, "1", None, 1.5, 2**63):
        yield f"version {v!r}", msgpack.packb({"v": v, "m": 1, "worker": "x"})
    for m in (0, 13, 255, 2**32, 2**64 - 1, -1, "announce", None, True, [1]):
        yield f"type {m!r}", msgpack.packb({"v": 1, "m": m})
    yield "no version", msgpack.packb({"m": 1, "worker": "x"})
    yield "keys that are no strings", msgpack.packb({"v": 1, "m": 1, 3: 4, None: 5})
    for size in (1, 10, 100, 1000, 70_000):
        for _ in range(5):
            yield f"{size} random bytes", rng.randbytes(size)
    for good in valid:
        fields = msgpack.unpackb(good)
        name = TYPES[fields["m"] - 1]
        for cut in sorted({1, len(good) // 2, len(good) - 1}):
            yield f"{name} cut at {cut}", good[:cut]
        for key in fields:
            if key in ("v", "m"):
                continue
            for wrong in (None, -1, 1.5, "x" * 300, "\0", b"\xff\xfe", [], {}, True, 2**64 - 1,
                          [[["deep"]]], {"a": {"b": 1}}, float("nan"), float("inf")):  # fmt: skip
                yield f"{name}.{key} = {wrong!r:.20}", msgpack.packb({**fields, key: wrong})
        if name == "welcome":
            continue  # a flipped bit may make one that holds, and leads a generator's tokens away
        for _ in range(60):
            bad = bytearray(good)
            for _ in range(rng.choice((1, 1, 2, 4))):
                bad[rng.randrange(len(bad))] = rng.randrange(256)
            yield f"{name} with flipped bytes", bytes(bad)


class Peer:
    """A ZeroMQ context of a test; everything is closed at the end."""

    def __init__(self):
        self.context = zmq.Context()
        self.sockets = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for socket in self.sockets:
            socket.close(linger=0)
        self.context.term()

    def _socket(self, kind):
        socket = self.context.socket(kind)
        socket.linger = 0
        self.sockets.append(socket)
        return socket

    def push(self, endpoint):
        socket = self._socket(zmq.PUSH)
        socket.sndtimeo = 10_000
        socket.connect(endpoint)
        return socket

    def pull(self):
        """A bound PULL and its endpoint."""
        socket = self._socket(zmq.PULL)
        socket.rcvtimeo = 10_000
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        return socket, f"tcp://127.0.0.1:{port}"

    def xpub(self, endpoint):
        """A connected XPUB that has seen the gateway's subscription; returns (socket, topic)."""
        socket = self._socket(zmq.XPUB)
        socket.rcvtimeo = 10_000
        socket.sndtimeo = 10_000
        socket.connect(endpoint)
        subscription = socket.recv()
        assert subscription[:1] == b"\1", subscription
        return socket, subscription[1:]

    def sub(self, topic):
        """A bound SUB (a gateway's token socket) and its endpoint."""
        socket = self._socket(zmq.SUB)
        socket.rcvtimeo = 10_000
        socket.subscribe(topic)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        return socket, f"tcp://127.0.0.1:{port}"
