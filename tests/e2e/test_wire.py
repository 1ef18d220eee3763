"""Malformed messages on every ZeroMQ socket: counted and dropped, and whoever got them goes on."""

import random
import threading
import time

import msgpack
import pytest
import zmq

from fakes import llm as fake
from harness import wire
from harness.wait import until
from test_members import Background

pytestmark = [pytest.mark.sanitized, pytest.mark.timeout(300)]

QUESTION = "What pressure does the Kestrel pump run at?"


@pytest.fixture
def peer():
    with wire.Peer() as peer:
        yield peer


def passage(**fields):
    base = dict(id=1, doc="d", title="t", heading="h", source="s", text="A passage.", start=0, end=10,
                hash=5, score=0.5, meta="{}")  # fmt: skip
    return {**base, **fields}


def tasks_of(cluster, kind):
    """The endpoint that a worker of this kind takes tasks at."""
    return next(w["tasks"] for w in cluster.workers() if w["kind"] == kind)


def well(cluster):
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "done", stream.events[-1]
    assert stream.text == "".join(fake.DEFAULT_TOKENS)
    assert stream.one("sources").data["coverage"]["answered"] == 4


def bad_messages(cluster):
    """What the gateway has counted as bad."""
    return sum(value for name, value in cluster.metrics().items() if "bad_messages" in name)


def pids(cluster):
    return [process.pid for process in cluster.processes if process.alive()]


def send_all(socket, messages):
    count = 0
    for _, data in messages:
        socket.send(data)
        count += 1
    return count


def test_the_gateways_hub(cluster, peer):
    before, alive = bad_messages(cluster), pids(cluster)
    hub = peer.push(cluster.hub)
    valid = [
        wire.announcement("nobody/0/lexical", collection="nowhere"),
        wire.message("leave", worker="nobody/0/lexical"),
        wire.message("hits", worker="nobody", task=1, generation="g", queue_us=1, work_us=1,
                     bound=1.0, hits=[passage(), passage(id=2)]),
        wire.message("failed", worker="nobody", task=2, code="x", message="y", status=500),
    ]  # fmt: skip
    send_all(hub, wire.foul_messages(valid, seed=3))
    hub.send_multipart([b"several", b"frames"])
    hub.send_multipart([valid[0], b""])
    hub.send(b"\x93" + b"\0" * (9 << 20))  # larger than a message may be
    until(lambda: bad_messages(cluster) > before + 50, "bad messages are counted")
    well(cluster)
    assert pids(cluster) == alive


def test_messages_that_only_a_gateway_sends_mean_nothing_to_a_gateway(cluster, peer):
    hub = peer.push(cluster.hub)
    for name in wire.TYPES:
        hub.send(wire.message(name, task=1, worker="x", gateway="x", route=0, seq=1, text="x"))
    well(cluster)


def test_the_gateways_tokens_socket(cluster, peer):
    before, alive = bad_messages(cluster), pids(cluster)
    pub, topic = peer.xpub(cluster.tokens)
    valid = [
        wire.message("token", task=1, seq=1, text="fake"),
        wire.message("progress", task=1, seq=1, stage="x", data="{}"),
        wire.message("done", task=1, seq=2, finish="stop", model="m", upstream="u", timings="{}",
                     prompt_tokens=1, completion_tokens=1, passages_used=1),
        wire.message("failed", worker="x", task=1, seq=3, code="x", message="y"),
    ]  # fmt: skip
    count = 0
    for _, data in wire.foul_messages(valid, seed=4):
        pub.send(topic + data)
        count += 1
    pub.send(topic)
    until(lambda: bad_messages(cluster) > before + 50, "bad messages are counted")
    well(cluster)
    assert pids(cluster) == alive


def test_tokens_for_other_peoples_tasks(cluster, peer, llm):
    """Another generator's words never get into an answer, whatever numbers it guesses."""
    pub, topic = peer.xpub(cluster.tokens)
    script, gate = fake.gated(["Mine "], ["only."])
    llm.plan(script)

    def intrude(stream, event):
        if event.name == "token" and not gate._open.is_set():
            for task in range(1, 3000):
                for seq in (1, 2, 50):
                    pub.send(topic + wire.message("token", task=2**40 + task, seq=seq, text="EVIL"))
                pub.send(topic + wire.message("done", task=2**41 + task, seq=1, finish="stop"))
            gate.open()

    stream = cluster.ask(QUESTION, on_event=intrude)
    assert stream.text == "Mine only."
    assert stream.names()[-1] == "done"


