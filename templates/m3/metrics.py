"""Counts and times in the text format of Prometheus."""
import bisect
import threading

BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0]


class Metrics:
    def __init__(self):
        self.lock = threading.Lock()
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def observe(self, seconds):
        """Counts a request that took so long."""
        with self.lock:
            self.buckets[bisect.bisect_left(BOUNDS, seconds)] += 1
            self.seconds += seconds

    def page(self):
        """Returns the page that Prometheus reads."""
        with self.lock:
            buckets, seconds = list(self.buckets), self.seconds
        lines = ["# HELP recommend_requests_total Requests for recommendations.", "# TYPE recommend_requests_total counter",
                 f"recommend_requests_total {sum(buckets)}",
                 "# HELP recommend_seconds Time to an answer.", "# TYPE recommend_seconds histogram"]
        total = 0
        for bound, count in zip([*map(str, BOUNDS), "+Inf"], buckets):
            total += count
            lines.append(f'recommend_seconds_bucket{{le="{bound}"}} {total}')
        return "\n".join([*lines, f"recommend_seconds_sum {seconds:.6f}", f"recommend_seconds_count {total}", ""])
