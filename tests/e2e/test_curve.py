"""Encrypted sockets (CURVE): all works with keys, and who has none that is listed gets nothing."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest
import zmq
import zmq.auth

from fakes import llm as fake
from harness import wire
from harness.cluster import options
from harness.process import ROOT, environment, run
from harness.wait import until

pytestmark = [pytest.mark.sanitized, pytest.mark.timeout(90)]

QUESTION = "What pressure does the Kestrel pump run at?"


class Keys:
    """A folder of key pairs, made by the program; `allowed` holds the workers' certificates."""

    def __init__(self, folder):
        self.folder = folder
        self.allowed = folder / "allowed"
        self.make("gateway", "worker", "second", "late")
        self.allowed.mkdir()
        for name in ("worker", "second"):
            self.allow(name)

    def make(self, *names):
        done = run("ragline-gateway", ["--make-keys", self.folder, *names], self.folder.parent)
        assert done.returncode == 0, done.stderr
        return done

    def allow(self, name):
        shutil.copy(self.folder / "public" / name, self.allowed / name)

    def forbid(self, name):
        (self.allowed / name).unlink()

    def public(self, name):
        return zmq.auth.load_certificate(self.folder / f"{name}.secret")[0].decode()

    def secret(self, name):
        return zmq.auth.load_certificate(self.folder / f"{name}.secret")[1].decode()

    def gateway(self):
        return {"curve.key_file": self.folder / "gateway.secret", "curve.allowed": self.allowed}

    def worker(self, name="worker"):
        return {"curve.key_file": self.folder / f"{name}.secret", "curve.gateway_key": self.public("gateway")}


class CurvePeer(wire.Peer):
    """Sockets with the key pair (public, secret), for a server with this key."""

    def __init__(self, pair, server):
        super().__init__()
        self.pair, self.server = pair, server.encode()

    def _socket(self, kind):
        made = super()._socket(kind)
        made.curve_publickey, made.curve_secretkey = self.pair
        return made

    def push(self, endpoint):
        return self._connect(zmq.PUSH, endpoint)

    def xpub_unheard(self, endpoint):
        return self._connect(zmq.XPUB, endpoint)

    def pull(self):
        socket = self._socket(zmq.PULL)
        socket.curve_server = True
        socket.rcvtimeo = 50
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        return socket, f"tcp://127.0.0.1:{port}"

    def _connect(self, kind, endpoint):
        socket = self._socket(kind)
        socket.curve_serverkey = self.server
        socket.sndtimeo = 10_000
        socket.connect(endpoint)
        return socket


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("curve") / "keys")


@pytest.fixture
def curved(make_cluster, keys, guide):
    """A whole ragline with keys, ready."""
    one = make_cluster()
    one.start_gateway(**keys.gateway())
    one.start_retriever(guide, **keys.worker())
    one.start_generator(**keys.worker("second"))
    one.wait_ready()
    one.wait_workers(5)
    yield one
    secrets = [keys.secret(name) for name in ("gateway", "worker", "second", "late")]
    for process in one.processes:
        assert not any(secret in process.log() for secret in secrets), "a secret in a log"


@pytest.fixture
def stranger(keys):
    """Knows the gateways' public key, and has a key pair that nobody has listed."""
    with CurvePeer(zmq.curve_keypair(), keys.public("gateway")) as peer:
        yield peer


def well(cluster):
    stream = cluster.ask(QUESTION)
    assert stream.names()[-1] == "done", stream.events[-1]
    assert stream.text == "".join(fake.DEFAULT_TOKENS)
    assert stream.one("sources").data["coverage"]["answered"] == 4


def refusal(peer):
    """What the log says of this peer: its address and its public key."""
    return r"refused: a peer at 127\.0\.0\.1 with the public key " + re.escape(peer.pair[0].decode())


def tasks_of(cluster, kind):
    return next(w["tasks"] for w in cluster.workers() if w["kind"] == kind)


def joined(cluster):
    return sorted(worker["worker"] for worker in cluster.workers())


def test_all_works_with_keys(curved):
    well(curved)
    assert curved.search(QUESTION)["coverage"]["answered"] == 4


