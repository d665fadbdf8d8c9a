import os
import sys
import unittest

from fastapi.testclient import TestClient

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import company
import service
import train


class TheService(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.movies = company.movies()
        cls.client = TestClient(service.create_app({"best": train.train(cls.movies)}))

    def test_answers_with_twenty_known_ids_none_twice(self):
        answer = self.client.get("/recommend/1")
        ids = answer.text.split(",")
        self.assertEqual((answer.status_code, len(ids), len(set(ids))), (200, 20, 20))
        self.assertLessEqual(set(ids), {movie["id"] for movie in self.movies})

    def test_refuses_ids_that_are_no_numbers(self):
        for path in ["/recommend/abc", "/recommend/-1", "/recommend/1.5", "/recommend/", "/recommend/1/2"]:
            self.assertEqual(self.client.get(path).status_code, 400, path)

    def test_knows_no_other_route(self):
        self.assertEqual(self.client.get("/").status_code, 404)


class TheLog(unittest.TestCase):
    def test_lines_are_read(self):
        self.assertEqual(company.watched("GET /data/m/shooter+2007/84.mpg"), ("shooter+2007", 84))
        self.assertEqual(company.rated("GET /rate/shooter+2007=4"), ("shooter+2007", 4))
        self.assertIsNone(company.rated("GET /data/m/shooter+2007/84.mpg"))

    def test_the_data_is_there(self):
        time, user, request = next(company.log())
        self.assertTrue(time.startswith("20") and user > 0 and request.startswith("GET /"))


if __name__ == "__main__":
    unittest.main()
