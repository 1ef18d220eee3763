"""ragline-ask at a terminal: editing, history, wide characters; drafts of what is being typed, after a pause, none where
they are of no use, and nothing to be seen of one that fails."""

import itertools
import signal
from unicodedata import normalize

import pytest

from fakes import embed as fake_embed
from fakes import llm as fake
from fakes.server import Gate
from harness.process import run
from harness.terminal import GO_ON, STOP, Terminal
from harness.wait import until

pytestmark = pytest.mark.sanitized

SETTINGS = {
    "cache.share": "true",
    "cache.embeddings_mb": 16,
    "gateway.soft_ms": 20000,
    "gateway.hard_ms": 30000,
    "embed.timeout_ms": 20000,
}
ANSWER = "".join(fake.DEFAULT_TOKENS)
_number = itertools.count(1)


def fresh():
    """A question that no test has asked: 8 words."""
    return f"At what pressure does Kestrel pump {next(_number)} run"


@pytest.fixture(autouse=True, scope="module")
def _every_source_is_there(cluster):
    """What is incomplete is not kept for the question."""
    cluster.wait_workers(7)


def drafts(cluster):
    """How many have come, of this cluster's whole life."""
    return cluster.gateway.log().count("POST /v1/draft")


def looks(cluster):
    return cluster.gateway.log().count("GET /v1/info")


def opened(cluster, *words, **more):
    """At its prompt, and told by the gateway whether it takes drafts."""
    before = looks(cluster)
    terminal = Terminal("ragline-ask", ["--ask-url", cluster.url, *words], cluster.folder, **more)
    terminal.wait_line(">")
    if "--no-drafts" not in words:
        until(lambda: looks(cluster) > before, "it asks whether drafts are taken")
    return terminal


def answered(terminal, times=1):
    """All of it: the prompt is there again."""
    terminal.wait(
        lambda screen: terminal.said.count(" in all") >= times and screen.shown()[screen.row] == ">", "the answer"
    )


def asked_for(embed, text):
    return [r for r in embed.requests if text in r.body.decode()]


# ---- drafts -------------------------------------------------------------------------------------------------


def test_what_is_typed_is_found_before_it_is_sent(cluster, llm, embed):
    question = fresh()
    used = cluster.metrics()['ragline_drafts_total{outcome="used"}']
    with opened(cluster) as terminal:
        terminal.type(question, 0.01)
        terminal.wait_line(f"> {question}")
        until(lambda: asked_for(embed, question), "the whole of it is drafted")
        until(lambda: cluster.metrics()["ragline_questions_in_flight"] == 0, "and found")
        assert not llm.asked()
        terminal.type("\r")
        answered(terminal)
        assert len(asked_for(embed, question)) == 1  # nothing was looked for again
        assert cluster.metrics()['ragline_drafts_total{outcome="used"}'] == used + 1
        assert ANSWER in terminal.screen.text()
        # the next question is another session, a follow-up drafted with what it refers to
        again = "and what does " + fresh()
        terminal.type(again, 0.01)
        until(lambda: asked_for(embed, again), "the next one is drafted")
        terminal.type("\r")
        answered(terminal, 2)
        assert question in llm.prompt() and again in llm.prompt()
        terminal.type("\x04")
        terminal.end()


def test_few_words_are_not_drafted(cluster, llm, embed):
    with opened(cluster) as terminal:
        before = drafts(cluster)
        terminal.type("two words")
        terminal.wait_line("> two words")
        terminal.type(" and a third", 0.01)
        until(lambda: drafts(cluster) > before, "a draft")
        assert not asked_for(embed, '"two words"') and not asked_for(embed, '"two"')


def test_a_draft_ends_the_one_before(cluster, llm, embed):
    gate = Gate()
    embed.plan(lambda recorded: [gate, *fake_embed.of_dimension(embed.dimension)(recorded)])
    question = fresh()
    with opened(cluster) as terminal:
        terminal.type(question)
        until(lambda: asked_for(embed, question), "a first draft")
        terminal.type(" when it is hot")
        until(lambda: asked_for(embed, "when it is hot"), "the second one")
        until(lambda: cluster.metrics()["ragline_questions_in_flight"] == 0, "both are over")
        gate.open()
        terminal.type("\r")
        answered(terminal)
        assert len(asked_for(embed, "when it is hot")) == 1


def test_the_question_waits_for_its_draft(cluster, llm, embed):
    gate = Gate()
    embed.always(lambda recorded: [gate, *fake_embed.of_dimension(embed.dimension)(recorded)])
    question = fresh()
    shared = cluster.metrics()["ragline_retrievals_shared_total"]
    with opened(cluster) as terminal:
        terminal.type(question)
        until(lambda: asked_for(embed, question), "its draft")
        terminal.type("\r")
        until(lambda: cluster.metrics()["ragline_retrievals_shared_total"] == shared + 1, "it waits")
        gate.open()
        answered(terminal)
    assert len(asked_for(embed, question)) == 1