def test_an_outsider_announces_itself(curved, stranger):
    before = joined(curved)
    hub = stranger.push(curved.hub)
    _, endpoint = stranger.pull()
    for _ in range(20):
        hub.send(wire.announcement("evil/0/lexical", tasks=endpoint, key=stranger.pair[0].decode()))
    curved.gateway.wait_log(refusal(stranger))
    well(curved)
    assert joined(curved) == before
    assert "evil" not in curved.gateway.log()
    # however often it tries, the log does not grow
    assert len(re.findall(refusal(stranger), curved.gateway.log())) == 1


def test_an_outsider_sends_hits_for_somebodys_question(curved, keys, stranger):
    pair = tuple(keys_.encode() for keys_ in (keys.public("worker"), keys.secret("worker")))
    with CurvePeer(pair, keys.public("gateway")) as listed:
        pull, endpoint = listed.pull()
        hub = listed.push(curved.hub)
        name = "listed/0/lexical"

        def known():
            hub.send(wire.announcement(name, tasks=endpoint, collection="own", key=keys.public("worker")))
            return [w for w in curved.ready_workers() if w["worker"] == name]

        until(known, "the listed worker is known")
        answers = []
        asking = threading.Thread(
            target=lambda: answers.append(curved.post("/v1/search", {"question": "x", "collection": "own"}))
        )
        asking.start()

        def search():
            hub.send(wire.announcement(name, tasks=endpoint, collection="own", key=keys.public("worker")))
            try:
                return next(f for n, f in wire.unpack(pull.recv()) if n == "search")
            except (zmq.Again, StopIteration):
                return None

        task = until(search, "a SEARCH comes")["task"]

        def hits(text):
            passage = dict(id=1, doc="d", title="", heading="", source="", text=text, start=0, end=1,
                           hash=len(text), score=1.0, meta="{}")  # fmt: skip
            return wire.message("hits", worker=name, task=task, generation="g-000001", hits=[passage])

        evil = stranger.push(curved.hub)
        for _ in range(20):
            evil.send(hits("EVIL"))
        curved.gateway.wait_log(refusal(stranger))
        hub.send(hits("honest"))
        asking.join(20)
        assert [p["text"] for p in answers[0].json()["passages"]] == ["honest"]
        hub.send(wire.message("leave", worker=name))


def test_an_outsider_publishes_tokens(curved, stranger, llm):
    pub = stranger.xpub_unheard(curved.tokens)
    curved.gateway.wait_log(refusal(stranger))
    assert pub.poll(0) == 0, "it learns nothing of what is subscribed to"
    gateway = re.search(r"(gateway-[0-9a-f]{8})", curved.gateway.log()).group(1).encode()
    script, gate = fake.gated(["Mine "], ["only."])
    llm.plan(script)

    def intrude(stream, event):
        if event.name == "token" and not gate._open.is_set():
            for task in range(1, 500):
                pub.send(gateway + wire.message("token", task=task, seq=2, text="EVIL"))
            gate.open()

    assert curved.ask(QUESTION, on_event=intrude).text == "Mine only."


@pytest.mark.parametrize("kind", ["lexical", "generator"])
def test_workers_listen_to_gateways_only(curved, keys, stranger, kind):
    """Also another listed worker is nobody to a worker."""
    endpoint = tasks_of(curved, kind)
    program = "ragline-generator" if kind == "generator" else "ragline-retriever"
    worker = next(p for p in curved.processes if p.name == program)
    name = "second" if kind == "generator" else "worker"
    pair = tuple(k.encode() for k in (keys.public("late"), keys.secret("late")))
    with CurvePeer(pair, keys.public(name)) as listed, CurvePeer(stranger.pair, keys.public(name)) as other:
        for peer in (listed, other):
            push = peer.push(endpoint)
            push.send(wire.message("welcome", gateway="evil", route=0, tokens="tcp://127.0.0.1:9"))
            worker.wait_log(refusal(peer))
    assert "evil" not in worker.log()
    well(curved)


