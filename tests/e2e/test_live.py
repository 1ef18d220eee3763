"""GET /v1/live, and the page /live that shows it in a real Chromium: what the gateway does right now."""

import hashlib
import json
import signal
import threading

import pytest

from fakes import llm as fake
from harness.cluster import error_of
from harness.wait import until
from test_page import browser, opened, wait_true  # noqa: F401 (a fixture)

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"
KEY = {"Authorization": "Bearer alice-key"}


def keys_file(work, name):
    keys = work / name
    keys.write_text("alice sha256:" + hashlib.sha256(b"alice-key").hexdigest() + "\n")
    return keys


def snapshot(cluster, **more):
    answer = cluster.get("/v1/live", **more)
    assert answer.status == 200, answer.body
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def answered(cluster, count=1):
    for _ in range(count):
        assert cluster.ask(QUESTION).complete


def watch(cluster, path="/v1/live?stream=1", headers=None, enough=2):
    """The first events of the stream."""
    with cluster.connect() as connection:
        connection.request("GET", path, headers=headers)
        head = connection.head()
        assert head.status == 200 and head.headers["content-type"].startswith("text/event-stream")
        events = []
        for event in connection.events(head):
            events.append(event)
            if len(events) == enough:
                return events
    raise AssertionError(f"the stream ended after {len(events)} events")


@pytest.fixture
def gated(cluster, llm):
    """A question whose answer stops after its first words, until the gate is opened."""
    script, gate = fake.gated(["The pump "], ["runs."])
    llm.plan(script)
    asked = threading.Thread(target=cluster.ask, args=(QUESTION,))
    asked.start()
    yield gate
    gate.open()
    asked.join()


def test_answers_are_counted_and_timed(cluster, llm):
    before = snapshot(cluster)["totals"]
    llm.always(fake.stream(first=0.05))
    answered(cluster, 3)
    now = until(
        lambda: (s := snapshot(cluster))["totals"]["answers"] >= before["answers"] + 3 and s, "three answers are told"
    )
    for window in ("10", "60"):
        part = now["windows"][window]
        assert part["counts"]["answers"] >= 3
        assert part["per_second"]["answers"] == pytest.approx(part["counts"]["answers"] / part["seconds"], abs=0.01)
        assert part["times"]["first_token"]["count"] >= 3
        assert part["times"]["first_token"]["p99_ms"] >= 50
        assert part["times"]["end"]["p50_ms"] >= part["times"]["first_token"]["p50_ms"]
        stages = part["stages"]
        assert stages["search_work"]["count"] >= 12, "each of the four sources' searches"
        assert 45 < stages["prefill"]["p50_ms"] < 1000
        assert stages["tokens"]["count"] >= 3
        assert sum(stage["first_token_share"] for stage in stages.values()) == pytest.approx(1, abs=0.01)
        for stage in stages.values():
            assert stage["p50_ms"] <= stage["p90_ms"] <= stage["p99_ms"] <= stage["max_ms"]
    assert sum(now["history"]["answers"]) > 0
    assert len({len(column) for column in now["history"].values()}) == 1


def test_a_question_is_in_flight_by_what_it_is_at(cluster, gated):
    now = until(
        lambda: (s := snapshot(cluster)["in_flight"])["states"]["streaming"] == 1 and s, "one question is streaming"
    )
    assert now["total"] == 1 and now["oldest_ms"] > 0
    gated.open()
    until(lambda: snapshot(cluster)["in_flight"]["total"] == 0, "none is in flight")


def test_workers_are_those_of_the_gateway(cluster):
    there = {worker["worker"]: worker for worker in cluster.workers()}
    now = {worker["worker"]: worker for worker in snapshot(cluster)["workers"]}
    assert set(now) == set(there) and len(now) == 7
    assert all(now[name].keys() == there[name].keys() for name in now)


def test_an_error_and_a_refusal_are_counted(make_cluster, guide, llm):
    one = make_cluster(**{"gateway.max_in_flight": 1})
    one.start(guide)
    llm.plan(fake.error(400))
    one.ask(QUESTION)
    script, gate = fake.gated(["The pump "], ["runs."])
    llm.plan(script)
    asked = threading.Thread(target=one.ask, args=(QUESTION,))
    asked.start()
    until(lambda: snapshot(one)["in_flight"]["total"] == 1, "one is at work")
    assert one.post("/v1/ask", {"question": QUESTION}).status == 429
    gate.open()
    asked.join()
    totals = until(lambda: (t := snapshot(one)["totals"])["answers"] == 1 and t, "it is told")
    assert (totals["failed"], totals["refused"], totals["questions"]) == (1, 1, 2)


