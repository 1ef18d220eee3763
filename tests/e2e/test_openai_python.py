"""OpenAI's official Python client against the gateway, with only its base URL set."""

import json
import time

import openai
import pytest

from fakes import llm as fake
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"
MESSAGES = [{"role": "user", "content": QUESTION}]
TEXT = "".join(fake.DEFAULT_TOKENS)


@pytest.fixture
def client(cluster):
    with openai.OpenAI(base_url=cluster.base_url, api_key="unused", max_retries=0) as client:
        yield client


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_not_streaming(client, llm):
    answer = client.chat.completions.create(model="ragline", messages=MESSAGES)
    assert answer.object == "chat.completion"
    assert answer.id and answer.created > 1_600_000_000
    choice = answer.choices[0]
    assert choice.index == 0
    assert choice.message.role == "assistant"
    assert choice.message.content == TEXT
    assert choice.finish_reason == "stop"
    assert answer.usage.total_tokens == fake.USAGE["total_tokens"]
    citations = answer.model_extra["citations"]
    assert any("42 bar" in passage["text"] for passage in citations)
    assert answer.model_extra["coverage"]["answered"] == 4


def test_streaming(client, llm):
    chunks = list(client.chat.completions.create(model="ragline", messages=MESSAGES, stream=True))
    assert text_of(chunks) == TEXT
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert len({chunk.created for chunk in chunks}) == 1
    first = chunks[0].choices[0]
    assert first.delta.role == "assistant" and not first.delta.content
    assert [c.choices[0].delta.role for c in chunks[1:] if c.choices] == [None] * sum(
        bool(c.choices) for c in chunks[1:]
    ), "the role comes once"
    reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
    assert reasons[-1] == "stop" and set(reasons[:-1]) == {None}
    assert all(chunk.usage is None for chunk in chunks), "usage only for those who ask"
    with_citations = [c for c in chunks if c.model_extra.get("citations")]
    assert len(with_citations) == 1
    at = chunks.index(with_citations[0])
    assert not text_of(chunks[: at + 1]), "the passages come before the words"
    assert not any("timings" in (c.model_extra or {}) for c in chunks)


def test_the_stream_manager(client, llm):
    """client.chat.completions.stream checks each chunk and gathers the whole."""
    with client.chat.completions.stream(model="ragline", messages=MESSAGES) as stream:
        seen = [event.type for event in stream]
        final = stream.get_final_completion()
    assert "content.delta" in seen and "content.done" in seen
    assert final.choices[0].message.content == TEXT
    assert final.choices[0].finish_reason == "stop"


