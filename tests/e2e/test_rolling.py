"""Every process is replaced, one after the other, while questions come all the time: none fails.

A gateway's successor has ZeroMQ ports of its own (the other of two slots that the workers know) and
takes clients from the socket that the service manager passes to both, or from one port that both
share. The tests play the service manager."""

import contextlib
import itertools
import socket
import threading

from fakes import llm as fake
from harness.ports import free_port
from harness.wait import until

QUESTION = "What pressure does the Kestrel pump run at?"
CLIENTS = 20
TOKENS = [f"word{n} " for n in range(12)]
SETTINGS = {"log.level": "info"}


class Load:
    """Clients that ask one question after the other, each on a new connection, and check each answer."""

    def __init__(self, cluster, clients=CLIENTS):
        self.cluster = cluster
        self.lock = threading.Lock()
        self.answered, self.wrong = 0, []
        self.ending = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.more(CLIENTS)
        return self

    def __exit__(self, kind, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
        if kind is None:
            assert not any(thread.is_alive() for thread in self.threads)
            assert not self.wrong, (len(self.wrong), self.answered, self.wrong[:3])

    def _run(self):
        while not self.ending.is_set():
            try:
                self._check(self.cluster.ask(QUESTION, timeout=60))
            except Exception as why:
                self.wrong.append(repr(why))
            with self.lock:
                self.answered += 1

    @staticmethod
    def _check(stream):
        assert stream.head.status == 200, (stream.head.status, stream.head.body)
        assert stream.complete and stream.names()[-1] == "done", stream.events[-1:]
        assert stream.text == "".join(TOKENS)
        coverage = stream.one("sources").data["coverage"]
        assert (coverage["answered"], coverage["of"]) == (4, 4), coverage
        assert [int(event.id) for event in stream.events] == list(range(1, len(stream.events) + 1))

    def more(self, count):
        """Waits until so many more questions have been answered."""
        goal = self.answered + count
        until(lambda: self.answered >= goal, f"{count} more answers", 60)


class Manager:
    """What a service manager does: holds the listening socket, hears when a gateway serves, restarts."""

    def __init__(self, cluster, passes):
        self.cluster = cluster
        self.slots = [[f"tcp://127.0.0.1:{free_port()}" for _ in range(2)] for _ in range(2)]
        cluster.settings["cluster.gateways"] = ",".join(hub for hub, _ in self.slots)
        self.listener = None
        if passes:
            self.listener = socket.create_server(("127.0.0.1", cluster.port), backlog=512)
        else:
            cluster.settings["gateway.shared"] = True
        self.numbers = itertools.count()

    def start_gateway(self, slot):
        """Starts one and waits until it says that it serves; returns its process."""
        hub, tokens = self.slots[slot]
        name = f"ragline-{self.cluster.port}-{next(self.numbers)}"  # of no file, and short enough
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind("\0" + name)
            notify.settimeout(15)
            settings = {"gateway.hub": hub, "gateway.tokens": tokens}
            gateway = self.cluster.start_gateway(
                wait=False, env={"NOTIFY_SOCKET": "@" + name}, listen=self.listener, **settings
            )
            assert notify.recv(256) == b"READY=1"
        return gateway

    def restart(self, process, start, *args):
        """SIGTERM, its end, then its successor."""
        process.stop()
        self.cluster.processes.remove(process)
        return start(*args)

    def ready(self, retrievers, generators):
        def look():
            workers = self.cluster.ready_workers()
            names = {(w["worker"].split("/")[0], w["kind"] == "generator") for w in workers}
            counts = [sum(writes == kind for _, writes in names) for kind in (False, True)]
            return len(workers) == 4 * retrievers + generators and counts == [retrievers, generators]

        until(look, f"{retrievers} retrievers and {generators} generators are ready")


@contextlib.contextmanager
def managed(make_cluster, llm, passes):
    llm.always(fake.stream(TOKENS, first=0.05, every=0.02))
    manager = Manager(make_cluster(**SETTINGS), passes)
    try:
        yield manager
    finally:
        if manager.listener:
            manager.listener.close()


def start_workers(manager, index):
    cluster = manager.cluster
    retrievers = [cluster.start_retriever(index) for _ in range(2)]
    generators = [cluster.start_generator() for _ in range(2)]
    return retrievers, generators


def test_every_process_is_replaced_under_load(make_cluster, guide, llm):
    with managed(make_cluster, llm, passes=True) as manager:
        cluster = manager.cluster
        retrievers, generators = start_workers(manager, guide)
        old = manager.start_gateway(0)
        manager.ready(2, 2)
        with Load(cluster) as load:
            for retriever in retrievers:
                manager.restart(retriever, cluster.start_retriever, guide)
                manager.ready(2, 2)
                load.more(CLIENTS)
            for generator in generators:
                manager.restart(generator, cluster.start_generator)
                manager.ready(2, 2)
                load.more(CLIENTS)
            for slot in (1, 0):  # there and back: the slot that was left is taken again
                new = manager.start_gateway(slot)
                load.more(CLIENTS)  # both serve
                old.stop()
                cluster.processes.remove(old)
                load.more(2 * CLIENTS)
                old = new
        assert load.answered >= 8 * CLIENTS


def test_one_gateway_is_restarted_while_clients_wait_at_its_socket(make_cluster, guide, llm):
    """`systemctl restart`: the old one ends before the new one begins, on the same ports. Who connects
    in between waits for an answer, and gets it."""
    with managed(make_cluster, llm, passes=True) as manager:
        start_workers(manager, guide)
        gateway = manager.start_gateway(0)
        manager.ready(2, 2)
        with Load(manager.cluster) as load:
            for _ in range(2):
                gateway = manager.restart(gateway, manager.start_gateway, 0)
                load.more(2 * CLIENTS)


def test_gateways_that_share_a_port_are_replaced(make_cluster, guide, llm):
    with managed(make_cluster, llm, passes=False) as manager:
        start_workers(manager, guide)
        gateways = [manager.start_gateway(slot) for slot in (0, 1)]
        manager.ready(2, 2)
        with Load(manager.cluster) as load:
            for slot, gateway in enumerate(gateways):
                manager.restart(gateway, manager.start_gateway, slot)
                load.more(2 * CLIENTS)


def test_a_gateway_on_a_passed_socket_waits_for_its_workers(make_cluster, guide, llm):
    """It does not take a client in only to say that nobody is there; without workers it does so after
    a while, so that its probes answer."""
    with managed(make_cluster, llm, passes=True) as manager:
        manager.start_gateway(0)
        assert manager.cluster.get("/readyz").status == 503


def test_who_had_connected_before_the_end_is_answered(make_cluster, guide, llm):
    """SIGTERM comes between a client's connection and its question."""
    llm.always(fake.stream(TOKENS))
    one = make_cluster(**SETTINGS)
    one.start(guide)
    with one.connect() as early, one.connect() as used:
        used.request("GET", "/healthz")
        assert used.response().status == 200
        # both have been accepted: the gateway takes connections in the order in which they came
        one.gateway.signal(15)
        one.gateway.wait_log("SIGTERM|at work")
        early.request("POST", "/v1/ask", {"question": QUESTION, "stream": False})
        answer = early.response()
        assert answer.status == 200, answer.body
        assert answer.json()["answer"].startswith("word0")
    assert one.gateway.wait() == 0
