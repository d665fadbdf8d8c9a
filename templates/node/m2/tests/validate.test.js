import assert from "node:assert/strict";
import { test } from "node:test";

import * as company from "../company.js";
import { MOST_STARS, clean, fault } from "../validate.js";

const USERS = new Set([7, 8]);
const MOVIES = new Set(["shooter+2007", "m*a*s*h+1970"]);
const GOOD = "2026-01-12T06:00:01,7,GET /data/m/shooter+2007/84.mpg";

test("lines as they should be", () => {
  for (const line of [
    GOOD,
    `2026-01-12T06:00,8,GET /rate/m*a*s*h+1970=${MOST_STARS}`,
    "2026-01-12T06:00:01.123456,8,recommendation request x:8082, status 200, result: a, 7 ms",
  ]) {
    assert.equal(fault(line, USERS, MOVIES), null, line);
  }
});

test("what is wrong is named", () => {
  for (const [line, wanted] of [
    ["", "fields"],
    [GOOD.replaceAll(",", ";"), "fields"],
    [GOOD.replace("T06", "T 06"), "time"],
    [GOOD.replace(",7,", ",x,"), "user"],
    [GOOD.replace(",7,", ",9,"), "unknown user"],
    [GOOD.replace("shooter", "shoo ter"), "request"],
    [GOOD.replace("shooter", "shouter"), "unknown movie"],
    ["2026-01-12T06:00,8,GET /rate/shooter+2007=0", "stars"],
    [`2026-01-12T06:00,8,GET /rate/shooter+2007=${MOST_STARS + 1}`, "stars"],
  ]) {
    assert.equal(fault(line, USERS, MOVIES), wanted, line);
  }
});

test("a line that comes twice is one", () => {
  assert.deepEqual(clean([GOOD, GOOD, "x"], USERS, MOVIES), { good: [GOOD], counts: { duplicate: 1, fields: 1 } });
});

test("most of the released log is good", () => {
  const users = new Set(company.users().map((user) => user.user_id));
  const movies = new Set(company.movies().map((movie) => movie.id));
  const { good, counts } = clean(company.lines(), users, movies);
  const wrong = Object.values(counts).reduce((sum, count) => sum + count, 0);
  assert.ok(good.length > 9 * wrong);
});
