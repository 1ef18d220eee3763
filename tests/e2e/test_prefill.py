"""Prompts that are read ahead, on a real llama.cpp server: the test is the gateway of a real generator."""

import json
import statistics
import time

import pytest

from conftest import end_cluster, new_cluster
from harness import wire
from harness.wait import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

GATEWAY = "gateway-of-the-test"
THINGS = "pump valve gauge boiler filter turbine piston gasket nozzle burner".split()


def passages_of(seed, count=3):
    """Passages of some 110 words, other ones for each seed."""
    out = []
    for n in range(count):
        thing = THINGS[(seed + n) % len(THINGS)]
        text = " ".join(
            f"Part {seed}{n}{part} of the {thing} is checked every {seed + n * 7 + part} hours by two people."
            for part in range(9)
        )
        out.append(
            dict(id=n + 1, doc=f"d{n}", title=f"The {thing}", heading="", source="s.md", text=text,
                 start=0, end=len(text), hash=seed * 100 + n, score=0.5, meta="")
        )  # fmt: skip
    return out


class Generator:
    """A generator, and its gateway's half of the conversation."""

    def __init__(self, cluster, peer):
        hub, cluster.hub = peer.pull()
        self.tokens, endpoint = peer.sub(GATEWAY.encode())
        self.process = cluster.start_generator()
        self.announced = {}
        self.count = 0
        self.push = None
        while not self.push or not self.announced.get("ready"):
            self._hear(hub)
            self.tokens.poll(20)  # a SUB subscribes when it is looked at
            if not self.push and "tasks" in self.announced:
                self.push = peer.push(self.announced["tasks"])
                self.push.send(wire.message("welcome", gateway=GATEWAY, tokens=endpoint))
        self.hub = hub

    def _hear(self, hub):
        for name, fields in wire.unpack(hub.recv()):
            if name == "announce":
                self.announced = fields

    def until_of_use(self):
        while not self.announced.get("prefill"):
            self._hear(self.hub)

    def send(self, passages, question, **fields):
        self.count += 1
        self.push.send(
            wire.message("generate", gateway=GATEWAY, task=self.count, request=f"req_{self.count}", question=question,
                         passages=passages, params='{"temperature":0,"seed":1}', max_tokens=24, deadline_ms=120_000,
                         window=10_000, **fields)
        )  # fmt: skip
        return self.count, time.monotonic()

    def finish(self, task, asked):
        """(first token in ms, the text, DONE's fields)"""
        first, text = None, ""
        self.tokens.rcvtimeo = 120_000
        while True:
            data = self.tokens.recv()
            for name, fields in wire.unpack(data[len(GATEWAY) :]):
                if fields["task"] != task:
                    continue
                assert name != "failed", fields
                if name == "token" and fields.get("text"):
                    first = first or (time.monotonic() - asked) * 1000
                    text += fields["text"]
                if name == "done":
                    return first, text, {**fields, "timings": json.loads(fields["timings"])}

    def ask(self, passages, question, **fields):
        return self.finish(*self.send(passages, question, **fields))


@pytest.fixture(scope="module")
def generators(work, real_llm):
    """One that reads ahead and one that does not, at the same server."""
    with wire.Peer() as peer:
        clusters, out = [], []
        for mode in ("auto", "off"):
            cluster = new_cluster(work, f"prefill-{mode}", llm=real_llm, **{"llm.prefill": mode, "log.level": "debug", "llm.first_token_ms": 300_000})
            clusters.append(cluster)
            out.append(Generator(cluster, peer))
        out[0].until_of_use()
        yield out
        for cluster in clusters:
            end_cluster(cluster)


QUESTION = "How often is the part checked, and by how many people?"


def test_a_prefilled_prompt_is_the_same_and_its_first_word_comes_sooner(generators):
    ahead, plain = generators
    ratios = []
    for seed in (20, 40):
        passages = passages_of(seed)
        # the same length, other passages: nothing of it is in a cache
        cold, _, cold_done = plain.ask(passages_of(seed + 5), QUESTION)
        _, _, read = ahead.ask(passages, "How often is", prefill=True)
        assert read["finish"] == "prefilled", read
        assert read["prompt_tokens"] > 350
        warm, text, done = ahead.ask(passages, QUESTION)
        assert text
        timings = done["timings"]
        assert timings["cached_tokens"] > 0.9 * done["prompt_tokens"], timings
        assert timings["read_tokens"] < 60
        assert cold_done["timings"]["cached_tokens"] < 0.3 * cold_done["prompt_tokens"], cold_done
        _, other, again = plain.ask(passages, QUESTION)
        assert again["timings"]["prompt_hash"] == timings["prompt_hash"]
        # whose arithmetic may depend on how the prompt was cut into batches
        print("the same text" if other == text else f"another text: {other!r}, prefilled {text!r}")
        ratios.append(cold / warm)
        print(f"first token: {cold:.0f} ms, prefilled {warm:.0f} ms ({cold / warm:.1f} times sooner)")
    assert statistics.median(ratios) >= 3


def test_a_question_during_its_own_prefill_waits_for_it(generators):
    ahead, _ = generators
    passages = passages_of(80)
    reading, _ = ahead.send(passages, "How", prefill=True)
    until(lambda: f"req_{reading} prompted -> asking" in ahead.process.log(), "it is asked")
    task, asked = ahead.send(passages, QUESTION)
    _, text, done = ahead.finish(task, asked)
    assert text
    # it waited; and where it is told to go on before the end (10 s without a sign), what was read is kept
    assert done["timings"]["cached_tokens"] > 0.5 * done["prompt_tokens"], done["timings"]


def test_another_question_does_not_wait(generators):
    ahead, _ = generators
    reading, began = ahead.send(passages_of(100), "How", prefill=True)
    first, text, done = ahead.ask([], "What is the capital of France?")
    assert text and done["finish"] in ("stop", "length")
