// The trading page: it asks its server for the board each second, and hands a person's wishes over, each once.
"use strict";

const $ = (id) => document.getElementById(id);
const EVERY = 1000, PATIENCE = 4000;
const [S, M, H, D] = [1e3, 6e4, 36e5, 864e5];

/** Writes only what has changed, so that a selection stays and a screen reader is not told twice. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
function make(tag, kind, text) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (text !== undefined) node.textContent = text;
  return node;
}

const MINUS = "−", NONE = "–";
const fixed = (digits, most = digits) => new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: most });
const cents = fixed(2), prices = fixed(2, 9), shares = fixed(0, 9);
const minus = (text) => text.replace(/^-(?=[0.,]*$)/, "").replace("-", MINUS);
const money = (value) => (value === null ? NONE : minus(cents.format(Number(value))));
const signed = (value) => (value === null ? NONE : Number(value) > 0 ? `+${money(value)}` : money(value));
const direction = (value) => (Number(value) > 0 ? "up" : Number(value) < 0 ? "down" : "");
const share = (part, whole, digits = 1) => (Number(whole) > 0 ? minus(`${fixed(digits).format((100 * part) / whole)} %`) : NONE);
const hour = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

function span(seconds) {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
  return `${Math.floor(whole / 86400)} d`;
}

// --- What is shown ---

let board = null, shown = null, wholeCurve = false;

function show(next) {
  board = next;
  document.body.classList.remove("waiting");
  say($("title"), board.title);
  const now = board.snapshot;
  blocks();
  lines("refusals", board.refusals, (line) => [make("b", "", `${line.symbol} `), line.text]);
  lines("events", board.said, (line) => [line.text]);
  say($("refusals-count"), board.refusals.length ? String(board.refusals.length) : "");
  settle();
  $("mode").hidden = !now;
  if (!now) return;
  say($("mode"), now.mode.replace("_", "-").replace(/^./, (letter) => letter.toUpperCase()));
  $("mode").className = `pill ${now.mode}`;
  say($("session"), now.session ? `${board.replayed ? "Replayed session" : "Session"} ${now.session}, ${now.closed ? "closed" : "open"}` : "");
  say($("equity-now"), money(now.equity));
  const change = $("equity-change"), won = board.session_profit;
  say(change, won === null ? NONE : `${signed(won)} (${Number(won) > 0 ? "+" : ""}${share(won, board.reference, 2)}) this session`);
  change.className = direction(won) || "muted";
  for (const [id, value] of [["session-profit", won], ["profit", board.profit]]) {
    say($(id), signed(value));
    $(id).className = direction(value);
  }
  say($("cash"), money(now.cash));
  say($("gross"), money(board.gross));
  say($("deposit"), money(now.deposit));
  positions(now);
  orders(now);
  const order = ["normal", "reduce_only", "cancel", "flatten"], stricter = (mode) => order.indexOf(mode) > order.indexOf(now.mode);
  for (const button of document.querySelectorAll("#controls [data-act]")) button.hidden = !stricter(button.dataset.act);
  // What is left is the button above; the way back stands where it is said what is in force.
  $("controls").hidden = !stricter("cancel");
  const mode = now.mode === "normal" ? "" : `${now.mode.replace("_", "-")} · `;
  document.title = `${mode}${signed(won)} · ${board.title}`;
  draw();
}

/** Makes a table body's rows those of `items`, in place. */
function rows(body, items, cells) {
  while (body.rows.length > items.length) body.deleteRow(-1);
  items.forEach((item, at) => {
    const row = body.rows[at] ?? body.insertRow();
    row.setAttribute("role", "row");
    cells(item, row).forEach(([kind, text], column) => {
      const cell = row.cells[column] ?? row.insertCell();
      cell.setAttribute("role", "cell");
      cell.className = kind;
      say(cell, text);
    });
  });
}

