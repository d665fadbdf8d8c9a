/**
 * Makes the model: for now, the movies that the outside world votes for.
 *
 * This is the place to begin. The log tells who watched what (company.log, company.watched) and who rated what
 * (company.rated): movies that people with the same history watched too are a good first model.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import * as company from "./company.js";

export const MODEL = join(company.HERE, "model.json");

/** Returns the ids of the twenty movies with the best votes from outside. */
export function train(movies) {
  const best = [...movies].sort((a, b) => b.vote_average - a.vote_average || b.vote_count - a.vote_count);
  return best.slice(0, 20).map((movie) => movie.id);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(MODEL, JSON.stringify({ best: train(company.movies()) }));
  console.log("wrote", MODEL);
}
