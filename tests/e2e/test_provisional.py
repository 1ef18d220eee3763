"""An answer is begun while a slow source is still awaited, and begun again if that one changes the passages."""

import threading

import pytest

from fakes import embed as fake_embed
from harness.wait import until

pytestmark = pytest.mark.sanitized

SETTINGS = {"gateway.provisional_ms": 20, "gateway.provisional_share": 1, "gateway.soft_ms": 20000, "gateway.hard_ms": 30000, "embed.timeout_ms": 20000}
QUESTION = "What pressure does the Kestrel pump run at?"


class Slow:
    """The embedding server waits at a gate; the lexical sources have answered long before."""

    def __init__(self, embed, instead=None):
        self.gate = threading.Event()

        def script(recorded):
            self.gate.wait(20)
            change = (lambda vectors: [fake_embed.embed(instead, embed.dimension)]) if instead else None
            body = fake_embed.body_of(recorded, embed.dimension, change)
            return [fake_embed.Send(fake_embed.json_response(200, body))]

        embed.always(script)


class Asked:
    def __init__(self, cluster, body):
        self.events, self.stream = [], None

        def run():
            self.stream = cluster.ask(body, on_event=lambda stream, event: self.events.append(event))

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def join(self):
        self.thread.join(30)
        assert not self.thread.is_alive(), [event.name for event in self.events]
        return self.stream


def test_what_changes_nothing_is_not_waited_for(cluster, llm, embed):
    slow = Slow(embed)
    asked = Asked(cluster, {"question": QUESTION, "k": 1, "weights": {"dense": 0.001}})
    llm.wait_requests(1)  # it writes already
    assert [event.name for event in asked.events if event.name in ("sources", "token")] == []
    slow.gate.set()
    stream = asked.join()
    timings = stream.one("timings").data
    assert timings["provisional"] == "kept"
    assert stream.complete and stream.text
    assert stream.one("sources").data["coverage"]["answered"] == 4
    assert len(llm.requests) == 1
    names = stream.names()
    assert names.index("sources") < names.index("token")
    assert abs(sum(state["ms"] for state in timings["states"]) - timings["total_ms"]) < 0.01
    path = timings["critical_path"]
    assert abs(sum(step["ms"] for step in path) - timings["first_token_ms"]) < 0.01


def test_what_changes_the_passages_begins_the_answer_again(cluster, llm, embed):
    slow = Slow(embed, instead="Osprey valve closes seconds")
    asked = Asked(cluster, {"question": QUESTION, "k": 1, "weights": {"dense": 1, "lexical": 0.001}})
    llm.wait_requests(1)
    slow.gate.set()
    stream = asked.join()
    assert stream.one("timings").data["provisional"] == "restarted"
    assert stream.complete and stream.text
    assert "Osprey" in stream.passages[0]["text"]
    assert len(llm.requests) == 2
    assert "Osprey" in llm.requests[-1].body.decode()
    assert stream.text.count(stream.text[:20]) == 1  # nothing of the first is in it


def test_the_generator_is_lost_meanwhile(make_cluster, guide, llm, embed):
    one = make_cluster(**SETTINGS)
    one.start_gateway()
    one.start_retriever(guide)
    first = one.start_generator()
    one.wait_workers(5)
    slow = Slow(embed)
    asked = Asked(one, {"question": QUESTION, "k": 1, "weights": {"dense": 0.001}})
    llm.wait_requests(1)
    one.start_generator()
    one.wait_workers(6)
    first.kill()
    until(lambda: len(one.ready_workers("generator")) == 1, "the generator is lost")
    slow.gate.set()
    stream = asked.join()
    assert stream.complete and stream.text
    assert len(llm.requests) == 2


def test_the_client_goes_away_meanwhile(cluster, llm, embed):
    slow = Slow(embed)
    with cluster.connect() as client:
        client.request("POST", "/v1/ask", {"question": QUESTION, "k": 1})
        llm.wait_requests(1)
    try:
        cluster.wait_idle()
    finally:
        slow.gate.set()


def test_what_is_in_time_is_not_begun_early(cluster, llm):
    stream = cluster.ask({"question": QUESTION})
    assert "provisional" not in stream.one("timings").data
    assert len(llm.requests) == 1
