// A page of ours in a browser, watched: what it asks the network for and complains of.
import { pathToFileURL } from "node:url";

export const requests = [], complaints = [];

/** Opens a file once so many charts are drawn. */
export async function open(browser, width, file, charts) {
  const address = pathToFileURL(file).href;
  const opened = await browser.newPage({ viewport: { width, height: 900 } });
  opened.on("request", (request) => {
    if (request.url() !== address && !/^(data|blob):/.test(request.url())) requests.push(request.url());
  });
  opened.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  opened.on("pageerror", (error) => complaints.push(String(error)));
  await opened.goto(address);
  await opened.waitForFunction((charts) => document.querySelectorAll(".chart .main-svg").length >= charts, charts);
  return opened;
}

/** What plotly holds of a chart. */
export const traces = (page, id) =>
  page.evaluate((id) => document.getElementById(id).data.map(({ name, x, y }) => ({ name, x: [...x], y: [...y] })), id);
