"""The recommendation service: GET /recommend/<userid>, and what it tells of itself: metrics, versions, the experiment's arms."""
import hashlib
import json
import os
import subprocess
import time

from flask import Flask, Response, g, request
from waitress import serve

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


class Served:
    """The model that is served, exchanged whole: a request sees the old one or the new one."""

    def __init__(self):
        self.reload()

    def reload(self):
        """Takes the newest model."""
        name = train.newest()
        with open(os.path.join(HERE, name), encoding="utf-8") as file:
            self.now = name, json.load(file)

    def recommend(self, user):
        """Returns the ids for a user. Everybody gets the same: yours to improve."""
        _, model = self.now
        return model["best"]


def text(body, status=200):
    return Response(body, status=status, mimetype="text/plain")


def create_app(code):
    """Returns the application, for the server and for tests."""
    app, served, counted = Flask(__name__), Served(), metrics.Metrics()

    @app.before_request
    def begin():
        g.begun = time.perf_counter()

    @app.after_request
    def count(answer):
        # Before the answer goes out: who reads the metrics next has had all the answers that are counted.
        if request.path.startswith("/recommend/"):
            counted.observe(time.perf_counter() - g.begun)
        return answer

    # Any text, and not numbers alone: what is no number gets an answer that says so, and is counted.
    @app.get("/<any(recommend, provenance, experiment):route>/")
    @app.get("/<any(recommend, provenance, experiment):route>/<path:user>")
    def of_a_user(route, user=""):
        if not (user.isascii() and user.isdigit()):
            return text("the user id must be a number", 400)
        if route == "recommend":
            return text(",".join(served.recommend(int(user))))
        if route == "provenance":
            name, model = served.now
            return {"model": name, "code": code, "data": model["data"]}
        return text(arm_of(user))

    @app.get("/metrics")
    def page():
        return text(counted.page())

    @app.get("/reload")
    def reload():
        served.reload()
        return text(served.now[0])

    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8082"))
    app = create_app(commit())
    print("listening on", port, flush=True)
    # Flask's own server is for development: this one has a thread for each of several requests.
    serve(app, host="0.0.0.0", port=port, threads=8, connection_limit=500)
