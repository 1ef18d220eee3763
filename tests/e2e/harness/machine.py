"""Machines of their own for tests: a network that nobody else is in, and for each process a root folder that has only what
its deployment gives it, so that paths, addresses and ports are the very ones of the deployment's files. Namespaces of the
kernel (as root); no container engine."""

import array
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from .process import BUILD, Process

# Serves sockets of its network: "listen" or "connect", address, port; the answer carries the descriptor.
HOLDER = r"""
import array, json, socket, subprocess, sys
with socket.socket(fileno=int(sys.argv[1])) as end:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in sys.argv[2:]:
        subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)
    end.send(b"{}")
    while asked := end.recv(4096):
        what, address, port = json.loads(asked)
        said, fds = {}, b""
        try:
            made = socket.create_server((address, port), backlog=4096) if what == "listen" else \
                socket.create_connection((address, port), 5)
            made.setblocking(True)
            fds = array.array("i", [made.fileno()])
        except OSError as why:
            said = {"errno": why.errno, "why": str(why)}
        end.sendmsg([json.dumps(said).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])
        if fds:
            made.close()
"""

# In a mount namespace of its own: makes the root folder, enters it as the user, and becomes the program.
ENTER = r"""
import json, os, subprocess, sys
plan = json.loads(sys.argv[1])
root = plan["root"]
def mount(*words):
    subprocess.run(["mount", *words], check=True)
def make(target, folder):
    at = root + target
    os.makedirs(at if folder else os.path.dirname(at), exist_ok=True)
    if not folder and not os.path.exists(at):
        open(at, "w").close()
    return at
os.makedirs(root, exist_ok=True)
mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root)
for name in ("bin", "sbin", "lib", "lib64"):
    if os.path.islink("/" + name):
        os.symlink(os.readlink("/" + name), f"{root}/{name}")
    elif os.path.exists("/" + name):
        mount("--rbind", "/" + name, make("/" + name, True))
for name in ("/usr", "/dev", "/proc", "/etc/alternatives", "/etc/ld.so.cache", "/etc/ssl", "/etc/nsswitch.conf"):
    if os.path.exists(name):
        mount("--rbind", name, make(name, os.path.isdir(name)))
mount("--bind", plan["programs"], root + "/usr/local/bin")
with open(root + "/etc/hosts", "w") as hosts:
    hosts.write("127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in plan["hosts"].items()))
os.mkdir(root + "/tmp", 0o1777)
os.chmod(root + "/tmp", 0o1777)
mount("-t", "tmpfs", "tmpfs", root + "/tmp")
for source, target, read_only in plan["mounts"]:
    at = make(target, os.path.isdir(source))
    mount("--bind", source, at)
    if read_only:
        mount("-o", "remount,bind,ro", at)
mount("-o", "remount,ro", root)
os.chroot(root)
os.chdir("/")
os.setgroups(plan["groups"])
os.setgid(plan["user"])
os.setuid(plan["user"])
env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **plan["env"]}
env.update({k: os.environ[k] for k in ("LISTEN_FDS", "LISTEN_PID") if k in os.environ})
os.execvpe(sys.argv[2], sys.argv[2:], env)
"""


class Network:
    def __init__(self, folder, *addresses):
        if os.getuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
            pytest.skip("namespaces want root, iproute2 and util-linux")
        self.folder = folder
        self.hosts = {}
        self.lock = threading.Lock()
        self.listeners = []
        self.end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.holder = subprocess.Popen(
                ["unshare", "--net", sys.executable, "-c", HOLDER, str(theirs.fileno()), *addresses],
                pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        if not self.end.recv(100):
            why = self.holder.communicate()[1]
            self.end.close()
            pytest.skip(f"no network namespace: {why}")

    def _socket(self, what, address, port):
        with self.lock:
            self.end.send(json.dumps([what, address, port]).encode())
            said, more, _, _ = self.end.recvmsg(4096, socket.CMSG_SPACE(array.array("i", [0]).itemsize))
        said = json.loads(said)
        if said:
            raise OSError(said["errno"], said["why"])
        return socket.socket(fileno=array.array("i", more[0][2])[0])

    def connect(self, address, port):
        return self._socket("connect", address, port)

    def listen(self, address, port):
        made = self._socket("listen", address, port)
        self.listeners.append(made)
        return made

    def forward(self, address, port, to):
        """What connects to address:port in there reaches 127.0.0.1:`to` out here."""
        listener = self.listen(address, port)

        def accept():
            while True:
                try:
                    pair = (listener.accept()[0], socket.create_connection(("127.0.0.1", to)))
                except OSError:
                    return
                for one, other in (pair, pair[::-1]):
                    threading.Thread(target=pump, args=(one, other), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()

    def start(self, name, command, env, mounts, user, groups=(), listen=None):
        """Starts `command` on a root folder with `mounts`: [(source here, path there, read-only)]."""
        plan = {"root": str(self.folder / f"root-{name}"), "programs": str(BUILD), "hosts": self.hosts, "env": env,
                "mounts": [(str(source), str(target), bool(ro)) for source, target, ro in mounts],
                "user": user, "groups": list(groups)}  # fmt: skip
        return Process(
            name,
            [f"--net=/proc/{self.holder.pid}/ns/net", "unshare", "--mount", "--propagation", "private",
             sys.executable, "-c", ENTER, json.dumps(plan), *map(str, command)],
            self.folder, argv0=shutil.which("nsenter"), listen=listen,
        )  # fmt: skip

    def close(self):
        for listener in self.listeners:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for connections
            except OSError:
                pass
            listener.close()
        self.end.close()
        self.holder.wait(10)
        self.holder.stderr.close()


def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass
