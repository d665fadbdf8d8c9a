"""The company's data: users, movies, and the log, as they come from its streams and its API.

The graders put the company's newest data in the folder that $REELWORLD_DATA names; on your machine it is data/.
"""
import gzip
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def folder():
    return os.environ.get("REELWORLD_DATA") or os.path.join(HERE, "data")


def movies():
    with open(os.path.join(folder(), "movies.jsonl"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def users():
    with open(os.path.join(folder(), "users.jsonl"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def log():
    """Yields the log's lines, oldest first: time, user, and what they asked for."""
    with gzip.open(os.path.join(folder(), "log.csv.gz"), "rt", encoding="utf-8") as lines:
        for line in lines:
            time, user, request = line.rstrip("\n").split(",", 2)
            yield time, int(user), request


def watched(request):
    """Returns the movie and the minute of a watch request, or None for another one."""
    if not request.startswith("GET /data/m/"):
        return None
    movie, minute = request[len("GET /data/m/"):].split("/")
    return movie, int(minute.removesuffix(".mpg"))


def rated(request):
    """Returns the movie and the stars of a rating, or None for another request."""
    if not request.startswith("GET /rate/"):
        return None
    movie, stars = request[len("GET /rate/"):].split("=")
    return movie, int(stars)
