"""The recommendation service: GET /recommend/<userid>, and what it tells of itself: metrics, versions, the experiment's arms."""
import hashlib
import json
import os
import socketserver
import subprocess
import time
from http.server import BaseHTTPRequestHandler

import metrics
import train

HERE = os.path.dirname(os.path.abspath(__file__))


def commit():
    """Returns the commit that is running, or what the release has named where git is not there."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    except OSError:
        found = ""
    return found or os.environ.get("COMMIT", "")


def arm_of(user, experiment="first"):
    """Returns the arm of a user: always the same, and another order for another experiment."""
    digest = hashlib.sha256(f"{experiment}/{user}".encode()).digest()
    return "treatment" if digest[0] < 128 else "control"


class Service:
    """The model that is served, exchanged whole: a request sees the old one or the new one."""

    def __init__(self, code):
        self.code = code
        self.metrics = metrics.Metrics()
        self.reload()

    def reload(self):
        """Takes the newest model."""
        name = train.newest()
        with open(os.path.join(HERE, name), encoding="utf-8") as file:
            self.served = name, json.load(file)

    def recommend(self, user):
        """Returns the ids for a user. Everybody gets the same: yours to improve."""
        _, model = self.served
        return model["best"]

    def answer(self, path):
        """Returns the status and the body for a path."""
        route, _, user = path[1:].partition("/")
        if route in ("recommend", "provenance", "experiment") and not (user.isascii() and user.isdigit()):
            return 400, "the user id must be a number"
        if route == "recommend":
            return 200, ",".join(self.recommend(int(user)))
        if route == "provenance":
            name, model = self.served
            return 200, json.dumps({"model": name, "code": self.code, "data": model["data"]})
        if route == "experiment":
            return 200, arm_of(user)
        if route == "metrics":
            return 200, self.metrics.page()
        if route == "reload":
            self.reload()
            return 200, self.served[0]
        return 404, "not found"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True
    service = None

    def do_GET(self):
        begun = time.perf_counter()
        status, text = self.service.answer(self.path)
        body = text.encode()
        if self.path.startswith("/recommend/"):
            # Before the answer goes out: who reads the metrics next has had all the answers that are counted.
            self.service.metrics.observe(time.perf_counter() - begun)
        head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *arguments):
        """Says nothing for each request: printing is slow."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Handler.service = Service(commit())
    port = int(os.environ.get("PORT", "8082"))
    print("listening on", port, flush=True)
    Server(("", port), Handler).serve_forever()
