"""What the page makes of events: Markdown as it grows, citations, holes, errors, waiting times. The page comes
from a real gateway; the events of /v1/ask are given to the byte."""

import json

import pytest

from test_page import browser, opened  # noqa: F401  (a fixture and its helper)

pytestmark = pytest.mark.browser

PASSAGES = [
    {"n": n, "id": f"docs/0/{n}", "doc": f"d{n}", "title": f"Title {n}", "heading": "A > B", "source": "a/b.md",
     "text": f"Text of passage {n}.", "start": 0, "end": 9, "score": 1 / n, "kinds": ["dense"], "collection": "docs",
     "meta": {}}
    for n in (1, 2, 3)
]  # fmt: skip
TIMINGS = {
    "total_ms": 100, "first_token_ms": 40,
    "states": [{"state": "searching", "start_ms": 0, "ms": 30}, {"state": "generating", "start_ms": 30, "ms": 10},
               {"state": "streaming", "start_ms": 40, "ms": 60}],
    "spans": [{"stage": "search", "source": "docs/0/dense", "start_ms": 1, "ms": 20, "queue_ms": 5, "work_ms": 10,
               "network_ms": 5}],
}  # fmt: skip


def events(tokens, coverage=None, done=None, end="\n"):
    """The events of one answer; a token is a text or {"cite": n}."""
    coverage = coverage or {"answered": 2, "of": 2, "missing": []}
    every = [("status", {"state": "searching", "message": "Searching…"}),
             ("sources", {"message": "3 passages", "passages": PASSAGES, "coverage": coverage})]  # fmt: skip
    every += [("token", {"text": token} if isinstance(token, str) else {"text": "", **token}) for token in tokens]
    every += [("timings", TIMINGS), ("done", {"id": "req_1", "finish_reason": "stop", "model": "m", **(done or {})})]
    return [
        f"event: {name}{end}id: {number}{end}data: {json.dumps(data, ensure_ascii=False)}{end}{end}"
        for number, (name, data) in enumerate(every, 1)
    ]


class Words:
    def __init__(self, page):
        self.page = page
        self.requests = []

    def answer(self, body, status=200, headers=None, content_type="text/event-stream"):
        def fulfil(route):
            self.requests.append(json.loads(route.request.post_data))
            route.fulfill(status=status, headers={"Content-Type": content_type, **(headers or {})}, body=body)

        self.page.unroute("**/v1/ask")
        self.page.route("**/v1/ask", fulfil)

    def ask(self, state="done", question="What?"):
        self.page.fill("#question", question)
        self.page.click("#send")
        self.page.wait_for_selector(f"[data-turn]:last-child[data-state={state}]")

    def shown(self, tokens, **more):
        """The markup of the answer to these tokens, its citations as [n]."""
        self.answer("".join(events(tokens, **more)))
        self.ask()
        return self.page.evaluate(
            """() => { const a = document.querySelector('[data-turn]:last-child .answer').cloneNode(true);
                a.querySelectorAll('.cite').forEach(c => c.replaceWith(c.textContent));
                a.querySelectorAll('figcaption').forEach(c => c.remove());
                return a.innerHTML.replace(/ (class|tabindex|role|aria-label|target|rel|scope)="[^"]*"/g, '') }"""
        )


@pytest.fixture
def words(browser, cluster):  # noqa: F811
    with opened(browser, cluster.url) as page:
        yield Words(page)


MARKDOWN = [
    ("a **b** _c_ `d` ~~e~~ ***f***", "<p>a <strong>b</strong> <em>c</em> <code>d</code> <del>e</del> "
     "<strong><em>f</em></strong></p>"),
    ("snake_case_name, 2 * 3 and \\*no\\*", "<p>snake_case_name, 2 * 3 and *no*</p>"),
    ("# T\n\ntext\n## U", "<h3>T</h3><p>text</p><h4>U</h4>"),
    ("- a\n- b\n  - c\n- d", "<ul><li>a</li><li>b<ul><li>c</li></ul></li><li>d</li></ul>"),
    ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    ("Text:\n| a | b |\n|---|--:|\n| 1 | `x|y` |\n", "<p>Text:</p><div><table><thead><tr><th>a</th><th>b</th></tr>"
     "</thead><tbody><tr><td>1</td><td><code>x|y</code></td></tr></tbody></table></div>"),
    ("```c\nint *a; // **b**\n```\nend", "<figure><pre><code>int *a; // **b**</code></pre></figure><p>end</p>"),
    ("> q\n\ns\n\n---", "<blockquote><p>q</p></blockquote><p>s</p><hr>"),
    ("[a](https://b.example/c_(d)) [x](javascript:1) <b>t</b>", '<p><a href="https://b.example/c_(d)">a</a> '
     '<span title="Link left out: not a web address">x</span> &lt;b&gt;t&lt;/b&gt;</p>'),
    ("line  \nbreak &amp; more", "<p>line<br>break &amp; more</p>"),
]  # fmt: skip


