/** Fairness, feedback, attacks and faults: a script to begin with. The questions are in questions.md. Run it from anywhere. */
import { fileURLToPath } from "node:url";

import * as company from "../company.js";
import { clean } from "../validate.js";

/** Counts things by a key. */
export function countBy(things, key) {
  const counts = new Map();
  for (const thing of things) counts.set(key(thing), (counts.get(key(thing)) ?? 0) + 1);
  return [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const users = new Map(company.users().map((user) => [user.user_id, user]));
  const movies = new Map(company.movies().map((movie) => [movie.id, movie]));
  const { good, counts } = clean(company.lines(), users, movies);
  console.log(good.length, "good lines;", counts);

  // The log, day by day: what changes from one day to the next, and for whom?
  console.table(countBy(good, (line) => line.slice(0, 10)));

  // Groups: share of the log, and of the users, by group.
  const lines = good.map(company.fields);
  console.table(countBy(lines, ([, user]) => users.get(Number(user))?.gender));
  console.table(countBy(users.values(), (user) => user.gender));

  // Ratings of single movies: which get many extreme ratings in little time, and from whom? Yours.

  // What could not be told from this log? Yours, in the report.
}