def test_hits_for_tasks_that_were_never_given(cluster, peer):
    hub = peer.push(cluster.hub)
    for task in [0, 1, 2**63, 2**64 - 1, *range(10**6, 10**6 + 500)]:
        hub.send(wire.message("hits", worker="ghost/0/lexical", task=task, generation="g", hits=[passage(text="EVIL")]))
        hub.send(wire.message("failed", worker="ghost/0/lexical", task=task, code="x", message="y", retry=True))
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "done"
    assert not any("EVIL" in p["text"] for p in stream.passages)


def test_announcements_that_cannot_be(make_cluster, guide, peer):
    one = make_cluster()
    one.start(guide)
    hub = peer.push(one.hub)
    for tasks in ("", "nonsense", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999",
                  "tcp://no-such-host.invalid:1", "ipc://", "inproc://x", "udp://1.2.3.4:5",
                  "tcp://127.0.0.1:1;tcp://127.0.0.1:2", "x" * 500):  # fmt: skip
        hub.send(wire.announcement(f"odd/{len(tasks)}/lexical", tasks=tasks))
    for kind in ("", "psychic", "generator", "dense"):
        hub.send(wire.announcement(f"odd/{kind}", kind=kind))
    hub.send(wire.announcement("odd/shards", shard=7, shards=2))
    hub.send(wire.announcement("odd/many", shards=2**63))
    hub.send(wire.announcement("odd/zero", shards=0))
    hub.send(wire.announcement("odd/dim", kind="dense", dimension=2**60, space="fake-embed"))
    hub.send(wire.announcement("odd/space", kind="dense", dimension=3, space="fake-embed"))
    hub.send(wire.announcement("odd/period", period_ms=2**64 - 1))
    hub.send(wire.announcement("odd/name\x01\n", collection="do\ncs"))
    hub.send(wire.announcement("", collection="docs"))
    until(lambda: one.get("/healthz").status == 200, "alive")
    # they die out, since they never announce again; then all is as it was
    until(lambda: len(one.ready_workers()) == 5 or len(one.workers()) < 12, "the odd ones leave", 20)
    assert one.gateway.alive()
    stream = one.ask({"question": QUESTION, "hard_ms": 3000, "soft_ms": 500})
    assert stream.names()[-1] == "done"


def test_a_flood_of_workers_is_bounded(make_cluster, guide, peer):
    one = make_cluster()
    one.start(guide)
    hub = peer.push(one.hub)
    for n in range(10_000):
        hub.send(wire.announcement(f"flood-{n}/0/lexical", collection=f"c{n}", ready=False))
    assert one.ask(QUESTION).names()[-1] == "done"
    assert one.gateway.open_files() < 30_000


@pytest.mark.parametrize("kind", ["dense", "lexical"])
def test_a_retrievers_tasks_socket(cluster, peer, kind):
    alive = pids(cluster)
    push = peer.push(tasks_of(cluster, kind))
    search = dict(gateway="g", route=0, task=1, request="r", text="pump", k=3, deadline_ms=1000,
                  vector=wire.vector([0.1] * 64), filter="")  # fmt: skip
    valid = [
        wire.message("search", **search),
        wire.message("cancel", route=0, task=1),
        # (a gateway that the worker does not know; a forged one of its own would be believed)
        wire.message("welcome", gateway="g", route=77, tokens="tcp://127.0.0.1:1"),
    ]
    send_all(push, wire.foul_messages(valid, seed=6))
    for odd in (
        {"k": 0}, {"k": 2**63}, {"route": 99}, {"route": 2**64 - 1}, {"deadline_ms": 0},
        {"deadline_ms": 2**64 - 1}, {"vector": b""}, {"vector": wire.vector([0.1])},
        {"vector": wire.vector([float("nan")] * 64)}, {"vector": wire.vector([float("inf")] * 64)},
        {"vector": wire.vector([1e38] * 64)}, {"vector": b"\0" * 255}, {"text": ""},
        {"text": "x" * 200_000}, {"text": "\" AND ( NOT *"}, {"filter": "{"}, {"gateway": ""},
    ):  # fmt: skip
        push.send(wire.message("search", **{**search, **odd}))
    push.send_multipart([b"several", b"frames"])
    push.send(b"\x93" + b"\0" * (9 << 20))
    well(cluster)
    assert pids(cluster) == alive


