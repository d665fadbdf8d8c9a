/** The recommendation service: GET /recommend/<userid> answers with movie ids, best first, joined by commas. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { MODEL } from "./train.js";

/** Returns the ids for a user. Everybody gets the same: yours to improve. */
export function recommend(model, user) {
  return model.best;
}

/** Returns the status and the body for a path. */
export function answer(model, path) {
  if (!path.startsWith("/recommend/")) return [404, "not found"];
  const user = path.slice("/recommend/".length);
  if (!/^[0-9]+$/.test(user)) return [400, "the user id must be a number"];
  return [200, recommend(model, Number(user)).join(",")];
}

/** Returns the server for a model. */
export function serve(model) {
  return createServer((request, response) => {
    const [status, body] = answer(model, request.url);
    response.writeHead(status, { "Content-Type": "text/plain", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.env.PORT || 8082);
  const server = serve(JSON.parse(readFileSync(MODEL, "utf8")));
  server.keepAliveTimeout = 60_000; // keeps connections open
  server.listen(port, "0.0.0.0", 512, () => console.log("listening on", port));
}
