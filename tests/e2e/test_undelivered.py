"""A task that cannot be sent is not one without room, and what is sent is accepted: every question ends, with the
answer or an error, and no question waits behind another's fault."""

import json
import threading

import pytest
import zmq

from fakes import llm as fake
from fakes.server import Send
from harness import wire
from harness.cluster import build_index
from harness.wait import until
from test_members import Background
from test_wire import passage

pytestmark = [pytest.mark.sanitized, pytest.mark.timeout(300)]

QUESTION = "What pressure does the Kestrel pump run at?"
SETTINGS = {"gateway.timeout_ms": 20_000, "llm.first_token_ms": 1500, "llm.idle_ms": 1000}


@pytest.fixture
def peer():
    with wire.Peer() as peer:
        yield peer


def counted(cluster, name):
    return sum(value for key, value in cluster.metrics().items() if key.startswith(name))


# ---- what an LLM server says ---------------------------------------------------------------------------------


def test_a_content_type_that_is_not_utf8(cluster, llm):
    llm.plan([Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/caf\xe9\r\nContent-Length: 2\r\n\r\nhi")])
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "error", stream.names()
    assert "text/caf\ufffd" in stream.error["message"] or "request" in stream.error["message"]


@pytest.mark.parametrize("said", [{"model": "m" * 300}, {"model": "é" * 200}, {"finish": "é" * 20}, {"finish": "x" * 3000}],
                         ids=["model", "model of two-byte letters", "finish", "long finish"])  # fmt: skip
def test_names_that_are_too_long(cluster, llm, said):
    llm.plan(fake.stream_bytes(b"".join(fake.events_of(["It ", "runs."], **said)), (10**6,)))
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "done", stream.events[-1]
    assert stream.text == "It runs."


def test_an_error_whose_message_is_no_utf8(cluster, llm):
    body = b'{"error": {"message": "' + "é".encode() * 900 + b'\xe9"}}'
    llm.plan([Send(b"HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)])
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "error", stream.names()


def test_more_words_at_once_than_a_message_takes(cluster, llm):
    text = "é" * 150_000
    llm.plan(fake.stream_bytes(b"".join(fake.events_of([text])), (10**6,)))
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] in ("done", "error"), stream.events[-1]
    if stream.names()[-1] == "done":
        assert stream.text == text


# ---- a message that the other side cannot read ---------------------------------------------------------------


def test_a_token_that_cannot_be_read_ends_its_answer(cluster, peer, llm):
    """As another version might send it: the client gets an error at once, not a stream without an end."""
    with Retrievers(cluster, peer, "unread", 1, 3, 100), Generator(cluster, peer) as generator:
        llm.plan(fake.never())
        asked = Background(cluster, {"question": QUESTION, "collection": "unread"})
        task = generator.take()
        if task is None:
            asked.join()
            pytest.skip("another generator got the task")
        generator.say(wire.message("token", task=task["task"], seq=1, text=b"\xff"))
        stream = asked.join(10)
    assert stream.names()[-1] == "error", stream.names()
    assert stream.error["code"] == "bad_message"


# ---- what is too large ------------------------------------------------------------------------------------------


class Retrievers:
    """So many shards of a collection, each with so many passages of so many bytes."""

    def __init__(self, cluster, peer, collection, shards, hits, size):
        self.cluster, self.collection, self.shards = cluster, collection, shards
        self.hits = [[passage(id=n + 1, hash=1000 * shard + n + 1, doc=f"d{shard}-{n}", score=100.0 - n - shard / 100,
                              text=f"{shard}-{n} " + "wort " * (size // 5)) for n in range(hits)] for shard in range(shards)]  # fmt: skip
        self.pulls = [peer.pull() for _ in range(shards)]
        self.hub = peer.push(cluster.hub)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def worker(self, shard):
        return f"fake-{self.collection}/{shard}/lexical"

    def run(self):
        poller = zmq.Poller()
        for pull, _ in self.pulls:
            poller.register(pull, zmq.POLLIN)
        while not self.over.is_set():
            for shard, (_, endpoint) in enumerate(self.pulls):
                self.hub.send(wire.announcement(self.worker(shard), tasks=endpoint, collection=self.collection, shard=shard,
                                                shards=self.shards, period_ms=60_000))  # fmt: skip
            ready = dict(poller.poll(100))
            for shard, (pull, _) in enumerate(self.pulls):
                if pull not in ready:
                    continue
                for name, fields in wire.unpack(pull.recv()):
                    if name == "search":
                        self.hub.send(wire.message("hits", worker=self.worker(shard), task=fields["task"],
                                                   generation="g-000001", hits=self.hits[shard][: fields["k"]]))  # fmt: skip

    def __enter__(self):
        self.thread.start()
        names = {self.worker(shard) for shard in range(self.shards)}
        until(lambda: names <= {w["worker"] for w in self.cluster.workers() if w["state"] == "ready"}, "the fakes are known")
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for shard in range(self.shards):
            self.hub.send(wire.message("leave", worker=self.worker(shard)))


class Generator:
    """A generator that is free, and says what it is told to."""

    def __init__(self, cluster, peer):
        self.cluster = cluster
        self.pull, self.endpoint = peer.pull()
        self.pull.rcvtimeo = 3000
        self.hub = peer.push(cluster.hub)
        self.pub, self.topic = peer.xpub(cluster.tokens)

    def __enter__(self):
        self.hub.send(wire.announcement("fake-generator", "generator", self.endpoint, slots=64, model="fake", period_ms=60_000))
        until(lambda: "fake-generator" in {w["worker"] for w in self.cluster.workers()}, "the fake is known")
        return self

    def __exit__(self, *_):
        self.hub.send(wire.message("leave", worker="fake-generator"))

    def take(self):
        try:
            while True:
                for name, fields in wire.unpack(self.pull.recv()):
                    if name == "generate":
                        return fields
        except zmq.Again:
            return None

    def say(self, data):
        self.pub.send(self.topic + data)


def test_a_task_above_the_largest_frame(cluster, peer):
    """Five shards, passages of 100 KB each, k: 100. The last ones are left out, which is said; nobody waits."""
    before = counted(cluster, 'ragline_trimmed_passages_total{how="left_out"}')
    with Retrievers(cluster, peer, "large", 5, 20, 100_000):
        large = Background(cluster, {"question": QUESTION, "collection": "large", "k": 100, "hard_ms": 15_000, "soft_ms": 15_000})
        small = Background(cluster, QUESTION)
        assert small.join().names()[-1] == "done"
        stream = large.join()
    assert stream.names()[-1] == "done", stream.events[-1]
    assert len(stream.passages) == 100
    left_out = stream.one("timings").data["passages_left_out"]
    assert 10 < left_out < 40
    assert any(e.name == "status" and e.data.get("state") == "passages_left_out" for e in stream.events)
    assert counted(cluster, 'ragline_trimmed_passages_total{how="left_out"}') == before + left_out


def test_hits_above_the_largest_message(make_cluster, work, llm):
    """A retriever's best hits come where all are too many: today's limit cost the whole source."""
    folder = work / "long-passages"
    folder.mkdir()
    with open(folder / "long.jsonl", "w", encoding="utf-8") as out:
        for n in range(100):  # what a passage carries besides its text is of no smaller weight
            out.write(json.dumps({"id": f"d{n}", "text": f"The kestrel number {n} flies.", "notes": "y" * 60_000}) + "\n")
    build_index(work / "long", [folder], None, "long")
    one = make_cluster(**{"gateway.collections": "long"}, embed=None)
    one.start_gateway()
    one.start_retriever(work / "long")
    one.wait_workers(1)
    found = one.post("/v1/search", {"question": "kestrel", "k": 100, "hard_ms": 15_000, "soft_ms": 15_000}).json()
    assert 20 < len(found["passages"]) < 100
    assert found["coverage"]["answered"] == 1
    assert found["timings"]["passages_left_out"] == 100 - len(found["passages"])