@pytest.mark.parametrize("how", ["query", "header"])
def test_a_snapshot_a_second(cluster, how):
    if how == "query":
        events = watch(cluster, enough=3)
    else:
        events = watch(cluster, "/v1/live", {"Accept": "text/event-stream"}, enough=3)
    assert [event.name for event in events] == ["live"] * 3
    assert [event.id for event in events] == ["1", "2", "3"]
    first, *rest = (event.data for event in events)
    assert "history" in first and all("history" not in data for data in rest)
    assert all(data["second"] for data in rest)
    assert 0.5 < rest[1]["time"] - rest[0]["time"] < 5


def test_buckets_are_there_for_those_who_add_up(cluster, llm):
    answered(cluster)
    until(lambda: snapshot(cluster)["windows"]["60"]["times"]["end"]["count"] > 0, "it is told")
    end = snapshot(cluster)["windows"]["60"]["times"]["end"]
    assert "buckets" not in end
    end = cluster.get("/v1/live?buckets=1").json()["windows"]["60"]["times"]["end"]
    assert sum(count for _, count in end["buckets"]) == end["count"]


def test_head_has_no_body_and_no_stream(cluster):
    with cluster.connect() as connection:
        connection.request("HEAD", "/v1/live?stream=1")
        assert connection.response("HEAD").headers["content-type"] == "application/json"
        connection.request("GET", "/healthz")
        assert connection.response().status == 200


def test_those_who_watch_do_not_hold_up_a_gateway_that_stops(make_cluster):
    one = make_cluster()
    one.start_gateway()
    with one.connect() as connection:
        connection.request("GET", "/v1/live?stream=1")
        head = connection.head()
        events = connection.events(head)
        assert next(events).name == "live"
        one.gateway.signal(signal.SIGTERM)
        names = [event.name for event in events]
    assert names[-1] == "stopping", "and the stream ended in order"
    assert one.gateway.wait(5) == 0


def test_no_more_than_so_many_watch(make_cluster):
    one = make_cluster()
    one.start_gateway()
    open_ones = []
    try:
        for _ in range(64):
            connection = one.connect()
            open_ones.append(connection)
            connection.request("GET", "/v1/live?stream=1")
            assert connection.head().status == 200
        refused = one.get("/v1/live?stream=1")
        assert refused.status == 429 and error_of(refused)["code"] == "too_many_watchers"
        assert one.get("/v1/live").status == 200
        open_ones.pop().close()
        until(lambda: watch(one, enough=1), "there is room for another one")
    finally:
        for connection in open_ones:
            connection.close()


def test_a_key_is_needed_where_keys_are(make_cluster, work):
    one = make_cluster(**{"gateway.keys_file": keys_file(work, "live-keys")})
    one.start_gateway()
    for path in ("/v1/live", "/v1/live?stream=1"):
        assert one.get(path).status == 401
    assert one.get("/v1/live", headers=KEY).status == 200
    assert one.get("/live").status == 200, "the page says how"


# ---- the page ----------------------------------------------------------------------------------------------


def chart(page, name):
    return page.locator(f"[data-chart={name}]")


def tile(page, name):
    return page.inner_text(f"[data-tile={name}] dd")


@pytest.fixture
def page(browser, cluster):  # noqa: F811
    with opened(browser, cluster.url) as page:
        page.goto(f"{cluster.url}/live")
        page.wait_for_selector("body[data-state=live]")
        yield page


