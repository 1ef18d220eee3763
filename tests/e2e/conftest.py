"""Fixtures: fakes, indexes and clusters. A module has one cluster of processes that its tests share;
tests that break something start their own."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fakes.embed import FakeEmbed
from fakes.llm import FakeLLM
from harness import documents
from harness.cluster import Cluster, build_index
from harness.process import BUILD, ROOT, stop_leftovers
from harness.wait import until

CI = os.environ.get("CI") == "true"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragline"
ARTEFACTS = BUILD / "e2e"

_clusters = []  # those that are up, for the logs of a failed test
_counter = itertools.count()


def need(condition, what):
    """Skips where something of the machine is missing; in CI nothing may be."""
    if not condition:
        (pytest.fail if CI else pytest.skip)(f"{what} is missing: scripts/deps test")


# ---- fakes ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _llm():
    fake = FakeLLM()
    yield fake
    fake.close()


@pytest.fixture(scope="session")
def _embed():
    fake = FakeEmbed()
    yield fake
    fake.close()


@pytest.fixture
def llm(_llm):
    _llm.reset()
    yield _llm
    _llm.reset()


@pytest.fixture
def embed(_embed):
    _embed.reset()
    yield _embed
    _embed.reset()


@pytest.fixture(autouse=True)
def _fresh_fakes(request):
    """Scripts of one test never reach the next, also where a test does not name the fake."""
    yield
    for name in ("_llm", "_embed"):
        if name in request.fixturenames:
            request.getfixturevalue(name).reset()


# ---- folders, indexes -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("ragline")


@pytest.fixture(scope="session")
def guide_documents(work):
    return documents.write(work / "guide-documents", documents.GUIDE)


@pytest.fixture(scope="session")
def guide(work, guide_documents, _embed):
    """The collection "docs": two shards, both kinds."""
    _embed.reset()
    settings = {"index.chunk_words": 40, "index.overlap_words": 8}
    build_index(work / "guide", [guide_documents], _embed, "docs", shards=2, **settings)
    return work / "guide"


@pytest.fixture(scope="session")
def cooking(work, _embed):
    """The collection "cooking": one shard."""
    _embed.reset()
    folder = documents.write(work / "cooking-documents", documents.COOKING)
    build_index(work / "cooking", [folder], _embed, "cooking")
    return work / "cooking"


@pytest.fixture(scope="session")
def hostile(work, _embed):
    _embed.reset()
    folder = documents.write(work / "hostile-documents", {"falcon.jsonl": json.dumps(documents.HOSTILE) + "\n"})
    build_index(work / "hostile", [folder], _embed, "hostile")
    return work / "hostile"


# ---- clusters ---------------------------------------------------------------------------------------------


def new_cluster(work, name, kind=Cluster, **more):
    cluster = kind(work / f"{name}-{next(_counter)}", **more)
    _clusters.append(cluster)
    return cluster


def end_cluster(cluster):
    _clusters.remove(cluster)
    cluster.stop()


@pytest.fixture(scope="module")
def cluster(work, _llm, _embed, guide, cooking, request):
    """Gateway, retrievers of "docs" (two shards) and "cooking", one generator; on the fakes."""
    cluster = new_cluster(work, request.module.__name__, llm=_llm, embed=_embed)
    try:
        cluster.settings |= {"gateway.collections": "docs", "log.level": "debug"}
        cluster.settings |= getattr(request.module, "SETTINGS", {})
        cluster.start(guide, cooking)
        cluster.wait_workers(7)  # all sources, and the generator
        yield cluster
    finally:
        end_cluster(cluster)


@pytest.fixture
def make_cluster(work, llm, embed, request):
    """Clusters of this test's own: make_cluster(**settings); stopped and checked at its end."""
    made = []

    def make(**settings):
        kinds = {"llm": llm, "embed": embed, "scheme": "http"}
        kinds |= {k: settings.pop(k) for k in list(settings) if k in kinds}
        one = new_cluster(work, request.node.name.split("[")[0], **kinds)
        one.settings |= {"gateway.collections": "docs", "log.level": "debug", **settings}
        made.append(one)
        return one

    yield make
    wrong = []
    for one in made:
        try:
            end_cluster(one)
        except AssertionError as why:
            wrong.append(str(why))
    assert not wrong, "\n\n".join(wrong)


# ---- the real models -----------------------------------------------------------------------------------------


class ModelServer:
    def __init__(self, script, folder):
        self.log_path = folder / f"{script}.log"
        with open(self.log_path, "wb") as log:
            self.popen = subprocess.Popen(
                [str(ROOT / "scripts" / script), "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        def look():
            if self.popen.poll() is not None:
                raise RuntimeError(f"{script} ended:\n{self.log_path.read_text()[-3000:]}")
            for line in self.log_path.read_text(errors="replace").splitlines():
                if "-server ready: " in line:
                    return line.split("ready: ")[1].split()[0]

        try:
            self.url = until(look, f"{script} is ready", 60)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


def _models():
    check = subprocess.run(
        [str(ROOT / "scripts/models"), "--check"], stdin=subprocess.DEVNULL, capture_output=True
    )
    if check.returncode:
        (pytest.fail if CI else pytest.skip)("the models are not there: scripts/models")


@pytest.fixture(scope="session")
def real_llm(work):
    _models()
    server = ModelServer("llm-server", work)
    server.model = "SmolLM2-135M-Instruct"
    yield server
    server.stop()


@pytest.fixture(scope="session")
def real_embed(work):
    _models()
    server = ModelServer("embed-server", work)
    server.model = "all-MiniLM-L6-v2"
    yield server
    server.stop()


# ---- other programs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def artefacts():
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    return ARTEFACTS


@pytest.fixture(scope="session")
def node():
    """Runs a script of js/ with OpenAI's JavaScript client: node(script, *args) → CompletedProcess."""
    modules = CACHE / "node" / "node_modules"
    need(shutil.which("node"), "node")
    need((modules / "openai").is_dir(), "OpenAI's JavaScript client")

    def run(script, *args, timeout=60):
        # the scripts lie beside node_modules, since imports look only upwards
        there = CACHE / "node" / f"{os.getpid()}-{script}"
        shutil.copy(Path(__file__).parent / "js" / script, there)
        try:
            return subprocess.run(
                ["node", str(there), *map(str, args)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        finally:
            there.unlink()

    return run


# ---- reports -------------------------------------------------------------------------------------------------


def pytest_runtest_setup(item):
    item._log_starts = {p: p.log_path.stat().st_size for c in _clusters for p in c.processes}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what each process logged during it."""
    report = yield
    if report.failed and call.when in ("setup", "call"):
        for process in [p for c in _clusters for p in c.processes]:
            start = getattr(item, "_log_starts", {}).get(process, 0)
            with open(process.log_path, "rb") as log:
                log.seek(start)
                said = log.read().decode(errors="replace")
            if said.strip():
                lines = said.splitlines()
                report.sections.append((f"log of {process.name}", "\n".join(lines[-80:])))
    return report


def pytest_sessionfinish(session, exitstatus):
    left = stop_leftovers()
    if left:
        print(f"\nprocesses that a test left running: {', '.join(left)}")
        session.exitstatus = session.exitstatus or 1


