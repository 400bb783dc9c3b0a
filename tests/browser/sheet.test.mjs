// The tear sheet in a real browser.
//
//   TEAR_SHEET=/path/to/report.html CHROME=/usr/bin/chromium npm test
//
// What is expected is read from the JSON the page carries, so any run's sheet may be tested.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { complaints, open as openPage, requests, traces as tracesOf } from "./page.mjs";

const { TEAR_SHEET, CHROME } = process.env;
assert.ok(TEAR_SHEET, "set TEAR_SHEET to the HTML file of a tear sheet");
assert.ok(CHROME, "set CHROME to a Chromium or Chrome binary");

let browser, page, data;
const open = (width) => openPage(browser, width, TEAR_SHEET, 3);

before(async () => {
  browser = await chromium.launch({ executablePath: CHROME, args: ["--no-sandbox"] });
  page = await open(1280);
  data = JSON.parse(await page.textContent("#data"));
});
after(() => browser?.close());

const traces = (id) => tracesOf(page, id);

test("every point of the run is drawn", async () => {
  assert.ok(data.equity.date.length > 100, "the sheet under test has a run of some length");
  const [equity, drawdown] = await traces("equity");
  assert.deepEqual([equity.x, equity.y], [data.equity.date, data.equity.equity]);
  assert.deepEqual([drawdown.x, drawdown.y], [data.equity.date, data.equity.drawdown]);
  const [sharpe] = await traces("sharpe");
  assert.deepEqual(sharpe.y, data.equity.sharpe);
  for (const id of ["equity", "price", "sharpe"]) {
    // A line with gaps is several.
    const length = await page.$$eval(`#${id} .scatterlayer .js-line`, (lines) => lines.reduce((sum, line) => sum + line.getTotalLength(), 0));
    assert.ok(length > 300, `the line of ${id} is ${length} px long`);
  }
});

test("drawdown and rolling Sharpe follow from the equity", () => {
  const { equity, drawdown, sharpe } = data.equity;
  let peak = -Infinity;
  equity.forEach((value, at) => {
    peak = Math.max(peak, value);
    assert.ok(Math.abs(drawdown[at] - (value / peak - 1)) < 1e-6, `drawdown of session ${at}`);
  });
  const returns = equity.slice(1).map((value, at) => value / equity[at] - 1);
  assert.ok(sharpe.slice(0, 126).every((value) => value === null));
  for (let at = 126; at < equity.length; at++) {
    const window = returns.slice(at - 126, at);
    const spread = Math.max(...window) - Math.min(...window);
    if (spread < 1e-14) assert.equal(sharpe[at], null, `no Sharpe of session ${at}, whose returns do not vary`);
    // What varies less is rounded away in the page.
    if (spread < 1e-9) continue;
    const mean = window.reduce((sum, one) => sum + one, 0) / 126;
    const variance = window.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 125;
    const ratio = (mean / Math.sqrt(variance)) * Math.sqrt(252);
    assert.ok(sharpe[at] !== null && Math.abs(sharpe[at] - ratio) < 1e-3 * Math.max(1, Math.abs(ratio)), `Sharpe of session ${at}`);
  }
});

test("the shade covers the deepest drawdown, from its peak to its recovery or the end", async () => {
  const { date, equity } = data.equity;
  let peak = 0, deepest = 0, from = null, to = null;
  equity.forEach((value, at) => {
    if (value > equity[peak]) peak = at;
    if (value / equity[peak] - 1 < deepest) [deepest, from] = [value / equity[peak] - 1, peak];
  });
  if (from !== null) to = equity.findIndex((value, at) => at > from && value >= equity[from]);
  const shown = await page.evaluate(() => document.getElementById("equity")._fullLayout.shapes.map(({ x0, x1 }) => [x0, x1]));
  assert.deepEqual(shown, from === null ? [] : [[date[from], date.at(to)]]);
  assert.equal(await page.locator("#equity .shapelayer path").count(), shown.length);
});

test("every upright axis says what it measures", async () => {
  for (const [id, titles] of [["equity", ["Equity, account's currency", "Drawdown"]], ["price", ["Price of a share"]], ["sharpe", ["Sharpe ratio"]]]) {
    const shown = await page.$$eval(`#${id} [class^=g-y] text`, (texts) => texts.map((text) => text.textContent));
    assert.deepEqual(shown, titles, id);
  }
});

