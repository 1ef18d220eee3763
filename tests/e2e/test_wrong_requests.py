"""Wrong input from clients: each with a status, a code, and a message that names what is wrong; and
the gateway goes on as if nothing had been."""

import json
import random
import socket
import time

import pytest

from fakes import llm as fake
from harness.cluster import error_of
from harness.http import HungUp, request_bytes
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"
SETTINGS = {"gateway.request_timeout_ms": 1500, "gateway.keepalive_ms": 3000}
PATHS = ["/v1/ask", "/v1/search", "/v1/chat/completions"]


@pytest.fixture(autouse=True)
def unharmed(cluster, llm):
    """After each wrong request a right one is answered by the same gateway."""
    pid = cluster.gateway.pid
    yield
    assert cluster.gateway.alive() and cluster.gateway.pid == pid
    assert cluster.search("Kestrel pump")["passages"]


def refused(answer, status, code=None, param=None, says=()):
    assert answer.status == status, (answer.status, answer.body[:500])
    error = error_of(answer)
    if status < 500:
        assert error["type"] in (
            "invalid_request_error", "authentication_error", "permission_error",
            "not_found_error", "rate_limit_error", "rate_limit_exceeded", "permission_denied",
        ), error  # fmt: skip
    if code:
        assert error["code"] == code, error
    if param:
        assert error["param"] == param, error
    for word in [says] if isinstance(says, str) else says:
        assert word.lower() in error["message"].lower(), error
    return error


