"use strict";
// The colours come first, before anything is painted. A browser may forbid storage to a file, and then nothing is kept.
const root = document.documentElement;
const kept = {
  get theme() { try { return localStorage.getItem("consistency-theme"); } catch { return null; } },
  set theme(name) { try { localStorage.setItem("consistency-theme", name); } catch { /* for this visit only */ } },
};
const THEMES = ["auto", "light", "dark"];
const PAGE = 25;
const LONG = 700;
const FLIPS = {
  harmful: ["▼", "red", "right → wrong"],
  beneficial: ["▲", "blue", "wrong → right"],
  wrong_to_wrong: ["◆", "grey", "wrong → other wrong"],
  right: ["●", "green", "stays right"],
  wrong: ["○", "grey", "stays wrong"],
};
// By name: its label, the measure, and 1 for the smallest first. The first is the order of the report.
const SORTS = {
  chosen: ["as chosen", null, 0],
  kl: ["KL, largest first", "kl", -1],
  fell: ["gold option lost most", "delta_gold", 1],
  rose: ["gold option gained most", "delta_gold", -1],
  rank: ["Spearman ρ, lowest first", "spearman", 1],
};
const UNREADABLE = {
  empty: "the text is empty",
  cut: "the text was cut",
  "no tag": "the tag is missing",
  invalid: "no match",
};
const MARKS = { same: "span", before: "del", after: "ins" };
const FILTERS = ["task", "flip", "scope", "run"];

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

async function copied(source) {
  try {
    await navigator.clipboard.writeText(source.innerText);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

function offerCopies() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const status = element("span", { className: "unseen", role: "status" });
    const label = button.firstChild;
    button.hidden = false;
    button.after(status);
    button.addEventListener("click", async () => {
      label.data = status.textContent = (await copied(document.getElementById(button.dataset.copy))) ? "Copied" : "Selected";
      setTimeout(() => { label.data = "Copy"; status.textContent = ""; }, 2000);
    });
  }
}

// "53.6 [47.4, 59.8]" sorts as 53.6, "< .001" just below .001, and what is missing comes last in either direction.
function sortKey(cell) {
  const text = cell.textContent.trim().replaceAll("−", "-").replace(/(\d),(?=\d{3}\b)/g, "$1");
  const found = text.match(/^([<>≤≥]?)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)/i);
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
      const key = (row) => (head.className === "n" ? sortKey(row.cells[column]) : row.cells[column].textContent || null);
      const keys = new Map(original.map((row) => [row, key(row)]));
      body.append(...(next === "none" ? original : original.toSorted((a, b) => compare(keys.get(a), keys.get(b), direction))));
    });
  });
}

