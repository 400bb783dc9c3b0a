// The state machines of infra/state-machines: valid, and every way through them ends as it should.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import validate from "asl-validator";

import { circlesWithout, isEnd, machines, successors, ways } from "./walk.mjs";

const top = join(dirname(fileURLToPath(import.meta.url)), "../..");
const read = (path) => readFileSync(join(top, path), "utf8");
const docs = read("docs/eod.md");

/** What the template will put in, in CloudFormation's way: text for text. */
const fill = (text) =>
  text.replace(/\$\{(\w+)\}/g, (_, name) => {
    assert.match(name, /Arn$/, `what is \${${name}} to be?`);
    const service = name === "TopicArn" ? "sns" : "lambda";
    return `arn:aws:${service}:us-east-1:000000000000:${service === "lambda" ? "function:" : ""}${name.slice(0, -3)}`;
  });

const texts = Object.fromEntries(["eod", "sweep"].map((name) => [name, read(`infra/state-machines/${name}.asl.json`)]));
const parsed = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, JSON.parse(fill(text))]));
const parts = Object.entries(parsed).flatMap(([name, definition]) => machines(definition, `${name}: `));
const states = parts.flatMap(({ name, definition }) =>
  Object.entries(definition.States).map(([state, body]) => ({ name: `${name}${state}`, body, inner: name.includes("/") })));
const tasks = states.filter(({ body }) => body.Type === "Task");
const calls = tasks.filter(({ body }) => body.Resource.includes(":function:"));
const publishes = (body) => Boolean(body.Resource?.endsWith(":::sns:publish"));
const reports = (body) => "failure.$" in (body.Parameters ?? {});

/** The names in the first column of a table whose last column is as said. */
const errorTypes = (again) =>
  docs.split("\n").map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => cells.length === 5 && cells[3] === again)
    .flatMap((cells) => [...cells[1].matchAll(/`(\w+)`/g)].map((match) => match[1]));

for (const [name, definition] of Object.entries(parsed)) {
  test(`${name} is valid`, () => {
    const { isValid, errorsText } = validate(definition, { checkPaths: true, checkArn: true });
    assert.ok(isValid, isValid || errorsText("\n"));
  });
}

test("every state is reached, and every transition leads to one", () => {
  for (const { name, definition } of parts) {
    const seen = new Set(), todo = [definition.StartAt];
    while (todo.length) {
      const state = todo.pop();
      assert.ok(state in definition.States, `${name}${state} does not exist`);
      if (!seen.has(state)) todo.push(...successors(definition.States[state]));
      seen.add(state);
    }
    assert.deepEqual(Object.keys(definition.States).filter((state) => !seen.has(state)), [], `${name}never reached`);
  }
});

test("every way ends, reads only what was written, and tells people when it fails", () => {
  for (const { name, definition, item } of parts) {
    const all = ways(definition, item ?? (name.startsWith("sweep") ? ["sweep"] : []));
    assert.ok(all.length > 0, name);
    const walked = new Set(all.flatMap((way) => way.states));
    assert.deepEqual(Object.keys(definition.States).filter((state) => !walked.has(state)), [], `${name}on no way`);
    for (const way of all) {
      const end = definition.States[way.states.at(-1)];
      assert.ok(isEnd(end));
      assert.deepEqual(way.missing, [], `${name}${way.states.join(" > ")}`);
      if (end.Type === "Fail") {
        // Either the day was recorded as failed, which tells people, or they were told past the function that does so.
        const told = way.states.some((state) =>
          publishes(definition.States[state]) || (reports(definition.States[state]) && !way.caught.includes(state)));
        assert.ok(told, `${name}${way.states.join(" > ")} is silent`);
        assert.equal(end.CausePath, "$.failure.Cause");
        assert.equal(end.ErrorPath, "$.failure.Error");
      }
    }
  }
  const [eod] = parts;
  const ends = (way) => eod.definition.States[way.states.at(-1)].Type;
  const good = ways(eod.definition).filter((way) => ends(way) === "Succeed");
  const steps = good.map((way) => new Set(way.states.filter((one) => !/\?$|Pause$|^Launch/.test(one))));
  const closed = ["Name", "Plan", "HolidayNotice", "Holiday"];
  const open = ["Name", "Plan", "Export", "Ingest", "Crawl", "Checks", "Score", "Strategies", "Watch", "Report", "Done"];
  for (const way of steps) assert.deepEqual([...way], way.has("Holiday") ? closed : open);
});

test("no circle without a pause", () => {
  for (const { name, definition } of parts) assert.deepEqual(circlesWithout(definition, "Wait"), [], name);
});

test("every task ends in time, is tried again, and its failure is caught", () => {
  for (const [name, definition] of Object.entries(parsed)) assert.ok(definition.TimeoutSeconds > 0, name);
  for (const { name, body, inner } of tasks) {
    assert.ok(body.TimeoutSeconds > 0, `${name} has no TimeoutSeconds`);
    const last = body.Retry.at(-1);
    assert.deepEqual(last.ErrorEquals, ["States.ALL"], name);
    assert.ok(last.MaxAttempts === 3 && last.BackoffRate > 1 && last.JitterStrategy === "FULL", name);
    // Inside a Map it is the Map that catches: a state in it cannot lead out of it.
    if (!inner) assert.deepEqual(body.Catch?.at(-1).ErrorEquals, ["States.ALL"], `${name} has no Catch`);
  }
  for (const { name, body } of states.filter(({ body }) => body.Type === "Map")) {
    assert.deepEqual(body.Catch?.at(-1).ErrorEquals, ["States.ALL"], `${name} has no Catch`);
  }
});

test("what is not tried again is what docs/eod.md and the functions say", () => {
  const permanent = errorTypes("no"), passing = errorTypes("yes");
  assert.ok(permanent.length > 5 && passing.length > 0, "the table of errorTypes in docs/eod.md is not found");
  for (const { name, body } of calls) {
    assert.equal(body.Retry.length, 2, name);
    assert.equal(body.Retry[0].MaxAttempts, 0, name);
    assert.deepEqual(body.Retry[0].ErrorEquals.toSorted(), permanent.toSorted(), `${name} and docs/eod.md`);
  }
  const code = [...read("crates/cli/src/eod/trouble.rs").matchAll(/=> "(\w+)"/g)].map((match) => match[1]);
  assert.deepEqual([...new Set(code)].toSorted(), [...permanent, ...passing].toSorted(), "trouble.rs and docs/eod.md");
});
