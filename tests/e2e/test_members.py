"""Workers come and go, gateways restart, processes are asked to end in the middle of answers."""

import signal
import threading
import time

import pytest

from fakes import embed as fake_embed
from fakes import llm as fake
from harness.cluster import build_index, check_error, error_of
from harness.documents import write
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"


class Background:
    """A question asked in a thread of its own."""

    def __init__(self, cluster, body, **more):
        self.events = []
        self.result = None

        def look(stream, event):
            self.events.append(event)

        def run():
            try:
                self.result = cluster.ask(body, on_event=look, **more)
            except Exception as why:  # raised again in join()
                self.result = why

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def wait_event(self, name):
        return until(lambda: [e for e in self.events if e.name == name], f"a {name} event")

    def join(self, timeout=30):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"no end; so far {[e.name for e in self.events]}"
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


# ---- who is there ---------------------------------------------------------------------------------------


def test_nobody_is_there(make_cluster):
    one = make_cluster()
    one.start_gateway()
    assert one.get("/healthz").status == 200
    ready = one.get("/readyz")
    assert ready.status == 503
    said = ready.body.decode().lower()
    assert "retriever" in said and "generator" in said
    assert ready.headers["content-type"].startswith("application/json")
    assert one.workers() == []
    for path in ("/v1/ask", "/v1/search"):
        answer = one.post(path, {"question": QUESTION, "stream": False})
        if path == "/v1/search":
            answer = one.post(path, {"question": QUESTION})
        assert answer.status == 503, (path, answer.status, answer.body)
        assert "ragline-" in error_of(answer)["message"], "what to start"


def test_no_generator(make_cluster, guide):
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    assert one.search(QUESTION)["passages"], "a search needs none"
    ready = one.get("/readyz")
    assert ready.status == 503 and "generator" in ready.body.decode()
    answer = one.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert answer.status == 503
    assert "generator" in error_of(answer)["message"]
    stream = one.ask(QUESTION)
    if stream.head.status == 200:
        assert stream.names()[-1] == "error"
        check_error(stream.error)
    else:
        assert stream.head.status == 503


def test_ready_when_both_are_there(make_cluster, guide):
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(guide)
    one.start_generator()
    until(lambda: one.get("/readyz").status == 200, "ready")
    kinds = ["dense", "dense", "generator", "lexical", "lexical"]  # it is ready with one of each, the others follow
    until(lambda: sorted(worker["kind"] for worker in one.ready_workers()) == kinds, "all are there")


def test_one_shard_is_missing(make_cluster, guide):
    """Only shard 0 is served; the other is known of, since the index has two."""
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(guide, **{"retriever.shards": "0"})
    one.start_generator()
    one.wait_workers(3)
    stream = one.ask(QUESTION)
    assert stream.complete and stream.names()[-1] == "done"
    coverage = stream.one("sources").data["coverage"]
    assert (coverage["answered"], coverage["of"]) == (2, 4)
    assert {m["source"] for m in coverage["missing"]} == {"docs/1/dense", "docs/1/lexical"}
    assert all(m["reason"] for m in coverage["missing"])
    assert "2 of 4" in stream.one("sources").data["message"]
    assert stream.one("done").data["coverage"] == coverage
    answer = one.post("/v1/search", {"question": QUESTION, "require": "all"})
    assert answer.status == 503
    assert "docs/1" in error_of(answer)["message"]


def test_shards_and_kinds_in_processes_of_their_own(make_cluster, guide):
    one = make_cluster()
    one.start_gateway()
    for shard in "01":
        for kind in ("dense", "lexical"):
            one.start_retriever(guide, **{"retriever.shards": shard, "retriever.kinds": kind})
    one.start_generator()
    one.wait_workers(5)
    stream = one.ask(QUESTION)
    assert stream.one("sources").data["coverage"] == {"answered": 4, "of": 4, "missing": []}
    assert len({w["worker"].split("/")[0] for w in one.workers()}) == 5


def test_one_process_for_two_collections(make_cluster, guide, cooking):
    one = make_cluster()
    one.start_gateway()
    try:
        one.start_retriever(f"{guide},{cooking}")
        one.wait_workers(6)
    finally:
        pass
    answer = one.search("sourdough pump", collections=["docs", "cooking"], k=20)
    assert {p["collection"] for p in answer["passages"]} == {"docs", "cooking"}