function positions({ positions, equity, closed }) {
  const held = positions.map((one, at) => ({ ...one, silence: board.silence_s[at], flat: Number(one.quantity) === 0 }));
  held.sort((one, other) => one.flat - other.flat);
  rows($("positions-rows"), held, (one, row) => {
    row.className = one.flat ? "flat" : "";
    const heard = closed ? "closed" : one.silence === null ? "never" : `${span(one.silence)} ago`;
    const price = one.price === null ? NONE : prices.format(Number(one.price));
    return [
      ["", one.symbol], ["n", minus(shares.format(Number(one.quantity)))], ["n", price], ["n", money(one.value)],
      [one.flat ? "n" : `n ${direction(one.profit)}`, one.flat ? NONE : signed(one.profit)],
      ["n", share(Number(one.value), Number(equity))], [one.stale ? "n stale" : "n", one.stale ? `stale, ${heard}` : heard],
    ];
  });
  // On a narrow screen the price stands behind the quantity.
  for (const row of $("positions-rows").rows) row.cells[1].dataset.price = row.cells[2].textContent;
  $("positions-none").hidden = positions.length > 0;
  const count = held.filter(({ flat }) => !flat).length;
  say($("positions-count"), positions.length ? `${count} held` : "");
}

function orders({ orders }) {
  rows($("orders-rows"), orders, (one) => {
    const [all, left] = [Math.abs(one.quantity), Math.abs(one.remaining)];
    const side = Number(one.quantity) < 0 ? "Sell" : "Buy";
    return [
      ["", `${side} ${shares.format(all)} ${one.symbol}`], ["", one.leaving ? `${one.at}, being cancelled` : one.at],
      ["n", `${shares.format(all - left)} of ${shares.format(all)}`], ["id", one.id],
    ];
  });
  $("orders-none").hidden = orders.length > 0;
  say($("orders-count"), orders.length ? String(orders.length) : "");
}

const listed = { refusals: -1, events: -1 };

/** Adds the lines that are new on top. Numbers that run backwards are those of a program that started again. */
function lines(name, all, words) {
  const list = $(`${name}-lines`), last = all.at(-1)?.seq ?? -1;
  if (last < listed[name]) {
    list.replaceChildren();
    listed[name] = -1;
  }
  for (const line of all) {
    if (line.seq <= listed[name]) continue;
    const item = make("li", line.kind), time = make("time"), text = make("span"), at = new Date(line.at);
    time.textContent = at.getTime() > 0 ? when(at) : NONE;
    time.dateTime = line.at;
    time.title = full.format(at);
    text.append(...words(line));
    item.append(time, text);
    list.prepend(item);
  }
  listed[name] = last;
  while (list.children.length > 100) list.lastChild.remove();
  list.hidden = all.length === 0;
  $(`${name}-none`).hidden = all.length > 0;
}

/** The hour, or the day of what is longer ago than a session and its eve. */
function when(at) {
  return new Date(board.market_now) - at < 20 * H ? hour.format(at) : day.format(at);
}

const REMEDIES = { disputed: ["accept", "Accept the books"], throttled: ["reenable", "Enable again"], mode: ["normal", "Back to normal"] };

function blocks() {
  const place = $("blocks"), key = JSON.stringify(board.blocks.map(({ name }) => name));
  if (place.dataset.key !== key) {
    place.dataset.key = key;
    place.replaceChildren(...board.blocks.map(({ name }) => {
      const block = make("div", ["silent", "trouble", "disputed"].includes(name) ? "block grave" : "block"), words = make("p");
      words.append(make("b"), make("span"));
      block.append(words);
      if (REMEDIES[name]) {
        const button = make("button", "", REMEDIES[name][1]);
        button.type = "button";
        button.dataset.act = REMEDIES[name][0];
        block.append(button);
      }
      return block;
    }));
  }
  board.blocks.forEach(({ what, remedy }, at) => {
    const [title, text] = place.children[at].firstChild.children;
    say(title, what);
    say(text, remedy);
  });
}

// --- The curve ---

