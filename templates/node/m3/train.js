/**
 * Makes a model and gives it a name of its own: models/<number>.json, with what it was made from beside it.
 *
 * The log tells who watched what (company.log, company.watched) and who rated what (company.rated): movies that people with the
 * same history watched too are a good first model.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import * as company from "./company.js";

export const MODELS = join(company.HERE, "models");

/** Returns the ids of the twenty movies with the best votes from outside. */
export function train(movies) {
  const best = [...movies].sort((a, b) => b.vote_average - a.vote_average || b.vote_count - a.vote_count);
  return best.slice(0, 20).map((movie) => movie.id);
}

/** Returns the fingerprint of the data that is learnt from. */
export function dataVersion() {
  return createHash("sha256").update(readFileSync(join(company.folder(), "log.csv.gz"))).digest("hex");
}

/** Returns the numbers of the models that there are. */
export function numbers() {
  mkdirSync(MODELS, { recursive: true });
  const found = readdirSync(MODELS).map((name) => /^([0-9]+)\.json$/.exec(name));
  return found.filter((name) => name !== null).map((name) => Number(name[1])).sort((a, b) => a - b);
}

/** Returns the path of the newest model, from the repository's top. */
export function newest() {
  return `models/${numbers().at(-1)}.json`;
}

/** Trains, and writes the model and its origin; a model is never written over. */
export function make() {
  const number = (numbers().at(-1) ?? 0) + 1;
  const model = { best: train(company.movies()), data: `models/${number}.origin` };
  writeFileSync(join(MODELS, `${number}.origin`), JSON.stringify({ log_sha256: dataVersion() }));
  // Whole or not at all: the service may look at any moment.
  const path = join(MODELS, `${number}.json`);
  writeFileSync(`${path}.part`, JSON.stringify(model));
  renameSync(`${path}.part`, path);
  return path;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log("wrote", make());
}