def test_a_worker_that_leaves_is_out_of_use_at_once(make_cluster, guide):
    one = make_cluster(**{"cluster.announce_ms": 5000})
    one.start_gateway()
    one.start_retriever(guide)
    second = one.start_retriever(guide)
    one.wait_workers(8)
    second.stop()
    until(lambda: len(one.workers()) == 4, "its workers are gone, long before an announcement is due", 3)
    assert one.search(QUESTION)["coverage"]["answered"] == 4


def test_a_worker_that_dies_is_out_of_use_soon(make_cluster, guide):
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(guide)
    second = one.start_retriever(guide)
    one.wait_workers(8)
    second.kill()
    until(lambda: len(one.ready_workers()) == 4, "its workers are out of use", 5)
    assert one.search(QUESTION)["coverage"]["answered"] == 4


def test_workers_that_were_there_first(make_cluster, guide):
    """The gateway comes last: all the same everyone is known within a second of its start."""
    one = make_cluster()
    one.start_retriever(guide)
    one.start_generator()
    one.start_gateway()
    up = time.monotonic()
    one.wait_ready()
    assert time.monotonic() - up < 3
    assert one.ask(QUESTION).names()[-1] == "done"


def test_a_restarted_gateway_knows_its_workers_again(make_cluster, guide):
    one = make_cluster()
    one.start(guide)
    assert one.ask(QUESTION).names()[-1] == "done"
    one.gateway.kill()
    one.start_gateway()
    up = time.monotonic()
    one.wait_workers(5)
    until(lambda: one.get("/readyz").status == 200, "ready")
    assert time.monotonic() - up < 1.0, "within a second"
    stream = one.ask(QUESTION)
    assert stream.names()[-1] == "done"
    assert stream.one("sources").data["coverage"]["answered"] == 4


def test_two_gateways_share_the_workers(make_cluster, guide):
    one = make_cluster()
    two = make_cluster()
    both = {"cluster.gateways": f"{one.hub},{two.hub}"}
    one.start_gateway()
    two.start_gateway()
    one.start_retriever(guide, **both)
    one.start_generator(**both)
    for cluster in (one, two):
        until(lambda: cluster.get("/readyz").status == 200, "ready")
        cluster.wait_workers(5)
    pending = [Background(c, QUESTION) for c in (one, two) * 10]
    for question in pending:
        stream = question.join()
        assert stream.text == "".join(fake.DEFAULT_TOKENS)
        assert stream.names()[-1] == "done"


# ---- killed in the middle ------------------------------------------------------------------------------------


def test_a_retriever_stopped_in_the_middle_of_a_search(make_cluster, guide):
    """SIGSTOP: its tasks never come back; the answer goes on with what is there, or elsewhere."""
    one = make_cluster(**{"gateway.soft_ms": 300, "gateway.hard_ms": 1500})
    one.start(guide)
    retriever = one.processes[1]
    retriever.signal(signal.SIGSTOP)
    try:
        start = time.monotonic()
        stream = one.ask(QUESTION)
        took = time.monotonic() - start
    finally:
        retriever.signal(signal.SIGCONT)
    assert took < 6
    assert stream.complete or stream.head.status == 503
    if stream.head.status == 200:
        last = stream.events[-1]
        assert last.name in ("done", "error")
        if last.name == "done":
            assert last.data["coverage"]["answered"] < 4
    one.wait_workers(5)
    assert one.search(QUESTION)["coverage"]["answered"] == 4


def test_tasks_of_a_killed_retriever_go_to_another(make_cluster, guide):
    """Two replicas, one is stopped with tasks in its queue and then killed: nothing is missing."""
    one = make_cluster(**{"gateway.soft_ms": 8000, "gateway.hard_ms": 10000})
    one.start_gateway()
    first = one.start_retriever(guide)
    one.start_retriever(guide)
    one.start_generator()
    one.wait_workers(9)
    first.signal(signal.SIGSTOP)
    pending = [Background(one, f"{QUESTION} {n}") for n in range(8)]
    for question in pending:
        question.wait_event("status")
    first.kill()
    for question in pending:
        stream = question.join()
        assert stream.names()[-1] == "done", stream.events[-1]
        assert stream.one("sources").data["coverage"]["answered"] == 4


def test_a_generator_killed_before_the_first_token(make_cluster, guide, llm):
    """The same prompt goes to another generator."""
    one = make_cluster()
    one.start(guide, generators=2)
    llm.plan(fake.never())
    question = Background(one, QUESTION)
    asked = llm.wait_requests(1)[0]
    for process in one.processes:
        if process.name.startswith("ragline-generator") and connected(process, asked, llm):
            process.kill()
            break
    else:
        pytest.fail("no generator holds the transfer")
    stream = question.join()
    assert stream.names()[-1] == "done", stream.events[-1]
    assert stream.text == "".join(fake.DEFAULT_TOKENS)
    assert stream.names().count("sources") == 1
    assert len(llm.asked()) == 2