test("the selector shows each symbol's line, with one marker a fill", async () => {
  let fills = 0;
  for (const [at, one] of data.instruments.entries()) {
    await page.selectOption("#symbol", String(at));
    await page.waitForFunction((date) => document.getElementById("price").data[0].x.length === date, one.date.length);
    const [line, bought, sold] = await traces("price");
    assert.deepEqual(line.y, one.close);
    assert.deepEqual([bought.x, bought.y], [one.bought.date, one.bought.price]);
    assert.deepEqual([sold.x, sold.y], [one.sold.date, one.sold.price]);
    assert.ok(one.bought.quantity.every((quantity) => quantity > 0) && one.sold.quantity.every((quantity) => quantity < 0));
    const markers = one.bought.date.length + one.sold.date.length;
    await page.waitForFunction((count) => document.querySelectorAll("#price .scatterlayer .point").length === count, markers);
    fills += markers;
  }
  assert.ok(fills > 0, "the sheet under test has fills");
  await page.selectOption("#symbol", "0");
});

test("the price can be shown on a logarithmic scale", async () => {
  const type = () => page.evaluate(() => document.getElementById("price")._fullLayout.yaxis.type);
  assert.equal(await type(), "linear");
  await page.check("#log");
  await page.waitForFunction(() => document.getElementById("price")._fullLayout.yaxis.type === "log");
  await page.uncheck("#log");
  await page.waitForFunction(() => document.getElementById("price")._fullLayout.yaxis.type === "linear");
});

test("hovering shows the value of that session", async () => {
  const area = page.locator("#equity .nsewdrag").first();
  await area.scrollIntoViewIfNeeded();
  const box = await area.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 4 });
  const value = (number) => number.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const near = Math.round(data.equity.equity.length / 2);
  const known = data.equity.equity.slice(near - 30, near + 30).map(value);
  // On its way the pointer crosses other sessions, whose values show first.
  await page.waitForFunction((known) => {
    const shown = [...document.querySelectorAll("#equity .hoverlayer text")].map((text) => text.textContent).join(" ");
    return known.some((text) => shown.includes(text));
  }, known, { timeout: 5000 });
});

test("hovering over a marker shows its own fill", async () => {
  await page.locator("#price").scrollIntoViewIfNeeded();
  const { bought, sold } = data.instruments[0];
  // The loneliest, so that no other marker lies over it.
  const days = [...bought.date, ...sold.date].map((date) => Date.parse(date));
  const room = bought.date.map((date, at) => Math.min(...days.map((day, other) => (other === at ? Infinity : Math.abs(day - Date.parse(date))))));
  const at = room.indexOf(Math.max(...room));
  const place = await page.evaluate(([date, price]) => {
    const chart = document.getElementById("price"), { xaxis, yaxis } = chart._fullLayout, box = chart.getBoundingClientRect();
    return [box.x + xaxis._offset + xaxis.d2p(date), box.y + yaxis._offset + yaxis.d2p(price)];
  }, [bought.date[at], bought.price[at]]);
  await page.mouse.move(...place, { steps: 4 });
  const price = bought.paid[at].toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  await page.waitForFunction((parts) => {
    const shown = [...document.querySelectorAll("#price .hoverlayer text")].map((text) => text.textContent).join(" ");
    return parts.every((part) => shown.includes(part));
  }, [bought.date[at], `${bought.quantity[at].toLocaleString("en-US")} at ${price}`], { timeout: 5000 });
});

test("zooming the equity zooms the drawdown with it", async () => {
  const range = (axis) => page.evaluate((axis) => [...document.getElementById("equity")._fullLayout[axis].range], axis);
  const all = await range("xaxis2");
  const area = page.locator("#equity .nsewdrag").first();
  await area.scrollIntoViewIfNeeded();
  const box = await area.boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * 0.3, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, y, { steps: 8 });
  await page.mouse.up();
  await page.waitForFunction((start) => document.getElementById("equity")._fullLayout.xaxis2.range[0] !== start, all[0]);
  assert.deepEqual(await range("xaxis"), await range("xaxis2"));
  const span = ([from, to]) => Date.parse(to) - Date.parse(from);
  const share = span(await range("xaxis2")) / span(all);
  assert.ok(share > 0.25 && share < 0.35, `${share} of the period is shown`);
});

