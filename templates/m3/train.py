"""Makes a model and gives it a name of its own: models/<number>.json, with what it was made from beside it.

The log tells who watched what (company.log, company.watched) and who rated what (company.rated): movies that people with the
same history watched too are a good first model.
"""
import hashlib
import json
import os

import company

MODELS = os.path.join(company.HERE, "models")


def train(movies):
    """Returns the ids of the twenty movies with the best votes from outside."""

    def votes(movie):
        return float(movie["vote_average"]), float(movie["vote_count"])

    return [movie["id"] for movie in sorted(movies, key=votes, reverse=True)[:20]]


def data_version():
    """Returns the fingerprint of the data that is learnt from."""
    with open(os.path.join(company.folder(), "log.csv.gz"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def numbers():
    """Returns the numbers of the models that there are."""
    os.makedirs(MODELS, exist_ok=True)
    return sorted(int(name[:-5]) for name in os.listdir(MODELS) if name.endswith(".json") and name[:-5].isdigit())


def newest():
    """Returns the path of the newest model, from the repository's top."""
    return f"models/{numbers()[-1]}.json"


def make():
    """Trains, and writes the model and its origin; a model is never written over."""
    number = max(numbers(), default=0) + 1
    model = {"best": train(company.movies()), "data": f"models/{number}.origin"}
    with open(os.path.join(MODELS, f"{number}.origin"), "w", encoding="utf-8") as file:
        json.dump({"log_sha256": data_version()}, file)
    # Whole or not at all: the service may look at any moment.
    path = os.path.join(MODELS, f"{number}.json")
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(model, file)
    os.replace(path + ".part", path)
    return path


if __name__ == "__main__":
    print("wrote", make())