def test_a_peer_without_encryption(curved):
    before = joined(curved)
    with wire.Peer() as plain, contextlib.ExitStack() as connections:
        hub, pub = plain.push(curved.hub), plain._socket(zmq.XPUB)
        pub.connect(curved.tokens)
        hub.send(wire.announcement("plain/0/lexical"))
        # (which side of two ZeroMQ peers hears of it depends on who reads first; this one says nothing)
        port = int(curved.hub.rsplit(":", 1)[1])
        stranger = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
        stranger.sendall(b"\xff" + b"\0" * 8 + b"\x7f\3\0NULL" + b"\0" * 48)
        curved.gateway.wait_log(r"no connection at .*: the other side does not use CURVE")
        assert pub.poll(0) == 0
    assert joined(curved) == before
    well(curved)


def test_a_worker_with_another_gateways_key(make_cluster, keys, guide):
    one = make_cluster()
    one.start_gateway(**keys.gateway())
    lost = one.start_retriever(guide, **{**keys.worker(), "curve.gateway_key": keys.public("late")})
    one.gateway.wait_log(r"no connection at .*: the other side has another idea of the keys")
    assert one.workers() == [] and lost.alive()


def test_a_worker_without_keys_among_those_with(make_cluster, keys, guide):
    one = make_cluster()
    one.start_gateway(**keys.gateway())
    plain = one.start_retriever(guide)
    plain.wait_log(r"no connection at .*: the other side uses CURVE|takes no announcements")
    assert one.workers() == []


def test_keys_come_and_go_while_it_runs(make_cluster, tmp_path, guide):
    keys = Keys(tmp_path / "keys")
    one = make_cluster()
    one.start_gateway(**keys.gateway())
    late = one.start_generator(**keys.worker("late"))
    one.gateway.wait_log(re.escape(keys.public("late")))
    late.wait_log(r"does not let this worker in; is the public key " + re.escape(keys.public("late")))
    assert one.workers() == []
    keys.allow("late")
    one.wait_workers(1, kind="generator")
    # one taken away counts for nothing from then on, though its connection stands
    keys.forbid("late")
    one.gateway.wait_log("sender's key is not allowed any more")
    until(lambda: one.workers() == [], "the worker is out of use")


def test_a_worker_speaks_for_itself_only(curved, keys):
    """A listed worker that announces another one's key is not believed."""
    pair = tuple(k.encode() for k in (keys.public("worker"), keys.secret("worker")))
    with CurvePeer(pair, keys.public("gateway")) as listed:
        hub = listed.push(curved.hub)
        hub.send(wire.announcement("liar/0/lexical", key=keys.public("second")))
        curved.gateway.wait_log("an announcement with another key than the sender's")
    assert not [w for w in joined(curved) if w.startswith("liar")]


# ---- keys and addresses in the configuration -----------------------------------------------------------


def test_making_keys(tmp_path):
    folder = tmp_path / "new" / "keys"
    folder.parent.mkdir()
    command = [ROOT / "scripts" / "make-keys", folder, "gateway", "r-1"]
    made = subprocess.run(command, capture_output=True, text=True, env=environment(build()), timeout=30)
    assert made.returncode == 0, made.stderr
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert sorted(files) == ["gateway.secret", "public/gateway", "public/r-1", "r-1.secret"]
    for name in ("gateway", "r-1"):
        public, secret = zmq.auth.load_certificate(files[f"{name}.secret"])
        assert files[f"{name}.secret"].stat().st_mode & 0o777 == 0o600
        assert zmq.auth.load_certificate(files[f"public/{name}"]) == (public, None)
        assert zmq.curve_public(secret) == public
        assert public.decode() in made.stdout and secret.decode() not in made.stdout + made.stderr
    before = {name: path.read_bytes() for name, path in files.items()}
    again = subprocess.run(command, capture_output=True, text=True, env=environment(build()), timeout=30)
    assert again.returncode == 1 and "gateway.secret" in again.stderr
    assert {name: path.read_bytes() for name, path in files.items()} == before
    for wrong in ("../x", "a b", "", ".x", "x.secret"):
        done = run("ragline-gateway", ["--make-keys", folder, wrong], tmp_path)
        assert done.returncode == 2 and "no name for a key" in done.stderr, wrong


def build():
    return {k: v for k, v in os.environ.items() if k == "RAGLINE_BUILD"}


