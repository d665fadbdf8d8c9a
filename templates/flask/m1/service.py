"""The recommendation service: GET /recommend/<userid> answers with movie ids, best first, joined by commas."""
import json
import os

from flask import Flask, Response
from waitress import serve

HERE = os.path.dirname(os.path.abspath(__file__))


def load():
    with open(os.path.join(HERE, "model.json"), encoding="utf-8") as file:
        return json.load(file)


def recommend(model, user):
    """Returns the ids for a user. Everybody gets the same: yours to improve."""
    return model["best"]


def text(body, status=200):
    return Response(body, status=status, mimetype="text/plain")


def create_app(model):
    """Returns the application, for the server and for tests."""
    app = Flask(__name__)

    # Any text, and not numbers alone: what is no number gets an answer that says so.
    @app.get("/recommend/")
    @app.get("/recommend/<path:user>")
    def lists(user=""):
        if not (user.isascii() and user.isdigit()):
            return text("the user id must be a number", 400)
        return text(",".join(recommend(model, int(user))))

    return app


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8082"))
    app = create_app(load())
    print("listening on", port, flush=True)
    # Flask's own server is for development: this one has a thread for each of several requests.
    serve(app, host="0.0.0.0", port=port, threads=8, connection_limit=500)
