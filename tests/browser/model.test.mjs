// The pages of models in a real browser.
//
//   MODEL_PAGE=/path/to/report.html POLICY_PAGE=/path/to/report.html CHROME=/usr/bin/chromium npm test
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { complaints, open as openPage, requests, traces as tracesOf } from "./page.mjs";

const { MODEL_PAGE, POLICY_PAGE, CHROME } = process.env;
assert.ok(MODEL_PAGE, "set MODEL_PAGE to the HTML file of a model's report");
assert.ok(POLICY_PAGE, "set POLICY_PAGE to the HTML file of a policy's report");
assert.ok(CHROME, "set CHROME to a Chromium or Chrome binary");

let browser, page, data;
const open = (width, file = MODEL_PAGE, charts = 4) => openPage(browser, width, file, charts);

before(async () => {
  browser = await chromium.launch({ executablePath: CHROME, args: ["--no-sandbox"] });
  page = await open(1280);
  data = JSON.parse(await page.textContent("#data"));
});
after(() => browser?.close());

const traces = (id) => tracesOf(page, id);

test("learning curves, calibration and importance are drawn from the page's data", async () => {
  const [train, validation] = await traces("curve");
  assert.ok(train.y.length > 1);
  assert.deepEqual([train.y, validation.y], [data.curve.train, data.curve.validation]);
  assert.equal(Math.min(...validation.y), validation.y[data.curve.best - 1], "the pass that was kept is the best one");
  const [, ...groups] = await traces("reliability");
  assert.deepEqual(groups.map(({ name, x, y }) => [name, x, y]), data.answers.map(({ name, probability, frequency }) => [name, probability, frequency]));
  const bars = await traces("importance");
  assert.ok(bars.length === 2 && bars.every(({ x, y }) => x.length === 31 && y.length === 31));
});

test("the boundary between in and out of sample stands in the equity", async () => {
  const [equity] = await traces("equity");
  assert.deepEqual([equity.x, equity.y], [data.equity.date, data.equity.equity]);
  const { boundary } = data.equity;
  assert.ok(equity.x[0] < boundary && boundary < equity.x.at(-1));
  const [shape] = await page.evaluate(() => document.getElementById("equity")._fullLayout.shapes.map(({ x0, x1 }) => [x0, x1]));
  assert.deepEqual(shape, [boundary, boundary]);
  const words = await page.$$eval("#equity .annotation-text", (texts) => texts.map((text) => text.textContent));
  assert.deepEqual(words, ["in sample", "out of sample"]);
});

test("the scores stand beside those of what needs no network", async () => {
  const rows = await page.$$eval("#scores tbody tr", (rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
  assert.deepEqual(rows.map((row) => row.slice(0, 2).join(" ")).slice(-2), ["test long", "test short"]);
  assert.ok(rows.every((row) => row.length === 12 && row.every((text) => text !== "")));
  assert.equal(await page.locator("#figures tbody tr").count(), 8);
});

test("a policy's page shows how it learnt, and who it is held against", async () => {
  const policy = await open(1280, POLICY_PAGE, 3);
  const shown = await policy.evaluate(() => ["rewards", "entropy", "equity"].map((id) => document.getElementById(id).data.map(({ y }) => [...y])));
  const learnt = JSON.parse(await policy.textContent("#data"));
  assert.deepEqual(shown, [[learnt.rewards], [learnt.entropy, learnt.turns], [learnt.equity.equity]]);
  assert.ok(learnt.rewards.length > 1 && learnt.equity.date[0] < learnt.equity.boundary);
  const who = await policy.$$eval("#contenders tbody tr", (rows) => rows.map((row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent).join(" ")));
  assert.deepEqual(who, ["training", "test"].flatMap((part) => ["policy", "buy and hold", "random"].map((name) => `${part} ${name}`)));
  assert.equal(await policy.locator("#habits tbody tr").count(), 2);
});

test("on a telephone nothing sticks out, and nothing is fetched or complained of", async () => {
  for (const [file, charts] of [[MODEL_PAGE, 4], [POLICY_PAGE, 3]]) {
    const narrow = await open(390, file, charts);
    assert.ok((await narrow.evaluate(() => document.documentElement.scrollWidth)) <= 390);
  }
  assert.deepEqual(requests, []);
  assert.deepEqual(complaints, []);
});