def test_usage_on_request(client, llm):
    chunks = list(
        client.chat.completions.create(
            model="ragline", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == fake.USAGE["prompt_tokens"]
    assert chunks[-1].usage.completion_tokens == fake.USAGE["completion_tokens"]
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert text_of(chunks) == TEXT


def test_words_arrive_as_they_are_written(client, llm):
    script, gate = fake.gated(["first "], ["second"])
    llm.plan(script)
    got = []
    for chunk in client.chat.completions.create(model="ragline", messages=MESSAGES, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            got.append(chunk.choices[0].delta.content)
            gate.open()
    assert got == ["first ", "second"]


def test_with_raw_response(client, llm):
    raw = client.chat.completions.with_raw_response.create(model="ragline", messages=MESSAGES)
    assert raw.status_code == 200
    assert raw.headers["content-type"].startswith("application/json")
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.parse().choices[0].message.content == TEXT
    assert raw.parse()._request_id == raw.headers["x-request-id"]


def test_the_bytes_of_a_stream(client, cluster, llm):
    with client.chat.completions.with_streaming_response.create(
        model="ragline", messages=MESSAGES, stream=True
    ) as raw:
        assert raw.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in raw.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    for line in lines[:-1]:
        assert line.startswith("data: ") or line.startswith(":"), line
        if line.startswith("data: "):
            json.loads(line[6:])


def test_models(client):
    models = {model.id: model for model in client.models.list()}
    assert {"ragline", "ragline/docs", "ragline/cooking"} <= set(models)
    assert all(model.object == "model" for model in models.values())
    assert client.models.retrieve("ragline").id == "ragline"
    assert client.models.retrieve("ragline/docs").id == "ragline/docs"


def test_a_model_is_a_collection(client, llm):
    answer = client.chat.completions.create(
        model="ragline/cooking", messages=[{"role": "user", "content": "How long does sourdough rest?"}]
    )
    assert {p["collection"] for p in answer.model_extra["citations"]} == {"cooking"}
    assert answer.model == "ragline/cooking" or "fake-llm" in answer.model


def test_options_of_ragline(client, llm):
    answer = client.chat.completions.create(
        model="ragline",
        messages=MESSAGES,
        extra_body={"ragline": {"collections": ["docs", "cooking"], "k": 2, "kinds": ["lexical"], "timings": True}},
    )
    citations = answer.model_extra["citations"]
    assert 1 <= len(citations) <= 2
    assert all(p["kinds"] == ["lexical"] for p in citations)
    assert answer.model_extra["coverage"]["of"] == 3
    assert answer.model_extra["timings"]["total_ms"] > 0


def test_progress_and_timings_in_a_stream_for_those_who_ask(client, llm):
    chunks = list(
        client.chat.completions.create(
            model="ragline", messages=MESSAGES, stream=True,
            extra_body={"ragline": {"progress": True, "timings": True}},
        )
    )  # fmt: skip
    assert text_of(chunks) == TEXT
    extras = [set(chunk.model_extra or {}) for chunk in chunks]
    assert any("timings" in extra for extra in extras)
    assert any("progress" in extra or "status" in extra for extra in extras)


def test_unknown_options_of_ragline_are_named(client):
    with pytest.raises(openai.BadRequestError, match="colour"):
        client.chat.completions.create(
            model="ragline", messages=MESSAGES, extra_body={"ragline": {"colour": "red"}}
        )


def test_a_conversation(client, llm):
    messages = [
        {"role": "system", "content": "Answer like a pirate."},
        {"role": "user", "content": "How fast does the Osprey valve close?"},
        {"role": "assistant", "content": "Within 9 seconds."},
        {"role": "user", "content": "And what about its spring?"},
    ]
    answer = client.chat.completions.create(model="ragline", messages=messages)
    assert any("spring" in p["text"] and "Osprey" in p["text"] for p in answer.model_extra["citations"])
    prompt = llm.prompt()
    assert "pirate" in prompt and "Within 9 seconds." in prompt


def test_content_in_parts(client, llm):
    parts = [{"type": "text", "text": "What pressure does "}, {"type": "text", "text": "the Kestrel pump run at?"}]
    answer = client.chat.completions.create(
        model="ragline", messages=[{"role": "user", "content": parts}]
    )
    assert any("42 bar" in p["text"] for p in answer.model_extra["citations"])


def test_sampling_fields_go_through(client, llm):
    client.chat.completions.create(
        model="ragline", messages=MESSAGES, temperature=0.1, top_p=0.5, seed=3, stop=["X"],
        max_completion_tokens=33, presence_penalty=0.25, frequency_penalty=0.5,
        logit_bias={"50256": -100}, user="someone", response_format={"type": "text"},
    )  # fmt: skip
    asked = llm.asked()[-1].json
    assert asked["temperature"] == 0.1 and asked["top_p"] == 0.5 and asked["seed"] == 3
    assert asked["stop"] == ["X"] and asked["logit_bias"] == {"50256": -100}
    assert asked["user"] == "someone" and asked["response_format"] == {"type": "text"}
    assert asked.get("max_completion_tokens", asked.get("max_tokens")) == 33
    assert asked["presence_penalty"] == 0.25 and asked["frequency_penalty"] == 0.5


def test_inline_citations(client, llm):
    sentence = "The Kestrel pump runs at a pressure of 42 bar."
    llm.always(fake.stream([word + " " for word in sentence.split()]))
    chunks = list(
        client.chat.completions.create(
            model="ragline", messages=MESSAGES, stream=True,
            extra_body={"ragline": {"inline_citations": True}},
        )
    )  # fmt: skip
    assert "[1]" in text_of(chunks) or "[2]" in text_of(chunks)


# ---- errors raise the right classes ------------------------------------------------------------------------


def test_an_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert caught.value.code == "model_not_found"
    assert "gpt-4o" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="ragline/nowhere", messages=MESSAGES)


def test_n_above_one(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="ragline", messages=MESSAGES, n=3)
    assert caught.value.param == "n"
    assert caught.value.type == "invalid_request_error"


def test_tools(client):
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="ragline", messages=MESSAGES, tools=[tool])
    assert caught.value.param == "tools"


def test_empty_messages(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="ragline", messages=[])
    assert caught.value.param == "messages"


def test_a_failing_llm(client, llm):
    llm.always(fake.error(500))
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="ragline", messages=MESSAGES)
    assert caught.value.status_code in (502, 503)