@pytest.mark.parametrize("wanted", ["--no-drafts", "--search"])
def test_none_unless_wanted(cluster, llm, embed, wanted):
    question = fresh()
    with opened(cluster, "--no-drafts", wanted) as terminal:
        before, looked = drafts(cluster), looks(cluster)
        terminal.type(question, 0.01)
        terminal.wait_line(f"> {question}")
        terminal.type("\r")
        until(lambda: len(asked_for(embed, question)) == 1, "it is asked")
        terminal.wait(lambda screen: screen.shown()[screen.row] == ">", "the prompt")
        assert drafts(cluster) == before and looks(cluster) == looked


def test_none_from_a_pipe(cluster, llm):
    before, looked = drafts(cluster), looks(cluster)
    done = run("ragline-ask", ["--ask-url", cluster.url], cluster.folder, input=fresh() + "\n")
    assert done.returncode == 0 and ANSWER in done.stdout
    assert drafts(cluster) == before and looks(cluster) == looked


def test_none_where_the_gateway_takes_none(make_cluster, guide, llm, embed):
    one = make_cluster(**SETTINGS, **{"gateway.drafts": 0, "log.level": "debug"})
    one.start(guide)
    question = fresh()
    with opened(one) as terminal:
        terminal.type(question, 0.01)
        terminal.type("\r")
        answered(terminal)
    assert drafts(one) == 0


def test_one_that_fails_is_the_last_for_a_while_and_is_not_told(make_cluster, guide, llm, embed):
    one = make_cluster(**SETTINGS, **{"log.level": "debug"})
    one.start_gateway()
    one.start_generator()
    one.wait_workers(1)
    question = fresh()
    with opened(one) as terminal:
        terminal.type(question)
        until(lambda: one.gateway.log().count("POST /v1/draft: 503") == 1, "there is nothing to search")
        terminal.type(", and what else is there to know", 0.01)
        one.start_retriever(guide)
        one.wait_ready()
        terminal.wait_line(f"> {question}, and what else is there to know")
        assert "rror" not in terminal.screen.text() and drafts(one) == 1
        terminal.type("\r")
        answered(terminal)
        assert drafts(one) == 1


# ---- editing --------------------------------------------------------------------------------------------------


def test_editing(cluster, llm):
    with opened(cluster, "--no-drafts") as terminal:
        terminal.type("wat is a pump wrong words")
        terminal.type("\x17\x17\x7f")  # two words back, and a blank
        terminal.wait_line("> wat is a pump")
        terminal.type("\x01\x1b[C")  # home, right
        terminal.type("h\x05?")  # end
        terminal.wait_line("> what is a pump?")
        terminal.type("\x1b[D\x1bb\x1b[1;5D\x0b")  # left, a word left twice, to the end away
        terminal.wait_line("> what is")
        terminal.type("\x19")
        terminal.wait_line("> what is a pump?")
        terminal.type("\x01\x1b[3~W\x1bOC\x1b[F\x7f")  # delete, W, right, end, back
        terminal.wait_line("> What is a pump")
        terminal.type("\x0c")
        terminal.wait(lambda screen: screen.shown()[0] == "> What is a pump", "an empty screen")
        terminal.type("\r")
        answered(terminal)
        assert "What is a pump" in llm.prompt()


def test_history(cluster, llm):
    first, second = fresh(), fresh()
    with opened(cluster, "--no-drafts") as terminal:
        terminal.type(first + "\r")
        answered(terminal)
        terminal.type(second + "\r")
        answered(terminal, 2)
        terminal.type("not yet\x1b[A")
        terminal.wait(lambda screen: screen.shown()[screen.row] == f"> {second}", "the last one")
        terminal.type("\x10\x10")  # no more than there are
        terminal.wait(lambda screen: screen.shown()[screen.row] == f"> {first}", "the first one")
        terminal.type("\x1b[B\x0e")
        terminal.wait(lambda screen: screen.shown()[screen.row] == "> not yet", "what stood there")
        terminal.type("\x1b[A, again\r")
        answered(terminal, 3)
        assert second + ", again" in llm.prompt()


@pytest.mark.parametrize("columns", [20, 21, 33])
def test_wide_characters_over_several_rows(cluster, llm, embed, columns):
    words = f"日本語の質問です {columns} ポンプの 圧力は e\u0301 どのくらい ですか"
    with opened(cluster, columns=columns) as terminal:

        def shows(text, cursor):
            screen = terminal.pump()
            rows, row, column = [""], 0, 2
            rows[0], used, place = "> ", 2, None
            for at, char in enumerate(text):
                wide = 0 if char == "\u0301" else 2 if ord(char) > 0x1000 else 1
                if used + wide > columns:
                    rows.append("")
                    used = 0
                if at == cursor:
                    place = (len(rows) - 1, used)
                rows[-1] += char
                used += wide
            row, column = place or ((len(rows) - 1, used) if used < columns else (len(rows), 0))
            lines = screen.shown()
            top = next((n for n, line in enumerate(lines) if line.startswith(">")), 0)
            found = lines[top : top + len(rows)] == [normalize("NFC", line).rstrip() for line in rows]  # as pyte keeps them
            return found and (screen.row - top, screen.column) == (row, column)

        for at, char in enumerate(words):
            terminal.type(char)
            until(lambda end=at: shows(words[: end + 1], end + 1), f"{words[: at + 1]} in {columns} columns")
        until(lambda: asked_for(embed, words), "it is drafted")
        terminal.type("\x7f" * 8)
        left = words[:-8]
        until(lambda: shows(left, len(left)), "whole characters go")
        terminal.type("\x01")
        until(lambda: shows(left, 0), "the cursor at home")
        terminal.type("また")
        until(lambda: shows("また" + left, 2), "before the rest")
        terminal.type("\x05\r")
        answered(terminal)
        assert "また" + left in llm.prompt()


