"""Keys, rates, TLS, CORS, and where the gateway may listen."""

import hashlib
import signal
import socket
import ssl
import subprocess

import pytest

from harness.cluster import error_of, options
from harness.ports import free_port
from harness.process import run
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"


def line_of(name, key, *more):
    return " ".join([name, "sha256:" + hashlib.sha256(key.encode()).hexdigest(), *more])


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


# ---- keys ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys_file(work):
    path = work / "keys"
    path.write_text(
        "# who may ask\n"
        + line_of("alice", "alice-key") + "\n"
        + line_of("cook", "cook-key", "collections=cooking") + "\n"
        + line_of("slow", "slow-key", "rate=2/min") + "\n\n"
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def keyed(work, _llm, _embed, guide, cooking, keys_file):
    from conftest import end_cluster, new_cluster

    cluster = new_cluster(work, "keyed", llm=_llm, embed=_embed)
    cluster.settings |= {"gateway.keys_file": keys_file, "log.level": "debug"}
    try:
        cluster.start_gateway()
        cluster.start_retriever(guide)
        cluster.start_retriever(cooking)
        cluster.start_generator()
        until(lambda: cluster.get("/readyz").status == 200, "ready")

        def known():
            workers = cluster.get("/v1/workers", headers=bearer("alice-key")).json()["workers"]
            return len([w for w in workers if w["state"] == "ready"]) == 7

        until(known, "seven workers")
        yield cluster
    finally:
        end_cluster(cluster)


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search", "/v1/chat/completions"])
def test_no_key(keyed, path):
    answer = keyed.post(path, {"question": QUESTION})
    assert answer.status == 401
    assert error_of(answer)["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "headers",
    [bearer("wrong"), bearer(""), {"Authorization": "Bearer"}, {"Authorization": "alice-key"},
     {"Authorization": "Basic YWxpY2U6a2V5"}, {"X-Api-Key": "wrong"}, bearer("alice-key "* 500),
     bearer("alice-ke"), bearer("alice-keyy"), bearer("ALICE-KEY"),
     bearer(hashlib.sha256(b"alice-key").hexdigest())],
    ids=lambda headers: str(headers)[:40],
)  # fmt: skip
def test_a_wrong_key(keyed, headers):
    answer = keyed.post("/v1/search", {"question": QUESTION}, headers)
    assert answer.status == 401
    error = error_of(answer)
    assert "alice-key" not in error["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/workers", "/v1/info", "/metrics"])
def test_what_needs_a_key_to_be_seen(keyed, path):
    answer = keyed.get(path)
    if path == "/metrics" and answer.status == 200:
        return  # scrapers have no keys; it is documented
    assert answer.status == 401
    assert keyed.get(path, headers=bearer("alice-key")).status == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_what_needs_no_key(keyed, path):
    assert keyed.get(path).status == 200


@pytest.mark.parametrize("headers", [bearer("alice-key"), {"X-Api-Key": "alice-key"}], ids=str)
def test_the_right_key(keyed, headers):
    assert keyed.post("/v1/search", {"question": QUESTION}, headers).status == 200
    stream = keyed.ask(QUESTION, headers=headers)
    assert stream.names()[-1] == "done"


def test_a_collection_that_a_key_may_not_read(keyed):
    body = {"question": QUESTION, "collection": "docs"}
    answer = keyed.post("/v1/search", body, bearer("cook-key"))
    assert answer.status == 403
    assert "docs" in error_of(answer)["message"]
    chat = {"model": "ragline/docs", "messages": [{"role": "user", "content": QUESTION}]}
    assert keyed.post("/v1/chat/completions", chat, bearer("cook-key")).status in (403, 404)
    both = {"question": QUESTION, "collections": ["cooking", "docs"]}
    assert keyed.post("/v1/search", both, bearer("cook-key")).status == 403
    body = {"question": "sourdough", "collection": "cooking"}
    assert keyed.post("/v1/search", body, bearer("cook-key")).status == 200


def test_without_a_name_a_key_gets_only_what_it_may_read(keyed):
    answer = keyed.post("/v1/search", {"question": "sourdough pump"}, bearer("cook-key"))
    if answer.status == 200:
        assert {p["collection"] for p in answer.json()["passages"]} <= {"cooking"}
    else:
        assert answer.status == 403


