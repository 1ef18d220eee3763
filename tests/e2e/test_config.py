"""Configuration: one file for all programs; what is wrong is named, with its place and what it may be."""

import re

import pytest

from harness.cluster import options
from harness.ports import free_port
from harness.process import run

PROGRAMS = ["ragline-gateway", "ragline-retriever", "ragline-generator", "ragline-index", "ragline-ask", "ragline-top",
            "ragline-profile"]  # fmt: skip
PROCESSES = PROGRAMS[:3]


def config(work, text, name="ragline.conf"):
    path = work / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_lists_every_option_with_its_default(program, work):
    done = run(program, ["--help"], work)
    assert done.returncode == 0
    assert "--log-level" in done.stdout
    assert "info" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_version(program, work):
    done = run(program, ["--version"], work)
    assert done.returncode == 0
    assert any(part[0].isdigit() for part in done.stdout.split())


@pytest.mark.parametrize("program", PROCESSES)
def test_the_sample_file_holds_as_it_is(program, work):
    sample = run("ragline-gateway", ["--sample-config"], work).stdout
    assert "[gateway]" in sample and "[retriever]" in sample and "[llm]" in sample
    path = config(work, sample, f"sample-{program}.conf")
    done = run(program, ["--config", path, "--check-config"], work)
    assert done.returncode == 0, done.stderr
    # and with every key uncommented that has a default
    lines = [re.sub(r"^#(\[[a-z]+ ?\w*\]|[a-z_]+ = .)", r"\1", line) for line in sample.splitlines()]
    assert "listen = 127.0.0.1:8080" in lines and "[model NAME]" in lines
    path = config(work, "\n".join(lines) + "\n", f"full-{program}.conf")
    done = run(program, ["--config", path, "--check-config"], work)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", PROCESSES)
def test_a_misspelt_key_is_named_with_its_place(program, work):
    path = config(work, "[log]\nlevel = info\n\n[gateway]\nlisten = 127.0.0.1:1\nlistn = 127.0.0.1:2\n")
    for words in (["--check-config"], []):
        done = run(program, ["--config", path, *words], work, timeout=20)
        assert done.returncode == 2
        assert f"{path}:6" in done.stderr or "ragline.conf:6" in done.stderr
        assert "listn" in done.stderr and "gateway.listen" in done.stderr, "and what was meant"


