"""Rubbish: random and mutated bytes on every socket while questions go on, without CURVE and with it."""

import dataclasses
import random
import re
import socket
import threading

import zmq
import zmq.auth
from parts import Claim, House, run as run_program
from harness.wire import announcement, foul_messages, message, vector


class Keys:
    """Key pairs in a folder: of the gateway, of its workers, of an intruder that is listed as a worker (who has got
    hold of a key is as far inside as it gets), and of a stranger, who is not."""

    def __init__(self, house):
        self.folder = house.folder / "keys"
        done = run_program("ragline-gateway", ["--make-keys", self.folder, "gateway", "worker", "intruder"], house.folder)
        assert done.returncode == 0, done.stderr
        self.stranger = zmq.curve_keypair()

    def pair(self, name):
        return zmq.auth.load_certificate(self.folder / f"{name}.secret")

    def of_gateway(self):
        return {"curve.key_file": self.folder / "gateway.secret", "curve.allowed": self.folder / "public"}

    def of_worker(self):
        return {"curve.key_file": self.folder / "worker.secret", "curve.gateway_key": self.folder / "public" / "gateway"}


@dataclasses.dataclass
class Way:
    """To a socket: its kind on this side and its endpoint; with CURVE our key pair and its public key."""

    kind: int
    endpoint: str
    pair: tuple | None = None
    server: bytes | None = None
    heard: bool = True  # what is sent gets through

    def open(self, context):
        made = context.socket(self.kind)
        made.linger = 0
        made.sndtimeo = 100 if self.heard else 0
        made.rcvtimeo = 10_000
        if self.pair:
            made.curve_publickey, made.curve_secretkey = self.pair
            made.curve_serverkey = self.server
        made.connect(self.endpoint)
        return made


def ways_to(house, keys):
    """All sockets of the house. Workers take only what comes with the gateway's key."""
    gateway = house.gateways[0]
    tasks = {worker["tasks"] for worker in gateway.workers()}
    hubs = ((zmq.PUSH, gateway.hub), (zmq.XPUB, gateway.tokens))
    if not keys:
        return [Way(kind, endpoint) for kind, endpoint in (*hubs, *((zmq.PUSH, endpoint) for endpoint in tasks))]
    inside, stranger = keys.pair("gateway"), keys.stranger
    server, worker = keys.pair("gateway")[0], keys.pair("worker")[0]
    ways = [Way(kind, endpoint, keys.pair("intruder"), server) for kind, endpoint in hubs]
    ways += [Way(zmq.PUSH, endpoint, inside, worker) for endpoint in tasks]
    ways += [Way(kind, endpoint, stranger, server, heard=False) for kind, endpoint in hubs]
    ways += [Way(zmq.PUSH, endpoint, stranger, worker, heard=False) for endpoint in tasks]
    ways += [Way(kind, endpoint, heard=False) for kind, endpoint in hubs]  # and one without encryption
    return ways


def greeting(mechanism):
    """Of ZMTP 3.0: signature, version, mechanism, as-server, filler."""
    return b"\xff\0\0\0\0\0\0\0\1\x7f\3\0" + mechanism.ljust(20, b"\0") + bytes(32)


def valid_messages(key=""):
    """One good message of each kind that a socket takes, about nobody's tasks. (No WELCOME: without CURVE a worker
    believes it, and its tokens go elsewhere until the next one a second later.)"""
    passage = {"id": 1, "doc": "d", "title": "t", "text": "x", "start": 0, "end": 1, "hash": 1, "score": 1.0}
    return [
        announcement("outsider/0/lexical", shards=1, key=key),
        message("leave", worker="nobody"),
        message("search", gateway="g", route=7, task=1, request="r", text="x", k=3, deadline_ms=100),
        message("search", gateway="g", route=7, task=1, request="r", vector=vector([1.0] * 384), k=3, deadline_ms=100),
        message("hits", worker="nobody", task=1, generation="g", hits=[passage]),
        message("failed", worker="nobody", task=1, code="no", message="no"),
        message("generate", gateway="g", route=7, task=1, request="r", question="x", passages=[passage], params="{}",
                deadline_ms=100, window=4),  # fmt: skip
        message("credit", task=1, seq=1, window=64),
        message("cancel", task=1),
        message("token", task=1, seq=1, text="x"),
        message("done", task=1, seq=1, finish="stop", model="m", upstream="u", timings="{}"),
    ]