def test_a_generators_tasks_socket(cluster, peer, llm):
    alive = pids(cluster)
    push = peer.push(tasks_of(cluster, "generator"))
    generate = dict(gateway="nobody", route=0, task=1, request="r", question="q?", params="{}",
                    passages=[passage()], turns=[{"role": "user", "content": "x"}],
                    deadline_ms=500, window=8)  # fmt: skip
    valid = [
        wire.message("generate", **generate),
        wire.message("credit", route=0, task=1, seq=1, window=5, again=True),
        wire.message("cancel", route=0, task=1),
        wire.message("welcome", gateway="g", route=77, tokens="tcp://127.0.0.1:1"),
    ]
    send_all(push, wire.foul_messages(valid, seed=7))
    for odd in (
        {"params": "{"}, {"params": "[]"}, {"params": '{"messages": 7, "stream": false}'},
        {"window": 0}, {"window": 2**64 - 1}, {"route": 99}, {"max_tokens": 2**64 - 1},
        {"deadline_ms": 0}, {"deadline_ms": 2**64 - 1}, {"question": ""}, {"passages": []},
        {"turns": [{"role": "martian", "content": ""}]}, {"passages": [passage(meta="{")]},
    ):  # fmt: skip
        push.send(wire.message("generate", **{**generate, **odd}))
    for _ in range(50):
        push.send(wire.message("credit", route=0, task=random.randrange(2**63), seq=2**64 - 1, window=2**64 - 1, again=True))
    push.send_multipart([b"several", b"frames"])
    push.send(b"\x93" + b"\0" * (9 << 20))
    llm.reset()
    well(cluster)
    assert pids(cluster) == alive


def test_strangers_that_speak_no_zeromq(cluster):
    """Bare TCP on each ZeroMQ port."""
    import socket

    rng = random.Random(8)
    ports = [cluster.hub, cluster.tokens, tasks_of(cluster, "lexical"), tasks_of(cluster, "generator")]
    for endpoint in ports:
        port = int(endpoint.rsplit(":", 1)[1])
        for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"\xff" + b"\0" * 8 + b"\x7f", rng.randbytes(5000),
                     b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + b"\0" * 48 + b"\x06" + b"\xff" * 8):  # fmt: skip
            with socket.create_connection(("127.0.0.1", port)) as stranger:
                try:
                    stranger.sendall(data)
                except OSError:
                    pass
    well(cluster)


# ---- a worker that we play ourselves ---------------------------------------------------------------------


class FakeRetriever:
    """Announces itself as the one source of a collection, and gets the tasks."""

    def __init__(self, cluster, peer, collection, kind="lexical"):
        self.cluster = cluster
        self.pull, self.endpoint = peer.pull()
        self.pull.rcvtimeo = 50
        self.hub = peer.push(cluster.hub)
        self.worker = f"fake-{collection}/0/{kind}"
        self.collection, self.kind = collection, kind

    def announce(self, **fields):
        self.hub.send(
            wire.announcement(
                self.worker, self.kind, self.endpoint, collection=self.collection, period_ms=60_000, **fields
            )
        )

    def join(self):
        def known():
            self.announce()
            return [w for w in self.cluster.workers() if w["worker"] == self.worker and w["state"] == "ready"]

        until(known, "the fake worker is known")

    def task(self):
        def search():
            try:
                data = self.pull.recv()
            except zmq.Again:
                return None
            for name, fields in wire.unpack(data):
                if name == "search":
                    return fields
            return None

        return until(search, "a SEARCH comes")

    def leave(self):
        self.hub.send(wire.message("leave", worker=self.worker))


def in_background(cluster, **body):
    import threading

    out = {}

    def run():
        out["answer"] = cluster.post("/v1/search", {"question": "anything", **body})

    thread = threading.Thread(target=run)
    thread.start()

    def join():
        thread.join(30)
        assert not thread.is_alive()
        return out["answer"]

    return join


ODD_HITS = {
    "the same passage twice": [passage(), passage()],
    "one text under two ids": [passage(), passage(id=2)],
    "empty text": [passage(text="")],
    "a score beyond all": [passage(score=1e308), passage(id=2, score=-1e308, hash=6, text="Another.")],
    "meta that is no json": [passage(meta="{")],
    "meta that is an array": [passage(meta="[1]")],
    "end before start": [passage(start=10, end=1)],
    "script in every field": [
        passage(doc="<script>", title="<script>", heading="<script>", source="javascript:x", text="</script>")
    ],
    "control characters": [passage(text="a\x01\x1b[31mb\u2028c\u202e")],
    "more than was asked": [passage(id=n, hash=n, text=f"text {n}") for n in range(1, 900)],
    "worst first": [passage(id=n, hash=n, score=n / 10, text=f"text {n}") for n in range(1, 20)],
}