function shape(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Steps of 1, 2 or 5 times a power of ten. */
function step(range, count) {
  const rough = range / count, power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
}

const SPANS = [S, 2 * S, 5 * S, 15 * S, 30 * S, M, 2 * M, 5 * M, 15 * M, 30 * M, H, 2 * H, 4 * H, 8 * H, D, 2 * D, 7 * D, 14 * D, 30 * D, 91 * D, 182 * D, 365 * D];

function draw() {
  const chart = $("chart"), svg = chart.querySelector("svg");
  const { width, height } = chart.getBoundingClientRect();
  const points = wholeCurve ? [...board.curve.slice(0, board.session_from), ...board.curve.slice(-1)] : board.curve.slice(board.session_from);
  if (width < 60 || !points.length) {
    svg.replaceChildren();
    return;
  }
  const reference = !wholeCurve && board.reference !== null ? Number(board.reference) : null;
  let from = points[0][0], to = points.at(-1)[0];
  if (to - from < M) from = to - M;
  const values = points.map(([, equity]) => equity), known = reference === null ? values : [...values, reference];
  let low = Math.min(...known), high = Math.max(...known);
  const room = Math.max((high - low) * 0.1, Math.abs(high) * 1e-5, 0.01);
  [low, high] = [low - room, high + room];
  const grid = step(high - low, Math.max(3, Math.floor(height / 45)));
  const digits = Math.max(0, -Math.floor(Math.log10(grid) + 1e-9)), label = fixed(digits);
  const marks = [];
  for (let at = Math.ceil(low / grid); at * grid <= high; at++) marks.push(at * grid);
  const side = Math.max(...marks.map((mark) => label.format(mark).length)) * 7 + 12;
  const right = width - side, bottom = height - 24;
  const x = (at) => 6 + ((at - from) / (to - from)) * (right - 12), y = (value) => 8 + ((high - value) / (high - low)) * (bottom - 16);
  const parts = [];
  for (const mark of marks) {
    parts.push(shape("line", { class: "grid", x1: 0, x2: right, y1: y(mark), y2: y(mark) }));
    parts.push(shape("text", { x: width, y: y(mark) + 4, "text-anchor": "end" }, minus(label.format(mark))));
  }
  const most = Math.max(2, Math.floor(right / 70)), every = SPANS.find((one) => (to - from) / one <= most) ?? 3650 * D;
  const form = new Intl.DateTimeFormat("en-GB", every < M ? { timeStyle: "medium" } : every < D ? { timeStyle: "short" } : every < 91 * D ? { day: "numeric", month: "short" } : { month: "short", year: "numeric" });
  const shift = new Date(to).getTimezoneOffset() * M;
  for (let at = Math.ceil((from - shift) / every) * every + shift; at <= to; at += every) {
    if (x(at) > 18 && x(at) < right - 18) parts.push(shape("text", { x: x(at), y: height - 4, "text-anchor": "middle" }, form.format(at)));
  }
  const path = points.map(([at, equity]) => `${x(at).toFixed(1)},${y(equity).toFixed(1)}`).join("L");
  const [first, last] = [points[0], points.at(-1)];
  parts.push(shape("path", { class: "area", d: `M${path}L${x(last[0])},${bottom}L${x(first[0])},${bottom}Z` }));
  if (reference !== null) {
    parts.push(shape("line", { class: "reference", x1: 0, x2: right, y1: y(reference), y2: y(reference) }));
  }
  parts.push(shape("path", { class: "line", d: `M${path}` }));
  parts.push(shape("circle", { class: "dot", cx: x(last[0]), cy: y(last[1]), r: 5 }));
  if (reference !== null) {
    const beside = y(reference) + (reference > values[0] ? 15 : -6);
    parts.push(shape("text", { class: "named", x: 2, y: beside }, board.session_from > 0 ? "close before" : "paid in"));
  }
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(...parts);
  const words = `Equity from ${money(first[1])} to ${money(last[1])}, lowest ${money(Math.min(...values))}, highest ${money(Math.max(...values))}`;
  svg.setAttribute("aria-label", `${words}, ${wholeCurve ? "all sessions" : "this session"}`);
  shown = { points, x, y, bottom, right };
  point();
}

let pointer = null;

function point() {
  const svg = $("chart").querySelector("svg"), tip = $("tip");
  svg.querySelectorAll(".cross, .near").forEach((node) => node.remove());
  tip.hidden = pointer === null || !shown;
  if (tip.hidden) return;
  const { points, x, y, bottom, right } = shown;
  const near = points.reduce((best, one) => (Math.abs(x(one[0]) - pointer) < Math.abs(x(best[0]) - pointer) ? one : best));
  const at = x(near[0]);
  svg.append(shape("line", { class: "cross", x1: at, x2: at, y1: 0, y2: bottom }), shape("circle", { class: "dot near", cx: at, cy: y(near[1]), r: 4 }));
  const stamp = new Date(near[0]);
  tip.replaceChildren(make("b", "", money(near[1])), wholeCurve ? full.format(stamp) : hour.format(stamp));
  tip.style.left = `${Math.max(0, Math.min(at - tip.offsetWidth / 2, right - tip.offsetWidth))}px`;
}

$("chart").addEventListener("pointermove", (event) => {
  pointer = event.clientX - $("chart").getBoundingClientRect().left;
  point();
});
$("chart").addEventListener("pointerleave", () => {
  pointer = null;
  point();
});
for (const [id, whole] of [["show-session", false], ["show-all", true]]) {
  $(id).addEventListener("click", () => {
    wholeCurve = whole;
    $("show-session").setAttribute("aria-pressed", String(!whole));
    $("show-all").setAttribute("aria-pressed", String(whole));
    if (board?.snapshot) draw();
  });
}
new ResizeObserver(() => board?.snapshot && draw()).observe($("chart"));

// --- What a person asks ---

const left = () => {
  const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
  const now = board?.snapshot;
  if (!now) return "Every working order is cancelled and every position closed at the market.";
  const held = now.positions.filter(({ quantity }) => Number(quantity) !== 0).length;
  return `${count(now.orders.length, "working order")} and ${count(held, "position")} (${money(board.gross)}): what works is cancelled, what is held is closed at the market.`;
};
const control = (mode) => (by, reason) => ({ ask: { control: mode }, by, reason });
const inForce = (mode) => (now) => now.mode === mode;
const ACTS = {
  flatten: { title: "Cancel everything and flatten?", text: () => `${left()} Nothing new is begun until a person sets the mode back to normal.`, send: "Flatten now", name: "Flatten", ask: control("flatten"), done: inForce("flatten") },
  cancel: { title: "Cancel all working orders?", text: () => "Positions stay as they are. Nothing new is begun until a person sets the mode back to normal.", send: "Cancel orders", name: "Cancel orders", ask: control("cancel"), done: inForce("cancel") },
  reduce_only: { title: "Only reduce positions?", text: () => "What brings positions towards flat may go on. Nothing new is begun until a person sets the mode back to normal.", send: "Set reduce-only", name: "Reduce-only", ask: control("reduce_only"), done: inForce("reduce_only") },
  normal: { title: "Trade normally again?", text: () => "The strategy may begin new positions within its limits from its next decision on.", send: "Back to normal", name: "Back to normal", explained: true, ask: control("normal"), done: inForce("normal") },
  accept: { title: "Accept the broker's books?", text: () => "Ours have been put right after the broker's. Once you accept the differences among the events, new positions may be begun.", send: "Accept", name: "Accept the books", explained: true, ask: (by, reason) => ({ ask: "accept", by, reason }), done: (now) => !now.disputed },
  reenable: { title: "Enable the strategy again?", text: () => "It was stopped because it traded more often than it may without a person. Its count begins anew.", send: "Enable again", name: "Enable again", explained: true, ask: (by, reason) => ({ ask: "reenable", by, reason }), done: (now) => !now.throttled },
};

let act = null, wish = null, sending = false;

function open(name) {
  [act, wish] = [name, null];
  const { title, text, send, explained } = ACTS[name];
  say($("dialog-title"), title);
  say($("dialog-text"), text());
  say($("send"), send);
  $("send").className = name === "flatten" ? "danger" : "primary";
  $("confirm-field").hidden = name !== "flatten";
  $("reason-optional").hidden = Boolean(explained);
  $("confirm").value = $("reason").value = "";
  problem("", null);
  $("dialog").showModal();
  ($("by").value === "" ? $("by") : name === "flatten" ? $("confirm") : $("reason")).focus();
}

function problem(text, field) {
  say($("problem"), text);
  for (const id of ["by", "confirm", "reason"]) {
    $(id).setAttribute("aria-invalid", String(id === field));
    if (id === field) $(id).setAttribute("aria-describedby", "problem");
    else $(id).removeAttribute("aria-describedby");
  }
  if (field) $(field).focus();
}

document.addEventListener("click", ({ target }) => {
  const name = target.closest?.("[data-act]")?.dataset.act;
  if (name) open(name);
});
$("flatten").addEventListener("click", () => open("flatten"));
$("back").addEventListener("click", () => $("dialog").close());

$("dialog").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (sending) return;
  const by = $("by").value.trim(), reason = $("reason").value.trim(), confirm = $("confirm").value.trim();
  if (by === "") return problem("Say who you are: the journal keeps it.", "by");
  if (act === "flatten" && confirm !== "FLATTEN") return problem("Type FLATTEN in capital letters. Nothing was sent.", "confirm");
  if (ACTS[act].explained && reason === "") return problem("Say why trading may go on: the journal keeps it.", "reason");
  // The same wish sent again keeps its name, and the server does it once.
  const asked = ACTS[act].ask(by, reason), key = JSON.stringify(asked);
  if (wish?.key !== key) wish = { key, id: crypto.randomUUID() };
  [sending, $("send").disabled] = [true, true];
  problem("", null);
  try {
    const body = JSON.stringify({ id: wish.id, wish: asked, ...(act === "flatten" && { confirm }) });
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch("ask", { method: "POST", headers: { "content-type": "application/json" }, body, signal });
    if (answer.ok) {
      waiting = { act, by, at: Date.now() };
      $("dialog").close();
      settle();
      poll();
    } else if (answer.status === 401) {
      problem("Not sent: the program was started again and this page's token is void. Open the address that it printed, or run algotrading kill.", null);
    } else {
      const { error } = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
      problem(`Not done: ${error}.`, null);
    }
  } catch {
    problem("No answer from the trading program. Send again: it is done once at most. If it stays silent, run algotrading kill on its machine.", null);
  } finally {
    [sending, $("send").disabled] = [false, false];
  }
});

