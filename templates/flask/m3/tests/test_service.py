import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

import company
import metrics
import service
import train


class TheService(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not train.numbers():
            train.make()
        cls.client = service.create_app("abc").test_client()

    def test_answers_with_twenty_known_ids_none_twice(self):
        answer = self.client.get("/recommend/1")
        ids = answer.text.split(",")
        self.assertEqual((answer.status_code, len(ids), len(set(ids))), (200, 20, 20))
        self.assertLessEqual(set(ids), {movie["id"] for movie in company.movies()})

    def test_refuses_ids_that_are_no_numbers(self):
        for path in ["/recommend/abc", "/recommend/-1", "/recommend/1.5", "/recommend/", "/provenance/x"]:
            self.assertEqual(self.client.get(path).status_code, 400, path)

    def test_knows_no_other_route(self):
        self.assertEqual(self.client.get("/").status_code, 404)

    def test_names_model_code_and_data_that_are_there(self):
        named = self.client.get("/provenance/1").json
        self.assertEqual(named["code"], "abc")
        for part in ("model", "data"):
            self.assertTrue(os.path.exists(os.path.join(company.HERE, named[part])), named)

    def test_counts_every_request_for_a_list(self):
        client = service.create_app("abc").test_client()
        for path in ["/recommend/1", "/recommend/abc", "/experiment/1"]:
            client.get(path)
        self.assertIn("recommend_requests_total 2", client.get("/metrics").text.splitlines())


class TheExperiment(unittest.TestCase):
    def test_users_stay_in_their_arm_and_arms_have_their_share(self):
        arms = [service.arm_of(str(user)) for user in range(2000)]
        self.assertEqual(arms, [service.arm_of(str(user)) for user in range(2000)])
        self.assertAlmostEqual(arms.count("treatment") / 2000, 0.5, delta=0.05)

    def test_another_experiment_sorts_anew(self):
        same = sum(service.arm_of(str(user)) == service.arm_of(str(user), "second") for user in range(2000))
        self.assertAlmostEqual(same / 2000, 0.5, delta=0.05)


class TheMetrics(unittest.TestCase):
    def test_every_request_is_in_one_bucket(self):
        counted = metrics.Metrics()
        for seconds in (0.001, 0.03, 9.0):
            counted.observe(seconds)
        page = counted.page().splitlines()
        for line in ["recommend_requests_total 3", 'recommend_seconds_bucket{le="0.005"} 1',
                     'recommend_seconds_bucket{le="0.05"} 2', 'recommend_seconds_bucket{le="+Inf"} 3']:
            self.assertIn(line, page)


if __name__ == "__main__":
    unittest.main()
