"""A client that was cut off comes back to its answer; an answer that broke off is continued."""

import pytest

from conftest import end_cluster, new_cluster
from fakes import llm as fake
from harness.cluster import check_error, error_of
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"
SETTINGS = {"gateway.resume_ms": 5000, "gateway.resume_buffer": 20000}


def ask_and_hang_up(cluster, tokens, **fields):
    """Asks a resumable question and hangs up after so many words; returns its id and events."""
    with cluster.connect() as connection:
        connection.request("POST", "/v1/ask", {"question": QUESTION, "resumable": True, **fields})
        head, events = connection.head(), []
        assert head.status == 200
        for event in connection.events(head):
            events.append(event)
            if sum(e.name == "token" and bool(e.data["text"]) for e in events) == tokens:
                break
    return events[0].data["id"], events


def come_back(cluster, answer_id, seen, **more):
    with cluster.connect() as connection:
        path = f"/v1/answers/{answer_id}/events"
        connection.request("GET", path, headers={"Last-Event-ID": str(seen), **more})
        head = connection.head()
        if head.status != 200:
            head.body = b"".join(connection.pieces(head))
            return head, []
        return head, list(connection.events(head))


def text_of(events):
    return "".join(e.data["text"] for e in events if e.name == "token")


def test_a_client_that_was_cut_off_gets_the_rest(cluster, llm):
    script, gate = fake.gated(["one ", "two "], ["three ", "four."])
    llm.plan(script)
    answer_id, events = ask_and_hang_up(cluster, 2)
    gate.open()
    head, rest = come_back(cluster, answer_id, int(events[-1].id))
    assert head.status == 200
    everything = events + rest
    assert [int(e.id) for e in everything] == list(range(1, len(everything) + 1)), "each once"
    assert everything[-1].name == "done"
    assert text_of(everything) == "one two three four."


def test_a_complete_answer_is_kept_a_while(cluster, llm):
    answer_id, events = ask_and_hang_up(cluster, 1)
    until(lambda: cluster.metrics()["ragline_questions_in_flight"] == 0, "the answer is complete")
    head, rest = come_back(cluster, answer_id, 0)
    assert head.status == 200
    assert [e.text for e in rest[: len(events)]] == [e.text for e in events]
    assert rest[-1].name == "done"
    until(lambda: come_back(cluster, answer_id, 0)[0].status == 410, "then it is forgotten", 30)


def test_an_answer_nobody_comes_back_to_is_given_up(cluster, llm):
    script, _gate = fake.gated(["one "], ["never."])
    llm.plan(script)
    ask_and_hang_up(cluster, 1)
    asked = llm.asked()[-1]
    assert not asked.hung_up_at, "it goes on without its client"
    until(lambda: asked.hung_up_at, "the transfer from the LLM is closed", 30)
    until(lambda: cluster.metrics()["ragline_questions_in_flight"] == 0, "nothing is at work")


def test_without_resumable_a_client_that_goes_ends_its_answer(cluster, llm):
    script, _gate = fake.gated(["one "], ["never."])
    llm.plan(script)
    with cluster.connect() as connection:
        connection.request("POST", "/v1/ask", {"question": QUESTION})
        head = connection.head()
        next(e for e in connection.events(head) if e.name == "token")
    until(lambda: llm.asked()[-1].hung_up_at, "the transfer from the LLM is closed", 5)
    head, _ = come_back(cluster, head.headers["x-request-id"], 0)
    assert head.status == 410
    check_error(error_of(head))


def test_the_stop_button(cluster, llm):
    script, _gate = fake.gated(["one "], ["never."])
    llm.plan(script)
    answer_id, _ = ask_and_hang_up(cluster, 1)
    answer = cluster.call("DELETE", f"/v1/answers/{answer_id}")
    assert (answer.status, answer.json()["status"]) == (200, "cancelled")
    until(lambda: llm.asked()[-1].hung_up_at, "the transfer from the LLM is closed", 5)
    assert cluster.call("DELETE", f"/v1/answers/{answer_id}").status == 404
    assert come_back(cluster, answer_id, 0)[0].status == 410


def test_a_stopped_stream_says_so(cluster, llm):
    script, _gate = fake.gated(["one "], ["never."])
    llm.plan(script)
    with cluster.connect() as connection:
        connection.request("POST", "/v1/ask", {"question": QUESTION})
        head, events = connection.head(), []
        for event in connection.events(head):
            events.append(event)
            if event.name == "token":
                cluster.call("DELETE", f"/v1/answers/{head.headers['x-request-id']}")
    assert events[-1].name == "error"
    assert events[-1].data["error"]["code"] == "cancelled"


def test_two_clients_of_one_answer(cluster, llm):
    """The one that came last has it."""
    script, gate = fake.gated(["one "], ["two."])
    llm.plan(script)
    answer_id, _ = ask_and_hang_up(cluster, 1)
    with cluster.connect() as first:
        first.request("GET", f"/v1/answers/{answer_id}/events")
        head = first.head()
        stream = first.events(head)
        next(e for e in stream if e.name == "token")
        with cluster.connect() as second:
            second.request("GET", f"/v1/answers/{answer_id}/events")
            second_head = second.head()
            assert list(stream) is not None  # the first one's stream has ended, whole
            gate.open()
            assert text_of(list(second.events(second_head))) == "one two."


@pytest.mark.parametrize("seen", ["x", "-1", "1.5", "99999999999999999999999"])
def test_a_number_that_is_none(cluster, llm, seen):
    answer_id, _ = ask_and_hang_up(cluster, 1)
    head, _ = come_back(cluster, answer_id, seen)
    assert head.status == 400
    assert error_of(head)["param"] == "Last-Event-ID"


