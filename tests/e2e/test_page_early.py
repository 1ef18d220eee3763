"""The page before everything is there: passages while a source is still out, which then move to their places, and
a quotation until the model's own words come. In a real browser, on real processes."""

import itertools

import pytest

from fakes import embed as fake_embed
from fakes import llm as fake
from harness.wait import until
from test_page import ask, browser, last, opened, page, wait_state, wait_true  # noqa: F401  (fixtures)

pytestmark = pytest.mark.browser

SETTINGS = {
    "gateway.progressive_ms": 20, "gateway.quick_answer": True, "gateway.weight_dense": 1, "gateway.weight_lexical": 0.001,
    "gateway.soft_ms": 20000, "gateway.hard_ms": 30000, "embed.timeout_ms": 20000, "gateway.drafts": 0,
}  # fmt: skip
_count = itertools.count()


def fresh():
    return f"What pressure does the Kestrel pump run at, case {next(_count)}?"


@pytest.fixture
def slow(embed):
    """The embedding server waits at this gate, and then finds the question close to the Osprey valve."""
    gate = fake.Gate()

    def close(vectors):
        return [fake_embed.embed("Osprey valve closes seconds power fails spring", embed.dimension)] * len(vectors)

    def script(recorded):
        body = fake_embed.body_of(recorded, embed.dimension, close)
        return [gate, fake_embed.Send(fake_embed.json_response(200, body))]

    embed.always(script)
    yield gate
    gate.open()


def number_of(page, word):  # noqa: F811
    return page.locator(".passage", has_text=word).first.get_attribute("data-n")


def test_passages_are_there_before_the_slowest_source(page, slow, llm, artefacts):  # noqa: F811
    ask(page, fresh())
    page.wait_for_selector(".behind[data-final=false] .passage[data-n='1']")
    assert last(page).get_attribute("data-state") == "searching"
    assert "42 bar" in page.inner_text(".passage[data-n='1']")
    said = page.inner_text(".behind h3")
    assert "so far" in said.lower() and "docs/0/dense" in said
    assert "3 of 6 sources so far" in page.inner_text(".now")
    assert "so far" in page.inner_text("[data-turn] .s-passages.lit")
    page.screenshot(path=artefacts / "page-so-far.png")
    slow.open()
    wait_state(page, "done")
    assert page.get_attribute(".behind", "data-final") == "true"
    assert page.inner_text(".behind h3").lower() == "passages"
    assert "so far" not in page.inner_text("[data-turn] .s-passages")
    assert "first passages after" in page.inner_text(".timeline .marks")