@pytest.mark.parametrize("odd", ODD_HITS)
def test_odd_hits_of_a_worker(cluster, peer, odd):
    fake_worker = FakeRetriever(cluster, peer, "odd-" + "".join(c for c in odd if c.isalpha()))
    fake_worker.join()
    try:
        join = in_background(cluster, collection=fake_worker.collection, k=5)
        task = fake_worker.task()
        assert task["text"] == "anything" and task["k"] >= 5 and task["deadline_ms"] > 0
        fake_worker.hub.send(
            wire.message("hits", worker=fake_worker.worker, task=task["task"], generation="g-000001",
                         queue_us=1, work_us=1, hits=ODD_HITS[odd])
        )  # fmt: skip
        answer = join()
        assert answer.status == 200
        body = answer.json()
        assert body["coverage"]["answered"] == 1
        passages = body["passages"]
        assert len(passages) <= 5
        assert [p["n"] for p in passages] == list(range(1, len(passages) + 1))
        assert len({p["text"] for p in passages}) == len(passages)
    finally:
        fake_worker.leave()


def test_a_worker_that_answers_twice(cluster, peer):
    fake_worker = FakeRetriever(cluster, peer, "twice")
    fake_worker.join()
    try:
        join = in_background(cluster, collection="twice")
        task = fake_worker.task()["task"]
        for text in ("first", "second", "third"):
            fake_worker.hub.send(
                wire.message("hits", worker=fake_worker.worker, task=task, generation="g-000001",
                             hits=[passage(text=text)])
            )  # fmt: skip
        assert [p["text"] for p in join().json()["passages"]] == ["first"]
    finally:
        fake_worker.leave()


def test_a_question_that_never_reached_its_generator_goes_to_another(make_cluster, guide, peer):
    """A generator that says nothing at all of its task did not get it."""
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    deaf = FakeRetriever(one, peer, "none", kind="generator")
    deaf.join()
    asked = Background(one, QUESTION)
    asked.wait_event("sources")
    one.start_generator()
    stream = asked.join()
    assert stream.names()[-1] == "done", stream.events[-1]


def test_a_worker_that_never_answers(cluster, peer):
    fake_worker = FakeRetriever(cluster, peer, "silent")
    fake_worker.join()
    try:
        start = time.monotonic()
        answer = in_background(cluster, collections=["silent", "docs"], soft_ms=200, hard_ms=2000)()
        assert time.monotonic() - start < 2.5
        assert answer.status == 200
        coverage = answer.json()["coverage"]
        assert coverage["answered"] == 4 and coverage["of"] >= 5
        assert coverage["missing"][0]["source"].startswith("silent/0")
        alone = in_background(cluster, collection="silent", hard_ms=300)()
        assert alone.status in (200, 503, 504)
        if alone.status == 200:
            assert alone.json()["coverage"]["answered"] == 0
    finally:
        fake_worker.leave()


def test_a_worker_that_says_why_it_failed(cluster, peer):
    fake_worker = FakeRetriever(cluster, peer, "broken")
    fake_worker.join()
    try:
        join = in_background(cluster, collections=["broken", "docs"])
        fake_worker.hub.send(
            wire.message("failed", worker=fake_worker.worker, task=fake_worker.task()["task"],
                         code="index_gone", message="the disk is on fire")
        )  # fmt: skip
        coverage = join().json()["coverage"]
        assert "disk is on fire" in coverage["missing"][0]["reason"]
    finally:
        fake_worker.leave()


