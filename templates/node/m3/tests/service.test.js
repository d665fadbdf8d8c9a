import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import * as company from "../company.js";
import { Metrics } from "../metrics.js";
import { Service, armOf, serve } from "../service.js";
import { make, numbers } from "../train.js";

if (numbers().length === 0) make();
const service = new Service("abc");

test("answers with twenty known ids, none twice", () => {
  const [status, body] = service.answer("/recommend/1");
  const ids = body.split(",");
  const known = new Set(company.movies().map((movie) => movie.id));
  assert.deepEqual([status, ids.length, new Set(ids).size], [200, 20, 20]);
  assert.ok(ids.every((id) => known.has(id)));
});

test("refuses ids that are no numbers", () => {
  for (const path of ["/recommend/abc", "/recommend/-1", "/recommend/1.5", "/recommend/", "/provenance/x"]) {
    assert.equal(service.answer(path)[0], 400, path);
  }
});

test("knows no other route", () => {
  assert.equal(service.answer("/")[0], 404);
});

test("names model, code and data that are there", () => {
  const named = JSON.parse(service.answer("/provenance/1")[1]);
  assert.equal(named.code, "abc");
  for (const part of ["model", "data"]) assert.ok(existsSync(join(company.HERE, named[part])), named[part]);
});

test("counts every request for a list", async () => {
  const counted = new Service("abc");
  const server = serve(counted).listen(0);
  await new Promise((listening) => server.once("listening", listening));
  for (const path of ["/recommend/1", "/recommend/abc", "/experiment/1"]) {
    await (await fetch(`http://127.0.0.1:${server.address().port}${path}`)).text();
  }
  server.close();
  server.closeAllConnections?.();
  assert.ok(counted.metrics.page().split("\n").includes("recommend_requests_total 2"));
});

test("users stay in their arm, and arms have their share", () => {
  const users = Array.from({ length: 2000 }, (_, user) => String(user));
  const arms = users.map((user) => armOf(user));
  assert.deepEqual(arms, users.map((user) => armOf(user)));
  const share = arms.filter((arm) => arm === "treatment").length / 2000;
  assert.ok(Math.abs(share - 0.5) < 0.05, String(share));
  const same = users.filter((user, place) => armOf(user, "second") === arms[place]).length / 2000;
  assert.ok(Math.abs(same - 0.5) < 0.05, "another experiment sorts anew");
});

test("every request is in one bucket", () => {
  const counted = new Metrics();
  [0.001, 0.03, 9].forEach((seconds) => counted.observe(seconds));
  const page = counted.page().split("\n");
  for (const line of [
    "recommend_requests_total 3",
    'recommend_seconds_bucket{le="0.005"} 1',
    'recommend_seconds_bucket{le="0.05"} 2',
    'recommend_seconds_bucket{le="+Inf"} 3',
  ]) {
    assert.ok(page.includes(line), line);
  }
});
