/**
 * The company's data: users, movies, and the log, as they come from its streams and its API.
 *
 * The graders put the company's newest data in the folder that $REELWORLD_DATA names; on your machine it is data/.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";

export const HERE = dirname(fileURLToPath(import.meta.url));

export function folder() {
  return process.env.REELWORLD_DATA || join(HERE, "data");
}

function records(name) {
  const lines = readFileSync(join(folder(), name), "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

export const movies = () => records("movies.jsonl");
export const users = () => records("users.jsonl");

/** Returns the log's lines as they came, oldest first. */
export function lines() {
  const text = gunzipSync(readFileSync(join(folder(), "log.csv.gz"))).toString("utf8");
  return text.split("\n").slice(0, text.endsWith("\n") ? -1 : undefined);
}

/** Splits a line into time, user and request; the request may hold commas of its own. None for a line without these fields. */
export function fields(line) {
  const first = line.indexOf(",");
  const second = line.indexOf(",", first + 1);
  if (first < 0 || second < 0) return null;
  return [line.slice(0, first), line.slice(first + 1, second), line.slice(second + 1)];
}

/** Returns time, user, and what they asked for, of the lines that have these fields. */
export function log() {
  return lines()
    .map(fields)
    .filter((parts) => parts !== null && /^[0-9]+$/.test(parts[1]))
    .map(([time, user, request]) => [time, Number(user), request]);
}

/** Returns the movie and the minute of a watch request, or null for another one. */
export function watched(request) {
  const found = /^GET \/data\/m\/([^/]+)\/([0-9]+)\.mpg$/.exec(request);
  return found && [found[1], Number(found[2])];
}

/** Returns the movie and the stars of a rating, or null for another request. */
export function rated(request) {
  const found = /^GET \/rate\/([^/=]+)=([0-9]+)$/.exec(request);
  return found && [found[1], Number(found[2])];
}
