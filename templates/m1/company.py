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


def lines():
    """Yields the log's lines as they came, oldest first."""
    with gzip.open(os.path.join(folder(), "log.csv.gz"), "rt", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            yield line.rstrip("\n")


def log():
    """Yields time, user, and what they asked for, of the lines that have these fields."""
    for line in lines():
        parts = line.split(",", 2)
        if len(parts) == 3 and parts[1].isascii() and parts[1].isdigit():
            yield parts[0], int(parts[1]), parts[2]


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
