"""The parts that every claim is shown with: a house of real processes on free ports, stand-ins and load generators in
C (tests/bench)."""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from harness import http  # noqa: E402
from harness.claims import Claim  # noqa: E402, F401
from harness.cluster import options  # noqa: E402
from harness.ports import free_port  # noqa: E402
from harness.process import Process, environment, program, run  # noqa: E402
from harness.wait import until  # noqa: E402


class Standin:
    """The stand-in for an LLM and an embedding server."""

    model = "standin"

    def __init__(self, folder, name="standin", **settings):
        self.port = free_port()
        words = [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", value)]
        path = program("bench/standin")
        self.process = Process(name, ["--port", self.port, *words], folder, expect_exit=None, argv0=path)
        self.url = f"http://127.0.0.1:{self.port}/v1"
        until(lambda: self.stats(), f"{name} listens")

    def call(self, method, path):
        answer = http.call(f"http://127.0.0.1:{self.port}", method, path)
        assert answer.status == 200, answer.body
        return answer.json()

    def stats(self, reset=False):
        return self.call("GET", "/stats" + ("?reset" if reset else ""))

    def set(self, **settings):
        self.call("POST", "/set?" + "&".join(f"{key.replace('_', '-')}={value}" for key, value in settings.items()))


class Load:
    """A running load generator; result() waits for its end."""

    asked = 0

    def __init__(self, url, path="ask", **settings):
        Load.asked += 100_000  # no question twice, so that no cache answers
        command = [str(program("bench/load")), "--url", f"{url}/v1/{path}"]
        for name, value in {"first": Load.asked, **settings}.items():
            if value is not None and value is not False:
                command += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                      env=environment())  # fmt: skip

    def result(self, timeout=300):
        out, _ = self.popen.communicate(timeout=timeout)
        assert out.startswith("{"), f"load: {out!r}"
        return json.loads(out)

    def end(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


class Gateway:
    def __init__(self, number):
        self.number = number
        self.port = free_port()
        self.hub = f"tcp://127.0.0.1:{free_port()}"
        self.tokens = f"tcp://127.0.0.1:{free_port()}"
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def get(self, path):
        return http.call(self.url, "GET", path)

    def workers(self):
        return self.get("/v1/workers").json()["workers"]

    def ready(self):
        """Ids of workers that take tasks."""
        return {worker["worker"] for worker in self.workers() if worker["state"] == "ready"}

    def metrics(self):
        out = {}
        for line in self.get("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out


def memory_kb(process):
    """Resident memory of its own (the kernel's RssAnon), 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
    return 0


def cpu_s(process):
    """CPU time of all its threads, to the nanosecond."""
    tasks = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


class House:
    """Gateways, workers and stand-ins of one claim; a context that leaves no process."""

    def __init__(self, gateways=1, say=print, **settings):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ragline-chaos-"))
        self.gateways = [Gateway(number) for number in range(gateways)]
        self.settings = {"log.level": "warn", **settings}
        self.processes, self.loads, self.closers = [], [], []
        self.llm = self.embed = None
        self.say = say

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for load in self.loads:
            load.end()
        for close in reversed(self.closers):
            close()
        wrong = []
        for process in reversed(self.processes):
            try:
                if process.alive():
                    process.signal(signal.SIGCONT)
                    process.stop()
                else:
                    process.check_log()
                    assert process.expect_exit is None, f"{process.name} had ended by itself:\n{process.log()[-3000:]}"
            except AssertionError as why:
                wrong.append(str(why))
        if kind is None and not wrong:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"logs: {self.folder}", file=sys.stderr)
        if kind is None:
            assert not wrong, "\n\n".join(wrong)

    # ---- parts ---------------------------------------------------------------------------------------------

    def start_llm(self, **settings):
        self.llm = Standin(self.folder, "llm", **settings)
        self.closers.append(self.llm.process.kill)
        return self.llm

    def start_embed(self, **settings):
        self.embed = Standin(self.folder, "embed", **settings)
        self.closers.append(self.embed.process.kill)
        return self.embed

    def make_index(self, passages=2000, shards=1, collection="chaos", words=40, **settings):
        jsonl = self.folder / f"{collection}.jsonl"
        with open(jsonl, "wb") as out:
            subprocess.run([program("bench/corpus"), str(passages), str(words)], stdout=out, check=True)
        return self.index(jsonl, collection, shards, **settings)

    def index(self, documents, collection="chaos", shards=1, **settings):
        out = self.folder / collection
        given = {"index.out": out, "index.collection": collection, "index.shards": shards, **settings}
        done = run("ragline-index", [*options(given), str(documents)], self.folder, timeout=300)
        assert done.returncode == 0, done.stderr
        return out

    def _of(self, *sections):
        return {key: value for key, value in self.settings.items() if key.split(".")[0] in sections}

    def _start(self, name, program_name, settings, args=()):
        process = Process(name, [*options(settings), *args], self.folder, argv0=program(program_name))
        self.processes.append(process)
        return process

    def start_gateways(self, **settings):
        for gateway in self.gateways:
            given = {
                "gateway.listen": f"127.0.0.1:{gateway.port}",
                "gateway.hub": gateway.hub,
                "gateway.tokens": gateway.tokens,
                "cache.share": "false",  # each question is a retrieval
                "cache.embeddings_mb": 0,
                **self._of("gateway", "log"),
                **({"embed.url": self.embed.url} if self.embed else {}),
                **settings,
            }
            gateway.process = self._start(f"gateway-{gateway.number}", "ragline-gateway", given)
        for gateway in self.gateways:
            until(lambda gateway=gateway: gateway.get("/healthz").status == 200, "a gateway listens")

    @property
    def hubs(self):
        return ",".join(gateway.hub for gateway in self.gateways)

    def start_retriever(self, index, name="retriever", **settings):
        given = {"retriever.index": index, "cluster.gateways": self.hubs, **self._of("retriever", "log"), **settings}
        return self._start(name, "ragline-retriever", given)

    def start_generator(self, name="generator", **settings):
        given = {
            "cluster.gateways": self.hubs,
            "llm.url": self.llm.url,
            "llm.model": "standin",
            **self._of("generator", "llm", "log"),
            **settings,
        }
        return self._start(name, "ragline-generator", given)

    def start_fakes(self, *workers):
        fakes = Fakes(self, workers)
        self.closers.append(fakes.close)
        return fakes

    def load(self, gateway=0, path="ask", **settings):
        load = Load(self.gateways[gateway].url, path, **settings)
        self.loads.append(load)
        return load

    def wait_ready(self, workers, timeout=30):
        """So many workers (each shard and kind is one) take tasks of every gateway."""

        def look():
            for process in self.processes:
                assert process.alive() or process.expect_exit is None, f"{process.name}: {process.log()[-2000:]}"
            return all(len(gateway.ready()) == workers for gateway in self.gateways)

        until(look, f"{workers} workers are ready", timeout)

    def check_alive(self):
        for process in self.processes:
            assert process.alive() or process.expect_exit is None, f"{process.name} died:\n{process.log()[-3000:]}"


class Fakes:
    """Retrievers of fake_retriever.py, all in one process of its own: {"worker", "shard", "shards", "ms", "share",
    "slow_ms", "serial"} each."""

    def __init__(self, house, workers):
        command = [sys.executable, str(pathlib.Path(__file__).with_name("fake_retriever.py"))]
        self.popen = subprocess.Popen([*command, house.hubs], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.tell(list(workers))

    def tell(self, words):
        self.popen.stdin.write(json.dumps(words) + "\n")
        self.popen.stdin.flush()
        return json.loads(self.popen.stdout.readline())

    def set(self, **settings):
        return self.tell({"set": settings})

    def counts(self):
        """{worker: {"asked", "cancelled", "answered"}} since the start."""
        return self.tell({"counts": True})

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


class Background:
    """Calls step() in a thread of its own until end(), which waits for the one under way: first at once, then so long after
    the last."""

    def __init__(self, every_s):
        self.every_s, self.over = every_s, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            self.step()
            self.over.wait(self.every_s)

    def end(self):
        self.over.set()
        self.thread.join()


class Watch:
    """Memory of processes, sampled in the background: {name: [kB, …]}."""

    def __init__(self, processes, every_s=1.0):
        self.processes, self.every_s = processes, every_s  # a function that gives {name: process}
        self.samples = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.wait(self.every_s):
            for name, process in self.processes().items():
                self.samples.setdefault(name, []).append(memory_kb(process))

    def end(self):
        self.over.set()
        self.thread.join()
        return self.samples


def quarter(samples, number):
    """The largest of a quarter (0 to 3) of the samples."""
    size = len(samples) // 4
    return max(samples[number * size : (number + 1) * size] or [0])


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def sleep_until(when):
    time.sleep(max(0.0, when - time.monotonic()))