def test_models_are_those_that_a_key_may_read(keyed):
    models = keyed.get("/v1/models", headers=bearer("cook-key")).json()["data"]
    assert "ragline/docs" not in {model["id"] for model in models}
    assert "ragline/cooking" in {model["id"] for model in models}


def test_a_rate(keyed):
    """Two a minute: the third is refused and told when to come back."""
    statuses = []
    for _ in range(4):
        answer = keyed.post("/v1/search", {"question": "pump"}, bearer("slow-key"))
        statuses.append(answer.status)
    assert statuses[0] == 200 and statuses[-1] == 429, statuses
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    error = error_of(answer)
    assert "rate" in (error["code"] or "") or "rate" in error["type"]
    # nobody else waits for that
    assert keyed.post("/v1/search", {"question": "pump"}, bearer("alice-key")).status == 200


def test_openai_clients_raise_the_right_classes(keyed):
    import openai

    with openai.OpenAI(base_url=keyed.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    with openai.OpenAI(base_url=keyed.base_url, api_key="cook-key", max_retries=0) as client:
        with pytest.raises((openai.PermissionDeniedError, openai.NotFoundError)):
            client.chat.completions.create(
                model="ragline/docs", messages=[{"role": "user", "content": QUESTION}]
            )


def test_keys_are_read_again_on_sighup(keyed, keys_file):
    before = keys_file.read_text()
    assert keyed.post("/v1/search", {"question": "pump"}, bearer("bob-key")).status == 401
    keys_file.write_text(before + line_of("bob", "bob-key") + "\n")
    keyed.gateway.signal(signal.SIGHUP)
    try:
        until(
            lambda: keyed.post("/v1/search", {"question": "pump"}, bearer("bob-key")).status == 200,
            "the new key is known",
        )
    finally:
        keys_file.write_text(before)
        keyed.gateway.signal(signal.SIGHUP)
    until(
        lambda: keyed.post("/v1/search", {"question": "pump"}, bearer("bob-key")).status == 401,
        "a key that is gone is not known any more",
    )


def test_a_keys_file_that_does_not_hold_changes_nothing(keyed, keys_file):
    before = keys_file.read_text()
    keys_file.write_text(before + "mallory sha256:nonsense\n")
    keyed.gateway.signal(signal.SIGHUP)
    try:
        keyed.gateway.wait_log(rf"{keys_file.name}:\d+|{keys_file.name}.*line \d+")
        assert keyed.post("/v1/search", {"question": "pump"}, bearer("alice-key")).status == 200
    finally:
        keys_file.write_text(before)


def test_no_key_is_in_a_log(keyed):
    for process in keyed.processes:
        said = process.log()
        for key in ("alice-key", "cook-key", "slow-key", "bob-key"):
            assert key not in said


@pytest.mark.parametrize(
    "text",
    ["alice", "alice md5:abc", "alice sha256:12", line_of("a", "x", "collections="), line_of("a", "x", "rate=fast"),
     line_of("a", "x", "colour=red"), line_of("a", "x") + "\n" + line_of("a", "y"), "\x7fELF\0\1"],
    ids=lambda text: ascii(text[:12] + text[-12:]),
)  # fmt: skip
def test_a_keys_file_that_does_not_hold_stops_the_start(work, text):
    path = work / "bad-keys"
    path.write_text("# one\n" + text + "\n")
    settings = gateway_settings() | {"gateway.keys_file": path}
    done = run("ragline-gateway", options(settings), work, timeout=20)
    assert done.returncode != 0
    assert "bad-keys" in done.stderr and ("2" in done.stderr or "3" in done.stderr), done.stderr


def gateway_settings(listen="127.0.0.1"):
    return {
        "gateway.listen": f"{listen}:{free_port()}",
        "gateway.hub": f"tcp://127.0.0.1:{free_port()}",
        "gateway.tokens": f"tcp://127.0.0.1:{free_port()}",
    }


def test_without_keys_it_listens_on_loopback_only(work):
    done = run("ragline-gateway", options(gateway_settings("0.0.0.0")), work, timeout=20)
    assert done.returncode != 0
    assert "allow_public" in done.stderr or "allow-public" in done.stderr
    assert "keys_file" in done.stderr or "keys" in done.stderr


def test_unless_told_otherwise(make_cluster):
    one = make_cluster()
    one.start_gateway(**{"gateway.listen": f"0.0.0.0:{one.port}", "gateway.allow_public": True})


# ---- TLS ------------------------------------------------------------------------------------------------


def certificate(folder, name="server"):
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return cert, key


@pytest.fixture(scope="module")
def tls(work, _llm, _embed, guide):
    from conftest import end_cluster, new_cluster

    cert, key = certificate(work)
    settings = {"gateway.tls_cert": cert, "gateway.tls_key": key}
    cluster = new_cluster(work, "tls", llm=_llm, embed=_embed, scheme="https", **settings)
    cluster.context = ssl.create_default_context(cafile=str(cert))
    cluster.cert = cert
    try:
        yield cluster.start(guide)
    finally:
        end_cluster(cluster)


def test_https_streams(tls):
    stream = tls.ask(QUESTION)
    assert stream.complete and stream.names()[-1] == "done"
    assert stream.names()[0] == "status"


def test_the_openai_client_over_https(tls):
    import httpx
    import openai

    http_client = httpx.Client(verify=tls.context)
    with openai.OpenAI(base_url=tls.base_url, api_key="x", max_retries=0, http_client=http_client) as client:
        answer = client.chat.completions.create(
            model="ragline", messages=[{"role": "user", "content": QUESTION}]
        )
        assert answer.choices[0].message.content


def test_old_versions_of_tls_are_refused(tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
    with pytest.raises((ssl.SSLError, OSError)):
        with socket.create_connection(("127.0.0.1", tls.port), 5) as plain:
            context.wrap_socket(plain)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 2000, b""]
)
def test_no_tls_on_the_tls_port(tls, data):
    with socket.create_connection(("127.0.0.1", tls.port), 5) as plain:
        plain.sendall(data)
    assert tls.search("valve")["passages"]


