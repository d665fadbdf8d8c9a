import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import evaluate


def seen(day, user, movie):
    return f"2026-01-{day:02}T06:00:00", user, movie


class TheSplit(unittest.TestCase):
    def test_nothing_of_the_future_is_learnt_from(self):
        found = [seen(day, 1, f"m{day}") for day in range(1, 21)]
        train, test = evaluate.split(found)
        self.assertEqual((len(train), len(test)), (13, 7))
        self.assertLess(max(train), min(test))


class TheHitRate(unittest.TestCase):
    train = [seen(1, 1, "a"), seen(1, 2, "b")]

    def test_counts_users_who_newly_watched_one_of_their_list(self):
        test = [seen(9, 1, "b"), seen(9, 2, "c"), seen(9, 2, "b"), seen(9, 3, "a")]
        share, _, users = evaluate.hit_rate(lambda user: ["a", "b"], self.train, test)
        self.assertEqual((share, users), (0.5, 2))

    def test_nobody_to_ask_is_no_hit(self):
        self.assertEqual(evaluate.hit_rate(lambda user: ["a"], self.train, []), (0.0, 0.0, 0))


class TheBaseline(unittest.TestCase):
    def test_recommends_nothing_that_was_watched(self):
        lists = evaluate.recommend([seen(1, 1, "a"), seen(1, 2, "a"), seen(1, 2, "b")])
        self.assertEqual((lists(1), lists(2), lists(3)), (["b"], [], ["a", "b"]))


if __name__ == "__main__":
    unittest.main()
