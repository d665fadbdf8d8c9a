/**
 * Evaluates offline: learns from what came before a day, asks what was watched from that day on, by users known before.
 *
 * The split is by time: a model that has seen a user's future would look better than it is. For now the lists are what most
 * viewers watched, which is also the baseline that your model must beat.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import * as company from "./company.js";
import { clean } from "./validate.js";

const DAYS = 7;

/** Returns time, user and movie of each viewing, in order of time. */
export function viewings(lines) {
  const found = [];
  for (const line of lines) {
    const [time, user, request] = company.fields(line);
    const watched = company.watched(request);
    if (watched) found.push([time, Number(user), watched[0]]);
  }
  return found.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]));
}

/** Returns the viewings before the last days, and those in them. */
export function split(found, days = DAYS) {
  const dates = [...new Set(found.map(([time]) => time.slice(0, 10)))].sort();
  const cut = dates.length > days ? dates[dates.length - days] : dates[dates.length - 1];
  return [found.filter(([time]) => time.slice(0, 10) < cut), found.filter(([time]) => time.slice(0, 10) >= cut)];
}

/** Writes a part of the split for those who want to know what was learnt from, and what was tested on. */
function save(name, part) {
  const rows = part.map((row) => `${row.join(",")}\n`);
  writeFileSync(join(company.HERE, name), `time,user,movie\n${rows.join("")}`);
}

/** Returns what each user has watched. */
export function histories(found) {
  const seen = new Map();
  for (const [, user, movie] of found) {
    if (!seen.has(user)) seen.set(user, new Set());
    seen.get(user).add(movie);
  }
  return seen;
}

/** Returns the movies with the most viewers, best first. */
export function popular(train, most = 200) {
  const counts = new Map();
  for (const movies of histories(train).values()) {
    for (const movie of movies) counts.set(movie, (counts.get(movie) ?? 0) + 1);
  }
  const order = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return order.slice(0, most).map(([movie]) => movie);
}

/** Returns a function from a user to twenty movies. Yours to improve: this is the baseline itself. */
export function recommend(train) {
  const best = popular(train);
  const seen = histories(train);
  return (user) => best.filter((movie) => !seen.get(user)?.has(movie)).slice(0, 20);
}

/** Returns the share of users who newly watched one of their twenty, its standard error, and the number of users. */
export function hitRate(lists, train, test) {
  const known = histories(train);
  const hits = [];
  for (const [user, movies] of histories(test)) {
    const fresh = [...movies].filter((movie) => known.has(user) && !known.get(user).has(movie));
    if (fresh.length > 0) {
      const list = new Set(lists(user));
      hits.push(fresh.some((movie) => list.has(movie)) ? 1 : 0);
    }
  }
  if (hits.length === 0) return { share: 0, error: 0, users: 0 };
  const share = hits.reduce((sum, hit) => sum + hit, 0) / hits.length;
  return { share, error: Math.sqrt((share * (1 - share)) / hits.length), users: hits.length };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const users = new Set(company.users().map((user) => user.user_id));
  const movies = new Set(company.movies().map((movie) => movie.id));
  const { good, counts } = clean(company.lines(), users, movies);
  console.log("lines:", good.length, "good;", Object.keys(counts).length > 0 ? counts : "nothing wrong");
  const [train, test] = split(viewings(good));
  save("train.csv", train);
  save("test.csv", test);
  const found = hitRate(recommend(train), train, test);
  console.log(`hit rate at 20 over the last ${DAYS} days: ${found.share.toFixed(3)} +- ${(1.96 * found.error).toFixed(3)} (${found.users} users)`);
}