def test_events_that_are_not_kept_any_more(cluster, llm):
    words = [f"word{number:05} " for number in range(3000)]
    script, gate = fake.gated(words, ["end."])
    llm.plan(script)
    answer_id, _ = ask_and_hang_up(cluster, 2900)
    gate.open()
    head, _ = come_back(cluster, answer_id, 0)
    assert head.status == 410
    assert error_of(head)["code"] == "events_gone"


@pytest.mark.parametrize("path", ["/v1/answers/", "/v1/answers/x", "/v1/answers/x/other"])
def test_paths_that_are_none(cluster, path):
    answer = cluster.get(path)
    assert answer.status == 404
    check_error(error_of(answer))


# ---- continuation -----------------------------------------------------------------------------------------


def test_an_answer_that_broke_off_is_continued_where_asked_for(cluster, llm):
    llm.plan(fake.cut(["one ", "two "]), fake.stream(["three ", "four."]))
    stream = cluster.ask({"question": QUESTION, "continuation": True})
    assert stream.names()[-1] == "done", stream.events[-1]
    assert stream.text == "one two three four."
    assert [int(e.id) for e in stream.events] == list(range(1, len(stream.events) + 1))
    again = llm.asked()[-1].json["messages"][-1]
    assert (again["role"], again["content"]) == ("assistant", "one two ")
    timings = stream.one("timings").data
    total = sum(state["ms"] for state in timings["states"])
    assert abs(total - timings["total_ms"]) <= 1


def test_without_it_the_client_is_told(cluster, llm):
    llm.plan(fake.cut(["one ", "two "]), fake.stream(["three ", "four."]))
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "error"
    assert stream.text == "one two "
    assert "broke off" in stream.error["message"]


def test_a_lost_generator_is_replaced_in_the_middle_of_an_answer(make_cluster, guide, llm):
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(guide)
    generator = one.start_generator()
    one.wait_ready()
    script, _gate = fake.gated(["one ", "two "], ["never."])
    llm.plan(script, fake.stream(["three."]))
    with one.connect() as connection:
        connection.request("POST", "/v1/ask", {"question": QUESTION, "continuation": True})
        head, events = connection.head(), []
        for event in connection.events(head):
            events.append(event)
            if event.name == "token" and event.data["text"] == "two ":
                one.start_generator()
                one.wait_workers(2, kind="generator")
                generator.kill()
    assert events[-1].name == "done"
    assert text_of(events) == "one two three."


# ---- several gateways ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_gateways(work, _llm, _embed, guide):
    """Two gateways that share a retriever and a generator."""
    one = new_cluster(work, "resume-one", llm=_llm, embed=_embed)
    two = new_cluster(work, "resume-two", llm=_llm, embed=_embed)
    try:
        both = {"cluster.gateways": f"{one.hub},{two.hub}"}
        one.settings |= {"gateway.resume_ms": 5000, "log.level": "debug"}
        two.settings |= {"gateway.resume_ms": 5000, "log.level": "debug"}
        one.start_gateway()
        two.start_gateway()
        one.start_retriever(guide, **both)
        one.start_generator(**both)
        one.wait_workers(5)
        two.wait_workers(5)
        yield one, two
    finally:
        end_cluster(two)
        end_cluster(one)


def test_a_client_that_lands_on_another_gateway_is_passed_on(two_gateways, llm):
    one, two = two_gateways
    script, gate = fake.gated(["one ", "zwei ü "], ["three ", "four."])
    llm.plan(script)
    answer_id, events = ask_and_hang_up(one, 2)
    with two.connect() as connection:
        path = f"/v1/answers/{answer_id}/events"
        connection.request("GET", path, headers={"Last-Event-ID": events[-1].id})
        head = connection.head()
        assert head.status == 200
        gate.open()
        everything = events + list(connection.events(head))
    assert [int(e.id) for e in everything] == list(range(1, len(everything) + 1)), "each once"
    assert everything[-1].name == "done"
    assert text_of(everything) == "one zwei ü three four."
    again = come_back(two, answer_id, 0)[1]
    assert [e.text for e in again] == [e.text for e in everything]


def test_one_that_leaves_the_other_gateway_again_ends_its_answer(two_gateways, llm):
    one, two = two_gateways
    script, _gate = fake.gated(["one "], ["never."])
    llm.plan(script)
    answer_id, _ = ask_and_hang_up(one, 1)
    with two.connect() as connection:
        connection.request("GET", f"/v1/answers/{answer_id}/events")
        head = connection.head()
        next(e for e in connection.events(head) if e.name == "token")
        assert not llm.asked()[-1].hung_up_at
    until(lambda: llm.asked()[-1].hung_up_at, "the transfer from the LLM is closed", 30)


def test_the_stop_button_at_another_gateway(two_gateways, llm):
    one, two = two_gateways
    script, _gate = fake.gated(["one "], ["never."])
    llm.plan(script)
    answer_id, _ = ask_and_hang_up(one, 1)
    answer = two.call("DELETE", f"/v1/answers/{answer_id}")
    assert (answer.status, answer.json()["status"]) == (200, "passed on")
    until(lambda: llm.asked()[-1].hung_up_at, "the transfer from the LLM is closed", 5)


def test_answers_that_no_gateway_has(two_gateways):
    one, two = two_gateways
    holder = one.get("/v1/workers").json()["gateway"].split("-")[1]
    for answer_id in (f"req_{holder}{'0' * 16}", f"req_{'0' * 24}", "req_", "x"):
        head, _ = come_back(two, answer_id, 0)
        assert head.status == 410, answer_id
        check_error(error_of(head))