class Outsider:
    """Sends what nobody should, as ZeroMQ messages and as bare bytes, until it is told to stop."""

    def __init__(self, house, ways, key):
        self.house, self.ways, self.key = house, ways, key
        self.over = threading.Event()
        self.sent = self.connections = 0
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.messages, self.bytes)]
        for thread in self.threads:
            thread.start()

    def messages(self):
        context, sockets, topic = zmq.Context(), [], b""
        for way in self.ways:
            sockets.append(way.open(context))
            if way.kind == zmq.XPUB and way.heard:
                topic = sockets[-1].recv()[1:]  # what the gateway subscribed to
        seed = 0
        while not self.over.is_set():
            seed += 1
            for _, data in foul_messages(valid_messages(self.key), seed):
                if self.over.is_set():
                    break
                for sock in sockets:
                    try:
                        sock.send(topic + data if sock.type == zmq.XPUB else data)
                        self.sent += 1
                    except zmq.Again:
                        pass
                self.over.wait(0.002)
        for sock in sockets:
            sock.close()
        context.term()

    def bytes(self):
        rng = random.Random(5)
        ports = sorted({int(re.search(r":(\d+)$", way.endpoint).group(1)) for way in self.ways})
        ports += [gateway.port for gateway in self.house.gateways]
        greetings = [greeting(b"NULL"), greeting(b"CURVE"), greeting(b"CURVE") + b"\4\xc8\5HELLO"]
        while not self.over.is_set():
            whole = rng.choice(greetings)
            start = rng.choice((b"", whole[: rng.randrange(64)], whole, b"POST /v1/ask HTTP/1.1\r\n"))
            try:
                with socket.create_connection(("127.0.0.1", rng.choice(ports)), 1) as sock:
                    sock.sendall(start + rng.randbytes(rng.choice((1, 10, 100, 5000))))
                    self.connections += 1
                    sock.settimeout(0.01)
                    sock.recv(100)
            except OSError:
                pass
            self.over.wait(0.01)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def under_rubbish(curve, seconds, say):
    """What the load found, and how much was sent at the house meanwhile."""
    with House() as house:
        keys = Keys(house) if curve else None
        house.start_llm(first_ms=20, gap_ms=5, tokens=32)
        house.start_embed(embed_ms=1)
        index = house.make_index(passages=300)
        # whoever may announce may announce a collection, which only those who ask for it notice
        house.start_gateways(**{"gateway.collections": "chaos"}, **(keys.of_gateway() if keys else {}))
        house.start_retriever(index, **(keys.of_worker() if keys else {}))
        house.start_generator(**(keys.of_worker() if keys else {}))
        house.wait_ready(3)
        ways = ways_to(house, keys)
        load = house.load(0, streams=4, seconds=seconds, tokens=32)
        outsider = Outsider(house, ways, keys.pair("intruder")[0].decode() if keys else "")
        result = load.result()
        outsider.end()
        house.check_alive()
    for fault in result["faults"]:
        say(f"  fault: {fault}")
    say(f"  {'with' if curve else 'without'} CURVE: {outsider.sent} messages on {len(ways)} sockets,"
        f" {outsider.connections} connections with bare bytes, {result['questions']} questions")  # fmt: skip
    return result, outsider.sent


def run(short=False, say=print):
    claims = []
    for curve in (False, True):
        result, sent = under_rubbish(curve, 3 if short else 60, say)
        how = "with CURVE" if curve else "without CURVE"
        claims += [
            Claim(f"rubbish on every socket, {how}: answers that failed", result["failed"], 0, strict=True),
            Claim("  foul messages sent", sent, 1, at_most=False, strict=True),
            Claim("  questions answered", result["whole"], 1, at_most=False, strict=True),
        ]
    return claims
