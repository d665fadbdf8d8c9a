"""Makes the model: for now, the movies that the outside world votes for.

This is the place to begin. The log tells who watched what (company.log, company.watched) and who rated what
(company.rated): movies that people with the same history watched too are a good first model.
"""
import json
import os

import company

MODEL = os.path.join(company.HERE, "model.json")


def train(movies):
    """Returns the ids of the twenty movies with the best votes from outside."""

    def votes(movie):
        return float(movie["vote_average"]), float(movie["vote_count"])

    return [movie["id"] for movie in sorted(movies, key=votes, reverse=True)[:20]]


if __name__ == "__main__":
    with open(MODEL, "w", encoding="utf-8") as file:
        json.dump({"best": train(company.movies())}, file)
    print("wrote", MODEL)