let waiting = null;

/** What was asked for stays in sight until it is in force, and a little longer. */
function settle() {
  if (!waiting) return;
  const { name, done } = ACTS[waiting.act], age = Date.now() - waiting.at;
  const asked = `${name}, asked by ${waiting.by} at ${hour.format(waiting.at)}`;
  if (waiting.over || (board?.snapshot && done(board.snapshot))) {
    waiting.over ??= Date.now();
    say($("asked"), `${asked}: in force.`);
    if (Date.now() - waiting.over > 8000) {
      waiting = null;
      say($("asked"), "");
    }
  } else {
    const late = age > 5000 ? " It has not acted yet; if it does not, run algotrading kill on its machine." : "";
    say($("asked"), `${asked}: waiting for the trading loop.${late}`);
  }
}

// --- Contact ---

let heard = null, failed = 0, polling = false;

function contact(state, words) {
  document.body.classList.toggle("live", state === "live");
  document.body.classList.toggle("lost", state === "lost");
  document.body.classList.toggle("locked", state === "locked");
  say($("contact-words"), words);
}

function alarm(title, text) {
  const place = $("lost");
  if (!title) return place.replaceChildren();
  if (!place.firstChild) place.append(make("b"), make("span"));
  say(place.firstChild, title);
  say(place.lastChild, text);
}

