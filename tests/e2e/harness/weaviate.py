"""A real Weaviate on loopback (scripts/deps test builds it): three nodes that are one cluster."""

import json
import os
import shutil
import signal
import socket
from pathlib import Path

from . import http
from .cluster import Cluster, options
from .ports import free_port
from .process import Process, run
from .wait import until

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragline"
PROGRAM = CACHE / "weaviate" / "weaviate-server"
START = 60.0  # seconds that a node may take to start, on a busy machine too


def free_pair():
    """Two ports, one behind the other: each node takes another's second to be where its own is."""
    while True:
        port = free_port()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port + 1))
                return port
            except OSError:
                continue


class Node:
    def __init__(self, number, folder):
        self.number, self.name = number, f"node{number}"
        self.folder = Path(folder) / self.name
        self.folder.mkdir(parents=True)
        self.port, self.gossip, self.data, self.grpc = (free_port() for _ in range(4))
        self.raft = free_pair()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self, nodes):
        # a node ends that has nobody to join but others that do not listen yet
        others = [f"127.0.0.1:{node.gossip}" for node in nodes if node is not self and node.process]
        env = {
            "CLUSTER_HOSTNAME": self.name,
            "CLUSTER_IN_LOCALHOST": "true",
            "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
            "CLUSTER_GOSSIP_BIND_PORT": self.gossip,
            "CLUSTER_DATA_BIND_PORT": self.data,
            "CLUSTER_JOIN": ",".join(others),
            "RAFT_PORT": self.raft,
            "RAFT_INTERNAL_RPC_PORT": self.raft + 1,
            "RAFT_JOIN": ",".join(f"{node.name}:{node.raft}" for node in nodes),
            "RAFT_BOOTSTRAP_EXPECT": len(nodes),
            "GRPC_PORT": self.grpc,
            "PERSISTENCE_DATA_PATH": self.folder / "data",
            "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
            "DISABLE_TELEMETRY": "true",
            "GO_PROFILING_DISABLE": "true",
            "GOMAXPROCS": 1,
            "GOMEMLIMIT": "512MiB",
        }
        # it is killed in the end: it takes its time to leave, and nothing of it is kept
        self.process = Process(
            f"weaviate-{self.name}",
            ["--host", "127.0.0.1", "--port", self.port, "--scheme", "http"],
            self.folder,
            {key: str(value) for key, value in env.items()},
            expect_exit=None,
            argv0=PROGRAM,
        )

    def gossips(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.gossip)) == 0

    def ready(self):
        if not self.process.alive():
            raise RuntimeError(f"{self.process.name} ended:\n{self.process.log()[-2000:]}")
        return http.call(self.url, "GET", "/v1/.well-known/ready", timeout=2).status == 200


class Weaviate:
    def __init__(self, folder, size=3):
        self.folder = Path(folder)
        self.nodes = [Node(number, folder) for number in range(size)]
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        """Starts the nodes that do not run; a first one must listen before others can join it."""
        gone = [node for node in self.nodes if not node.process or not node.process.alive()]
        for node in gone:
            node.process = None
        for node in gone:
            node.start(self.nodes)
            if len(gone) == len(self.nodes) and node is gone[0]:
                until(node.gossips, "the first node listens", START)
        self.wait_ready()

    @property
    def urls(self):
        return ",".join(node.url for node in self.nodes)

    def wait_ready(self):
        for node in self.nodes:
            until(node.ready, f"{node.name} is ready", START)

    def load(self, documents, embed, collection, work, replicas=3, expect=0, timeout=60, **settings):
        """Runs ragline-index --to over `documents`; returns its CompletedProcess."""
        given = {
            "index.collection": collection,
            "index.out": Path(work) / f"load-{collection}",
            "engine.replicas": replicas,
            **settings,
        }
        if embed:
            given |= {"embed.url": embed.url, "embed.model": embed.model}
        done = run("ragline-index", ["--to", self.urls, *options(given), *map(str, documents)], work, timeout=timeout)
        assert done.returncode == expect, f"ragline-index: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def graphql(self, query, node=0):
        answer = http.call(self.nodes[node].url, "POST", "/v1/graphql", {"query": query})
        assert answer.status == 200, answer.body
        said = json.loads(answer.body)
        assert "errors" not in said, said  # such as a class that is not there yet
        return said["data"]

    def ids(self, collection):
        name = f"Ragline_{collection}"
        found = self.graphql("{Get{%s(limit:1000){doc _additional{id}}}}" % name)["Get"][name]
        return sorted(each["_additional"]["id"] for each in found)

    def stop(self):
        for node in self.nodes:
            if node.process:
                node.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pause(self, number):
        self.nodes[number].process.signal(signal.SIGSTOP)

    def go_on(self, number):
        self.nodes[number].process.signal(signal.SIGCONT)


class EngineCluster(Cluster):
    """A ragline whose collections are an engine's: an "index" is the name of one."""

    sources = 2  # of "docs": one shard, two kinds

    def __init__(self, folder, weaviate, **more):
        super().__init__(folder, **more)
        self.weaviate = weaviate

    def start_retriever(self, index, **settings):
        given = {
            "retriever.engine": "weaviate",
            "engine.urls": self.weaviate.urls,
            "engine.collections": index,
            "cluster.gateways": self.hub,
            **self._of("retriever", "log", "cluster", "engine"),
            **settings,
        }
        return self._start("ragline-retriever", given)