def test_a_client_that_hangs_up_in_the_handshake(tls):
    for size in (1, 5, 40, 100):
        with socket.create_connection(("127.0.0.1", tls.port), 5) as plain:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            conversation = tls.context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            with pytest.raises(ssl.SSLWantReadError):
                conversation.do_handshake()
            plain.sendall(outgoing.read()[:size])
    assert tls.search("valve")["passages"]


def test_a_new_certificate_on_sighup(tls, work):
    cert, key = tls.settings["gateway.tls_cert"], tls.settings["gateway.tls_key"]
    new_cert, new_key = certificate(work, "renewed")
    old = ssl.get_server_certificate(("127.0.0.1", tls.port))
    key.write_text(new_key.read_text())
    cert.write_text(new_cert.read_text())
    tls.gateway.signal(signal.SIGHUP)
    until(lambda: ssl.get_server_certificate(("127.0.0.1", tls.port)) != old, "the new one is served")
    tls.context = ssl.create_default_context(cafile=str(cert))
    assert tls.search("valve")["passages"]


@pytest.mark.parametrize("wrong", ["missing", "nonsense", "other key", "no key"])
def test_a_certificate_that_does_not_hold_stops_the_start(work, wrong):
    folder = work / f"tls-{wrong.replace(' ', '-')}"
    folder.mkdir()
    cert, key = certificate(folder)
    settings = gateway_settings() | {"gateway.tls_cert": cert, "gateway.tls_key": key}
    if wrong == "missing":
        cert.unlink()
    elif wrong == "nonsense":
        cert.write_text("nonsense")
    elif wrong == "other key":
        settings["gateway.tls_key"] = certificate(folder, "other")[1]
    else:
        del settings["gateway.tls_key"]
    done = run("ragline-gateway", options(settings), work, timeout=20)
    assert done.returncode != 0
    assert "tls" in done.stderr.lower() or "server.pem" in done.stderr, done.stderr


# ---- CORS -----------------------------------------------------------------------------------------------


def test_cors_where_it_is_configured(make_cluster, guide):
    one = make_cluster(**{"gateway.cors_origin": "https://app.example"})
    one.start_gateway()
    origin = {"Origin": "https://app.example"}
    answer = one.get("/v1/models", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    asked = one.call(
        "OPTIONS", "/v1/ask",
        headers={**origin, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "content-type, authorization"},
    )  # fmt: skip
    assert asked.status in (200, 204)
    assert asked.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in asked.headers["access-control-allow-methods"]
    allowed = asked.headers["access-control-allow-headers"].lower()
    assert "content-type" in allowed and "authorization" in allowed
    other = one.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert other.headers.get("access-control-allow-origin") != "https://evil.example"
    error = one.post("/v1/ask", b"{", origin)
    assert error.headers["access-control-allow-origin"] == "https://app.example", "errors too"
