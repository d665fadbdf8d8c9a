"""Evaluates offline: learns from what came before a day, asks what was watched from that day on, by users known before.

The split is by time: a model that has seen a user's future would look better than it is. For now the lists are what most
viewers watched, which is also the baseline that your model must beat.
"""
import collections
import csv
import math

import company
import validate

DAYS = 7


def viewings(lines):
    """Returns time, user and movie of each viewing, in order of time."""
    found = []
    for line in lines:
        time, user, request = line.split(",", 2)
        watched = company.watched(request)
        if watched:
            found.append((time, int(user), watched[0]))
    return sorted(found)


def split(found, days=DAYS):
    """Returns the viewings before the last days, and those in them."""
    dates = sorted({time[:10] for time, _, _ in found})
    cut = dates[-days] if len(dates) > days else dates[-1]
    return [one for one in found if one[0] < cut], [one for one in found if one[0] >= cut]


def save(name, part):
    """Writes a part of the split for those who want to know what was learnt from, and what was tested on."""
    with open(name, "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["time", "user", "movie"])
        table.writerows(part)


def popular(train, most=200):
    """Returns the movies with the most viewers, best first."""
    counts = collections.Counter(movie for _, movie in {(user, movie) for _, user, movie in train})
    return [movie for movie, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]]


def recommend(train):
    """Returns a function from a user to twenty movies. Yours to improve: this is the baseline itself."""
    best, seen = popular(train), collections.defaultdict(set)
    for _, user, movie in train:
        seen[user].add(movie)
    return lambda user: [movie for movie in best if movie not in seen[user]][:20]


def hit_rate(lists, train, test):
    """Returns the share of users who newly watched one of their twenty, its standard error, and the number of users."""
    known, new = collections.defaultdict(set), collections.defaultdict(set)
    for _, user, movie in train:
        known[user].add(movie)
    for _, user, movie in test:
        if user in known and movie not in known[user]:
            new[user].add(movie)
    hits = [bool(new[user] & set(lists(user))) for user in sorted(new)]
    if not hits:
        return 0.0, 0.0, 0
    share = sum(hits) / len(hits)
    return share, math.sqrt(share * (1 - share) / len(hits)), len(hits)


if __name__ == "__main__":
    users = {user["user_id"] for user in company.users()}
    movies = {movie["id"] for movie in company.movies()}
    good, counts = validate.clean(company.lines(), users, movies)
    print("lines:", len(good), "good;", dict(counts) or "nothing wrong")
    train, test = split(viewings(good))
    save("train.csv", train)
    save("test.csv", test)
    share, error, n = hit_rate(recommend(train), train, test)
    print(f"hit rate at 20 over the last {DAYS} days: {share:.3f} +- {1.96 * error:.3f} ({n} users)")
