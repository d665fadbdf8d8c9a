"""The recommendation service: GET /recommend/<userid>, and what it tells of itself: metrics, versions, the experiment's arms."""
import hashlib
import json
import os
import subprocess
import time

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

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


def create_app(code):
    """Returns the application, for the server and for tests."""
    app, served, counted = FastAPI(docs_url=None, redoc_url=None, openapi_url=None), Served(), metrics.Metrics()

    @app.middleware("http")
    async def count(request: Request, call_next):
        begun = time.perf_counter()
        answer = await call_next(request)
        # Before the answer goes out: who reads the metrics next has had all the answers that are counted.
        if request.url.path.startswith("/recommend/"):
            counted.observe(time.perf_counter() - begun)
        return answer

    # Any text, and not numbers alone: what is no number gets an answer that says so, and is counted.
    def no_number(user):
        return None if user.isascii() and user.isdigit() else PlainTextResponse("the user id must be a number", 400)

    @app.get("/recommend/{user:path}", response_class=PlainTextResponse)
    def lists(user: str):
        return no_number(user) or ",".join(served.recommend(int(user)))

    @app.get("/provenance/{user:path}")
    def versions(user: str):
        name, model = served.now
        return no_number(user) or {"model": name, "code": code, "data": model["data"]}

    @app.get("/experiment/{user:path}", response_class=PlainTextResponse)
    def arm(user: str):
        return no_number(user) or arm_of(user)

    @app.get("/metrics", response_class=PlainTextResponse)
    def page():
        return counted.page()

    @app.get("/reload", response_class=PlainTextResponse)
    def reload():
        served.reload()
        return served.now[0]

    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8082"))
    app = create_app(commit())
    print("listening on", port, flush=True)
    # A line for each request is slow.
    uvicorn.run(app, host="0.0.0.0", port=port, access_log=False, log_level="warning", backlog=512)