// A shadow shows that there is more to the right.
function hintMore(region) {
  const hint = () => region.classList.toggle("more", region.scrollLeft + region.clientWidth < region.scrollWidth - 1);
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

const signed = (value, digits) => (value > 0 ? "+" : "") + value.toFixed(digits).replace("-", "−");
const percent = (p) => (p > 0 && p < 0.001 ? "< 0.1 %" : `${(100 * p).toFixed(1)} %`);
const largest = (values) => values.indexOf(Math.max(...values));

// Text of a dataset: as text, in its own direction, and folded where it is long.
function data(name, text) {
  const shown = element(name, { className: "data", dir: "auto", textContent: text });
  if (text.length <= LONG) return [shown];
  const more = element("button", { type: "button", textContent: "Show all", ariaExpanded: "false" });
  shown.classList.add("short");
  more.addEventListener("click", () => {
    const folded = shown.classList.toggle("short");
    more.ariaExpanded = String(!folded);
    more.textContent = folded ? "Show all" : "Show less";
  });
  return [shown, more];
}

function bar(when, p, chosen) {
  const fill = element("div", { className: p < 0.002 ? "fill nothing" : "fill" });
  fill.style.setProperty("--p", p);
  return element("div", { className: `bar ${when}${chosen ? " chosen" : ""}` }, element("span", { textContent: when }),
    element("div", { className: "track" }, fill), element("b", { textContent: percent(p) }),
    chosen ? element("i", { textContent: "◂ chosen" }) : element("i"));
}

function optionOf(question, index) {
  const gold = index === question.gold;
  const text = element("div", {}, ...data("div", question.options[index]), gold ? element("span", { className: "right", textContent: "✓ gold option" }) : null);
  const letter = element("span", { className: "letter", textContent: `${index < 26 ? String.fromCharCode(65 + index) : index + 1}.` });
  return element("li", { className: gold ? "gold" : "" }, element("div", { className: "option" }, letter, text),
    element("div", {}, ...["before", "after"].map((when) => bar(when, question[when][index], index === largest(question[when])))));
}

// One of two texts; the words that only it has are marked, unless the two have nothing in common.
function writtenIn(generated, when, index) {
  const { answers, unreadable, pieces } = generated;
  const own = pieces.filter(([kind]) => kind === "same" || kind === when);
  const alike = pieces.some(([kind]) => kind === "same");
  const text = element("p", { className: "data", dir: "auto" }, ...own.map(([kind, textContent]) => element(alike ? MARKS[kind] : "span", { className: "part", textContent })));
  const reason = unreadable[index];
  const answer = answers[index] ? element("b", { className: "data", dir: "auto", textContent: answers[index] }) : element("span", { textContent: "–" });
  return element("div", { className: `text ${when}` },
    element("h4", {}, element("span", { className: `key ${when}`, ariaHidden: "true" }), ` ${when}`),
    element("p", { className: "taken" }, "answer: ", answer, reason ? element("span", { className: "unreadable", textContent: `⚠ cannot be read: ${UNREADABLE[reason] ?? reason}` }) : null),
    own.length ? text : element("p", { className: "note", textContent: "no text" }));
}

function writtenBoth(generated) {
  return [
    element("p", { className: "taken" }, element("span", { className: "right", textContent: "✓ target" }), " ", ...data("span", generated.target)),
    element("div", { className: "texts" }, ...["before", "after"].map((when, index) => writtenIn(generated, when, index))),
  ];
}

function card(question) {
  const { kl = null, delta_gold: gold = null, spearman: rank = null } = question.measures;
  const figures = [
    ["KL", kl === null ? null : `${kl === Infinity ? "∞" : kl.toFixed(2)} nats`],
    ["gold option", gold === null ? null : `${signed(100 * gold, 1)} points`],
    ["Spearman ρ", rank === null ? null : signed(rank, 2)],
  ].filter(([, value]) => value !== null).map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
  const [glyph, colour, label] = FLIPS[question.flip] ?? ["", "", question.flip];
  const where = [question.task, String(question.doc_id), question.scope.toUpperCase(), question.run].filter(Boolean);
  const head = element("h3", {}, element("span", { className: colour, ariaHidden: "true", textContent: `${glyph} ` }), element("b", { textContent: label }),
    ...where.flatMap((text, index) => [index ? " · " : "", element("bdi", { textContent: text })]));
  return element("li", { className: "card" }, element("header", {}, head, element("dl", {}, ...figures)), ...data("p", question.text),
    ...(question.generated ? writtenBoth(question.generated) : []),
    question.options.length ? element("ol", { className: "options", role: "list" }, ...question.options.map((_, index) => optionOf(question, index))) : null);
}

function wordsOf({ task, doc_id: number, run, text, options, generated }) {
  const written = generated ? [generated.target, ...generated.answers, ...generated.unreadable,
    ...["before", "after"].map((when) => generated.pieces.filter(([kind]) => kind === "same" || kind === when).map(([, part]) => part).join(""))] : [];
  return [task, number, run, text, ...options, ...written].join("\n").toLowerCase();
}

// Painted over the text, which stays one piece of text.
function highlight(place, wanted) {
  if (!CSS.highlights) return;
  const ranges = [];
  for (const { firstChild: node } of place.querySelectorAll(".data, .part")) {
    const text = node?.data?.toLowerCase() ?? "";
    // A letter whose small form is longer would shift what follows.
    if (text.length !== node?.length) continue;
    for (const word of wanted) {
      for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
        ranges.push(new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + word.length }));
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

function explore() {
  const place = document.getElementById("explorer");
  if (!place) return;
  const questions = JSON.parse(document.getElementById("questions-data").textContent);
  place.querySelector(".legend > :last-child").hidden = !questions.some(({ options }) => options.length);
  for (const { measures } of questions) if (measures.kl === "∞") measures.kl = Infinity;
  const words = questions.map(wordsOf);
  const control = (name) => place.querySelector(`[name="${name}"]`);
  const status = place.querySelector("[role=status]");
  const named = { flip: (value) => FLIPS[value]?.[2] ?? value, scope: (value) => value.toUpperCase() };
  const offer = (select, pairs) => select.append(...pairs.map(([value, text]) => element("option", { value, textContent: text })));
  let page = 1;

  for (const name of FILTERS) {
    const counts = new Map();
    for (const question of questions) if (question[name]) counts.set(question[name], (counts.get(question[name]) ?? 0) + 1);
    const values = [...counts].sort(([a], [b]) => compare(a, b, 1));
    control(name).parentElement.hidden = values.length < 2;
    offer(control(name), [["", "all"], ...values.map(([value, count]) => [value, `${named[name]?.(value) ?? value} (${count})`])]);
  }
  const known = (measure) => questions.some((question) => (question.measures[measure] ?? null) !== null);
  offer(control("sort"), Object.entries(SORTS).filter(([, [, measure]]) => !measure || known(measure)).map(([name, [text]]) => [name, text]));
  control("sort").parentElement.hidden = control("sort").options.length < 2;
  const standard = control("sort").value;

  const wordsWanted = () => control("q").value.toLowerCase().split(/\s+/).filter(Boolean);

  function found() {
    const wanted = wordsWanted();
    const fits = (question, index) => FILTERS.every((name) => !control(name).value || question[name] === control(name).value)
      && wanted.every((word) => words[index].includes(word));
    const chosen = questions.filter(fits);
    const [, measure, direction] = SORTS[control("sort").value];
    return !measure ? chosen : chosen.sort((a, b) => compare(a.measures[measure] ?? null, b.measures[measure] ?? null, direction));
  }

  function show() {
    const all = found();
    const pages = Math.max(1, Math.ceil(all.length / PAGE));
    page = Math.min(Math.max(page, 1), pages);
    const first = (page - 1) * PAGE;
    const here = all.slice(first, first + PAGE);
    place.querySelector(".cards").replaceChildren(...here.map(card));
    highlight(place, wordsWanted());
    const shown = here.length ? `: ${first + 1} to ${first + here.length} shown` : "";
    status.textContent = `${all.length} of ${questions.length} questions${shown}`;
    place.querySelector(".paging").hidden = pages === 1;
    place.querySelector(".paging span").textContent = `Page ${page} of ${pages}`;
    control("previous").disabled = page === 1;
    control("next").disabled = page === pages;
  }

  // The address holds the search and the filters, so that a view can be shared and survives a reload.
  function keep() {
    const state = new URLSearchParams();
    for (const name of ["q", ...FILTERS]) if (control(name).value) state.set(name, control(name).value);
    if (control("sort").value !== standard) state.set("sort", control("sort").value);
    if (page > 1) state.set("page", page);
    try { history.replaceState(null, "", `#questions${state.size ? `?${state}` : ""}`); } catch { /* some files may not */ }
  }

  function recall() {
    if (!location.hash.startsWith("#questions?")) return;
    const state = new URLSearchParams(location.hash.slice("#questions?".length));
    for (const name of ["q", ...FILTERS, "sort"]) {
      const value = state.get(name) ?? (name === "sort" ? standard : "");
      control(name).value = value;
      if (control(name).value !== value) control(name).value = name === "sort" ? standard : "";
    }
    page = Number.parseInt(state.get("page") ?? 1, 10) || 1;
    show();
    document.getElementById("questions").scrollIntoView();
  }

  const changed = () => { page = 1; show(); keep(); };
  const turn = (step) => { page += step; show(); keep(); document.getElementById("questions").scrollIntoView(); status.focus({ preventScroll: true }); };
  control("q").addEventListener("input", changed);
  for (const name of [...FILTERS, "sort"]) control(name).addEventListener("change", changed);
  control("previous").addEventListener("click", () => turn(-1));
  control("next").addEventListener("click", () => turn(1));
  control("clear").addEventListener("click", () => {
    for (const name of ["q", ...FILTERS]) control(name).value = "";
    control("sort").value = standard;
    changed();
    control("q").focus();
  });
  addEventListener("hashchange", recall);
  let before = 1;
  addEventListener("beforeprint", () => { before = page; page = 1; show(); });
  addEventListener("afterprint", () => { page = before; show(); });
  place.hidden = false;
  show();
  recall();
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
  document.querySelectorAll("table").forEach(sortable);
  document.querySelectorAll(".scroll, .wide").forEach(hintMore);
  followContents();
  printDetails();
  explore();
});