def test_a_busy_worker_without_a_replica_is_asked_again(cluster, peer):
    """Until it takes the question, or the deadline is over."""
    fake_worker = FakeRetriever(cluster, peer, "busy")
    fake_worker.join()
    try:
        join = in_background(cluster, collection="busy", soft_ms=20_000, hard_ms=20_000)
        asked = []
        while len(asked) < 6:
            asked.append(fake_worker.task()["task"])
            if len(asked) < 6:
                fake_worker.hub.send(
                    wire.message("failed", worker=fake_worker.worker, task=asked[-1], code="busy", message="full",
                                 retry=True)
                )  # fmt: skip
        assert len(set(asked)) == 6
        fake_worker.hub.send(
            wire.message("hits", worker=fake_worker.worker, task=asked[-1], generation="g-000001",
                         hits=[passage(text="at last")])
        )  # fmt: skip
        answer = join().json()
        assert [p["text"] for p in answer["passages"]] == ["at last"]
        assert answer["coverage"]["answered"] == answer["coverage"]["of"] == 1
        late = in_background(cluster, collection="busy", soft_ms=150, hard_ms=150)
        start = time.monotonic()
        fake_worker.hub.send(
            wire.message("failed", worker=fake_worker.worker, task=fake_worker.task()["task"], code="busy",
                         message="full", retry=True)
        )  # fmt: skip
        assert late().status in (200, 503, 504)
        assert time.monotonic() - start < 2
    finally:
        fake_worker.leave()


def test_a_client_that_leaves_has_its_tasks_cancelled(cluster, peer):
    fake_worker = FakeRetriever(cluster, peer, "waiting")
    fake_worker.join()
    try:
        connection = cluster.connect()
        connection.request("POST", "/v1/search", {"question": "anything", "collection": "waiting"})
        task = fake_worker.task()["task"]
        connection.close()

        def cancelled():
            try:
                return any(
                    name == "cancel" and fields["task"] == task
                    for name, fields in wire.unpack(fake_worker.pull.recv())
                )
            except zmq.Again:
                return False

        until(cancelled, "CANCEL comes")
    finally:
        fake_worker.leave()


def test_messages_of_a_later_version_have_more_keys(cluster, peer):
    fake_worker = FakeRetriever(cluster, peer, "future")
    until(lambda: (fake_worker.announce(colour="red", later={"a": [1, 2]}),
                   [w for w in cluster.workers() if w["worker"] == fake_worker.worker])[1], "known")  # fmt: skip
    fake_worker.leave()
    until(lambda: not [w for w in cluster.workers() if w["worker"] == fake_worker.worker], "left")


# ---- a gateway that we play ourselves -----------------------------------------------------------------------


class FakeGateway:
    """One generator's gateway: WELCOME, GENERATE, and the tokens as they are published."""

    def __init__(self, peer, cluster):
        self.hub, self.hub_endpoint = peer.pull()
        self.sub, self.sub_endpoint = peer.sub(b"test-gateway")
        self.generator = cluster.start_generator(**{"cluster.gateways": self.hub_endpoint})
        name, fields = wire.unpack(self.hub.recv())[0]
        assert name == "announce" and fields["kind"] == "generator"
        assert not fields.get("ready")
        self.tasks = peer.push(fields["tasks"])
        self.sub.rcvtimeo = 50
        self.seen = []
        self.tasks.send(
            wire.message("welcome", gateway="test-gateway", route=fields.get("route", 0), tokens=self.sub_endpoint)
        )

        def ready():
            self.poll()
            self.hub.rcvtimeo = 50
            try:
                return any(f.get("ready") for n, f in wire.unpack(self.hub.recv()) if n == "announce")
            except zmq.Again:
                return False

        until(ready, "the generator has seen our subscription")

    def poll(self):
        try:
            while True:
                data = self.sub.recv()
                assert data.startswith(b"test-gateway")
                self.seen += wire.unpack(data[len(b"test-gateway") :])
        except zmq.Again:
            pass

    def generate(self, task, **fields):
        base = dict(gateway="test-gateway", route=0, task=task, request="req_test", question="q?",
                    params="{}", passages=[passage()], deadline_ms=20_000, window=64)  # fmt: skip
        self.tasks.send(wire.message("generate", **{**base, **fields}))

    def of(self, task):
        return [(name, fields) for name, fields in self.seen if fields.get("task") == task]

    def wait(self, task, what):
        def look():
            self.poll()
            return what(self.of(task))

        return until(look, "the generator published it")


@pytest.fixture
def gateway(peer, make_cluster):
    return FakeGateway(peer, make_cluster())


def ended(messages):
    return messages and messages[-1][0] in ("done", "failed") and messages


def test_every_message_of_an_answer_is_numbered(gateway, llm):
    gateway.generate(5)
    messages = gateway.wait(5, ended)
    assert messages[-1][0] == "done"
    assert [fields["seq"] for _, fields in messages] == list(range(1, len(messages) + 1))
    text = "".join(fields.get("text", "") for name, fields in messages if name == "token")
    assert text == "".join(fake.DEFAULT_TOKENS)


