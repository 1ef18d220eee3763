"""The page at / in a real Chromium: asks, sees status, passages and words, clicks a citation, stops an
answer; text of passages and models stays text. Screenshots land in the build folder's e2e/."""

import shutil
from contextlib import contextmanager

import pytest

from conftest import end_cluster, need, new_cluster
from fakes import llm as fake
from harness.proxy import CuttingProxy
from harness.wait import until

pytestmark = pytest.mark.browser

QUESTION = "What pressure does the Kestrel pump run at?"
ANSWER = ["The Kestrel pump runs ", "at a pressure of 42 bar. ", "That is **much**."]
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    need(chromium, "Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser, url, **context):
    """A page that must cause no error, no refused policy, no dialog and no request to elsewhere."""
    context = browser.new_context(viewport=context.pop("viewport", {"width": 1200, "height": 900}), **context)
    page = context.new_page()
    page.set_default_timeout(15_000)
    wrong = []
    expected = []
    page.on("console", lambda message: message.type in ("error", "warning") and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))

    def requested(request):
        if not request.url.startswith((url, "data:", "blob:", "about:")):
            wrong.append(f"asked {request.url}")

    page.on("request", requested)
    page.expected_errors = expected
    page.goto(url)
    yield page
    assert page.evaluate("window.pwned") is None, "script of a passage or a model ran"
    wrong = [line for line in wrong if not any(word in line for word in expected)]
    context.close()
    assert not wrong, wrong


@pytest.fixture
def page(browser, cluster):
    with opened(browser, cluster.url) as page:
        yield page


def ask(page, question=QUESTION):
    page.fill("#question", question)
    page.click("#send")


def last(page):
    return page.locator("[data-turn]").last


def wait_true(page, expression, arg=None):
    """Until it holds. (Playwright's wait_for_function is a string to evaluate, which the page's policy refuses.)"""
    until(lambda: page.evaluate(expression, arg), expression)


def wait_state(page, state):
    page.wait_for_selector(f"[data-turn][data-state={state}]")


def test_one_document_that_needs_nothing_else(cluster):
    answer = cluster.get("/")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    html = answer.body.decode()
    assert "<script src" not in html and "<link rel=\"stylesheet\"" not in html
    assert "innerHTML" not in html.replace("no innerHTML", "")


def test_a_question_is_answered_step_by_step(page, cluster, llm, artefacts):
    script, gate = fake.gated(ANSWER[:1], ANSWER[1:])
    llm.plan(script)
    ask(page)
    page.wait_for_selector(".passage[data-n='1']")
    wait_true(page, "document.querySelector('.answer')?.textContent.includes('Kestrel pump runs')")
    assert last(page).get_attribute("data-state") == "writing"
    assert page.is_visible("#stop")
    assert "42 bar." not in page.inner_text(".answer")
    page.screenshot(path=artefacts / "page-writing.png")
    gate.open()
    wait_state(page, "done")
    text = page.inner_text(".answer")
    assert "at a pressure of 42 bar." in text and "**" not in text
    assert page.inner_text(".answer strong") == "much"
    assert "42 bar" in page.inner_text(".passage[data-n='1']")
    assert page.is_hidden("#stop")
    assert page.locator(".timeline").count() == 1
    page.screenshot(path=artefacts / "page-done.png", full_page=True)


def test_the_status_is_seen_while_the_search_waits(page, cluster, embed):
    from fakes import embed as fake_embed

    gate = fake.Gate()
    embed.plan(lambda recorded: [gate, *fake_embed.of_dimension(embed.dimension)(recorded)])
    ask(page, "What pressure, in words never used before?")
    wait_state(page, "searching")
    assert "Searching" in page.inner_text(".now")
    gate.open()
    wait_state(page, "done")


def test_a_citation_leads_to_its_passage(page, cluster, llm):
    llm.plan(fake.stream(ANSWER))
    ask(page)
    wait_state(page, "done")
    cite = page.locator(".answer .cite").first
    number = cite.get_attribute("data-n")
    assert cite.inner_text() == f"[{number}]"
    cite.click()
    card = page.locator(f".passage[data-n='{number}']")
    wait_true(page, "n => document.activeElement.closest(`.passage[data-n='${n}']`) !== null", number)
    box = card.bounding_box()
    assert 0 <= box["y"] < 900, "it is in sight"