def body_for(path, question=QUESTION, **fields):
    if path == "/v1/chat/completions":
        body = {"model": "ragline", "messages": [{"role": "user", "content": question}]}
    else:
        body = {"question": question}
    return {**body, **fields}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"question=x", b'{"question": "x"', b'{"question": "x"} trailing', b"\xff\xfe\x00",
     b'{"question": "\xff"}', b'{"question": "x", "question": "y"}', b"null{", b'{"a":' * 5000,
     b'{"question": "\\ud800"}', b'{"question": "a\\u0000b"}', b"[" * 100_000],
    ids=lambda body: ascii(body[:20]),
)  # fmt: skip
def test_a_body_that_is_no_json(cluster, path, body):
    error = refused(cluster.post(path, body), 400)
    assert "json" in error["message"].lower() or "utf-8" in error["message"].lower() or error["param"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("body", [[], "text", 7, None, True])
def test_a_body_that_is_no_object(cluster, path, body):
    refused(cluster.post(path, json.dumps(body).encode()), 400, says="object")


def test_a_body_of_another_type_is_named(cluster):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = cluster.post("/v1/ask", b"question=x", headers)
    assert answer.status in (400, 415)
    assert "json" in error_of(answer)["message"].lower()


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
@pytest.mark.parametrize("question", [None, "", "   \n\t ", 7, True, [], {}, ["x"]], ids=repr)
def test_a_question_that_is_none(cluster, path, question):
    refused(cluster.post(path, {"question": question}), 400, param="question", says="question")


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
def test_a_missing_question(cluster, path):
    refused(cluster.post(path, {}), 400, param="question", says="question")


def test_missing_messages(cluster):
    refused(cluster.post("/v1/chat/completions", {"model": "ragline"}), 400, param="messages")


@pytest.mark.parametrize(
    "messages",
    [[], None, "hello", {}, [7], [{}], [{"role": "user"}], [{"role": "user", "content": 7}],
     [{"role": "user", "content": ""}], [{"role": "martian", "content": "x"}],
     [{"role": "assistant", "content": "only me"}], [{"content": "x"}],
     [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
     [{"role": "user", "content": "x"}] * 1000],
    ids=lambda messages: repr(messages)[:40],
)  # fmt: skip
def test_messages_that_are_wrong(cluster, messages):
    answer = cluster.post("/v1/chat/completions", {"model": "ragline", "messages": messages})
    error = refused(answer, 400)
    assert error["param"].startswith("messages"), error


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
def test_a_question_of_a_mebibyte(cluster, path):
    answer = cluster.post(path, {"question": "x" * (1 << 20)})
    refused(answer, 413)


def test_a_question_longer_than_one_may_be(cluster):
    answer = cluster.post("/v1/ask", {"question": "word " * 7000})
    assert answer.status in (400, 413)
    assert error_of(answer)["param"] == "question"


def test_a_long_question_that_may_be(cluster):
    answer = cluster.post("/v1/search", {"question": "pump " * 6000})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
@pytest.mark.parametrize("k", [0, -1, 101, 10**6, 10**30, 1.5, "8", None, True, [], {}], ids=repr)
def test_a_k_that_cannot_be(cluster, path, k):
    error = refused(cluster.post(path, {"question": QUESTION, "k": k}), 400, param="k")
    assert "100" in error["message"] or "number" in error["message"] or "integer" in error["message"]


WRONG_FIELDS = [
    ("collection", 7), ("collection", ""), ("collection", ["docs"]), ("collection", "x" * 100_000),
    ("collection", "../etc"), ("collections", "docs"), ("collections", []), ("collections", [7]),
    ("collections", ["docs"] * 1000),
    ("kinds", "dense"), ("kinds", []), ("kinds", ["psychic"]), ("kinds", [7]),
    ("weights", 7), ("weights", {"psychic": 1}), ("weights", {"dense": "a lot"}),
    ("weights", {"dense": -1}), ("weights", {"dense": 1e300}), ("weights", {"dense": 0, "lexical": 0}),
    ("timeout_ms", 0), ("timeout_ms", -5), ("timeout_ms", "soon"), ("timeout_ms", 10**30),
    ("require", "some"), ("require", True), ("soft_ms", -1), ("hard_ms", "x"), ("quorum", -1),
    ("quorum", 1.5),
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search"])
@pytest.mark.parametrize("field,value", WRONG_FIELDS, ids=lambda x: repr(x)[:24])
def test_a_field_of_a_wrong_value(cluster, path, field, value):
    answer = cluster.post(path, {"question": QUESTION, field: value})
    if answer.status == 404:  # a name that no collection has
        assert field == "collection"
    error = refused(answer, 404 if answer.status == 404 else 400)
    assert error["param"].split(".")[0].split("[")[0] == field, error


WRONG_SAMPLING = [
    ("temperature", "hot"), ("temperature", -1), ("temperature", 1e9), ("top_p", 2), ("top_p", "x"),
    ("max_tokens", 0), ("max_tokens", -3), ("max_tokens", "many"), ("max_tokens", 10**20),
    ("stop", 7), ("stop", [7]), ("stop", ["x"] * 100), ("seed", "x"), ("seed", 1.5),
    ("response_format", "json"), ("presence_penalty", "x"), ("frequency_penalty", 99),
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/chat/completions"])
@pytest.mark.parametrize("field,value", WRONG_SAMPLING, ids=lambda x: repr(x)[:24])
def test_a_sampling_field_of_a_wrong_value(cluster, path, field, value):
    error = refused(cluster.post(path, body_for(path, **{field: value})), 400)
    assert error["param"].split(".")[0].split("[")[0] == field, error


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("field", ["qestion", "K", "", "a" * 1000, "quest\nion", "stream_"])
def test_an_unknown_field_is_named(cluster, path, field):
    error = refused(cluster.post(path, body_for(path, **{field: 1})), 400)
    assert field[:20].strip() in error["message"] or "\\n" in error["message"] or error["param"] == field


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/chat/completions"])
@pytest.mark.parametrize("value", [1, "true", [], {}], ids=repr)
def test_stream_is_true_or_false(cluster, path, value):
    refused(cluster.post(path, body_for(path, stream=value)), 400, param="stream")


@pytest.mark.parametrize(
    "turns",
    ["x", 7, [7], [{}], [{"role": "martian", "content": "x"}], [{"role": "user", "content": 7}],
     [{"role": "user", "content": "x", "secret": 1}], [{"role": "user", "content": "x"}] * 1000],
    ids=lambda turns: repr(turns)[:40],
)  # fmt: skip
def test_earlier_turns_that_are_wrong(cluster, turns):
    error = refused(cluster.post("/v1/ask", {"question": QUESTION, "messages": turns}), 400)
    assert error["param"].startswith("messages"), error


@pytest.mark.parametrize("path", PATHS)
def test_an_unknown_collection(cluster, path):
    if path == "/v1/chat/completions":
        body = body_for(path, ragline={"collection": "nowhere"})
    else:
        body = body_for(path, collection="nowhere")
    refused(cluster.post(path, body), 404, says="nowhere")


@pytest.mark.parametrize("path", [*PATHS, "/"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_a_wrong_method_is_told_the_right_one(cluster, method, path):
    answer = cluster.call(method, path, b"{}")
    refused(answer, 405)
    assert ("GET" if path == "/" else "POST") in answer.headers["allow"]


@pytest.mark.parametrize("path", PATHS)
def test_get_where_post_is_due(cluster, path):
    answer = cluster.get(path)
    refused(answer, 405)
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW", "get", "G" * 500])
def test_methods_that_nobody_serves(cluster, method):
    with cluster.connect(timeout=5) as connection:
        connection.request(method, "/v1/models")
        try:
            assert connection.head().status in (400, 404, 405, 501)
        except (HungUp, ConnectionError):
            pass  # no HTTP, no answer


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/v1", "/v1/", "/v1/ask/", "/v1/asks", "/V1/ASK", "//v1/ask", "/../etc/passwd",
     "/%2e%2e/etc/passwd", "/v1/ask%00", "/" + "a" * 2000, "/v1/models/", "/favicon.txt"],
    ids=lambda path: path[:20],
)  # fmt: skip
def test_a_path_that_is_not_there(cluster, path):
    answer = cluster.get(path)
    assert answer.status in (404, 400, 405), answer.status
    error_of(answer)


@pytest.mark.parametrize(
    "start",
    [b"\r\n\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
     b"GET / HTTP/1.1\r\nno colon here\r\n\r\n", b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200, b"\0" * 1000,
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
     b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nExpect: the-unexpected\r\nContent-Length: 2\r\n\r\n{}"],
    ids=lambda start: ascii(start[:36]) + ascii(start[-12:]),
)  # fmt: skip
def test_bytes_that_are_no_http(cluster, start):
    """An error or a closed connection, soon, and nothing that looks like an answer."""
    with cluster.connect(timeout=10) as connection:
        connection.send(start)
        try:
            head = connection.response()
            assert head.status >= 400, head.status
            if head.body and "json" in head.headers.get("content-type", ""):
                error_of(head)
        except (HungUp, ConnectionError):
            pass


def test_a_chunked_body_is_read(cluster):
    body = json.dumps({"question": QUESTION}).encode()
    with cluster.connect() as connection:
        connection.send(
            b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for at in range(0, len(body), 7):
            part = body[at : at + 7]
            connection.send(b"%x;ext=1\r\n%s\r\n" % (len(part), part))
        connection.send(b"0\r\n\r\n")
        assert connection.response().status == 200


def test_a_chunked_body_that_never_ends_is_cut(cluster):
    with cluster.connect(timeout=10) as connection:
        connection.send(
            b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        try:
            for _ in range(1000):
                connection.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except ConnectionError:
            return
        try:
            assert connection.head().status == 413
        except (HungUp, ConnectionError):
            pass


def test_expect_100_continue(cluster):
    body = json.dumps({"question": QUESTION}).encode()
    with cluster.connect() as connection:
        connection.send(
            b"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert connection.line() == "HTTP/1.1 100 Continue"
        assert connection.line() == ""
        connection.send(body)
        assert connection.response().status == 200


def test_several_requests_on_one_connection(cluster):
    with cluster.connect() as connection:
        for _ in range(3):
            connection.request("POST", "/v1/search", {"question": QUESTION})
            assert connection.response().status == 200
            connection.request("POST", "/v1/search", {"nonsense": 1})
            assert connection.response().status == 400
            connection.request("GET", "/healthz")
            assert connection.response().status == 200


@pytest.mark.parametrize("kind", ["one long line", "many lines", "a long path"])
def test_headers_that_are_too_large(cluster, kind):
    with cluster.connect(timeout=10) as connection:
        if kind == "one long line":
            text = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"y" * 40_000 + b"\r\n\r\n"
        elif kind == "many lines":
            lines = b"".join(b"X-%d: y\r\n" % n for n in range(6000))
            text = b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n"
        else:
            text = b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
        try:
            connection.send(text)
            head = connection.response()
        except (HungUp, ConnectionError) as why:
            pytest.fail(f"no answer: {why!r}")
        assert head.status in (431, 414), head.status
        error_of(head)


def test_headers_that_come_too_slowly(cluster):
    """An absolute deadline: a byte now and then does not move it."""
    start = time.monotonic()
    with cluster.connect(timeout=10) as connection:
        try:
            while True:
                connection.send(b"GET / HTTP/1.1\r\n"[:1] if time.monotonic() - start < 0.01 else b"X")
                connection.sock.settimeout(0.05)
                try:
                    connection._more()
                    break  # an answer
                except TimeoutError:
                    assert time.monotonic() - start < 8, "still waiting"
        except (HungUp, ConnectionError):
            pass
    assert 1.0 < time.monotonic() - start < 8


def test_a_body_that_comes_too_slowly(cluster):
    body = json.dumps({"question": QUESTION}).encode()
    whole = request_bytes("x", "POST", "/v1/ask", body)
    head = whole[: -len(body)]
    start = time.monotonic()
    with cluster.connect(timeout=10) as connection:
        connection.send(head)
        answer = None
        try:
            for byte in body:
                connection.send(bytes([byte]))
                connection.sock.settimeout(0.2)
                try:
                    answer = connection.response()
                    break
                except TimeoutError:
                    assert time.monotonic() - start < 8, "still waiting"
        except (HungUp, ConnectionError):
            pass
    assert 1.0 < time.monotonic() - start < 8
    if answer:
        assert answer.status == 408
        error_of(answer)


def test_an_idle_connection_is_closed(cluster):
    start = time.monotonic()
    with cluster.connect(timeout=15) as connection:
        connection.request("GET", "/healthz")
        assert connection.response().status == 200
        with pytest.raises((HungUp, ConnectionError)):
            connection.line()
    assert time.monotonic() - start < 10


def test_a_request_byte_by_byte(cluster):
    text = request_bytes("x", "POST", "/v1/search", {"question": QUESTION})
    with cluster.connect() as connection:
        for byte in text:
            connection.send(bytes([byte]))
        assert connection.response().status == 200


def test_a_client_that_hangs_up_at_any_byte_of_its_request(cluster):
    text = request_bytes("x", "POST", "/v1/ask", {"question": QUESTION})
    for cut in range(0, len(text), 3):
        connection = cluster.connect()
        connection.send(text[:cut])
        connection.reset() if cut % 2 else connection.close()
    cluster.wait_idle()


def test_a_client_that_hangs_up_at_any_byte_of_its_answer(cluster, llm):
    llm.always(fake.stream(["word "] * 20, every=0.002))
    rng = random.Random(5)
    text = request_bytes("x", "POST", "/v1/ask", {"question": QUESTION})
    for _ in range(60):
        connection = cluster.connect()
        connection.send(text)
        left = rng.choice([0, 1, 10, 100, 300, 1000, 3000, 6000])
        try:
            while left > 0:
                got = connection.sock.recv(min(left, 4096))
                if not got:
                    break
                left -= len(got)
        finally:
            connection.reset() if rng.random() < 0.5 else connection.close()
    cluster.wait_idle()
    until(lambda: all(r.over for r in llm.asked()), "every transfer from the LLM has ended")
    until(lambda: cluster.metrics(), "metrics")


def test_a_client_that_closes_its_sending_side_only(cluster, llm):
    """shutdown(SHUT_WR) after the request: it still gets its answer or is taken as gone; no hang."""
    with cluster.connect(timeout=10) as connection:
        connection.request("POST", "/v1/search", {"question": QUESTION})
        connection.sock.shutdown(socket.SHUT_WR)
        try:
            assert connection.response().status == 200
        except (HungUp, ConnectionError):
            pass
    cluster.wait_idle()


def test_a_client_that_does_not_read_is_bounded_and_alone(cluster, llm):
    """Its stream pauses, others go on, and it gets every word when it reads again."""
    # more than the system's buffer for a connection (4 MB), ours and the generator's window hold
    tokens = [f"{n:06d} " + "x" * 8000 + " " for n in range(1000)]
    llm.plan(fake.stream(tokens))
    start = cluster.metrics()["ragline_tokens_total"]
    slow = cluster.connect(timeout=60, receive_buffer=4096)
    slow.request("POST", "/v1/ask", {"question": QUESTION})
    head = slow.head()

    def paused():
        before = cluster.metrics()["ragline_tokens_total"]
        time.sleep(0.3)  # nothing moves for as long
        return before - start > 30 and before == cluster.metrics()["ragline_tokens_total"]

    until(paused, "the answer is held back")
    assert cluster.metrics()["ragline_tokens_total"] - start < 900, "all was taken although nobody reads"
    others = cluster.ask(QUESTION)
    assert others.complete and others.names()[-1] == "done"
    words = []
    for event in slow.events(head):
        if event.name == "token" and event.data["text"]:
            words.append(event.data["text"])
        last = event
    slow.close()
    assert last.name == "done", last
    assert "".join(words) == "".join(tokens)


def test_a_hundred_connections_that_say_nothing(cluster):
    idle = [cluster.connect() for _ in range(100)]
    assert cluster.search("valve")["passages"]
    for connection in idle:
        connection.close()


def test_head_has_no_body(cluster):
    answer = cluster.call("HEAD", "/healthz")
    assert answer.status == 200
    with cluster.connect() as connection:
        connection.request("HEAD", "/")
        assert connection.head().status == 200
        connection.request("GET", "/healthz")
        assert connection.response().status == 200, "the connection is still in step"


def test_cors_is_off_by_default(cluster):
    answer = cluster.post("/v1/search", {"question": QUESTION}, {"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    asked = cluster.call(
        "OPTIONS", "/v1/ask", None,
        {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
    )  # fmt: skip
    assert not [name for name in asked.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("field", ["tools", "tool_choice", "functions", "logprobs", "audio", "modalities"])
def test_what_is_not_supported_is_never_dropped_in_silence(cluster, field):
    value = {"logprobs": True, "tool_choice": "auto", "audio": {}}.get(field, [{}])
    refused(cluster.post("/v1/chat/completions", body_for(PATHS[2], **{field: value})), 400, param=field)


def test_more_than_one_choice(cluster):
    refused(cluster.post("/v1/chat/completions", body_for(PATHS[2], n=2)), 400, param="n")
    assert cluster.post("/v1/chat/completions", body_for(PATHS[2], n=1)).status == 200


def test_random_bytes_as_requests(cluster):
    rng = random.Random(11)
    good = request_bytes("x", "POST", "/v1/ask", {"question": QUESTION, "k": 3})
    for turn in range(150):
        bad = bytearray(good if turn % 3 else rng.randbytes(rng.randrange(1, 2000)))
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        connection = cluster.connect()
        try:
            connection.send(bytes(bad))
        except ConnectionError:
            pass
        connection.close()
    cluster.wait_idle()
