"""A house with the real models of the demo (scripts/llm-server, scripts/embed-server) and an index of a labelled set, or of
this project's own documentation."""

import json
import os
import pathlib
import subprocess

from asking import House, until
from parts import ROOT, run

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ragline"
K = 5
# about the READMEs; what a person would ask
OWN_QUESTIONS = [
    "How long is a draft of a question kept?",
    "Which port does the gateway listen on for workers?",
    "What happens when a shard is missing?",
    "How are API keys kept in the keys file?",
    "Which signal makes a process write down what it has in hand?",
    "How is a gateway replaced without losing a client?",
    "What does the soft deadline do?",
    "How can an answer be continued at another generator?",
    "Which metrics say how long people wait?",
    "How does a worker announce itself to the gateway?",
    "What is the fusion of lexical and dense scores?",
    "How many passages does a flat index search in a millisecond?",
    "What is written in the folder of an index?",
    "How does a client resume an answer that was cut off?",
    "Which fields can a filter have?",
    "How is the first token brought sooner on a slow machine?",
    "What do USDT probes cost when nobody looks?",
    "How are embeddings of questions cached?",
    "How is the embedding server asked for passages?",
    "What does a slow client do to the other answers?",
]


class Server:
    """A model server on a port of its own; restart() empties what it keeps of prompts."""

    def __init__(self, house, script, model):
        self.house, self.script, self.model, self.log = house, script, model, house.folder / f"{script}.log"
        self.popen = None
        self.start("0")
        house.closers.append(self.stop)

    def start(self, port):
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen([str(ROOT / "scripts" / self.script), "--port", port], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip

        def look():
            assert self.popen.poll() is None, f"{self.script} ended: {self.log.read_text()[-2000:]}"
            for line in self.log.read_text(errors="replace").splitlines():
                if "-server ready: " in line:
                    return line.split("ready: ")[1].split()[0]

        self.url = until(look, f"{self.script} is ready", 120)

    def stop(self):
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()

    def restart(self):
        port = self.url.rsplit(":", 1)[1].split("/")[0]
        self.stop()
        self.start(port)


def have_models():
    check = subprocess.run([str(ROOT / "scripts/models"), "--check"], stdin=subprocess.DEVNULL, capture_output=True)
    if check.returncode:
        raise RuntimeError("the models are not there: scripts/models")


def questions(data, count, most=70):
    """Of the labelled set, taken evenly (those that a person would type); the project's own without one."""
    if not data:
        return OWN_QUESTIONS[:count]
    with open(pathlib.Path(data) / "queries.jsonl", encoding="utf-8") as lines:
        asked = [json.loads(line)["text"] for line in lines if line.strip()]
    asked = [text for text in dict.fromkeys(asked) if 4 <= len(text.split()) and len(text) <= most]
    step = max(1, len(asked) // count)
    return asked[step // 2 :: step][:count]


def make_index(house, data):
    """Of a labelled set where make eval has it, so that nothing is embedded twice."""
    out, documents, more = house.folder / "own", sorted(ROOT.glob("*/README.md")) + [ROOT / "README.md", ROOT / "scripts" / "deploy" / "README.md"], ["--index-chunk-words", "110"]
    if data:
        folder = pathlib.Path(data).resolve()
        assert (folder / "corpus.jsonl").is_file(), f"{folder}/corpus.jsonl is missing"
        out, documents, more = CACHE / "eval" / f"{folder.name}-1", [folder / "corpus.jsonl"], []
        out.parent.mkdir(parents=True, exist_ok=True)
    command = ["--index-out", out, "--index-shards", 1, "--embed-url", house.embed.url, *more, *documents]
    done = run("ragline-index", [str(word) for word in command], house.folder, timeout=3600)
    assert done.returncode in (0, 1), done.stderr[-2000:]
    return out


def real_house(data, prefill="auto", settings=None):
    have_models()
    house = House()
    house.__enter__()
    try:
        house.embed = Server(house, "embed-server", "all-MiniLM-L6-v2")
        house.llm = Server(house, "llm-server", "SmolLM2-135M-Instruct")
        index = make_index(house, data)
        collection = {} if data else {"gateway.collections": "own"}
        house.start_gateways(**{"gateway.k": K, "embed.timeout_ms": 20000, "gateway.soft_ms": 20000,
                                "gateway.hard_ms": 30000, **collection, **(settings or {})})  # fmt: skip
        house.start_retriever(index)
        house.start_generator(**{"llm.model": house.llm.model, "llm.context_tokens": 2048, "llm.prefill": prefill})
        house.wait_ready(3, timeout=60)
    except BaseException:
        house.__exit__(RuntimeError)
        raise
    return house