@pytest.mark.parametrize(
    "program, given, said",
    [
        ("ragline-gateway", {"curve.key_file": "gateway.secret"}, "curve.allowed: is not set"),
        ("ragline-gateway", {"curve.allowed": "allowed"}, "curve.key_file: is not set"),
        ("ragline-gateway", {"curve.key_file": "public/gateway", "curve.allowed": "allowed"}, "secret-key"),
        ("ragline-gateway", {"curve.key_file": "gateway.secret", "curve.allowed": "nowhere"}, "nowhere"),
        ("ragline-generator", {"curve.key_file": "worker.secret"}, "curve.gateway_key: is not set"),
        ("ragline-generator", {"curve.gateway_key": "x" * 40}, "curve.key_file: is not set"),
        ("ragline-generator", {"curve.key_file": "worker.secret", "curve.gateway_key": "short"}, "short"),
        ("ragline-retriever", {"curve.key_file": "nowhere.secret"}, "nowhere.secret"),
    ],
)
def test_keys_that_do_not_hold(keys, program, given, said):
    done = run(program, [*options(given), "--check-config"], keys.folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr


def test_the_gateways_key_may_be_a_file(keys):
    given = {"curve.key_file": "worker.secret", "curve.gateway_key": "public/gateway"}
    assert run("ragline-generator", [*options(given), "--check-config"], keys.folder).returncode == 0


@pytest.mark.parametrize("address", ["tcp://*:*", "tcp://0.0.0.0:*"])
def test_without_keys_sockets_are_for_this_machine(work, guide, address):
    """Other addresses want keys, or a word that they need not."""
    for program, option, more in (
        ("ragline-gateway", "gateway.hub", {"gateway.listen": "127.0.0.1:0"}),
        ("ragline-generator", "generator.bind", {}),
        ("ragline-retriever", "retriever.bind", {"retriever.index": guide}),
    ):
        done = run(program, options({option: address, **more}), work)
        assert done.returncode != 0
        assert "cluster.allow_plain" in done.stderr and "curve.key_file" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "program, option, advertise",
    [
        ("ragline-gateway", "gateway.tokens", "gateway.tokens_advertise"),
        ("ragline-generator", "generator.bind", "generator.advertise"),
        ("ragline-retriever", "retriever.bind", "retriever.advertise"),
    ],
)
def test_every_address_is_none_to_be_told(work, guide, program, option, advertise):
    given = {option: "tcp://*:*", "cluster.allow_plain": True, "retriever.index": guide}
    given |= {"gateway.listen": "127.0.0.1:0", "gateway.hub": "tcp://127.0.0.1:*"}
    done = run(program, options(given), work)
    assert done.returncode != 0
    assert advertise in done.stderr, done.stderr


def test_addresses_that_peers_are_told(make_cluster, guide):
    """Bound to every address, reached at another: as behind a NAT, or in a pod."""
    one = make_cluster(**{"cluster.allow_plain": True})
    port = one.tokens.rsplit(":", 1)[1]
    one.start_gateway(**{"gateway.tokens": f"tcp://*:{port}", "gateway.tokens_advertise": "127.0.0.2",
                         "cluster.allow_plain": True})  # fmt: skip
    one.start_retriever(guide, **{"retriever.bind": "tcp://*:*", "retriever.advertise": "127.0.0.3"})
    one.start_generator(**{"generator.bind": "tcp://*:*", "generator.advertise": "localhost"})
    one.wait_ready()
    one.wait_workers(5)
    assert tasks_of(one, "lexical").startswith("tcp://127.0.0.3:")
    assert tasks_of(one, "generator").startswith("tcp://localhost:")
    assert "its tokens go to tcp://127.0.0.2:" in one.processes[-1].log()
    well(one)


def test_a_gateway_found_by_name(make_cluster, guide):
    """localhost is a name, too; it is looked up without holding anything up."""
    one = make_cluster()
    one.start_gateway()
    port = one.hub.rsplit(":", 1)[1]
    for start in (lambda **s: one.start_retriever(guide, **s), one.start_generator):
        start(**{"cluster.gateways": f"tcp://localhost:{port},tcp://no-such-host.invalid:7601"})
    one.wait_ready()
    one.wait_workers(5)
    well(one)
    for process in one.processes[1:]:
        process.wait_log(r"cluster\.gateways: no-such-host\.invalid: ")