test("the trade list sorts by any column, both ways, and keeps every trade", async () => {
  const heads = await page.$$("#trades thead button");
  const column = (at) =>
    page.$$eval("#trades tbody tr", (rows, at) => rows.map(({ cells }) => cells[at].dataset.v ?? cells[at].textContent), at);
  const before = (await column(0)).length;
  assert.ok(before > 0);
  for (const [at, head] of heads.entries()) {
    for (const direction of [1, -1]) {
      await head.click();
      const values = (await column(at)).filter((value) => value !== "");
      const numeric = values.every((value) => value !== "" && !Number.isNaN(Number(value)));
      const order = (a, b) => (numeric ? a - b : a < b ? -1 : a > b ? 1 : 0) * direction;
      assert.deepEqual(values, [...values].sort(order), `column ${at}`);
    }
  }
  assert.equal((await column(0)).length, before);
  assert.equal(await page.$$eval("#trades th[aria-sort]", (sorted) => sorted.length), 1);
});

test("the heat map holds the monthly returns of the equity", async () => {
  const { date, equity } = data.equity;
  const months = new Map(), years = new Map();
  date.forEach((day, at) => {
    months.set(day.slice(0, 7), equity[at]);
    years.set(day.slice(0, 4), equity[at]);
  });
  const returns = (ends) => {
    let start = equity[0];
    return new Map([...ends].map(([name, end]) => [name, [(end / start - 1) * 100, (start = end)][0]]));
  };
  const [monthly, yearly] = [returns(months), returns(years)];
  const rows = await page.$$eval("#months tbody tr", (rows) => rows.map(({ cells }) => [...cells].map((cell) => cell.textContent)));
  assert.deepEqual(rows.map(([year]) => year), [...years.keys()]);
  for (const [year, ...cells] of rows) {
    assert.equal(cells.length, 13);
    cells.forEach((text, at) => {
      const expected = at < 12 ? monthly.get(`${year}-${String(at + 1).padStart(2, "0")}`) : yearly.get(year);
      if (expected === undefined) assert.equal(text, "");
      else assert.ok(Math.abs(Number(text.replace("−", "-").replace(",", "")) - expected) < 0.0501, `${year}, column ${at}: ${text}, not ${expected}`);
    });
  }
});

test("every metric has a value, or a dash, and a definition in whole sentences", async () => {
  const rows = await page.$$eval("#metrics tbody tr", (rows) => rows.map((row) => [row.dataset.name, ...[...row.cells].slice(1).map((cell) => cell.textContent)]));
  assert.ok(rows.length >= 20);
  for (const [name, value, definition] of rows) {
    assert.match(value, /^(–|−?[\d,]+(\.\d+)?%?|\d{4}-\d\d-\d\d)$/, name);
    assert.match(definition, /^[A-Z].{20,}\.$/, name);
  }
});

test("a telephone shows it without scrolling sideways, and a dark screen in dark", async () => {
  const phone = await open(390);
  const [width, room] = await phone.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(width <= room, `${width} px in ${room} px`);
  const ground = () => phone.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const ink = () => phone.$$eval(".chart .xtick text, .chart .x2tick text", (texts) => [...new Set(texts.map((text) => getComputedStyle(text).fill))]);
  const light = [await ground(), ...(await ink())];
  assert.equal(light.length, 2, "the charts write in one colour");
  await phone.emulateMedia({ colorScheme: "dark" });
  assert.notEqual(await ground(), light[0]);
  // The charts follow a listener, which comes after the style.
  await phone.waitForFunction((before) => [...document.querySelectorAll(".chart .xtick text, .chart .x2tick text")].every((text) => getComputedStyle(text).fill !== before), light[1], { timeout: 5000 });
  await phone.close();
});

test("nothing was fetched and nothing complained", () => {
  assert.deepEqual(requests, []);
  assert.deepEqual(complaints, []);
});