async function poll() {
  if (polling) return;
  polling = true;
  try {
    const answer = await fetch("board", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.status === 401) {
      contact("locked", "locked out");
      alarm("This page's token is no longer valid.", "The program was started again: open the address that it printed. What you see here is old.");
    } else if (answer.ok) {
      const next = await answer.json();
      [heard, failed] = [new Date(), 0];
      contact("live", `Live, ${hour.format(heard)}`);
      alarm();
      show(next);
    } else {
      throw new Error(`status ${answer.status}`);
    }
  } catch (error) {
    failed += 1;
    // One answer that is missing is no loss of contact.
    if (failed > 1 || heard === null) {
      contact("lost", "no contact");
      const since = heard ? ` since ${hour.format(heard)}` : "";
      alarm(`No contact with the trading program${since}.`, "What you see is old, and trading may be going on or not. This page keeps trying. To stop the trading now, run algotrading kill on the program's machine.");
    }
    // A fault of this page is not the server's.
    if (error instanceof TypeError === false && error.name !== "TimeoutError" && !String(error.message).startsWith("status")) console.error(error);
  } finally {
    polling = false;
  }
}

async function watch() {
  await poll();
  setTimeout(watch, EVERY);
}
document.addEventListener("visibilitychange", () => document.hidden || poll());
const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
say($("zone"), `Times are those of ${timeZone}.`);
watch();