@pytest.mark.parametrize("width", [1200, 360])
def test_they_move_to_their_places_and_what_is_read_stays(browser, cluster, slow, llm, width):  # noqa: F811
    llm.plan(fake.stream(["The Osprey valve closes within 9 seconds when the power fails. ", "Yes."]))
    with opened(browser, cluster.url, viewport={"width": width, "height": 700}) as page:  # noqa: F811
        ask(page, fresh())
        page.wait_for_selector(".behind[data-final=false] .passage[data-n='1']")
        page.evaluate(
            """() => { const card = document.querySelector(".passage[data-n='1']");
                card.mine = true; card.focus(); window.top0 = card.getBoundingClientRect().top; }"""
        )
        slow.open()
        page.wait_for_selector(".behind[data-final=true]")
        place = page.evaluate(
            """() => { const card = [...document.querySelectorAll(".passage")].find((c) => c.mine);
                return card && { n: card.dataset.n, shown: card.querySelector(".n").textContent, text: card.textContent,
                    focused: document.activeElement === card, by: card.getBoundingClientRect().top - window.top0,
                    above: [...card.parentNode.children].indexOf(card), room: scrollY + card.parentNode.parentNode.scrollTop }; }"""
        )
        assert place and "42 bar" in place["text"], "the same card is still there"
        assert int(place["n"]) > 1 and place["shown"] == place["n"] and place["above"] == int(place["n"]) - 1
        assert place["focused"]
        numbers = page.evaluate("[...document.querySelectorAll('.passage')].map((c) => Number(c.dataset.n))")
        assert numbers == list(range(1, len(numbers) + 1))
        wait_state(page, "done")
        cite = page.locator(".answer .cite").first
        card = page.locator(f".passage[data-n='{cite.get_attribute('data-n')}']")
        assert "9 seconds" in card.inner_text(), "numbers are those of the final order"
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_card_that_is_read_keeps_its_place_on_the_screen(browser, cluster, slow, llm):  # noqa: F811
    silent = fake.Gate()  # the page follows the answer's words: there are none yet
    llm.plan([silent, *fake.stream(["Forty-two bar."])])
    with opened(browser, cluster.url, viewport={"width": 1200, "height": 420}) as page:  # noqa: F811
        ask(page, fresh())
        page.wait_for_selector(".behind[data-final=false] .passage[data-n='1']")
        page.evaluate(
            """async () => { const card = document.querySelector(".passage[data-n='1']"), top = () => card.getBoundingClientRect().top;
                await Promise.all(card.getAnimations().map((one) => one.finished)); card.focus(); window.jumped = [];
                let before = top();
                const watch = () => { if (!window.jumped.length) { before = top(); requestAnimationFrame(watch); } }; watch();
                new MutationObserver(() => { window.jumped.push(top() - before); before = top(); })
                    .observe(card.parentNode, { childList: true, subtree: true, characterData: true, attributes: true }); }"""
        )
        slow.open()
        page.wait_for_selector(".behind[data-final=true]")
        wait_true(page, "window.jumped.length > 0")
        assert abs(page.evaluate("window.jumped[0]")) < 2, page.evaluate("window.jumped")
        assert page.evaluate("document.activeElement.dataset.n") != "1", "it has moved among the others"
        silent.open()


def test_a_quotation_until_the_model_writes(page, cluster, llm, artefacts):  # noqa: F811
    first, second = fake.Gate(), fake.Gate()
    head, *events = [step for step in fake.stream(["Forty-two ", "bar."])]
    llm.plan([first, head, *events[:2], second, *events[2:]])
    ask(page, fresh())
    page.wait_for_selector(".quick")
    quick = page.inner_text(".quick")
    assert "42 bar" in quick and "not the model's words" in quick
    assert page.inner_text(".answer").strip() == ""
    page.screenshot(path=artefacts / "page-quick.png")
    page.click(".quick .cite")
    wait_true(page, "document.activeElement.closest('.passage') !== null")
    assert "42 bar" in page.evaluate("document.activeElement.closest('.passage').textContent")
    tall = page.evaluate("document.querySelector('.quick').getBoundingClientRect().height")
    first.open()
    wait_true(page, "document.querySelector('.answer').textContent.includes('Forty-two')")
    assert page.locator(".quick").count() == 0, "the model's own words have come"
    assert page.evaluate("document.querySelector('.answer').getBoundingClientRect().height") >= tall - 1
    second.open()
    wait_state(page, "done")
    assert page.inner_text(".answer").strip().startswith("Forty-two bar.")
    assert page.evaluate("document.querySelector('.answer').style.minHeight") == ""
    sent = []
    page.on("request", lambda request: request.url.endswith("/v1/ask") and sent.append(request.post_data_json))
    ask(page, fresh())
    wait_true(page, "document.querySelectorAll('[data-turn][data-state=done]').length === 2")
    told = [message["content"] for message in sent[0]["messages"] if message["role"] == "assistant"]
    assert told == ["Forty-two bar."], "it is no part of the conversation"


def test_a_quotation_is_left_where_the_model_fails(page, cluster, llm):  # noqa: F811
    llm.always(fake.error(401))
    ask(page, fresh())
    wait_state(page, "failed")
    until(lambda: page.locator(".quick").count() == 1, "the quotation")
    assert "42 bar" in page.inner_text(".quick") and page.inner_text(".answer").strip() == ""