def test_markdown_becomes_nodes(words):
    for source, wanted in MARKDOWN:
        assert words.shown([source]) == wanted, source


def test_markdown_in_pieces_is_the_same(words):
    for source, wanted in MARKDOWN:
        for size in (1, 3):
            pieces = [source[at : at + size] for at in range(0, len(source), size)]
            assert words.shown(pieces) == wanted, pieces


def test_citations_stand_at_sentence_ends_once(words):
    assert words.shown(["It is so.", {"cite": 2}, " And so [1].", {"cite": 1}]) == "<p>It is so.[2] And so [1].</p>"
    assert words.shown(["- one.\n- two.\n\n", {"cite": 3}, "End [9]."]) == (
        "<ul><li>one.</li><li>two.[3]</li></ul><p>End [9].</p>"
    )
    done = {"citations": [{"passage": 2, "start": 0, "end": 8, "score": 0.9}]}
    assert words.shown(["Ünö 😀 a.", " B."], done=done) == "<p>Ünö 😀 a.[2] B.</p>"


def test_events_in_any_form(words):
    body = "\ufeff: hello\r\n\r\n" + "".join(events(["Ünö 😀"], end="\r\n"))
    words.answer(body)
    words.ask()
    assert words.page.inner_text(".answer") == "Ünö 😀"
    words.answer("retry: 10\revent: later\rdata: {}\r\r" + "".join(events(["a"], end="\r")))
    words.ask()


def test_a_hole_in_the_events_is_never_shown_as_text(words):
    every = events(["one ", "two ", "three "])
    words.answer("".join(every[:3] + every[4:]))
    words.ask("failed")
    assert "lost" in words.page.inner_text(".problem")
    assert "three" not in words.page.inner_text(".answer")


def test_a_stream_that_ends_early_is_told(words):
    words.answer("".join(events(["Half an answer "])[:3]))
    words.ask("failed")
    assert "lost before" in words.page.inner_text(".problem")
    assert "Half an answer" in words.page.inner_text(".answer")


def test_missing_sources_are_named(words):
    missing = [{"source": "docs/1/dense", "reason": "no worker"}]
    words.answer("".join(events(["a"], coverage={"answered": 1, "of": 2, "missing": missing})))
    words.ask()
    said = words.page.inner_text(".coverage")
    assert "1 of 2 sources" in said and "docs/1/dense: no worker" in said


def test_what_the_model_did_not_read_or_finish_is_told(words):
    words.answer("".join(events(["a"], done={"finish_reason": "length", "passages_used": 2})))
    words.ask()
    assert "length limit" in words.page.inner_text(".note.cut")
    assert "not read" in words.page.inner_text(".passage[data-n='3']")
    assert "not read" not in words.page.inner_text(".passage[data-n='2']")


def test_too_many_questions_wait_as_long_as_told(words):
    words.page.expected_errors.append("429")
    body = json.dumps({"error": {"message": "busy", "type": "x", "code": "busy", "param": None}})
    words.answer(body, status=429, headers={"Retry-After": "2"}, content_type="application/json")
    words.ask("failed")
    assert words.page.is_disabled(".again")
    assert "in 2 s" in words.page.inner_text(".again")
    words.page.wait_for_selector(".again:enabled")
    words.answer("".join(events(["now"])))
    words.page.click(".again")
    words.page.wait_for_selector("[data-turn][data-state=done]")
    assert words.page.locator("[data-turn]").count() == 1
    assert words.requests[0] == words.requests[1]


def test_a_proxys_page_instead_of_events(words):
    words.answer("<html>welcome</html>", content_type="text/html")
    words.ask("failed")
    words.page.expected_errors.append("502")
    words.answer("<html>bad gateway</html>", status=502, content_type="text/html")
    words.ask("failed")
    assert "bad gateway" not in words.page.inner_text("#turns")


def test_the_timeline_is_a_table_too(words):
    words.answer("".join(events(["a"])))
    words.ask()
    assert "100 ms" in words.page.get_attribute(".chart", "aria-label")
    words.page.click(".timeline summary")
    table = words.page.inner_text(".timeline table")
    assert "streaming" in table and "search docs/0/dense" in table and "60 ms" in table
    words.page.click("text=To the first word")
    assert words.page.get_attribute(".seg button:last-child", "aria-pressed") == "true"


def test_ten_thousand_tokens_keep_the_page_awake(words):
    words.page.evaluate(
        """() => { window.late = []; let t = performance.now();
            (function tick() { const n = performance.now(); late.push(n - t); t = n; requestAnimationFrame(tick) })() }"""
    )
    words.answer("".join(events([f" **w{n}**," if n % 5 else f" w{n}.\n\n- item" for n in range(10000)])))
    words.ask()
    assert "w9999" in words.page.inner_text(".answer")
    assert words.page.evaluate("late.length") > 10, "frames that were drawn while they came"