def test_the_window_pauses_the_llms_transfer(gateway, llm):
    """Without credit no message past the window leaves; with credit the rest comes, none lost."""
    tokens = [f"{n} " for n in range(200)]
    llm.plan(fake.stream(tokens, every=0.001))
    gateway.generate(6, window=10)
    gateway.wait(6, lambda messages: len(messages) >= 10)
    asked = llm.last()
    until(lambda: asked.done_at or len(asked.sent) > 150, "the LLM has written on")
    gateway.poll()
    assert max(fields["seq"] for _, fields in gateway.of(6)) == 10
    while not ended(gateway.of(6)):
        seen = max(fields["seq"] for _, fields in gateway.of(6))
        gateway.tasks.send(wire.message("credit", route=0, task=6, seq=seen, window=10))
        gateway.wait(6, lambda messages: max(f["seq"] for _, f in messages) > seen)
        assert max(fields["seq"] for _, fields in gateway.of(6)) <= seen + 10
    messages = gateway.of(6)
    assert [fields["seq"] for _, fields in messages] == list(range(1, len(messages) + 1))
    text = "".join(fields.get("text", "") for name, fields in messages if name == "token")
    assert text == "".join(tokens)


def test_what_is_not_acknowledged_is_sent_again_on_request(gateway, llm):
    gateway.generate(7, window=64)
    first = list(gateway.wait(7, ended))
    gateway.tasks.send(wire.message("credit", route=0, task=7, seq=2, window=64, again=True))
    messages = gateway.wait(7, lambda messages: len(messages) >= 2 * len(first) - 2 and messages)
    again = messages[len(first) :]
    assert [fields["seq"] for _, fields in again] == list(range(3, len(first) + 1))
    assert again == first[2:], "the same messages, byte for byte"


def test_a_cancelled_answer_stops_at_once(gateway, llm):
    llm.plan(fake.silent(["word "]))
    gateway.generate(8)
    gateway.wait(8, lambda messages: any(name == "token" for name, _ in messages))
    gateway.tasks.send(wire.message("cancel", route=0, task=8))
    asked = llm.last()
    until(lambda: asked.hung_up_at, "the transfer is closed")


def test_msgpack_of_the_tests_is_what_the_programs_speak(gateway):
    """The harness itself: what it packs and unpacks is the real protocol."""
    packed = wire.message("cancel", task=3)
    assert msgpack.unpackb(packed) == {"v": 1, "m": 9, "task": 3}


def test_tasks_of_a_lost_retriever_wait_where_the_other_is_full(make_cluster, peer):
    """Its replica has as much as it may have: the search waits for it, and is not given up."""
    one = make_cluster(**{"gateway.max_outstanding": 1, "gateway.hedge_share": 0, "gateway.hard_ms": 20000})
    one.start_gateway()
    hub, stop, dead = peer.push(one.hub), threading.Event(), threading.Event()
    sockets = {name: peer.pull() for name in ("first", "second")}

    def announce():
        while not stop.wait(0.03):
            for name, (_, endpoint) in sockets.items():
                if name == "second" or not dead.is_set():
                    hub.send(wire.announcement(name, tasks=endpoint, period_ms=100))

    def answer(name):
        """Takes a search at the second and answers it."""
        while True:
            for kind, fields in wire.unpack(sockets[name][0].recv()):
                if kind == "search":
                    answers.send(wire.message("hits", worker=name, task=fields["task"], generation="g-000001", hits=[passage()]))
                    return

    announcing = threading.Thread(target=announce)
    announcing.start()
    answers, results = peer.push(one.hub), []
    body = {"question": "pump", "kinds": ["lexical"], "soft_ms": 20000}
    asking = [threading.Thread(target=lambda: results.append(one.post("/v1/search", body))) for _ in range(2)]
    try:
        one.wait_workers(2)
        for thread in asking:
            thread.start()
        until(lambda: sum(w["outstanding"] for w in one.workers()) == 2, "each has one")
        dead.set()
        until(lambda: len(one.workers()) == 1, "the first is lost")
        answer("second")
        answer("second")
        for thread in asking:
            thread.join(20)
    finally:
        stop.set()
        announcing.join()
    assert [r.status for r in results] == [200, 200], [r.body for r in results]
    assert all(r.json()["coverage"]["answered"] == 1 for r in results)
