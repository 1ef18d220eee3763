"""Where the time went: the timings of an answer, and those that are kept (GET /v1/traces)."""

import re

import openai
import pytest

from fakes import llm as fake_llm
from harness.cluster import error_of
from harness.wait import until
from test_security import bearer, line_of

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"


def kept(cluster, query="", **more):
    answer = cluster.get(f"/v1/traces{query}", **more)
    assert answer.status == 200, answer.body
    return answer.json()


def check(timings):
    """What holds of every answer: the states are the total, the path is the time to the first token."""
    states, path = timings["states"], timings["critical_path"]
    at = 0.0
    for state in states:
        assert abs(state["start_ms"] - at) < 0.0015, states
        at += state["ms"]
    assert abs(at - timings["total_ms"]) < 0.0015 * len(states)
    assert timings["unattributed_ms"] <= 1
    first = timings.get("first_token_ms", timings["total_ms"])
    assert abs(sum(step["ms"] for step in path) - first) < 0.0015 * max(1, len(path))
    for step in path:
        assert step["first_token_without_ms"] <= first - step["ms"] + first * 1e-9 + 0.002 or step["stage"] in (
            "embed", "search_network", "search_queue", "search_work", "missing",
        )  # fmt: skip


def test_an_answer_is_kept(cluster):
    stream = cluster.ask(QUESTION)
    timings, done = stream.one("timings").data, stream.one("done").data
    check(timings)
    trace = until(lambda: cluster.get(f"/v1/traces/{done['id']}").json(), "it is kept")
    assert trace["id"] == done["id"] and trace["outcome"] == "done" and trace["error"] == ""
    assert trace["form"] == "ask" and trace["collection"] == "docs"
    assert trace["answered"] == trace["of"] == 4
    assert trace["model"] == done["model"] and trace["finish_reason"] == "stop"
    assert trace["timings"]["states"] == timings["states"]
    assert trace["timings"]["critical_path"] == timings["critical_path"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", trace["time"])
    assert cluster.get(f"/v1/traces/{trace['trace_id']}").json()["id"] == done["id"]


def test_the_last_come_first_and_can_be_chosen(cluster, llm):
    ids = [cluster.ask(QUESTION).one("done").data["id"] for _ in range(3)]
    llm.plan(fake_llm.error(404))
    failed = cluster.ask(QUESTION)
    assert failed.error
    newest = kept(cluster, "?limit=4")["traces"]
    assert [trace["id"] for trace in newest[1:]] == ids[::-1]
    assert newest[0]["outcome"] == "failed" and newest[0]["error"]
    check(newest[0]["timings"])
    assert kept(cluster, "?outcome=failed&limit=1")["traces"][0]["id"] == newest[0]["id"]
    assert kept(cluster, "?limit=0")["traces"] == []
    since = newest[1]["unix_ms"] / 1000
    assert [t["id"] for t in kept(cluster, f"?since={since}&outcome=done")["traces"]] == [ids[-1]]
    assert kept(cluster, "?slower_ms=3600000")["traces"] == []
    assert kept(cluster, "?collection=nowhere")["traces"] == []


def test_a_client_that_leaves_is_kept_as_cancelled(cluster, llm):
    script, gate = fake_llm.gated(["One "], ["two."])
    llm.plan(script)
    stream = cluster.ask(QUESTION, on_event=lambda stream, event: event.name == "token")
    assert not stream.complete
    trace = until(
        lambda: [t for t in kept(cluster, "?limit=3")["traces"] if t["outcome"] == "cancelled"], "it is kept"
    )[0]
    gate.open()
    check(trace["timings"])


@pytest.mark.parametrize("query", ["limit=-1", "limit=x", "limit=", "since=yesterday", "slower_ms=1e99", "limit=10001"])
def test_wrong_queries(cluster, query):
    answer = cluster.get(f"/v1/traces?{query}")
    assert answer.status == 400
    assert error_of(answer)["param"] == query.split("=")[0]


def test_one_that_is_not_there(cluster):
    answer = cluster.get("/v1/traces/req_nothing")
    assert answer.status == 404
    assert error_of(answer)["code"] == "unknown_trace" and "gateway.traces" in error_of(answer)["message"]


def test_only_so_many_are_kept(make_cluster, guide):
    one = make_cluster(**{"gateway.traces": 2})
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    ids = [one.search(QUESTION)["id"] for _ in range(4)]
    assert [trace["id"] for trace in kept(one)["traces"]] == ids[:-3:-1]
    assert kept(one)["total"] == 4 and kept(one)["most"] == 2


def test_each_caller_sees_its_own(make_cluster, guide, tmp_path):
    keys = tmp_path / "keys"
    lines = [line_of("alice", "alice-key"), line_of("bob", "bob-key"), line_of("ops", "ops-key", "operator")]
    keys.write_text("\n".join(lines) + "\n")
    one = make_cluster(**{"gateway.keys_file": keys})
    one.start_gateway()
    one.start_retriever(guide)

    def search(key, **headers):
        return one.post("/v1/search", {"question": QUESTION}, bearer(key) | headers)

    until(lambda: search("alice-key").status == 200, "a search is answered")
    mine = search("bob-key").json()["id"]
    assert [trace["id"] for trace in kept(one, headers=bearer("bob-key"))["traces"]] == [mine]
    assert {trace["caller"] for trace in kept(one, headers=bearer("ops-key"))["traces"]} == {"alice", "bob"}
    assert one.get(f"/v1/traces/{mine}", headers=bearer("alice-key")).status == 404
    assert one.get(f"/v1/traces/{mine}", headers=bearer("ops-key")).status == 200
    assert one.get("/v1/traces").status == 401
    # both name the same trace: each finds its own answer by it
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    ids = {
        key: search(key, traceparent=f"00-{trace}-00f067aa0ba902b7-01").json()["id"]
        for key in ("alice-key", "bob-key")
    }
    assert ids == {key: one.get(f"/v1/traces/{trace}", headers=bearer(key)).json()["id"] for key in ids}


def test_server_timing_where_nothing_is_streamed(cluster):
    answer = cluster.post("/v1/search", {"question": QUESTION})
    timings = answer.json()["timings"]
    check(timings)
    header = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert abs(float(header.pop("total")) - timings["total_ms"]) < 0.0015
    assert abs(sum(map(float, header.values())) - timings["total_ms"]) < 0.002 * (len(header) + 1)
    whole = cluster.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert "prefill;dur=" in whole.headers["server-timing"]


def test_openai_s_answers_have_them_for_who_asks(cluster):
    with openai.OpenAI(base_url=cluster.base_url, api_key="x", max_retries=0) as client:
        messages = [{"role": "user", "content": QUESTION}]
        raw = client.chat.completions.with_raw_response.create(
            model="ragline", messages=messages, extra_body={"ragline": {"timings": True}}
        )
        check(raw.parse().model_extra["timings"])
        assert "total;dur=" in raw.headers["server-timing"]
        plain = client.chat.completions.create(model="ragline", messages=messages)
        assert "timings" not in plain.model_extra
