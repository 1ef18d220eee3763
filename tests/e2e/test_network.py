"""Several machines: processes in network namespaces of their own, joined by veth pairs; a link that
goes down and comes back, with CURVE on every socket."""

import itertools
import os
import shutil
import subprocess
import threading
import time
from collections import Counter

import pytest

from harness.cluster import Cluster, build_index, options
from harness.process import Process, program, run
from harness.wait import until

pytestmark = pytest.mark.timeout(180)

QUESTION = "What pressure does the Kestrel pump run at?"
CUT_SECONDS = 10  # the link is down for so long
HEALED_SECONDS = 2  # and what was cut off is used again within this time

_numbers = itertools.count()


class Machines:
    """Each a network namespace, held by a process that ends with this one. A namespace "g" for the gateway, joined to this one and to those of two workers. Addresses are
    of 198.18.0.0/15, which is for such tests (RFC 2544)."""

    def __init__(self):
        self.tag = f"rl{os.getpid() % 100000}{next(_numbers)}"
        self.net = f"198.18.{os.getpid() % 250}"
        self.holders = {}
        self.links = 0

    def add(self, machine):
        before = os.readlink("/proc/self/ns/net")
        holder = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.holders[machine] = holder

        def unshared():
            if holder.poll() is not None:
                raise PermissionError(holder.stderr.read().decode().strip())
            return os.readlink(f"/proc/{holder.pid}/ns/net") != before

        while not unshared():  # or it has ended, which raises
            time.sleep(0.01)
        self.ip(machine, "link", "set", "lo", "up")

    def on(self, machine):
        """What a command line begins with that is run on this machine. (Not "ip netns exec", which
        mounts things, and a chroot may not.)"""
        return ["nsenter", f"--net=/proc/{self.holders[machine].pid}/ns/net"] if machine else []

    def ip(self, machine, *words):
        command = [*self.on(machine), "ip", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

    def join(self, machine=None):
        """A veth pair from the gateway to a machine, None: to this one. Returns both addresses and the
        link's ends."""
        at = self.links
        self.links += 1
        here, there = f"{self.tag}g{at}", f"{self.tag}p{at}"
        self.ip(None, "link", "add", here, "type", "veth", "peer", "name", there)
        ours, theirs = f"{self.net}.{4 * at + 1}", f"{self.net}.{4 * at + 2}"
        self.ip(None, "link", "set", here, "netns", self.holders["g"].pid)
        if machine:
            self.ip(None, "link", "set", there, "netns", self.holders[machine].pid)
        self.ip("g", "address", "add", f"{ours}/30", "dev", here)
        self.ip("g", "link", "set", here, "up")
        self.ip(machine, "address", "add", f"{theirs}/30", "dev", there)
        self.ip(machine, "link", "set", there, "up")
        if machine:  # all of them reach the gateway at one address
            self.ip(machine, "route", "add", "default", "via", ours)
        return ours, theirs, here, machine, there

    def start(self, machine, name, settings, folder):
        """A program on this machine."""
        enter = self.on(machine)
        args = [*enter[1:], program(name.split(".")[0]), *options(settings)]
        return Process(name, args, folder, argv0=shutil.which(enter[0]))

    def cut(self, how, link):
        """The link goes down; or it stays up and swallows what is sent, in both directions."""
        ours, theirs, device, machine, there = link
        if how == "link down":
            self.ip("g", "link", "set", device, "down")
            return
        nobody = ("lladdr", "02:00:00:00:00:01", "nud", "permanent")
        self.ip("g", "neigh", "replace", theirs, *nobody, "dev", device)
        self.ip(machine, "neigh", "replace", ours, *nobody, "dev", there)

    def heal(self, how, link):
        ours, theirs, device, machine, there = link
        if how == "link down":
            self.ip("g", "link", "set", device, "up")
            return
        self.ip("g", "neigh", "del", theirs, "dev", device)
        self.ip(machine, "neigh", "del", ours, "dev", there)

    def close(self):
        for holder in self.holders.values():
            holder.communicate()


@pytest.fixture
def machines():
    if os.getuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("network namespaces want root, iproute2 and util-linux")
    made = Machines()
    try:
        made.add("g")
        made.add("a")
        made.add("b")
        address = made.join()[0]
    except OSError as why:
        made.close()
        pytest.skip(f"the kernel: no network namespaces here: {why}")
    made.gateway = address
    yield made
    made.close()


class Asking(threading.Thread):
    """Questions one after the other, until stopped."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.ended = Counter()
        self.wrong = []
        self.slowest = 0.0
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.is_set():
            start = time.monotonic()
            # each a new one: what was asked before is answered from memory
            stream = self.cluster.ask({"question": f"{QUESTION} {sum(self.ended.values())}", "hard_ms": 4000})
            self.slowest = max(self.slowest, time.monotonic() - start)
            last = stream.names()[-1] if stream.events else f"status {stream.head.status}"
            self.ended[last] += 1
            coverage = stream.one("done").data["coverage"] if last == "done" else None
            if last != "done" or coverage["answered"] != coverage["of"] or not stream.text:
                self.wrong.append((last, coverage, stream.events[-1:] and stream.events[-1].data))
            self.stopped.wait(0.05)

    def stop(self):
        self.stopped.set()
        self.join(30)
        assert not self.is_alive()


@pytest.mark.parametrize("how", ["link down", "silence"])
def test_a_machine_is_cut_off_and_comes_back(how, machines, work, guide_documents):
    """No question is lost where the other machine can answer it, none is incomplete; what was cut
    off works again within two seconds of healing."""
    folder = work / machines.tag
    folder.mkdir()
    # lexical and extractive: the stand-ins for models are on no machine here
    build_index(folder / "index", [guide_documents], None, "docs", shards=2, work=folder)
    made = run("ragline-gateway", ["--make-keys", folder / "keys", "gateway", "a", "b"], folder)
    assert made.returncode == 0, made.stderr
    keys = folder / "keys"
    cluster = Cluster(folder / "gateway")
    cluster.address = machines.gateway
    hub, tokens = (f"tcp://{machines.gateway}:{port}" for port in (7601, 7602))
    given = {
        "gateway.listen": f"{cluster.address}:{cluster.port}",
        "gateway.allow_public": True,
        "gateway.hub": "tcp://*:7601",
        "gateway.tokens": "tcp://*:7602",
        "gateway.tokens_advertise": machines.gateway,
        "curve.key_file": keys / "gateway.secret",
        "curve.allowed": keys / "public",
    }
    cluster.gateway = machines.start("g", "ragline-gateway", given, folder)
    cluster.processes.append(cluster.gateway)
    try:
        cluster.wait_listening()
        links = {}
        for machine in "ab":
            links[machine] = machines.join(machine)
            address = links[machine][1]
            given = {
                "cluster.gateways": hub,
                "curve.key_file": keys / f"{machine}.secret",
                "curve.gateway_key": keys / "public" / "gateway",
            }
            for kind, more in (("retriever", {"retriever.index": folder / "index"}), ("generator", {})):
                more |= {f"{kind}.bind": "tcp://*:*", f"{kind}.advertise": address}
                name = f"ragline-{kind}.{machine}"
                cluster.processes.append(machines.start(machine, name, {**given, **more}, folder))
        cluster.wait_workers(6)
        assert tokens in cluster.processes[-1].log()
        cut_and_heal(how, machines, cluster, links["a"])
    finally:
        cluster.stop()


def cut_and_heal(how, machines, cluster, link):
    asking = Asking(cluster)
    asking.start()
    try:
        until(lambda: asking.ended["done"] > 5, "questions are answered")
        machines.cut(how, link)
        cut = time.monotonic()
        cluster.wait_workers(3)
        noticed = time.monotonic() - cut
        before = asking.ended["done"]
        # the one place where a test lets time pass: a partition is of some length
        time.sleep(max(0, cut + CUT_SECONDS - time.monotonic()))
        during = asking.ended["done"] - before
        machines.heal(how, link)
        healed = time.monotonic()
        cluster.wait_workers(6)
        back = time.monotonic() - healed
        # and is given work
        served = {w["worker"]: w["served"] for w in cluster.workers()}
        until(lambda: all(w["served"] > served[w["worker"]] for w in cluster.workers()), "all work again")
    finally:
        asking.stop()
    print(f"noticed after {noticed:.2f} s, back after {back:.2f} s; {during} questions answered meanwhile, "
          f"{sum(asking.ended.values())} in all, the slowest in {asking.slowest:.2f} s")  # fmt: skip
    assert not asking.wrong, asking.wrong
    assert set(asking.ended) == {"done"} and during > 5
    assert back < HEALED_SECONDS, back
