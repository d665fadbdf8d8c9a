import assert from "node:assert/strict";
import { test } from "node:test";

import * as company from "../company.js";
import { answer, serve } from "../service.js";
import { train } from "../train.js";

const movies = company.movies();
const model = { best: train(movies) };

test("answers with twenty known ids, none twice", () => {
  const [status, body] = answer(model, "/recommend/1");
  const ids = body.split(",");
  const known = new Set(movies.map((movie) => movie.id));
  assert.deepEqual([status, ids.length, new Set(ids).size], [200, 20, 20]);
  assert.ok(ids.every((id) => known.has(id)));
});

test("refuses ids that are no numbers", () => {
  for (const path of ["/recommend/abc", "/recommend/-1", "/recommend/1.5", "/recommend/"]) {
    assert.equal(answer(model, path)[0], 400, path);
  }
});

test("knows no other route", () => {
  assert.equal(answer(model, "/")[0], 404);
});

test("answers over HTTP", async () => {
  const server = serve(model).listen(0);
  await new Promise((listening) => server.once("listening", listening));
  const found = await fetch(`http://127.0.0.1:${server.address().port}/recommend/1`);
  assert.equal(found.status, 200);
  assert.equal(await found.text(), model.best.join(","));
  server.close();
  server.closeAllConnections?.();
});

test("lines of the log are read", () => {
  assert.deepEqual(company.watched("GET /data/m/shooter+2007/84.mpg"), ["shooter+2007", 84]);
  assert.deepEqual(company.rated("GET /rate/shooter+2007=4"), ["shooter+2007", 4]);
  assert.equal(company.rated("GET /data/m/shooter+2007/84.mpg"), null);
  assert.deepEqual(company.fields("t,1,recommendation request x, status 200"), ["t", "1", "recommendation request x, status 200"]);
});

test("the data is there", () => {
  const [time, user, request] = company.log()[0];
  assert.ok(time.startsWith("20") && user > 0 && request.startsWith("GET /"));
});
