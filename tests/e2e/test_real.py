"""With the real models: a small LLM and a real embedding model on loopback, real documents."""

import re

import openai
import pytest

from conftest import end_cluster, new_cluster
from harness.cluster import build_index
from harness.documents import GUIDE, write
from harness.process import ROOT
from harness.wait import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def real(work, real_llm, real_embed):
    documents = write(work / "real-documents", GUIDE)
    settings = {"index.chunk_words": 60, "index.overlap_words": 10}
    given = [documents]
    given += [ROOT / "README.md", ROOT / "gateway" / "README.md", ROOT / "scripts" / "deploy" / "README.md"]
    build_index(work / "real-index", given, real_embed, "docs", shards=2, **settings)
    cluster = new_cluster(
        work, "real", llm=real_llm, embed=real_embed,
        **{"llm.context_tokens": 2048, "gateway.k": 3, "embed.timeout_ms": 20000, "gateway.soft_ms": 20000,
           "gateway.hard_ms": 30000, "cache.share": "true", "llm.prefill": "auto"},
    )  # fmt: skip
    try:
        yield cluster.start(work / "real-index")
    finally:
        end_cluster(cluster)


def test_a_question_is_answered_and_cited(real):
    stream = real.ask(
        {"question": "What pressure does the Kestrel pump run at?", "temperature": 0, "max_tokens": 60}, timeout=120
    )
    assert stream.complete
    names = stream.names()
    assert names[0] == "status" and names[-2:] == ["timings", "done"], stream.events[-1]
    assert "42 bar" in stream.passages[0]["text"]
    done = stream.one("done").data
    assert done["upstream"] == "openai"
    assert re.search(r"\b42\b", stream.text), stream.text
    assert done["citations"], stream.text
    cited = {citation["passage"] for citation in done["citations"]}
    assert any("42 bar" in stream.passages[n - 1]["text"] for n in cited)
    assert done["usage"]["completion_tokens"] > 0
    assert len([e for e in stream.of("token") if e.data["text"]]) > 3, "word by word"


def test_real_embeddings_find_what_shares_no_word(real):
    answer = real.search("lubrication interval of the machine that transports coolant", kinds=["dense"], k=3)
    assert any("greased every 300 hours" in passage["text"] for passage in answer["passages"])


def test_the_openai_client(real):
    with openai.OpenAI(base_url=real.base_url, api_key="x", max_retries=0) as client:
        text = ""
        stream = client.chat.completions.create(
            model="ragline", stream=True, temperature=0, max_tokens=40,
            messages=[{"role": "user", "content": "Within how many seconds does the Osprey valve close?"}],
        )  # fmt: skip
        for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
    assert "9" in text or "nine" in text.lower(), text


def test_stop_and_max_tokens_are_the_models(real):
    stream = real.ask({"question": "What is the Heron gauge?", "max_tokens": 5, "temperature": 0}, timeout=120)
    done = stream.one("done").data
    assert done["finish_reason"] == "length"
    assert done["usage"]["completion_tokens"] <= 6


def test_a_drafted_question_has_been_read_when_it_is_asked(real):
    """The LLM server tells: what is left to read is the question's own end."""
    until(lambda: real.get("/v1/workers").json() and reads_ahead(real), "the generator reads ahead", timeout=90)
    plain = real.ask({"question": "Who greases the bearings of the Kestrel pump?", "max_tokens": 8}, timeout=120)
    question = "How many seconds does the Osprey valve take to close"
    draft = real.post("/v1/draft", {"question": question, "draft": "one"}, timeout=120)
    assert draft.status == 200, draft.body
    assert draft.json()["prefill"] == "prefilled", draft.json()
    asked = real.ask({"question": question + "?", "draft": "one", "max_tokens": 8}, timeout=120)
    before, after = (stream.one("timings").data for stream in (plain, asked))
    assert after["retrieval"] == "draft"
    assert after["cached_tokens"] > 0.8 * after["prompt_tokens"], after
    assert before.get("cached_tokens", 0) < 0.5 * before["prompt_tokens"], before
    assert asked.complete and asked.text


def reads_ahead(cluster):
    draft = cluster.post("/v1/draft", {"question": "What is the Heron gauge", "draft": "zero"}, timeout=120)
    return draft.json().get("prefill") == "prefilled"