def test_a_failing_llm_in_a_stream(client, llm):
    llm.always(fake.error(401))
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(model="ragline", messages=MESSAGES, stream=True))
    assert "401" in str(caught.value)


def test_an_llm_that_dies_in_the_middle_of_a_stream(client, llm):
    llm.always(fake.cut(["half ", "a "]))
    got = []
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model="ragline", messages=MESSAGES, stream=True):
            if chunk.choices and chunk.choices[0].delta.content:
                got.append(chunk.choices[0].delta.content)
            assert not (chunk.choices and chunk.choices[0].finish_reason)
    assert "".join(got) == "half a "


def test_a_rate_limit_of_the_llm_is_a_rate_limit(client, llm):
    llm.always(fake.error(429, headers={"Retry-After": "1"}))
    with pytest.raises((openai.RateLimitError, openai.InternalServerError)) as caught:
        client.chat.completions.create(
            model="ragline", messages=MESSAGES, extra_body={"ragline": {"timeout_ms": 3000}}
        )
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_the_client_tries_again_by_itself(cluster, llm):
    """max_retries of the client works with our statuses and headers."""
    with openai.OpenAI(base_url=cluster.base_url, api_key="x", max_retries=2) as client:
        llm.plan(fake.error(500))
        answer = client.chat.completions.create(model="ragline", messages=MESSAGES)
    assert answer.choices[0].message.content == TEXT


def test_aborting_a_stream_stops_the_work(client, cluster, llm):
    llm.always(fake.silent(["word "]))
    stream = client.chat.completions.create(model="ragline", messages=MESSAGES, stream=True)
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            break
    stream.close()
    left_at = time.monotonic()
    asked = llm.asked()[-1]
    until(lambda: asked.hung_up_at, "the transfer from the LLM is closed", 5)
    assert asked.hung_up_at - left_at < 1
    cluster.wait_idle()


def test_a_client_timeout_stops_the_work(cluster, llm):
    llm.always(fake.never())
    with openai.OpenAI(base_url=cluster.base_url, api_key="x", max_retries=0, timeout=0.5) as client:
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="ragline", messages=MESSAGES)
    asked = llm.asked()[-1]
    until(lambda: asked.hung_up_at, "the transfer from the LLM is closed", 5)
    cluster.wait_idle()


def test_many_at_once(cluster, llm):
    import asyncio

    llm.always(fake.stream(every=0.005))

    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=cluster.base_url, api_key="x", max_retries=0) as client:

            async def one(number):
                out = []
                stream = await client.chat.completions.create(
                    model="ragline", messages=[{"role": "user", "content": f"{QUESTION} {number}"}],
                    stream=True,
                )  # fmt: skip
                async for chunk in stream:
                    if chunk.choices:
                        out.append(chunk.choices[0].delta.content or "")
                return "".join(out)

            return await asyncio.gather(*(one(n) for n in range(50)))

    assert asyncio.run(all_of_them()) == [TEXT] * 50
