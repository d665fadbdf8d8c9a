import itertools
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import company
import validate

USERS, MOVIES = {7, 8}, {"shooter+2007", "m*a*s*h+1970"}
GOOD = "2026-01-12T06:00:01,7,GET /data/m/shooter+2007/84.mpg"


class OneLine(unittest.TestCase):
    def check(self, line, wanted):
        self.assertEqual(validate.fault(line, USERS, MOVIES), wanted, line)

    def test_lines_as_they_should_be(self):
        self.check(GOOD, None)
        self.check(f"2026-01-12T06:00,8,GET /rate/m*a*s*h+1970={validate.MOST_STARS}", None)
        self.check("2026-01-12T06:00:01.123456,8,recommendation request x:8082, status 200, result: a, 7 ms", None)

    def test_what_is_wrong_is_named(self):
        self.check("", "fields")
        self.check(GOOD.replace(",", ";"), "fields")
        self.check(GOOD.replace("T06", "T 06"), "time")
        self.check(GOOD.replace(",7,", ",x,"), "user")
        self.check(GOOD.replace(",7,", ",9,"), "unknown user")
        self.check(GOOD.replace("shooter", "shoo ter"), "request")
        self.check(GOOD.replace("shooter", "shouter"), "unknown movie")
        for stars in (0, validate.MOST_STARS + 1, 15):
            self.check(f"2026-01-12T06:00,8,GET /rate/shooter+2007={stars}", "stars")


class AllLines(unittest.TestCase):
    def test_a_line_that_comes_twice_is_one(self):
        good, counts = validate.clean([GOOD, GOOD, "x"], USERS, MOVIES)
        self.assertEqual((good, dict(counts)), ([GOOD], {"duplicate": 1, "fields": 1}))

    def test_most_of_the_released_log_is_good(self):
        users = {user["user_id"] for user in company.users()}
        movies = {movie["id"] for movie in company.movies()}
        good, counts = validate.clean(itertools.islice(company.lines(), 20_000), users, movies)
        self.assertGreater(len(good), 9 * sum(counts.values()))


if __name__ == "__main__":
    unittest.main()
