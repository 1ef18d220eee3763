"""The page while a question is being typed, in a real Chromium: drafts after a pause, none where they are of no use,
and nothing to be seen of one that fails."""

import itertools
import json
import threading

import pytest

from fakes import embed as fake_embed
from harness.wait import until
from test_page import browser, last, opened, wait_state  # noqa: F401

pytestmark = pytest.mark.browser

SETTINGS = {"cache.share": "true", "cache.embeddings_mb": 16}
_number = itertools.count(1)


def fresh():
    """A question that no test has asked: 8 words."""
    return f"At what pressure does Kestrel pump {next(_number)} run"


class Sent:
    """The drafts and questions that a page sends, and the statuses of their answers."""

    def __init__(self, page):
        self.drafts, self.asks, self.statuses, self.ended = [], [], [], []
        page.on("request", self._request)
        page.on("response", lambda r: r.url.endswith("/v1/draft") and self.statuses.append(r.status))
        page.on("requestfailed", lambda r: r.url.endswith("/v1/draft") and self.ended.append(r))

    def _request(self, request):
        for path, out in (("/v1/draft", self.drafts), ("/v1/ask", self.asks)):
            if request.url.endswith(path):
                out.append(json.loads(request.post_data))


def seen(page, state, what):
    """Until it holds; playwright tells of requests while it is asked something."""
    until(lambda: (page.evaluate("1"), state())[1], what)


@pytest.fixture
def page(browser, cluster):  # noqa: F811
    with opened(browser, cluster.url) as page:
        page.sent = Sent(page)
        page.wait_for_selector("#about:not(:empty)")  # it knows what the gateway has
        yield page


def test_what_is_typed_is_found_before_it_is_sent(page, cluster, embed):
    question = fresh()
    page.type("#question", question, delay=15)
    seen(page, lambda: page.sent.statuses and page.sent.drafts[-1]["question"] == question, "the whole of it is drafted")
    seen(page, lambda: len(page.sent.statuses) + len(page.sent.ended) == len(page.sent.drafts), "drafts are answered")
    asked = len([r for r in embed.requests if question in r.body.decode()])
    assert asked == 1
    page.click("#send")
    wait_state(page, "done")
    assert page.sent.asks[0]["draft"] == page.sent.drafts[-1]["draft"]
    assert len({draft["draft"] for draft in page.sent.drafts}) == 1
    assert len([r for r in embed.requests if question in r.body.decode()]) == asked  # nothing was looked for again
    until(lambda: cluster.metrics()['ragline_drafts_total{outcome="used"}'] >= 1, "the draft served")
    # the next question is another session
    page.type("#question", fresh(), delay=5)
    seen(page, lambda: page.sent.drafts[-1]["draft"] != page.sent.asks[0]["draft"], "a draft of the next one")
    assert page.sent.drafts[-1]["messages"], "a follow-up is drafted with what it refers to"


def test_few_words_are_not_drafted(page):
    page.type("#question", "two words", delay=5)
    page.press("#question", "End")
    page.type("#question", " and a third", delay=5)
    seen(page, lambda: page.sent.statuses, "a draft")
    assert all(len(draft["question"].split()) >= 3 for draft in page.sent.drafts)


def test_a_draft_ends_the_one_before(page, embed):
    gate = threading.Event()
    embed.plan(lambda recorded: (gate.wait(20), fake_embed.of_dimension(embed.dimension)(recorded))[1])
    question = fresh()
    page.type("#question", question, delay=2)
    seen(page, lambda: page.sent.drafts, "a first draft")
    page.type("#question", " when it is hot", delay=2)
    seen(page, lambda: page.sent.ended, "the first one is given up")
    gate.set()
    seen(page, lambda: page.sent.statuses and page.sent.statuses[-1] == 200, "the second one is answered")
    assert page.sent.drafts[-1]["question"] == question + " when it is hot"


def test_the_question_waits_for_its_draft(page, cluster, embed):
    gate = threading.Event()
    embed.always(lambda recorded: (gate.wait(20), fake_embed.of_dimension(embed.dimension)(recorded))[1])
    question = fresh()
    page.type("#question", question, delay=2)
    seen(page, lambda: page.sent.drafts and page.sent.drafts[-1]["question"] == question, "its draft")
    page.click("#send")
    wait_state(page, "searching")
    gate.set()
    wait_state(page, "done")
    assert len([r for r in embed.requests if question in r.body.decode()]) == 1
    assert not page.sent.ended


def test_a_gateway_that_takes_no_drafts_is_sent_none(browser, make_cluster, guide):  # noqa: F811
    one = make_cluster(**SETTINGS, **{"gateway.drafts": 0})
    one.start(guide)
    assert one.get("/v1/info").json()["drafts"] is False
    with opened(browser, one.url) as page:
        sent = Sent(page)
        page.wait_for_selector("#about:not(:empty)")
        page.type("#question", fresh(), delay=5)
        # later than a draft would be sent: the page's own clock says so
        page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
        page.click("#send")
        wait_state(page, "done")
        assert not sent.drafts and "draft" not in sent.asks[0]


@pytest.mark.parametrize("status", [202, 500])
def test_one_that_is_not_taken_is_the_last_for_a_while(page, cluster, status):
    page.expected_errors.append("Failed to load resource")
    page.route("**/v1/draft", lambda route: route.fulfill(status=status, body='{"state":"skipped"}'))
    page.type("#question", fresh(), delay=2)
    seen(page, lambda: page.sent.statuses == [status], "it is refused")
    page.type("#question", " and what else is there to know", delay=2)
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert len(page.sent.drafts) == 1
    page.click("#send")
    wait_state(page, "done")
    assert last(page).locator(".problem").count() == 0