def test_an_answer_can_be_stopped(page, cluster, llm, artefacts):
    llm.plan(fake.silent(["Some words that go on "]))
    ask(page)
    wait_true(page, "document.querySelector('.answer')?.textContent.includes('go on')")
    page.click("#stop")
    wait_state(page, "stopped")
    asked = llm.asked()[0]
    until(lambda: asked.hung_up_at, "the transfer from the LLM is closed")
    assert "go on" in page.inner_text(".answer"), "what was written stays"
    assert page.is_visible("#send")
    page.screenshot(path=artefacts / "page-stopped.png", full_page=True)
    ask(page)
    wait_state(page, "done")


def test_a_page_that_was_cut_off_comes_back_by_itself(browser, cluster, llm):
    script, gate = fake.gated(["The first half ", "came, "], ["and the second ", "too."])
    llm.plan(script)
    proxy = CuttingProxy(cluster.port)
    try:
        with opened(browser, proxy.url) as page:
            page.expected_errors += ["ERR_", "Failed to load resource"]
            ask(page)
            wait_true(page, "document.querySelector('.answer')?.textContent.includes('came,')")
            proxy.cut()
            gate.open()
            wait_state(page, "done")
            assert "The first half came, and the second too." in page.inner_text(".answer")
    finally:
        proxy.close()


def test_escape_stops_and_enter_asks(page, cluster, llm):
    llm.plan(fake.silent(["Some words "]))
    page.fill("#question", QUESTION)
    page.press("#question", "Enter")
    wait_true(page, "document.querySelector('.answer')?.textContent.includes('Some')")
    page.keyboard.press("Escape")
    wait_state(page, "stopped")


def test_a_follow_up_question(page, cluster, llm):
    ask(page, "How fast does the Osprey valve close?")
    wait_state(page, "done")
    ask(page, "And what about its spring?")
    wait_true(page, "document.querySelectorAll('[data-turn][data-state=done]').length === 2")
    assert "Osprey" in last(page).locator(".passage[data-n='1']").inner_text()
    contents = [message["content"] for message in llm.asked()[-1].json["messages"]]
    assert any("How fast does the Osprey valve close?" in content for content in contents)


def test_an_error_is_told_in_words(page, cluster, llm, artefacts):
    llm.always(fake.error(401))
    ask(page)
    wait_state(page, "failed")
    assert "401" in page.inner_text(".problem") or "LLM" in page.inner_text(".problem")
    assert page.is_visible("#send")
    page.screenshot(path=artefacts / "page-error.png", full_page=True)


def test_an_answer_cut_off_says_so(page, cluster, llm):
    llm.always(fake.cut(["Half an answer "]))
    ask(page)
    wait_state(page, "failed")
    assert "Half an answer" in page.inner_text(".answer")
    assert page.inner_text(".problem")


@pytest.fixture(scope="module")
def hostile_cluster(work, _llm, _embed, hostile):
    cluster = new_cluster(work, "hostile", llm=_llm, embed=_embed)
    try:
        yield cluster.start(hostile)
    finally:
        end_cluster(cluster)


def test_script_in_passages_and_answers_stays_text(browser, hostile_cluster, llm, artefacts):
    words = [
        "<script>window.pwned=10</script> ", "<img src=x onerror='window.pwned=11'> ",
        "[link](javascript:window.pwned=12) ", "![i](x onerror=window.pwned=13) ",
        "<svg/onload=window.pwned=14> ", "`<b>code</b>` ", "[ok](https://example.org/) ",
        "[data](data:text/html,<script>window.pwned=15</script>) ", "The Falcon siren sounds at noon.",
    ]  # fmt: skip
    llm.always(fake.stream(words))
    with opened(browser, hostile_cluster.url) as page:
        ask(page, "When does the Falcon siren sound?")
        wait_state(page, "done")
        assert "<script>window.pwned=10</script>" in page.inner_text(".answer")
        assert "<script>" in page.inner_text(".passage[data-n='1']")
        assert page.locator("main script, main img, main iframe, main object, main embed").count() == 0
        for link in page.locator("main a").all():
            assert link.get_attribute("href").startswith(("https://", "http://", "#")), link
        for link in page.locator(".answer a").all():
            link.evaluate("a => a.href")
        page.screenshot(path=artefacts / "page-hostile.png", full_page=True)


