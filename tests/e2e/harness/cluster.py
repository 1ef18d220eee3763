"""A whole ragline of real processes on free ports: gateways, retrievers, generators."""

import json
from pathlib import Path

from . import http
from .ports import free_port
from .process import Process, run
from .wait import PATIENCE, until


def options(settings):
    """{"gateway.k": 3} as command line words."""
    words = []
    for name, value in settings.items():
        section, key = name.split(".", 1)
        if isinstance(value, bool):
            value = "true" if value else "false"
        words += [f"--{section}-{key.replace('_', '-')}", str(value)]
    return words


def build_index(folder, documents, embed, collection="docs", shards=1, work=None, **settings):
    """Runs ragline-index over `documents` (paths) into `folder`; returns its CompletedProcess."""
    given = {
        "index.out": folder,
        "index.collection": collection,
        "index.shards": shards,
        **settings,
    }
    if embed:
        given |= {"embed.url": embed.url, "embed.model": embed.model}
    done = run("ragline-index", [*options(given), *map(str, documents)], work or Path(folder).parent)
    assert done.returncode == 0, f"ragline-index: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def manifest_of(index):
    """What is in force in a folder of an index; None where it is none (an engine's collection)."""
    current = Path(index) / "CURRENT"
    return json.loads((Path(index) / current.read_text().strip() / "manifest.json").read_text()) if current.exists() else None


def sources_of(index):
    """(shard, kind) of all that a retriever of it serves."""
    manifest = manifest_of(index)
    shards = range(len(manifest["shards"])) if manifest else ()
    return [(shard, kind) for shard in shards for kind in (["dense", "lexical"] if manifest["dimension"] else ["lexical"])]


