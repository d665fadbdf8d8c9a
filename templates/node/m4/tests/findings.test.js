import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { countBy } from "../analysis/analysis.js";
import { HERE } from "../company.js";

test("findings name their schema", () => {
  assert.match(readFileSync(join(HERE, "findings.toml"), "utf8"), /schema = "reelworld\/findings\/v1"/);
});

test("things are counted by a key", () => {
  assert.deepEqual(countBy(["a1", "b1", "a2"], (name) => name[0]), [["a", 2], ["b", 1]]);
});