def test_a_generator_killed_in_the_middle_of_an_answer(make_cluster, guide, llm):
    """Some words were shown: an explicit error, or the rest of the answer; never a silent end."""
    one = make_cluster()
    one.start(guide)
    llm.plan(fake.silent(["Some ", "words "]))
    question = Background(one, QUESTION)
    question.wait_event("token")
    one.processes[-1].kill()
    stream = question.join()
    assert stream.complete
    assert stream.names()[-1] == "error", stream.names()
    check_error(stream.error)
    one.start_generator()
    one.wait_ready()
    assert one.ask(QUESTION).names()[-1] == "done", "a new generator serves at once"


def test_a_generator_killed_while_it_leaves(make_cluster, guide, llm):
    """It said that it leaves and announces itself no more: that it has died is noticed all the same."""
    one = make_cluster()
    one.start(guide)
    first = one.processes[-1]
    llm.always(fake.silent())
    asked = Background(one, QUESTION)
    llm.wait_requests(1)
    first.signal(signal.SIGTERM)
    until(lambda: not one.ready_workers("generator"), "it takes no more")
    one.start_generator()
    one.wait_workers(1, kind="generator")
    llm.reset()
    first.kill()
    stream = asked.join()
    assert stream.complete and stream.names()[-1] == "done"
    one.wait_idle()


def test_all_generators_go_while_questions_wait(make_cluster, guide, llm):
    """Those in the queue are told so soon, every one of them, not at the end of their time."""
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(guide)
    generator = one.start_generator(**{"generator.slots": 1, "generator.queue": 0})
    one.wait_ready()
    llm.always(fake.silent())
    asked = [Background(one, QUESTION) for _ in range(4)]
    for each in asked:
        each.wait_event("sources")
    until(lambda: one.metrics()["ragline_questions_waiting"] >= 2, "questions wait for a generator")
    generator.kill()
    for each in asked:
        stream = each.join()
        check_error(stream.error)
        assert stream.error["code"] == "no_generator"
    one.wait_idle()


def connected(process, recorded, llm):
    """Whether this process holds a connection to the fake (by /proc)."""
    import os

    inodes = set()
    for link in os.scandir(f"/proc/{process.pid}/fd"):
        try:
            inodes.add(os.readlink(link.path))
        except OSError:
            continue
    port = f":{llm.port:04X}"
    with open("/proc/net/tcp") as table:
        for line in table:
            fields = line.split()
            if len(fields) > 9 and fields[2].endswith(port) and fields[3] == "01":
                if f"socket:[{fields[9]}]" in inodes:
                    return True
    return False


# ---- SIGTERM in the middle of answers -------------------------------------------------------------------------


def test_the_gateway_finishes_answers_and_refuses_new_ones(make_cluster, guide, llm):
    one = make_cluster()
    one.start(guide)
    script, gate = fake.gated(["Begun "], ["and ended."])
    llm.plan(script)
    idle = one.connect()  # opened before, used after
    idle.request("GET", "/healthz")
    assert idle.response().status == 200
    question = Background(one, QUESTION)
    question.wait_event("token")
    one.gateway.signal(signal.SIGTERM)
    one.gateway.wait_log("(?i)termin|finish|drain|stop")

    def refused():
        try:
            idle.request("POST", "/v1/ask", {"question": QUESTION})
            answer = idle.response()
        except OSError:
            return True  # closed
        return answer.status == 503

    until(refused, "new questions are refused")
    with pytest.raises(OSError):
        one.get("/healthz")
    gate.open()
    stream = question.join()
    assert stream.text == "Begun and ended."
    assert stream.names()[-1] == "done"
    assert one.gateway.wait() == 0
    idle.close()


def test_the_gateways_grace_has_an_end(make_cluster, guide, llm):
    one = make_cluster(**{"gateway.grace_ms": 300})
    one.start(guide)
    llm.plan(fake.silent(["Begun "]))
    question = Background(one, QUESTION)
    question.wait_event("token")
    start = time.monotonic()
    one.gateway.signal(signal.SIGTERM)
    assert one.gateway.wait() == 0
    assert time.monotonic() - start < 5
    stream = question.join()
    assert "done" not in stream.names()
    asked = llm.asked()[0]
    until(lambda: asked.hung_up_at, "the transfer from the LLM is closed")


