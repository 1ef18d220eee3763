"""OpenAI's official JavaScript client against the gateway, with only its base URL set."""

import json

import pytest

from fakes import llm as fake
from harness.wait import until

pytestmark = pytest.mark.js

TEXT = "".join(fake.DEFAULT_TOKENS)


@pytest.fixture
def js(node, cluster):
    def run(case):
        done = node("openai_client.mjs", cluster.base_url, case)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_not_streaming(js, llm):
    answer = js("whole")
    assert answer["text"] == TEXT
    assert answer["finish"] == "stop"
    assert answer["total"] == fake.USAGE["total_tokens"]
    assert any("42 bar" in passage["text"] for passage in answer["citations"])


def test_streaming(js, llm):
    chunks = js("stream")["chunks"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert text == TEXT
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] > 0
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert sum("citations" in chunk for chunk in chunks) == 1


def test_the_streaming_helper(js, llm):
    answer = js("helper")
    assert answer["final"] == TEXT
    assert "".join(answer["events"]) == TEXT


def test_models(js):
    answer = js("models")
    assert {"ragline", "ragline/docs", "ragline/cooking"} <= set(answer["ids"])
    assert answer["one"] == "ragline"


def test_aborting_stops_the_work(js, llm, cluster):
    llm.always(fake.silent(["word "]))
    assert js("abort")["words"] == 1
    asked = llm.asked()[-1]
    until(lambda: asked.hung_up_at, "the transfer from the LLM is closed", 5)
    cluster.wait_idle()


def test_an_unknown_model(js):
    error = js("unknownModel")
    assert error["raised"] == "NotFoundError" and error["code"] == "model_not_found"


def test_n_above_one(js):
    error = js("several")
    assert error["raised"] == "BadRequestError" and error["param"] == "n"


def test_a_failing_llm(js, llm):
    llm.always(fake.error(500))
    error = js("failing")
    assert error["raised"] == "InternalServerError" and error["status"] in (502, 503)


def test_a_failing_llm_in_a_stream(js, llm):
    llm.always(fake.error(401))
    error = js("failingStream")
    assert error["raised"] and "401" in error["message"]
