"""TCP proxies on loopback that do what networks do: cut connections, or take their time."""

import queue
import socket
import threading
import time


class CuttingProxy:
    def __init__(self, port):
        """Passes on to 127.0.0.1:port."""
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.pairs = []
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            with self.lock:
                self.pairs.append((client, server))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Every connection breaks, on both sides, without a goodbye."""
        with self.lock:
            for pair in self.pairs:
                for end in pair:
                    try:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.pairs.clear()

    def close(self):
        self.listener.close()
        self.cut()


class DelayingProxy:
    """Passes on to 127.0.0.1:port; what comes from those who connect to it arrives `delay_ms` later, the way back
    takes no time. The delay may be changed at any time and holds for what comes from then on."""

    def __init__(self, port, delay_ms=0.0):
        self.port = port
        self.delay_ms = delay_ms
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.socks = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socks += [client, server]
            late = queue.SimpleQueue()
            for work, args in (
                (self._gather, (client, late)),
                (self._send_late, (late, server)),
                (CuttingProxy._pass, (server, client)),
            ):
                threading.Thread(target=work, args=args, daemon=True).start()

    def _gather(self, sock, late):
        data = b"-"
        while data:
            try:
                data = sock.recv(65536)
            except OSError:
                data = b""
            late.put((time.monotonic() + self.delay_ms / 1000, data))

    @staticmethod
    def _send_late(late, sock):
        try:
            while True:
                due, data = late.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    sock.shutdown(socket.SHUT_WR)
                    return
                sock.sendall(data)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for sock in self.socks:
            sock.close()
