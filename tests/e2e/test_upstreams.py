"""Several LLM servers in an order: a question goes to the next one when the first is down or busy, one
that keeps failing is left alone, and comes back by itself."""

import json
import threading

import pytest

from fakes import llm as fake
from harness.cluster import options
from harness.process import run
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"
LLM = {
    "upstreams": "first, second",
    "first_token_ms": 5000,
    "idle_ms": 2000,
    "connect_ms": 1000,
    "breaker_failures": 2,
    "breaker_ms": 300,
    "warm_ms": 0,  # libcurl repeats a request whose kept connection turns out to be closed
    "prefill": "off",
}


class SecondLLM(fake.FakeLLM):
    model = "second-llm"

    def default_script(self, recorded):
        if recorded.method == "POST":
            return fake.stream(self.tokens, model=self.model)
        return super().default_script(recorded)


@pytest.fixture
def second():
    server = SecondLLM()
    yield server
    server.close()


@pytest.fixture
def start(make_cluster, guide, llm, second, work, request):
    """A cluster whose generator has two upstreams: start(key=value of [llm]…) → cluster, generator."""

    def begin(first_lines=(), **settings):
        one = make_cluster(llm=None)
        one.start_gateway()
        one.start_retriever(guide)
        path = work / f"{one.folder.name}.conf"
        lines = ["[llm]", *(f"{key} = {value}" for key, value in (LLM | settings).items())]
        lines += ["[upstream first]", f"url = {llm.url}", f"model = {llm.model}", *first_lines]
        lines += ["[upstream second]", f"url = {second.url}", f"model = {second.model}"]
        path.write_text("\n".join(lines) + "\n")
        given = {"cluster.gateways": one.hub, "log.level": "debug"}
        generator = one._start("ragline-generator", given, ["--config", path])
        one.wait_ready()
        return one, generator

    return begin


def answered_by(stream, server):
    assert stream.complete and stream.names()[-1] == "done", stream.events[-1]
    assert stream.text == "".join(fake.DEFAULT_TOKENS)
    done = stream.one("done").data
    assert done["model"] == server.model and done["upstream"] == "openai"
    return done


def states(stream):
    return [event.data["state"] for event in stream.of("status")]


def announced(cluster):
    return [worker["model"] for worker in cluster.workers() if worker["kind"] == "generator"]


def test_the_first_is_asked_while_it_answers(start, llm, second):
    cluster, _ = start()
    stream = cluster.ask(QUESTION)
    answered_by(stream, llm)
    assert "fallback" not in states(stream)
    assert second.asked() == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(fake.error(500), id="500"),
        pytest.param(fake.error(503), id="503"),
        pytest.param(fake.html(), id="html"),
        pytest.param([fake.Close()], id="closed"),
        pytest.param([fake.Close(reset=True)], id="reset"),
        pytest.param(fake.silent(), id="silent after the headers"),
        pytest.param(fake.error(429, "slow down", headers={"Retry-After": "30"}), id="busy for long"),
    ],
)  # fmt: skip
def test_before_the_first_word_the_second_takes_over(start, llm, second, script):
    cluster, _ = start(first_token_ms=300)
    llm.always(script)
    stream = cluster.ask(QUESTION)
    answered_by(stream, second)
    assert states(stream).count("fallback") == 1
    assert "retry" not in states(stream)
    assert len(llm.asked()) == len(second.asked()) == 1
    # the same prompt
    assert llm.asked()[0].json["messages"] == second.asked()[0].json["messages"]


def test_after_the_first_word_it_is_an_error(start, llm, second):
    cluster, _ = start()
    llm.always(fake.cut(["One "]))
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "error"
    assert stream.text == "One "
    assert second.asked() == []


def test_one_that_is_down_is_left_alone_and_comes_back(start, llm, second):
    cluster, generator = start()
    assert announced(cluster) == [llm.model]
    llm.down()
    for _ in range(3):
        answered_by(cluster.ask(QUESTION), second)
    generator.wait_log(r"the upstream first failed 2 times in a row; it is tried again in [\d.]+ s: .*cannot be reached")
    until(lambda: announced(cluster) == [second.model], "the second is announced")
    llm.up()
    until(lambda: cluster.ask(QUESTION).one("done").data["model"] == llm.model, "the first answers")
    generator.wait_log(r"the upstream first is tried again with one question")
    generator.wait_log(r"the upstream first answers again")
    until(lambda: announced(cluster) == [llm.model], "the first is announced")


def test_no_question_waits_for_one_that_is_known_to_hang(start, llm, second):
    """Two questions pay for the discovery, the others nothing."""
    cluster, _ = start(first_token_ms=400, breaker_ms=60000)
    llm.always(fake.never())
    for _ in range(2):
        answered_by(cluster.ask(QUESTION), second)
    for _ in range(5):
        stream = cluster.ask(QUESTION)
        answered_by(stream, second)
        told = next(e.data for e in stream.of("status") if e.data["state"] == "fallback")
        assert told["message"].startswith("The language model does not answer")
    assert len(llm.asked()) == 2


def test_one_question_at_a_time_tries_a_server_again(start, llm, second):
    cluster, generator = start(breaker_failures=1, first_token_ms=10000)
    llm.plan(fake.error(500))
    answered_by(cluster.ask(QUESTION), second)
    script, gate = fake.gated([], fake.DEFAULT_TOKENS)
    llm.always(script)
    trial = []

    def ask_until_tried():
        while not gate.reached.is_set():
            trial.append(cluster.ask(QUESTION))

    asking = threading.Thread(target=ask_until_tried)
    asking.start()
    until(gate.reached.is_set, "one question is at the first server")
    for _ in range(5):
        answered_by(cluster.ask(QUESTION), second)
    assert len(llm.asked()) == 2
    gate.open()
    asking.join()
    answered_by(trial[-1], llm)
    generator.wait_log("the upstream first answers again")
    llm.always(None)
    answered_by(cluster.ask(QUESTION), llm)


def test_the_passages_answer_when_all_are_down(start, llm, second):
    cluster, _ = start(fallback="extractive", breaker_ms=60000)
    llm.down()
    second.down()
    for _ in range(4):
        stream = cluster.ask(QUESTION)
        done = stream.one("done").data
        assert done["upstream"] == "extractive" and "42 bar" in stream.text
        assert "fallback" in states(stream)
    until(lambda: announced(cluster) == ["extractive"], "what answers now is announced")


def test_many_questions_while_the_first_goes_and_comes(start, llm, second):
    """Each question gets exactly one whole answer, from whichever server."""
    cluster, _ = start(breaker_ms=50)
    wrong, answers = [], []
    stop = threading.Event()

    def keep_asking():
        while not stop.is_set():
            stream = cluster.ask(QUESTION)
            if stream.names()[-1] != "done" or stream.text != "".join(fake.DEFAULT_TOKENS):
                wrong.append(stream.events[-1])
            else:
                answers.append(stream.one("done").data["model"])

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            llm.always(fake.error(503))
            seen = len(answers)
            until(lambda: second.model in answers[seen:], "the second answers")
            llm.always(None)
            seen = len(answers)
            until(lambda: llm.model in answers[seen:], "the first answers again")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong, wrong[:3]


def test_each_server_gets_its_own_key_and_no_other(start, llm, second, work):
    secret = work / "first.key"
    secret.write_text("sk-first-secret\n")
    cluster, generator = start([f"key_file = {secret}"], key="sk-general-secret")
    llm.plan(fake.error(500, "no good: sk-first-secret"))
    stream = cluster.ask(QUESTION)
    answered_by(stream, second)
    assert llm.asked()[0].headers["authorization"] == "Bearer sk-first-secret"
    assert "authorization" not in second.asked()[0].headers
    assert "sk-first-secret" not in generator.log() and "sk-general" not in generator.log()
    assert "sk-first" not in json.dumps([event.text for event in stream.events])


@pytest.mark.parametrize(
    "text,words",
    [
        ("[llm]\nupstreams = a\n", ["llm.upstreams", "[upstream a]"]),
        ("[llm]\nupstreams = a\n[upstream a]\nmodel = m\n", ["[upstream a]", "url"]),
        ("[llm]\nupstreams = a\n[upstream a]\nurl = example.org\n", ["[upstream a] url", "http://"]),
        ("[llm]\nupstreams = a, a\n[upstream a]\nurl = http://127.0.0.1:1\n", ["a twice"]),
        ("[llm]\nupstreams = a\n[upstream a]\nurl = http://127.0.0.1:1\nparams = 7\n", ["[upstream a] params"]),
        ("[llm]\nupstreams = extractive\n[upstream extractive]\nurl = http://127.0.0.1:1\n", ["llm.fallback"]),
        ("[upstream a]\nurll = http://127.0.0.1:1\n", [":2", "upstream.*.url"]),
        ("[upstream a]\nkey_file = /nonexistent/key\n", [":2", "/nonexistent/key"]),
    ],
    ids=lambda value: ascii(value)[:40],
)  # fmt: skip
def test_what_is_wrong_is_named(work, text, words):
    path = work / "upstreams.conf"
    path.write_text(text)
    given = options({"generator.bind": "tcp://127.0.0.1:*"})
    done = run("ragline-generator", ["--config", path, *given], work, timeout=20)
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr
