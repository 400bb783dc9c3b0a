// The trading page in a real browser, over a board that moves by itself.
//
//   TRADING_PAGE=/path/to/examples/trading_page CHROME=/usr/bin/chromium npm test
//
// The program prints the page's address and then each thing that is asked, a line of JSON each.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const { TRADING_PAGE, CHROME } = process.env;
assert.ok(TRADING_PAGE, "set TRADING_PAGE to the example program trading_page");
assert.ok(CHROME, "set CHROME to a Chromium or Chrome binary");

let browser;
const started = [];
before(async () => {
  browser = await chromium.launch({ executablePath: CHROME, args: ["--no-sandbox"] });
});
after(async () => {
  for (const one of started) one.stop();
  await browser?.close();
});

/** Starts the program; `at` and `token` are those of an earlier one. */
async function start(scene = "", { at, token } = {}) {
  const env = { ...process.env, ...(at && { TRADING_PAGE_AT: at, TRADING_PAGE_TOKEN: token }) };
  const child = spawn(TRADING_PAGE, scene ? [`scene=${scene}`] : [], { env });
  const program = { asked: [], printed: "", said: "", stop: () => child.kill("SIGKILL") };
  started.push(program);
  child.stderr.on("data", (data) => (program.said += data));
  program.address = await new Promise((resolve, reject) => {
    let left = "";
    child.on("exit", () => reject(new Error(`the program stopped: ${program.said}`)));
    child.stdout.on("data", (data) => {
      program.printed += data;
      const lines = (left + data).split("\n");
      left = lines.pop();
      for (const line of lines) line.startsWith("http") ? resolve(line) : program.asked.push(JSON.parse(line));
    });
  });
  program.ended = new Promise((resolve) => child.on("exit", resolve));
  const { host, searchParams } = new URL(program.address);
  return Object.assign(program, { at: host, token: searchParams.get("token") });
}

/** Opens the program's page and watches what it complains of and whom it asks. */
async function open(program, { width = 1400, height = 900, ...more } = {}) {
  const page = await (await browser.newContext({ viewport: { width, height }, ...more })).newPage();
  page.complaints = [];
  page.others = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("request", (request) => new URL(request.url()).host !== program.at && page.others.push(request.url()));
  await page.goto(program.address);
  await page.waitForSelector("body.live");
  return page;
}

const text = (page, selector) => page.textContent(selector);
/** Waits until so many things were asked, and a little for one too many. */
async function asked(program, count) {
  for (let turn = 0; turn < 50 && program.asked.length < count; turn++) await sleep(100);
  await sleep(400);
  return program.asked;
}
async function shape(page, id, fields) {
  for (const [field, value] of Object.entries(fields)) await page.fill(`#${field}`, value);
  await page.press(`#${id}`, "Enter");
}

test("figures, positions, orders, refusals and events are shown", async () => {
  const page = await open(await start());
  assert.match(await text(page, "#equity-now"), /^25\d,\d{3}\.\d\d$/);
  assert.match(await text(page, "#session-profit"), /^[+−]?[\d,]+\.\d\d$/);
  assert.equal(await text(page, "#deposit"), "250,000.00");
  assert.equal(await text(page, "#mode"), "Normal");
  const cells = (id) => page.$$eval(`#${id} tbody tr`, (rows) => rows.map(({ cells }) => [...cells].map((cell) => cell.textContent)));
  const positions = await cells("positions");
  assert.deepEqual(positions.map(([symbol, quantity]) => [symbol, quantity]), [["AAPL", "240"], ["BRK.B", "−85"], ["SPY", "300"], ["MSFT", "0"]]);
  assert.ok(positions.every(([, quantity, , , profit]) => (quantity === "0" ? profit === "–" : /^[+−]?[\d,]+\.\d\d$/.test(profit))), String(positions));
  assert.ok(positions.every(([, , price, value, , , heard]) => /^[\d,]+\.\d\d$/.test(price) && /^−?[\d,]+\.\d\d$/.test(value) && /^\d+ s ago$/.test(heard)), String(positions));
  assert.deepEqual(await cells("orders"), [
    ["Buy 120 AAPL", "at 186.4 or better", "40 of 120", "paper-sma_cross-5f"],
    ["Sell 60 SPY", "at the market once 462 is touched, being cancelled", "0 of 60", "paper-sma_cross-60"],
  ]);
  const refusals = await page.$$eval("#refusals li span", (lines) => lines.map((line) => line.textContent));
  assert.deepEqual(refusals[0], "AAPL buy 5000 at 186.4 or better: it asks for 5000 shares, and at most 500 are allowed");
  assert.equal(refusals.length, 3);
  assert.match(await text(page, "#events li:first-child"), /bought 15 AAPL at 186\.38, fee 0\.35$/);
  await page.close();
});

test("the page moves by itself, and the curve grows", async () => {
  const page = await open(await start());
  const [equity, curve] = [await text(page, "#equity-now"), await page.getAttribute("#chart .line", "d")];
  await page.waitForFunction((before) => document.getElementById("equity-now").textContent !== before, equity, { timeout: 8000 });
  await page.waitForFunction((before) => document.querySelector("#chart .line").getAttribute("d") !== before, curve, { timeout: 8000 });
  const length = () => page.$eval("#chart .line", (line) => line.getTotalLength());
  assert.ok((await length()) > 300, "the session is drawn");
  assert.match(await page.getAttribute("#chart svg", "aria-label"), /^Equity from 25\d,\d{3}\.\d\d to 25\d,.* this session$/);
  await page.click("#show-all");
  assert.equal(await page.getAttribute("#show-all", "aria-pressed"), "true");
  assert.equal((await page.getAttribute("#chart .line", "d")).split("L").length, 61, "sixty sessions, and where it stands now");
  const box = await page.locator("#chart").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  assert.match(await text(page, "#tip"), /^25\d,\d{3}\.\d\d/);
  await page.close();
});

test("to flatten takes a name and the word, and is asked exactly once", async () => {
  const program = await start(), page = await open(program);
  await page.click("#flatten");
  assert.equal(await page.evaluate(() => document.activeElement.id), "by", "the keyboard is in the dialog");
  await shape(page, "confirm", { by: "", confirm: "FLATTEN" });
  assert.match(await text(page, "#problem"), /who you are/);
  for (const wrong of ["", "flatten", "FLATTEN!", "yes"]) {
    await shape(page, "confirm", { by: "Ann", confirm: wrong });
    assert.match(await text(page, "#problem"), /Type FLATTEN/);
    assert.equal(await page.getAttribute("#confirm", "aria-invalid"), "true");
  }
  await page.press("#confirm", "Escape");
  await page.waitForSelector("#dialog", { state: "hidden" });
  await page.click("#flatten");
  assert.equal(await page.inputValue("#confirm"), "", "a word that was typed before does not count");
  assert.deepEqual(await asked(program, 1), []);

  await page.fill("#by", "Ann");
  await page.fill("#confirm", "FLATTEN");
  // As impatient as people are.
  await page.evaluate(() => { for (let press = 0; press < 5; press++) document.getElementById("send").click(); });
  assert.deepEqual(await asked(program, 1), [{ ask: { control: "flatten" }, by: "Ann", reason: "" }]);
  await page.waitForFunction(() => document.getElementById("mode").textContent === "Flatten");
  await page.waitForFunction(() => document.getElementById("asked").textContent.endsWith("in force."));
  assert.match(await text(page, "#blocks"), /Flat: nothing is held and nothing works/);
  assert.ok(await page.isVisible("#orders-none"));
  assert.deepEqual(page.complaints, []);
  await page.close();
});

test("an answer that got lost is asked for again, and done once", async () => {
  const program = await start(), page = await open(program);
  let lost = 0;
  await page.route("**/ask", async (route) => {
    if (lost++ > 0) return route.continue();
    await route.fetch();
    await route.abort();
  });
  await page.click("[data-act=reduce_only]");
  await shape(page, "by", { by: "Ann" });
  await page.waitForFunction(() => document.getElementById("problem").textContent.startsWith("No answer"));
  await page.click("#send");
  await page.waitForSelector("#dialog", { state: "hidden" });
  assert.deepEqual([await asked(program, 1), lost], [[{ ask: { control: "reduce_only" }, by: "Ann", reason: "" }], 2]);
  await page.close();
});

