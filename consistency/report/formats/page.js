"use strict";
// The colours come first, before anything is painted. A browser may forbid storage to a file, and then nothing is kept.
const root = document.documentElement;
const kept = {
  get theme() { try { return localStorage.getItem("consistency-theme"); } catch { return null; } },
  set theme(name) { try { localStorage.setItem("consistency-theme", name); } catch { /* for this visit only */ } },
};
const THEMES = ["auto", "light", "dark"];
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function showTheme(name) {
  if (name === "light" || name === "dark") root.dataset.theme = name;
  else delete root.dataset.theme;
}

function chooseTheme() {
  const choice = document.getElementById("theme");
  const now = THEMES.includes(kept.theme) ? kept.theme : "auto";
  choice.hidden = false;
  for (const radio of choice.querySelectorAll("input")) {
    radio.checked = radio.value === now;
    radio.addEventListener("change", () => { kept.theme = radio.value; showTheme(radio.value); });
  }
}

async function copied(text, source) {
  try {
    await navigator.clipboard.writeText(text);
    return "Copied";
  } catch { /* a browser may forbid it to a file */ }
  let shown = source;
  if (!shown) {
    shown = element("pre", { textContent: text });
    document.body.append(shown);
  }
  getSelection().selectAllChildren(shown);
  const done = document.execCommand("copy");
  if (!source) shown.remove();
  return done ? "Copied" : source ? "Selected" : "Not copied";
}

// A button that says what came of its click, also to those who hear it.
function saying(button, act) {
  const status = element("span", { className: "unseen", role: "status" });
  const label = button.firstChild;
  const before = label.data;
  button.hidden = false;
  button.after(status);
  button.addEventListener("click", async () => {
    label.data = status.textContent = await act();
    setTimeout(() => { label.data = before; status.textContent = ""; }, 2000);
  });
}

function offerCopies() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    saying(button, () => copied(source.innerText, source));
  }
  let forms = null;
  const stored = JSON.parse(document.getElementById("copies-data").textContent);
  if (!CAN_UNPACK) return;
  for (const button of document.querySelectorAll("[data-table]")) {
    saying(button, async () => {
      forms ??= JSON.parse(await unpacked(stored.tables));
      return copied(forms[button.dataset.table][button.dataset.form]);
    });
  }
}