class Cluster:
    sources = 4  # of "docs": two shards, two kinds

    def __init__(self, folder, llm=None, embed=None, scheme="http", **settings):
        """`settings` go to every process ({"gateway.k": 3}); llm and embed are servers with .url and
        .model, or None."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.scheme = scheme
        self.settings = dict(settings)
        if llm:
            # a fake's planned answers are for questions: nothing is asked at leisure
            self.settings = {"llm.warm_ms": 0, "llm.prefill": "off"} | self.settings
            self.settings |= {"llm.url": llm.url, "llm.model": llm.model}
        if embed:
            self.settings |= {"embed.url": embed.url, "embed.model": embed.model}
        self.hub = f"tcp://127.0.0.1:{free_port()}"
        self.tokens = f"tcp://127.0.0.1:{free_port()}"
        self.address = "127.0.0.1"  # that the gateway is asked at
        self.port = free_port()
        self.gateway = None
        self.processes = []
        self.context = None  # TLS

    @property
    def url(self):
        return f"{self.scheme}://{self.address}:{self.port}"

    @property
    def base_url(self):
        return f"{self.url}/v1"

    def _start(self, program, settings, args=(), env=None, **more):
        number = sum(p.name.startswith(program) for p in self.processes)
        name = f"{program}.{number}" if number else program
        process = Process(name, [*options(settings), *args], self.folder, env, **more)
        self.processes.append(process)
        return process

    def start_gateway(self, wait=True, env=None, listen=None, **settings):
        given = {
            "gateway.listen": f"{self.address}:{self.port}",
            "gateway.hub": self.hub,
            "gateway.tokens": self.tokens,
            # tests ask the same again and again, and mean a search each time
            "cache.share": "false",
            "cache.embeddings_mb": 0,
            "embed.warm_ms": 0,
            **self._of("gateway", "embed", "log", "cache", "otlp"),
            **{k: v for k, v in self.settings.items() if k in ("llm.url", "llm.model", "llm.key")},
            **settings,
        }
        self.gateway = self._start("ragline-gateway", given, env=env, listen=listen)
        if wait:
            self.wait_listening()
        return self.gateway

    def start_retriever(self, index, **settings):
        given = {
            "retriever.index": index,
            "cluster.gateways": self.hub,
            **self._of("retriever", "log", "cluster"),
            **settings,
        }
        return self._start("ragline-retriever", given)

    def start_generator(self, **settings):
        given = {
            "cluster.gateways": self.hub,
            **self._of("generator", "llm", "log", "cluster"),
            **settings,
        }
        return self._start("ragline-generator", given)

    def _of(self, *sections):
        return {k: v for k, v in self.settings.items() if k.split(".")[0] in sections}

    def start(self, *indexes, generators=1):
        """One of everything, and ready."""
        self.start_gateway()
        for index in indexes:
            self.start_retriever(index)
        for _ in range(generators):
            self.start_generator()
        self.wait_ready()
        # it is ready with one of each kind; questions are asked of all sources
        for index in () if any(key.startswith("retriever.") for key in self.settings) else indexes:
            for shard, kind in sources_of(index):
                until(lambda: self._serves(index, shard, kind), f"shard {shard} of {index} is served, {kind}")
        return self

    def _serves(self, index, shard, kind):
        name = manifest_of(index)["collection"]
        return any((w["collection"], w["shard"]) == (name, shard) for w in self.ready_workers(kind))

    # ---- asking -------------------------------------------------------------------------------------

    def call(self, method, path, body=None, headers=None, **more):
        return http.call(self.url, method, path, body, headers, context=self.context, **more)

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body, headers=None, **more):
        return self.call("POST", path, body, headers, **more)

    def ask(self, body, **more):
        return http.ask(self.url, body, context=self.context, **more)

    def search(self, question, **fields):
        answer = self.post("/v1/search", {"question": question, **fields})
        assert answer.status == 200, answer.body
        return answer.json()

    def connect(self, **more):
        return http.Connection(self.url, context=self.context, **more)

    # ---- states -------------------------------------------------------------------------------------

    def workers(self):
        return self.get("/v1/workers").json()["workers"]

    def ready_workers(self, kind=None):
        return [
            worker
            for worker in self.workers()
            if worker["state"] == "ready" and (kind is None or worker["kind"] == kind)
        ]

    def metrics(self):
        """{"name{label="…"}": value} of /metrics."""
        out = {}
        for line in self.get("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def wait_listening(self, timeout=PATIENCE):
        def look():
            if not self.gateway.alive():
                raise RuntimeError(f"the gateway ended:\n{self.gateway.log()[-3000:]}")
            return self.get("/healthz").status == 200

        until(look, "the gateway listens", timeout)

    def _check_alive(self):
        for process in self.processes:
            if not process.alive() and process.expect_exit is not None:
                raise RuntimeError(
                    f"{process.name} ended with {process.popen.returncode}:\n{process.log()[-3000:]}"
                )

    def wait_ready(self, timeout=PATIENCE):
        """Every process that was started has made itself known, and the gateway says ready."""
        expected = {"ragline-retriever": 0, "ragline-generator": 0}
        for process in self.processes:
            if process.alive():
                program = process.name.split(".")[0]
                if program in expected:
                    expected[program] += 1

        def look():
            self._check_alive()
            workers = self.ready_workers()
            retrievers = {w["worker"].split("/")[0] for w in workers if w["kind"] != "generator"}
            generators = [w for w in workers if w["kind"] == "generator"]
            return (
                len(retrievers) >= expected["ragline-retriever"]
                and len(generators) >= expected["ragline-generator"]
                and (0 in expected.values() or self.get("/readyz").status == 200)
            )

        until(look, f"ready: {expected}", timeout)

    def wait_workers(self, count, timeout=PATIENCE, kind=None):
        return until(
            lambda: len(self.ready_workers(kind)) == count and self.ready_workers(kind),
            f"{count} ready workers",
            timeout,
        )

    def wait_idle(self, timeout=PATIENCE):
        """No worker has a task of the gateway outstanding."""

        def look():
            busy = [(w["worker"], w["outstanding"]) for w in self.workers() if w["outstanding"]]
            assert not busy, busy
            return True

        until(look, "no task is outstanding", timeout)

    def stop(self):
        """Stops what still runs, workers first; raises the first thing that was not as it should."""
        wrong = []
        for process in reversed(self.processes):
            try:
                if process.alive():
                    process.stop()
                else:
                    process.check_log()
                    if process.expect_exit is not None:
                        assert process.wait() == process.expect_exit, (
                            f"{process.name} had ended by itself with {process.popen.returncode}:\n"
                            f"{process.log()[-3000:]}"
                        )
            except AssertionError as why:
                wrong.append(str(why))
        assert not wrong, "\n\n".join(wrong)


def error_of(response):
    """The error object of a refused request, its shape checked."""
    assert response.headers["content-type"].startswith("application/json"), response.headers
    body = json.loads(response.body)
    assert set(body) == {"error"}, body
    check_error(body["error"])
    return body["error"]


def check_error(error):
    assert {"message", "type", "code", "param"} <= set(error), error
    assert isinstance(error["message"], str) and len(error["message"]) > 8, error
    assert isinstance(error["type"], str) and error["type"], error
    assert error["code"] is None or isinstance(error["code"], str), error
    assert error["param"] is None or isinstance(error["param"], str), error