def test_a_phones_width(browser, cluster, llm, artefacts):
    llm.plan(fake.stream([*ANSWER, " a-very-long-word-" + "x" * 300]))
    with opened(browser, cluster.url, viewport={"width": 360, "height": 700}) as page:
        ask(page)
        wait_state(page, "done")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"the page is {width} wide"
        page.screenshot(path=artefacts / "page-phone.png", full_page=True)


def test_in_the_dark(browser, cluster, llm, artefacts):
    llm.plan(fake.stream(ANSWER))
    with opened(browser, cluster.url, color_scheme="dark") as page:
        ask(page)
        wait_state(page, "done")
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        red, green, blue = (int(part) for part in colour.strip("rgb()").split(",")[:3])
        assert max(red, green, blue) < 80, colour
        page.screenshot(path=artefacts / "page-dark.png", full_page=True)


def test_everything_has_a_name_for_screen_readers(page, cluster, llm):
    llm.plan(fake.stream(ANSWER))
    ask(page)
    wait_state(page, "done")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, a')]
            .filter(n => n.offsetParent !== null)
            .filter(n => !(n.innerText.trim() || n.getAttribute('aria-label') || n.title ||
                           document.querySelector(`label[for="${n.id}"]`) || n.closest('label')))
            .map(n => n.outerHTML)"""
    )
    assert not nameless
    assert page.locator("[aria-live], [role=status]").count() >= 1
    assert page.evaluate("document.documentElement.lang") == "en"


def test_keyboard_alone(page, cluster, llm):
    llm.plan(fake.stream(ANSWER))
    page.focus("#question")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    wait_state(page, "done")
    page.locator(".answer .cite").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('.passage') !== null")


def test_a_choice_of_collections(browser, cluster, llm):
    with opened(browser, cluster.url) as page:
        page.wait_for_selector("#collections:not([hidden])")
        labels = page.inner_text("#collections")
        assert "docs" in labels and "cooking" in labels


def test_who_is_there(page, cluster, artefacts):
    page.click("#show-workers")
    wait_true(page, "document.querySelectorAll('#workers-rows tr').length === 7")
    assert "7 workers" in page.inner_text("#workers-said")
    rows = "[...document.querySelectorAll('#workers-rows tr')].map(row => [row.querySelector('small').textContent, row.textContent])"
    rows = dict(page.evaluate(rows))
    there = {worker["worker"]: worker for worker in cluster.workers()}
    for worker in there.values():
        row = rows[worker["worker"]]
        assert row.startswith(worker["kind"]) and "ready" in row and row.endswith(" ago")
        if worker["kind"] == "generator":
            assert "fake-llm" in row and f"0 of {worker['slots']} at work" in row
        else:
            shard = f"{worker['collection']}, shard {worker['shard'] + 1} of {worker['shards']}"
            assert f"{shard}, {worker['generation']}" in row
    page.screenshot(path=artefacts / "page-workers.png")
    page.keyboard.press("Escape")
    page.wait_for_selector("#workers", state="hidden")
    assert page.evaluate("document.activeElement.id") == "show-workers", "the focus is where it was"


def test_who_is_there_keeps_up(browser, make_cluster, guide):
    one = make_cluster()
    one.start_gateway()
    with opened(browser, one.url) as page:
        page.click("#show-workers")
        wait_true(page, "document.getElementById('workers-said').textContent.includes('No worker is there')")
        one.start_retriever(guide)
        wait_true(page, "document.querySelectorAll('#workers-rows tr').length === 4")
        page.click("#close-workers")
        page.wait_for_selector("#workers", state="hidden")


def test_a_gateway_without_workers_says_what_is_missing(browser, make_cluster):
    one = make_cluster()
    one.start_gateway()
    with opened(browser, one.url) as page:
        page.expected_errors.append("503")
        ask(page)
        wait_state(page, "failed")
        assert "ragline-" in page.inner_text(".problem"), "it says what to start"


def test_a_key_is_asked_for(browser, make_cluster, guide, work):
    import hashlib

    keys = work / "page-keys"
    keys.write_text("alice sha256:" + hashlib.sha256(b"alice-key").hexdigest() + "\n")
    one = make_cluster(**{"gateway.keys_file": keys})
    one.start_gateway()
    one.start_retriever(guide)
    one.start_generator()
    until(lambda: one.get("/readyz").status == 200, "ready")
    with opened(browser, one.url) as page:
        page.expected_errors.append("401")
        ask(page)
        page.fill("#key", "alice-key")
        page.press("#key", "Enter")
        wait_state(page, "done")