// Base85: five characters are four bytes. Then what zlib compressed.
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%.()*+-;,=:?@^_`{|}~";
const CAN_UNPACK = typeof DecompressionStream === "function";

function unpackedBytes(text) {
  const digits = new Uint8Array(128);
  for (let i = 0; i < ALPHABET.length; i += 1) digits[ALPHABET.charCodeAt(i)] = i;
  const missing = (5 - (text.length % 5)) % 5;
  const padded = text + "~".repeat(missing);
  const bytes = new Uint8Array((padded.length / 5) * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < padded.length; i += 5) {
    let value = 0;
    for (let k = 0; k < 5; k += 1) value = value * 85 + digits[padded.charCodeAt(i + k)];
    view.setUint32((i / 5) * 4, value);
  }
  return bytes.subarray(0, bytes.length - missing);
}

const response = (text) => new Response(new Blob([unpackedBytes(text)]).stream().pipeThrough(new DecompressionStream("deflate")));
const unpacked = (text) => response(text).text();

// Links to files that the page holds bring them from the page.
function offerDownloads() {
  const held = JSON.parse(document.getElementById("downloads-data").textContent);
  if (!CAN_UNPACK) return;
  for (const link of document.querySelectorAll("a[href]")) {
    const file = held[decodeURIComponent(link.getAttribute("href"))];
    if (!file) continue;
    link.download = decodeURIComponent(link.getAttribute("href")).split("/").at(-1);
    link.addEventListener("click", async (event) => {
      if (link.href.startsWith("blob:")) return;
      event.preventDefault();
      const content = await response(file.data).arrayBuffer();
      link.href = URL.createObjectURL(new Blob([content], { type: file.type }));
      link.click();
    });
  }
}

// "53.6 [47.4, 59.8]" sorts as 53.6, "< .001" just below .001, and what is missing comes last in either direction.
function sortKey(cell) {
  const text = cell.textContent.trim().replaceAll("−", "-").replace(/(\d),(?=\d{3}\b)/g, "$1");
  const found = text.match(/^(?:p =? ?)?([<>≤≥]?)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)/i);
  if (!found) return null;
  return Number(found[2]) * (found[1] === "<" ? 1 - 1e-9 : found[1] === ">" ? 1 + 1e-9 : 1);
}

function compare(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null);
  return direction * (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
}

function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  if (original.length < 2) return;
  heads.forEach((head, column) => {
    if (head.matches("td")) return;
    const button = element("button", { type: "button", className: "sort" }, ...head.childNodes);
    head.append(button);
    head.ariaSort = "none";
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort];
      for (const other of heads) other.ariaSort = "none";
      head.ariaSort = next;
      const direction = next === "descending" ? -1 : 1;
      const key = (row) => (head.classList.contains("n") ? sortKey(row.cells[column]) : row.cells[column].textContent || null);
      const keys = new Map(original.map((row) => [row, key(row)]));
      body.append(...(next === "none" ? original : [...original].sort((a, b) => compare(keys.get(a), keys.get(b), direction))));
    });
  });
}

// A shadow, and a line above, show that there is more to the right.
function hintMore(region) {
  const line = element("p", { className: "hint", textContent: "more columns →", ariaHidden: "true" });
  if (region.matches(".scroll")) region.before(line);
  const hint = () => {
    const more = region.scrollLeft + region.clientWidth < region.scrollWidth - 1;
    region.classList.toggle("more", more);
    line.hidden = !more && region.scrollLeft === 0;
  };
  region.addEventListener("scroll", hint, { passive: true });
  new ResizeObserver(hint).observe(region);
}

function followContents() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? "add" : "delete"](target.getAttribute("aria-labelledby"));
    const first = [...links.keys()].find((id) => seen.has(id));
    for (const [id, link] of links) link.ariaCurrent = id === first ? "location" : null;
  }, { rootMargin: "-72px 0px -60% 0px" });
  for (const section of document.querySelectorAll("main > section")) observer.observe(section);
}

// Bars of a figure whose numbers are in the table below it: what a bar is, and its questions.
function liveFigure(figure) {
  const table = figure.querySelector(".numbers table");
  const marks = [...figure.querySelectorAll("svg [id*='-mark-']")];
  if (!table || !marks.length) return;
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  const rows = [...table.tBodies[0].rows].map((row) => Object.fromEntries([...row.cells].map((cell, at) => [heads[at], cell.textContent.trim()])));
  const here = marks.filter((mark) => rows[Number(mark.id.split("-mark-").at(-1))]);
  for (const mark of here) {
    const at = Number(mark.id.split("-mark-").at(-1));
    const row = rows[at];
    mark.setAttribute("data-tip", Object.entries(row).map(([name, value]) => `${name} ${value}`).join(" · "));
    mark.setAttribute("aria-label", mark.dataset.tip);
    mark.setAttribute("role", "img");
    if (!document.getElementById("explorer") || !RANGES.includes(row.measure) || !row.from) continue;
    mark.setAttribute("role", "link");
    mark.classList.add("link");
    const end = (text) => text.replace("−", "-");
    const low = rows[at - 1]?.measure === row.measure ? end(row.from) : "";
    const high = rows[at + 1]?.measure === row.measure ? end(row.to) : "";
    const open = () => { location.hash = `#questions?${row.measure}=${low}..${high}`; };
    mark.addEventListener("click", open);
    mark.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
  }
  for (const svg of figure.querySelectorAll("svg[role=img]")) if (svg.querySelector("[id*='-mark-']")) svg.setAttribute("role", "group");
  rove(here);
}