def test_more_rows_than_the_screen_has(cluster, llm):
    question = " ".join(f"word{n}" for n in range(100)) + " end"
    with opened(cluster, "--no-drafts", columns=40, rows=8) as terminal:
        terminal.type(question)
        terminal.wait(lambda screen: screen.shown()[screen.row].endswith("word99 end"), "its end")
        terminal.type("\x01")
        terminal.wait(lambda screen: screen.shown()[0].startswith("> word0 word1"), "its beginning")
        terminal.type("first \x05 last\r")
        answered(terminal)
        assert f"first {question} last" in llm.prompt()


def test_what_is_pasted_is_one_question(cluster, llm):
    with opened(cluster, "--no-drafts") as terminal:
        assert "\x1b[?2004h" in terminal.said
        terminal.type("\x1b[200~What is\r\n a\tpump?\x1b[201~")
        terminal.wait_line("> What is   a pump?")
        assert not llm.asked()
        terminal.type("\r")
        answered(terminal)
        assert "What is   a pump?" in llm.prompt()


def test_what_is_typed_ahead_is_asked_in_turn(cluster, llm):
    first, second = fresh(), fresh()
    with opened(cluster, "--no-drafts") as terminal:
        terminal.type(f"{first}\r\r{second}\r\x04")
        terminal.end()
        assert terminal.said.count(" in all") == 2
    assert [first in llm.prompt(one) for one in llm.asked()] == [True, True]
    assert second in llm.prompt()


def test_keys_that_mean_nothing_do_nothing(cluster, llm):
    with opened(cluster, "--no-drafts") as terminal:
        terminal.type("one\x1b[5~\x1b[1;99;3;4;5;6;7;8;9;10Z\x1bOP\x02\x06\x1bx\x16\x12 two")
        terminal.wait_line("> one two")
        terminal.type(b"\xff\xc3 \xe2\x80\xae three".decode("latin-1").encode("latin-1").decode("utf-8", "ignore"))
        terminal.wait(lambda screen: "three" in screen.shown()[screen.row], "the next word")
        assert "\u202e" not in terminal.said


# ---- the terminal's own ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_the_terminal_is_given_back(cluster, how):
    with opened(cluster) as terminal:
        terminal.type("some words")
        terminal.wait_line("> some words")
        assert not terminal.attributes_are_back()
        terminal.signal(signal.SIGINT if how == "interrupt" else signal.SIGTERM)
        terminal.end(status=130)


def test_stopped_and_going_on(cluster, llm):
    question = fresh()
    with opened(cluster, "--no-drafts") as terminal:
        terminal.type(question)
        terminal.wait_line(f"> {question}")
        terminal.signal(STOP)
        until(lambda: terminal.state() == "T", "it is stopped")
        terminal.pump()
        assert terminal.attributes_are_back()
        terminal.signal(GO_ON)
        terminal.wait(lambda screen: screen.shown().count(f"> {question}") == 2, "the line again")
        terminal.type("?\r")
        answered(terminal)
        assert question + "?" in llm.prompt()


def test_a_window_that_becomes_wider(cluster):
    with opened(cluster, "--no-drafts", columns=20) as terminal:
        terminal.type("some words that take two rows")
        terminal.wait(lambda screen: screen.shown()[screen.row] == "ke two rows", "two rows")
        terminal.resize(60, 40)
        terminal.signal(signal.SIGWINCH)
        terminal.wait_line("> some words that take two rows")


def test_an_answer_can_be_stopped(cluster, llm):
    script, gate = fake.gated(["Some words "], ["more."])
    llm.plan(script)
    with opened(cluster, "--no-drafts") as terminal:
        terminal.type(fresh() + "\r")
        terminal.wait(lambda screen: "Some words" in screen.text(), "its first words")
        terminal.type("\n")
        terminal.wait(lambda screen: "Stopped." in screen.shown() and screen.shown()[screen.row] == ">", "it stops")
        until(lambda: llm.asked()[-1].hung_up_at, "the transfer from the LLM is closed")
        terminal.type(fresh() + "\r")
        answered(terminal)
    gate.open()


def test_a_terminal_that_understands_little_has_its_own_lines(cluster, llm):
    question = fresh()
    with Terminal("ragline-ask", ["--ask-url", cluster.url], cluster.folder, env={"TERM": "dumb"}) as terminal:
        terminal.wait_line(">")
        assert terminal.attributes_are_back() and "\x1b" not in terminal.said
        terminal.type(question + "\n")
        answered(terminal)
        terminal.type("\x04")
        terminal.end()
    assert question in llm.prompt()