@pytest.mark.parametrize(
    "text,words",
    [
        ("[gateway]\nk = many\n", [":2", "gateway.k", "many", "100"]),
        ("[gateway]\nk = 0\n", [":2", "gateway.k", "1"]),
        ("[gateway]\nk = 5x\n", [":2", "gateway.k"]),
        ("[gateway]\nfusion = magic\n", [":2", "gateway.fusion", "magic", "rrf"]),
        ("[gateway]\nallow_public = perhaps\n", [":2", "true", "false"]),
        ("[gatway]\nk = 3\n", [":1", "gatway"]),
        ("[gateway\nk = 3\n", [":1"]),
        ("k = 3\n", [":1"]),
        ("[gateway]\njust words\n", [":2"]),
        ("[gateway]\nweight_dense = nan\n", [":2", "weight_dense"]),
        ("[gateway]\nk = 99999999999999999999\n", [":2", "gateway.k"]),
        ("[llm]\nkey_file = /nonexistent/key\n", [":2", "/nonexistent/key"]),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_wrong_value_is_named_with_what_it_may_be(work, text, words):
    path = config(work, text)
    done = run("ragline-gateway", ["--config", path, "--check-config"], work)
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_every_mistake_is_told_at_once(work):
    path = config(work, "[gateway]\nk = 0\nlistn = x\nfusion = y\n")
    done = run("ragline-gateway", ["--config", path, "--check-config"], work)
    for line in (":2", ":3", ":4"):
        assert line in done.stderr


def test_a_file_that_is_not_there(work):
    done = run("ragline-gateway", ["--config", "/nonexistent/file", "--check-config"], work)
    assert done.returncode == 2
    assert "/nonexistent/file" in done.stderr


@pytest.mark.parametrize("data", [b"\0" * 1000, b"[" * 100_000, b"\xff\xfe[gateway]\n", b"a" * 200_000 + b"=1"])
def test_a_file_of_garbage(work, data):
    path = work / "garbage.conf"
    path.write_bytes(data)
    done = run("ragline-gateway", ["--config", path, "--check-config"], work)
    assert done.returncode in (0, 2)


@pytest.mark.parametrize(
    "words,said",
    [
        (["--gateway-lisen", "x"], "gateway-lisen"),
        (["--gateway-k", "0"], "gateway.k"),
        (["--gateway-k"], "gateway-k"),
        (["--nonsense"], "nonsense"),
        (["--gateway-k="], "gateway.k"),
    ],
    ids=str,
)
def test_a_wrong_option(work, words, said):
    done = run("ragline-gateway", [*words, "--check-config"], work)
    assert done.returncode == 2
    assert said in done.stderr or said.replace("-", ".", 1) in done.stderr, done.stderr


def test_a_wrong_variable(work):
    done = run("ragline-gateway", ["--check-config"], work, env={"RAGLINE_GATEWAY_K": "zero"})
    assert done.returncode == 2
    assert "RAGLINE_GATEWAY_K" in done.stderr


def test_later_sources_win(make_cluster, work):
    """Defaults, file, environment, command line."""
    one = make_cluster()
    path = config(work, f"[gateway]\nlisten = 127.0.0.1:{free_port()}\nhub = tcp://127.0.0.1:{free_port()}\n")
    one.settings |= {}
    env = {"RAGLINE_CONFIG": str(path), "RAGLINE_GATEWAY_LISTEN": f"127.0.0.1:{free_port()}"}
    one.start_gateway(env=env)
    assert one.get("/healthz").status == 200, "the command line's address is the one that counts"


def test_a_secret_is_not_shown(work):
    path = config(work, "[llm]\nkey = sk-secret\n[gateway]\nk = 0\n")
    done = run("ragline-gateway", ["--config", path, "--check-config"], work)
    assert "sk-secret" not in done.stdout + done.stderr


def ports():
    return {
        "gateway.listen": f"127.0.0.1:{free_port()}",
        "gateway.hub": f"tcp://127.0.0.1:{free_port()}",
        "gateway.tokens": f"tcp://127.0.0.1:{free_port()}",
    }


@pytest.mark.parametrize("key", ["gateway.listen", "gateway.hub", "gateway.tokens"])
def test_a_port_in_use(make_cluster, work, key):
    one = make_cluster()
    one.start_gateway()
    taken = {"gateway.listen": f"127.0.0.1:{one.port}", "gateway.hub": one.hub, "gateway.tokens": one.tokens}
    done = run("ragline-gateway", options(ports() | {key: taken[key]}), work, timeout=20)
    assert done.returncode not in (0, None)
    assert taken[key].rsplit(":", 1)[1] in done.stderr
    assert "in use" in done.stderr, done.stderr
    assert one.get("/healthz").status == 200


@pytest.mark.parametrize(
    "key,value",
    [("gateway.listen", "nonsense"), ("gateway.listen", "127.0.0.1:99999"), ("gateway.listen", "127.0.0.1"),
     ("gateway.hub", "nonsense"), ("gateway.hub", "tcp://127.0.0.1"), ("gateway.tokens", "udp://127.0.0.1:1")],
)  # fmt: skip
def test_an_address_that_is_none(work, key, value):
    done = run("ragline-gateway", options(ports() | {key: value}), work, timeout=20)
    assert done.returncode not in (0, None)
    assert value in done.stderr or key in done.stderr, done.stderr


def test_a_retriever_without_an_index(work):
    done = run("ragline-retriever", [], work, timeout=20)
    assert done.returncode in (1, 2)
    assert "retriever.index" in done.stderr


def test_a_template_that_is_wrong(work):
    path = work / "template.txt"
    path.write_text("[system]\nx\n[user]\n{passages} {quesion}\n")
    done = run("ragline-generator", ["--llm-template", path, "--llm-url", "http://127.0.0.1:1/v1"], work, timeout=20)
    assert done.returncode not in (0, None)
    assert "template.txt" in done.stderr and "4" in done.stderr and "quesion" in done.stderr, done.stderr


def test_an_llm_url_that_is_none(work):
    done = run("ragline-generator", ["--llm-url", "nonsense://x"], work, timeout=20)
    assert done.returncode not in (0, None)
    assert "llm.url" in done.stderr, done.stderr
