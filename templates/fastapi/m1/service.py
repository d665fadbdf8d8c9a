"""The recommendation service: GET /recommend/<userid> answers with movie ids, best first, joined by commas."""
import json
import os

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

HERE = os.path.dirname(os.path.abspath(__file__))


def load():
    with open(os.path.join(HERE, "model.json"), encoding="utf-8") as file:
        return json.load(file)


def recommend(model, user):
    """Returns the ids for a user. Everybody gets the same: yours to improve."""
    return model["best"]


def create_app(model):
    """Returns the application, for the server and for tests."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    # Any text, and not numbers alone: what is no number gets an answer that says so.
    @app.get("/recommend/{user:path}", response_class=PlainTextResponse)
    def lists(user: str):
        if not (user.isascii() and user.isdigit()):
            return PlainTextResponse("the user id must be a number", 400)
        return ",".join(recommend(model, int(user)))

    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8082"))
    app = create_app(load())
    print("listening on", port, flush=True)
    # A line for each request is slow.
    uvicorn.run(app, host="0.0.0.0", port=port, access_log=False, log_level="warning", backlog=512)