@pytest.mark.browser
def test_the_page_is_one_document_that_needs_nothing_else(cluster):
    answer = cluster.get("/live")
    html = answer.body.decode()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "<script src" not in html and 'rel="stylesheet"' not in html
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval("):
        assert word not in html, "names of workers stay text"


@pytest.mark.browser
def test_the_main_page_leads_there_and_back(browser, cluster):  # noqa: F811
    with opened(browser, cluster.url) as page:
        page.click("#to-live")
        page.wait_for_selector("body[data-state=live]")
        page.click(".mark a")
        page.wait_for_selector("#question")


@pytest.mark.browser
def test_the_page_shows_what_happens(page, cluster, llm, gated, artefacts):
    wait_true(page, "document.querySelector('[data-tile=in-flight] dd').textContent === '1'")
    wait_true(page, "document.querySelector('[data-chart=in-flight] .read').textContent.includes('streaming 1')")
    gated.open()
    llm.always(fake.stream(first=0.05))
    answered(cluster, 3)
    wait_true(page, "document.querySelector('[data-tile=in-flight] dd').textContent === '0'")
    wait_true(page, "document.querySelector('#stages tr[data-stage=prefill]')")
    assert "ms" in tile(page, "p50") and tile(page, "workers") == "7 of 7"
    for name, line in (("rate", "answered"), ("first-token", "p99"), ("tokens", "tokens")):
        drawn = f"document.querySelector('[data-chart={name}] path[data-line=\"{line}\"]').getAttribute('d').includes('M')"
        wait_true(page, drawn)
    there = {worker["worker"] for worker in cluster.workers()}
    rows = page.evaluate("[...document.querySelectorAll('#workers tr')].map(row => row.dataset.worker)")
    assert set(rows) == there
    assert "prefill" in page.get_attribute("#share", "aria-label")
    page.screenshot(path=artefacts / "live.png", full_page=True)


@pytest.mark.browser
def test_the_page_sorts_and_filters_the_workers(page):
    order = "[...document.querySelectorAll('#workers tr')].map(row => row.querySelector('th').textContent)"
    assert page.evaluate(order) == sorted(page.evaluate(order))
    page.click("[data-column=kind] button")
    assert page.evaluate(order) == sorted(page.evaluate(order), reverse=True)
    assert page.get_attribute("[data-column=kind]", "aria-sort") == "descending"
    page.keyboard.press("/")
    page.keyboard.type("generator")
    wait_true(page, "document.querySelectorAll('#workers tr').length === 1")
    page.fill("#filter", "nobody has this")
    assert "No worker matches" in page.inner_text("#no-workers")


@pytest.mark.browser
def test_the_page_pauses_by_a_key_and_goes_on(page, cluster):
    page.keyboard.press("p")
    page.wait_for_selector("body[data-state=paused]")
    path = "document.querySelector('[data-chart=rate] path').getAttribute('d')"
    before = page.evaluate(path)
    watch(cluster, enough=3)
    assert page.evaluate(path) == before
    page.keyboard.press("p")
    page.wait_for_selector("body[data-state=live]")
    wait_true(page, f"{path} !== {json.dumps(before)}")
    page.keyboard.press("w")
    assert page.get_attribute("[data-window='60']", "aria-pressed") == "true"


@pytest.mark.browser
def test_a_chart_is_read_with_pointer_and_keys(page, cluster, llm):
    answered(cluster)
    svg = chart(page, "rate").locator("svg")
    svg.focus()
    page.keyboard.press("ArrowLeft")
    wait_true(page, "document.querySelector('[data-chart=rate] .read').textContent.includes('1 s ago')")
    svg.hover(position={"x": 300, "y": 40})
    wait_true(page, "/[0-9]+ s ago/.test(document.querySelector('[data-chart=rate] .read').textContent)")
    assert "asked" in svg.get_attribute("aria-label")


@pytest.mark.browser
def test_the_page_comes_back_to_a_gateway_that_was_restarted(browser, make_cluster):  # noqa: F811
    one = make_cluster()
    one.start_gateway()
    with opened(browser, one.url) as page:
        page.expected_errors += ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"]
        page.goto(f"{one.url}/live")
        page.wait_for_selector("body[data-state=live]")
        was = page.inner_text("#said")
        one.gateway.stop()
        page.wait_for_selector("body[data-state=lost]")
        one.start_gateway()
        page.wait_for_selector("body[data-state=live]")
        assert page.inner_text("#said") != was


@pytest.mark.browser
def test_the_page_asks_for_a_key(browser, make_cluster, work, artefacts):  # noqa: F811
    one = make_cluster(**{"gateway.keys_file": keys_file(work, "live-page-keys")})
    one.start_gateway()
    with opened(browser, one.url) as page:
        page.expected_errors.append("401")
        page.goto(f"{one.url}/live")
        page.wait_for_selector("body[data-state=key]")
        page.fill("#key", "wrong")
        page.press("#key", "Enter")
        wait_true(page, "document.querySelector('#key-said').textContent.includes('not accepted')")
        page.screenshot(path=artefacts / "live-key.png")
        page.fill("#key", "alice-key")
        page.press("#key", "Enter")
        page.wait_for_selector("body[data-state=live]")


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1200])
def test_the_page_fits(browser, cluster, llm, artefacts, width):  # noqa: F811
    answered(cluster)
    scheme = "dark" if width == 390 else "light"
    with opened(browser, cluster.url, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        page.goto(f"{cluster.url}/live")
        page.wait_for_selector("body[data-state=live]")
        wait_true(page, "document.querySelectorAll('#workers tr').length === 7")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.screenshot(path=artefacts / f"live-{width}.png", full_page=True)
