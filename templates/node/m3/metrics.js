/** Counts and times in the text format of Prometheus. */
export const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

export class Metrics {
  buckets = new Array(BOUNDS.length + 1).fill(0);
  seconds = 0;

  /** Counts a request that took so long. */
  observe(seconds) {
    const place = BOUNDS.findIndex((bound) => seconds <= bound);
    this.buckets[place < 0 ? BOUNDS.length : place] += 1;
    this.seconds += seconds;
  }

  /** Returns the page that Prometheus reads. */
  page() {
    const all = this.buckets.reduce((sum, count) => sum + count, 0);
    const lines = [
      "# HELP recommend_requests_total Requests for recommendations.",
      "# TYPE recommend_requests_total counter",
      `recommend_requests_total ${all}`,
      "# HELP recommend_seconds Time to an answer.",
      "# TYPE recommend_seconds histogram",
    ];
    let total = 0;
    [...BOUNDS, "+Inf"].forEach((bound, place) => {
      total += this.buckets[place];
      lines.push(`recommend_seconds_bucket{le="${bound}"} ${total}`);
    });
    return [...lines, `recommend_seconds_sum ${this.seconds.toFixed(6)}`, `recommend_seconds_count ${total}`, ""].join("\n");
  }
}