test("what stands in the way is said, and a named person with a reason ends it", async () => {
  const program = await start("trouble"), page = await open(program);
  await page.waitForFunction(() => document.querySelectorAll(".block").length === 4);
  const titles = await page.$$eval(".block b", (titles) => titles.map((title) => title.textContent));
  assert.deepEqual(titles, [
    "The broker was not reached: connection timed out after 10 s.",
    "The books differed from the broker's, and the broker's count now.",
    "The strategy has traded more often than it may without a person.",
    "No prices of MSFT.",
  ]);
  assert.match(await text(page, "#positions tbody tr:last-child td.stale"), /^stale, 4 h \d min ago$/);
  await page.click("[data-act=accept]");
  await shape(page, "reason", { by: "Ann", reason: " " });
  assert.match(await text(page, "#problem"), /why/);
  await shape(page, "reason", { reason: "a dividend was booked late" });
  await page.waitForSelector("#dialog", { state: "hidden" });
  await page.click("[data-act=reenable]");
  assert.equal(await page.inputValue("#by"), "Ann");
  await shape(page, "reason", { reason: "the splits of today" });
  const [accept, reenable, ...more] = await asked(program, 2);
  assert.deepEqual([accept, reenable, more], [
    { ask: "accept", by: "Ann", reason: "a dividend was booked late" },
    { ask: "reenable", by: "Ann", reason: "the splits of today" }, [],
  ]);
  await page.waitForFunction(() => document.querySelectorAll(".block").length === 2);
  await page.click("[data-act=cancel]");
  await shape(page, "by", {});
  await page.click("[data-act=normal]");
  await shape(page, "reason", { reason: "all is well" });
  assert.deepEqual((await asked(program, 4)).slice(2), [
    { ask: { control: "cancel" }, by: "Ann", reason: "" }, { ask: { control: "normal" }, by: "Ann", reason: "all is well" },
  ]);
  await page.close();
});

test("a program that is gone is said to be, and found again", async () => {
  const program = await start(), page = await open(program);
  program.stop();
  await page.waitForSelector("body.lost", { timeout: 15000 });
  assert.match(await text(page, "#lost"), /^No contact with the trading program since .*algotrading kill/);
  assert.equal(await page.getAttribute("#lost", "role"), "alert");
  await page.click("#flatten");
  await shape(page, "confirm", { by: "Ann", confirm: "FLATTEN" });
  await page.waitForFunction(() => document.getElementById("problem").textContent.includes("algotrading kill"));
  await page.click("#back");
  await program.ended;
  const again = await start("", program);
  await page.waitForSelector("body.live", { timeout: 15000 });
  assert.equal(await text(page, "#lost"), "");
  assert.equal(await page.locator("#refusals li").count(), 3, "lines of the new program stand alone");
  assert.deepEqual(again.asked, [], "what did not arrive is not sent by itself");
  again.stop();
  await again.ended;
  await start("", { at: program.at, token: "f".repeat(64) });
  await page.waitForSelector("body.locked", { timeout: 15000 });
  assert.match(await text(page, "#lost"), /token is no longer valid/);
  await page.close();
});

test("the token is in no address, text, script or storage of the page", async () => {
  const program = await start(), page = await open(program);
  assert.ok(!page.url().includes(program.token) && !page.url().includes("token"));
  const all = await page.evaluate(async () => {
    const files = await Promise.all(["", "page.js", "page.css", "board"].map(async (name) => (await fetch(name)).text()));
    return [document.documentElement.outerHTML, document.cookie, JSON.stringify({ ...localStorage, ...sessionStorage }), ...files].join("\n");
  });
  assert.ok(all.includes("FLATTEN") && !all.includes(program.token));
  const cookies = await page.context().cookies();
  assert.deepEqual(cookies.map(({ httpOnly, sameSite, value }) => [httpOnly, sameSite, value.includes(program.token)]), [[true, "Strict", false]]);
  assert.deepEqual([program.said, program.printed.split(program.token).length], ["", 2], "printed once, logged never");
  assert.deepEqual([page.complaints, page.others], [[], []]);
  await page.close();
});

test("a page of another port cannot read, ask or frame it", async () => {
  const program = await start(), page = await open(program), { pathname } = new URL(page.url());
  const cookies = [];
  const stranger = createServer((request, response) => {
    cookies.push(request.headers.cookie);
    response.end("<!doctype html><title>stranger</title>");
  });
  await new Promise((resolve) => stranger.listen(0, "127.0.0.1", resolve));
  try {
    const other = await page.context().newPage();
    await other.goto(`http://127.0.0.1:${stranger.address().port}/`);
    const at = `http://${program.at}${pathname}`;
    const ask = JSON.stringify({ id: "12345678", confirm: "FLATTEN", wish: { ask: { control: "flatten" }, by: "Eve", reason: "" } });
    const came = await other.evaluate(async ([at, ask]) => {
      const tries = [
        () => fetch(`${at}board`, { credentials: "include" }),
        () => fetch(`${at}ask`, { method: "POST", credentials: "include", headers: { "content-type": "application/json" }, body: ask }),
        () => fetch(`${at}ask`, { method: "POST", credentials: "include", mode: "no-cors", body: ask }),
      ];
      const came = [];
      for (const one of tries) came.push(await one().then((answer) => answer.type + answer.status, () => "failed"));
      const frame = document.createElement("iframe");
      frame.src = at;
      document.body.append(frame);
      await new Promise((resolve) => { frame.onload = resolve; });
      came.push(frame.contentDocument === null ? "out of reach" : "within reach");
      return came;
    }, [at, ask]);
    assert.deepEqual(came, ["failed", "failed", "failed", "out of reach"]);
    const framed = other.frames().find((frame) => frame !== other.mainFrame());
    assert.ok(framed && !(await framed.content()).includes("Flatten everything"));
    assert.deepEqual(await asked(program, 1), []);
    assert.ok(cookies.length > 0 && cookies.every((cookie) => cookie === undefined), "the cookie is not sent to another program's port");
  } finally {
    stranger.close();
  }
  await page.close();
});

test("it fits a telephone, keeps its labels, and moves nothing where that is not wanted", async () => {
  const program = await start("trouble");
  for (const colorScheme of ["light", "dark"]) {
    const page = await open(program, { width: 390, height: 844, colorScheme, reducedMotion: "reduce" });
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
    assert.equal(await page.$eval("#contact i", (dot) => getComputedStyle(dot).animationName), "none");
    const box = await page.locator("#flatten").boundingBox();
    assert.ok(box.y + box.height <= 844 && box.height >= 44, "within the thumb's reach");
    // WCAG AA: 4.5 to 1 for text.
    const faint = await page.evaluate(() => {
      const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      const over = (colours) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const colour of colours) {
          canvas.fillStyle = colour;
          canvas.fillRect(0, 0, 1, 1);
        }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
      };
      const light = (rgb) => rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)).reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
      const found = [];
      for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim() !== "");
        if (!own || !node.checkVisibility() || node.closest("svg")) continue;
        const backs = [];
        for (let up = node; up; up = up.parentElement) backs.unshift(getComputedStyle(up).backgroundColor);
        const [ink, back] = [light(over([...backs, getComputedStyle(node).color])), light(over(backs))];
        const contrast = (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05);
        if (contrast < 4.5) found.push(`${node.tagName} ${node.id} ${node.textContent.slice(0, 30)}: ${contrast.toFixed(2)}`);
      }
      return found;
    });
    assert.deepEqual(faint, [], colorScheme);
    const nameless = await page.$$eval("input", (inputs) => inputs.filter(({ labels }) => labels.length === 0).length);
    assert.equal(nameless, 0);
    assert.deepEqual(page.complaints, []);
    await page.close();
  }
});
