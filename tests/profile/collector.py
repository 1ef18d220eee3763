"""Stands in for a collector of traces: takes whatever is posted (OTLP/HTTP) and says that it has it.

usage: collector.py PORT        GET / says {"requests": …, "bytes": …}
"""

import http.server
import json
import sys

took = {"requests": 0, "bytes": 0}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _say(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        took["bytes"] += len(self.rfile.read(int(self.headers["Content-Length"])))
        took["requests"] += 1
        self._say(b"{}")

    def do_GET(self):
        self._say(json.dumps(took).encode())

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
