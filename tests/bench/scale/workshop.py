"""Where the claims about size find their indexes: each is built once a run, by ragline-index, and measured once."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness.process import environment, program

MILLION = 1_000_000
SIZES = [10_000, 30_000, 100_000, 300_000, MILLION]
SHORT_SIZES = [5_000, 25_000]
PAUSE_S = 0.05


def to_end(command, log, limit_s=3600):
    """Runs a command; (seconds, the most memory that it had at a time in KB), both as the kernel counts them."""
    began = time.monotonic()
    with open(log, "wb") as out:
        popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 env=environment())  # fmt: skip
    try:
        while True:
            pid, status, used = os.wait4(popen.pid, os.WNOHANG)
            if pid:
                popen.returncode = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() - began > limit_s:
                raise RuntimeError(f"{command[0]} took more than {limit_s} s")
            time.sleep(PAUSE_S)
    finally:
        if popen.returncode is None:
            popen.kill()
            popen.wait()
    took = time.monotonic() - began
    if popen.returncode != 0:
        raise RuntimeError(f"{command[0]}: {popen.returncode}: {log.read_text(errors='replace')[-2000:]}")
    return took, used.ru_maxrss


class Workshop:
    def __init__(self, folder, short, data=()):
        self.kept = bool(folder)
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="ragline-scale-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sizes = SHORT_SIZES if short else SIZES
        self.largest = self.sizes[-1]
        self.data = list(data)
        self.measured = {}
        self.sizing = ""  # what the sizing command says, for retriever/README.md

    def close(self):
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def corpus(self, size, first=0):
        """Documents of `size` passages and their vectors, in two files; the caller has them forgotten."""
        path = self.folder / f"passages-{first}-{size}.jsonl"
        for what, name in (("passages", path), ("vectors", path.with_suffix(".npy"))):
            with open(name, "wb") as out:
                subprocess.run([program("bench/clustered"), what, str(size), str(first)], stdout=out, check=True)
        return path

    def forget(self, path):
        path.unlink()
        path.with_suffix(".npy").unlink()

    def command(self, folder, documents, *words):
        """A build of an index of these documents, or whatever else `words` say."""
        all_words = (program("ragline-index"), "--index-out", folder, "--index-collection", "scale",
                     "--embed-url", "http://127.0.0.1:9/v1", *words, *([documents] if documents else []))  # fmt: skip
        return [str(word) for word in all_words]

    def search(self, folder, questions, checked):
        """What tests/bench/search.c says of an index."""
        done = subprocess.run([program("bench/search"), folder, str(questions), str(checked)],
                              capture_output=True, text=True, env=environment(), timeout=1200)  # fmt: skip
        assert done.returncode == 0, f"search: {done.stderr[-600:]}"
        return json.loads(done.stdout)

    def built(self, size, say=print):
        """The index of so many passages: {"folder", "s", "rss_kb", "bytes"}; built where it is not there."""
        folder = self.folder / f"index-{size}"
        notes = self.folder / f"index-{size}.json"
        if notes.exists():
            return {"folder": folder, **json.loads(notes.read_text())}
        documents = self.corpus(size)
        took, rss = to_end(self.command(folder, documents), self.folder / f"index-{size}.log")
        self.forget(documents)
        self.choose_effort(folder)
        figures = {"s": took, "rss_kb": rss, "bytes": sum(file.stat().st_size for file in self.files(folder))}
        notes.write_text(json.dumps(figures))
        say(f"  {size:,} passages built in {took:.0f} s, {size / took:,.0f} a second, with {rss / 1024:,.0f} MB;"
            f" {figures['bytes'] / size:,.0f} bytes a passage")  # fmt: skip
        return {"folder": folder, **figures}

    def choose_effort(self, folder):
        """What an operator does after a build: has the least effort that is enough written into the manifest;
        a little more than --check wants by itself, since the recall of other questions is another one."""
        with open(folder / "check.log", "wb") as log:
            done = subprocess.run([program("ragline-index"), "--check", folder, "--index-check-recall", "0.98"], stdin=subprocess.DEVNULL, stdout=log,
                                  stderr=log, env=environment(), timeout=1200)  # fmt: skip
        assert done.returncode in (0, 1), (folder / "check.log").read_text()

    def files(self, folder):
        generation = folder / (folder / "CURRENT").read_text().strip()
        return [path for path in generation.rglob("*") if path.is_file()]

    def figures(self, size, say=print):
        """What `search` says of the index of so many passages, and `built`."""
        if size not in self.measured:
            built = self.built(size, say)
            found = self.search(built["folder"], *((1000, 200) if size > 25_000 else (400, 100)))
            say(f"  {size:,} passages, {found['factory']}: dense p50 {found['dense']['all']['ms']['p50']:.2f} ms,"
                f" recall@10 {found['dense']['all']['recall']:.3f};"
                f" lexical p50 {found['lexical']['all']['ms']['p50']:.2f} ms")  # fmt: skip
            self.measured[size] = {**found, "built": built}
        return self.measured[size]

    def rows(self):
        return [self.measured[size] for size in sorted(self.measured)]