def test_a_generator_finishes_its_answers(make_cluster, guide, llm):
    one = make_cluster()
    one.start(guide)
    generator = one.processes[-1]
    script, gate = fake.gated(["Begun "], ["and ended."])
    llm.plan(script)
    question = Background(one, QUESTION)
    question.wait_event("token")
    generator.signal(signal.SIGTERM)
    until(lambda: not one.ready_workers("generator"), "it takes no more")
    refused = one.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert refused.status == 503
    gate.open()
    stream = question.join()
    assert stream.text == "Begun and ended." and stream.names()[-1] == "done"
    assert generator.wait() == 0


def test_a_retriever_ends_while_questions_come(make_cluster, guide):
    """A replica is asked to end under load: no question fails or misses anything."""
    one = make_cluster()
    one.start_gateway()
    first = one.start_retriever(guide)
    one.start_retriever(guide)
    one.wait_workers(8)
    stop = threading.Event()
    wrong, count = [], [0]

    def load():
        while not stop.is_set():
            answer = one.post("/v1/search", {"question": QUESTION})
            count[0] += 1
            if answer.status != 200 or answer.json()["coverage"]["answered"] != 4:
                wrong.append(answer.body[:300])

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: count[0] > 20, "questions are answered")
        first.stop()
        seen = count[0]
        until(lambda: count[0] > seen + 20, "questions are still answered")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]


def test_a_second_signal_ends_at_once(make_cluster, guide, llm):
    one = make_cluster(**{"gateway.grace_ms": 60000})
    one.start(guide)
    llm.plan(fake.silent(["Begun "]))
    question = Background(one, QUESTION)
    question.wait_event("token")
    one.gateway.signal(signal.SIGTERM)
    one.gateway.wait_log("(?i)finish")
    assert one.gateway.alive()
    one.gateway.expect_exit = None
    one.gateway.signal(signal.SIGTERM)
    one.gateway.wait(5)
    question.join()


# ---- limits ---------------------------------------------------------------------------------------------------


def test_more_than_may_be_in_flight_are_refused_at_once(make_cluster, guide, llm):
    one = make_cluster(**{"gateway.max_in_flight": 2})
    one.start(guide)
    script, gate = fake.gated(["x "], ["y"])
    second, _ = fake.gated(["x "], ["y"], gate)
    llm.plan(script, second)
    pending = [Background(one, QUESTION) for _ in range(2)]
    for question in pending:
        question.wait_event("token")
    answer = one.post("/v1/ask", {"question": QUESTION})
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    error_of(answer)
    gate.open()
    for question in pending:
        assert question.join().names()[-1] == "done"
    one.wait_idle()
    assert one.ask(QUESTION).names()[-1] == "done"


def test_a_new_generation_is_there_after_a_restart(make_cluster, embed, work):
    folder = write(work / "changing", {"a.md": "The Plover lamp is red.\n"})
    build_index(work / "changing-index", [folder], embed, "docs")
    one = make_cluster()
    one.start_gateway()
    first = one.start_retriever(work / "changing-index")
    one.wait_workers(2)
    assert "red" in one.search("Plover lamp")["passages"][0]["text"]
    write(folder, {"a.md": "The Plover lamp is now white.\n"})
    build_index(work / "changing-index", [folder], embed, "docs")
    first.stop()
    one.start_retriever(work / "changing-index")
    one.wait_workers(2)
    assert "white" in one.search("Plover lamp")["passages"][0]["text"]


def test_a_collection_has_deadlines_of_its_own(make_cluster, guide, embed, tmp_path):
    """Its sources that answer late are not waited for; a request may say otherwise."""
    config = tmp_path / "ragline.conf"
    config.write_text("[collection docs]\nsoft_ms = 200\n[gateway]\nsoft_ms = 20000\nhard_ms = 30000\n")
    one = make_cluster(**{"embed.timeout_ms": 20000})
    one.start_gateway(env={"RAGLINE_CONFIG": str(config)})
    one.start_retriever(guide)
    one.wait_workers(4)
    slow = fake_embed.slow(2.0, embed.dimension)
    embed.plan(slow, slow)
    coverage = one.search(QUESTION)["coverage"]
    assert (coverage["answered"], coverage["of"]) == (2, 4)
    assert all("late" in m["reason"] for m in coverage["missing"])
    assert one.search(QUESTION, soft_ms=20000)["coverage"]["answered"] == 4