// A heat map by keyboard: one cell is reached by Tab, its neighbours by the arrows, in the order that is shown.
function liveHeat(table) {
  const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const cells = [...table.querySelectorAll("td:has(.unseen)")];
  for (const cell of cells) {
    cell.dataset.tip = `${cell.parentElement.cells[0].textContent}, ${heads[cell.cellIndex]}: ${cell.textContent.trim().replace(" ", ", ")}`;
    cell.tabIndex = cell === cells[0] ? 0 : -1;
  }
  // A cell's questions, and where both answers to them are: the command that writes the page of its run and the reference.
  const panel = table.parentElement.parentElement.querySelector(".questions-of");
  const commands = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.command);
  let held = null;
  const show = async (cell) => {
    const command = cell && commands[cell.cellIndex];
    if (!panel || !command) return;
    const task = cell.parentElement.cells[0].textContent;
    if (CAN_UNPACK) held ??= unpacked(JSON.parse(panel.querySelector("script").textContent).rows).then(JSON.parse);
    const [docs, texts, turned] = (await held)?.[task] ?? [[], [], {}];
    const ways = turned[heads[cell.cellIndex]] ?? "";
    const lists = [["-", "harmful"], ["+", "beneficial"]].map(([way, flip]) => {
      const found = docs.map((doc, at) => [doc, texts[at]]).filter((_, at) => ways[at] === way);
      const [glyph, colour, label] = FLIPS[flip];
      const items = found.map(([doc, text]) => element("li", {}, element("b", { textContent: doc }), " ", element("bdi", { textContent: text })));
      return element("div", {}, element("h4", {}, element("span", { className: colour, ariaHidden: "true", textContent: glyph }), ` ${label} `, element("b", { textContent: found.length })),
        items.length ? element("ul", { tabIndex: 0, role: "list", ariaLabel: `${label}: questions` }, ...items) : null);
    });
    const [told, further] = panel.querySelectorAll("p");
    told.textContent = `${cell.dataset.tip ?? task}.${ways ? "" : " Its tasks are the rows below."}`;
    panel.querySelector(".turned").replaceChildren(...(ways ? lists : []));
    // The explorer leaves out a filter that names no task, such as that of tasks together.
    further.textContent = `Both answers to each question are on the page that this command writes, at report.html#questions?${new URLSearchParams({ task })}`;
    panel.querySelector("code").textContent = command;
    panel.hidden = false;
    panel.scrollIntoView({ block: "nearest" });
  };
  if (panel) saying(panel.querySelector("button"), () => copied(panel.querySelector("code").textContent, panel.querySelector("code")));
  table.addEventListener("click", (event) => show(event.target.closest("td")));
  table.addEventListener("keydown", (event) => {
    const cell = event.target.closest("td");
    if (event.key === "Enter") show(cell);
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] ?? [];
    if (!cell || down === undefined) return;
    let next = cell;
    do next = table.tBodies[0].rows[next.parentElement.sectionRowIndex + down]?.cells[next.cellIndex + right];
    while (next && !next.dataset.tip);
    if (!next) return;
    event.preventDefault();
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

// What is under the pointer or has the focus, in words beside it.
function offerTips() {
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const show = (event) => {
    const mark = event.target.closest?.("[data-tip]");
    if (!mark) return hide();
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const at = { x: event.clientX ?? box.x + box.width / 2, y: event.clientY ?? box.bottom };
    tip.style.left = `${Math.max(4, Math.min(at.x + 12, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${at.y + 16 + tip.offsetHeight < innerHeight ? at.y + 16 : at.y - tip.offsetHeight - 10}px`;
    return null;
  };
  document.addEventListener("pointerover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("scroll", hide, { capture: true, passive: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}

function printDetails() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
}

showTheme(kept.theme);
document.addEventListener("DOMContentLoaded", () => {
  chooseTheme();
  offerCopies();
  offerDownloads();
  offerTips();
  document.querySelectorAll("figure").forEach(liveFigure);
  document.querySelectorAll(".heat").forEach(liveHeat);
  document.querySelectorAll("table").forEach(sortable);
  document.querySelectorAll(".scroll, .wide").forEach(hintMore);
  followContents();
  printDetails();
  explore();
});
