"""The recommendation service: GET /recommend/<userid> answers with movie ids, best first, joined by commas."""
import json
import os
import socketserver
from http.server import BaseHTTPRequestHandler

HERE = os.path.dirname(os.path.abspath(__file__))


def load():
    with open(os.path.join(HERE, "model.json"), encoding="utf-8") as file:
        return json.load(file)


def recommend(model, user):
    """Returns the ids for a user. Everybody gets the same: yours to improve."""
    return model["best"]


def answer(model, path):
    """Returns the status and the body for a path."""
    if not path.startswith("/recommend/"):
        return 404, "not found"
    user = path[len("/recommend/"):]
    if not (user.isascii() and user.isdigit()):
        return 400, "the user id must be a number"
    return 200, ",".join(recommend(model, int(user)))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    disable_nagle_algorithm = True
    model = {}

    def do_GET(self):
        status, text = answer(self.model, self.path)
        body = text.encode()
        head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *arguments):
        """Says nothing for each request: printing is slow."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    Handler.model = load()
    port = int(os.environ.get("PORT", "8082"))
    print("listening on", port, flush=True)
    Server(("", port), Handler).serve_forever()
