/** The recommendation service: GET /recommend/<userid>, and what it tells of itself: metrics, versions, the experiment's arms. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { HERE } from "./company.js";
import { Metrics } from "./metrics.js";
import { newest } from "./train.js";

/** Returns the commit that is running, or what the release has named where git is not there. */
export function commit() {
  const found = spawnSync("git", ["rev-parse", "HEAD"], { cwd: HERE, encoding: "utf8" });
  return found.stdout?.trim() || process.env.COMMIT || "";
}

/** Returns the arm of a user: always the same, and another order for another experiment. */
export function armOf(user, experiment = "first") {
  const digest = createHash("sha256").update(`${experiment}/${user}`).digest();
  return digest[0] < 128 ? "treatment" : "control";
}

/** The model that is served, exchanged whole: a request sees the old one or the new one. */
export class Service {
  metrics = new Metrics();

  constructor(code) {
    this.code = code;
    this.reload();
  }

  /** Takes the newest model. */
  reload() {
    const name = newest();
    this.served = { name, model: JSON.parse(readFileSync(join(HERE, name), "utf8")) };
  }

  /** Returns the ids for a user. Everybody gets the same: yours to improve. */
  recommend(user) {
    return this.served.model.best;
  }

  /** Returns the status and the body for a path. */
  answer(path) {
    const [, route, user] = /^\/([^/]*)\/?(.*)$/.exec(path) ?? [];
    if (["recommend", "provenance", "experiment"].includes(route) && !/^[0-9]+$/.test(user)) {
      return [400, "the user id must be a number"];
    }
    switch (route) {
      case "recommend":
        return [200, this.recommend(Number(user)).join(",")];
      case "provenance":
        return [200, JSON.stringify({ model: this.served.name, code: this.code, data: this.served.model.data })];
      case "experiment":
        return [200, armOf(user)];
      case "metrics":
        return [200, this.metrics.page()];
      case "reload":
        this.reload();
        return [200, this.served.name];
      default:
        return [404, "not found"];
    }
  }
}

/** Returns the server of a service. */
export function serve(service) {
  return createServer((request, response) => {
    const begun = performance.now();
    const [status, body] = service.answer(request.url);
    // Before the answer goes out: who reads the metrics next has had all the answers that are counted.
    if (request.url.startsWith("/recommend/")) service.metrics.observe((performance.now() - begun) / 1000);
    response.writeHead(status, { "Content-Type": "text/plain", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.env.PORT || 8082);
  const server = serve(new Service(commit()));
  server.keepAliveTimeout = 60_000; // keeps connections open
  server.listen(port, "0.0.0.0", 512, () => console.log("listening on", port));
  // In a container this is the first process, which no signal ends by itself.
  process.on("SIGTERM", () => process.exit(0));
}
