import assert from "node:assert/strict";
import { test } from "node:test";

import { hitRate, recommend, split } from "../evaluate.js";

const seen = (day, user, movie) => [`2026-01-${String(day).padStart(2, "0")}T06:00:00`, user, movie];
const TRAIN = [seen(1, 1, "a"), seen(1, 2, "b")];

test("nothing of the future is learnt from", () => {
  const found = Array.from({ length: 20 }, (_, day) => seen(day + 1, 1, `m${day + 1}`));
  const [train, test] = split(found);
  assert.deepEqual([train.length, test.length], [13, 7]);
  assert.ok(train.at(-1)[0] < test[0][0]);
});

test("counts users who newly watched one of their list", () => {
  const test = [seen(9, 1, "b"), seen(9, 2, "c"), seen(9, 2, "b"), seen(9, 3, "a")];
  const { share, users } = hitRate(() => ["a", "b"], TRAIN, test);
  assert.deepEqual([share, users], [0.5, 2]);
});

test("nobody to ask is no hit", () => {
  assert.deepEqual(hitRate(() => ["a"], TRAIN, []), { share: 0, error: 0, users: 0 });
});

test("the baseline recommends nothing that was watched", () => {
  const lists = recommend([seen(1, 1, "a"), seen(1, 2, "a"), seen(1, 2, "b")]);
  assert.deepEqual([lists(1), lists(2), lists(3)], [["b"], [], ["a", "b"]]);
});
