"use strict";
function offerThemes() {
  const choice = document.getElementById("theme");
  const now = ["light", "dark"].includes(kept.theme) ? kept.theme : "auto";
  choice.hidden = false;
  for (const radio of choice.querySelectorAll("input")) {
    radio.checked = radio.value === now;
    radio.addEventListener("change", () => { kept.theme = radio.value; showTheme(radio.value); });
  }
}

// The index is a script, since a page from a file may not fetch; it comes with the first use of the search.
const top_ = document.body.dataset.top;
let sections = null;
let asked = null;
function load() {
  asked ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${top_}search-index.js`;
    script.addEventListener("load", () => {
      sections = globalThis.siteIndex.map(([place, page, title, text]) => ({
        place, page, title, text, heading: `${page} ${title}`.toLowerCase(), body: text.toLowerCase(),
      }));
      done();
    });
    script.addEventListener("error", failed);
    document.head.append(script);
  });
  return asked;
}

const MOST = 30;
const words = (query) => [...new Set(query.toLowerCase().split(/[\s"'`]+/).filter(Boolean))];

// Every word has to be there. A heading counts more than text, a whole word more than a part of one, a short text more than a long.
function score(section, terms) {
  let sum = 0;
  for (const term of terms) {
    const at = section.heading.indexOf(term);
    const inside = section.body.indexOf(term);
    if (at < 0 && inside < 0) return 0;
    if (at >= 0) sum += whole(section.heading, term, at) ? 40 : 15;
    if (section.title.toLowerCase() === term) sum += 60;
    if (inside >= 0) {
      const times = section.body.split(term).length - 1;
      sum += (whole(section.body, term, inside) ? 8 : 3) * Math.log2(1 + times) / Math.log2(4 + section.body.length / 400);
    }
  }
  const phrase = terms.join(" ");
  if (terms.length > 1 && section.heading.includes(phrase)) sum += 40;
  else if (terms.length > 1 && section.body.includes(phrase)) sum += 12;
  // Names of the API are many: the documents that explain come first.
  return section.place.startsWith("api/") ? sum * 0.7 : sum;
}

function whole(text, term, at) {
  const letter = /[\p{L}\p{N}_]/u;
  return !letter.test(text[at - 1] ?? " ") && !letter.test(text[at + term.length] ?? " ");
}

function search(query) {
  const terms = words(query);
  if (!terms.length) return { terms, found: [], all: 0 };
  const scored = sections.map((section) => [score(section, terms), section]).filter(([points]) => points > 0);
  scored.sort((a, b) => b[0] - a[0]);
  return { terms, found: scored.slice(0, MOST).map(([, section]) => section), all: scored.length };
}

function excerpt(section, terms) {
  const first = Math.min(...terms.map((term) => section.body.indexOf(term)).filter((at) => at >= 0), Infinity);
  const from = first === Infinity ? 0 : Math.max(0, section.text.lastIndexOf(" ", Math.max(0, first - 50)));
  const cut = section.text.slice(from, from + 170).trim();
  return `${from > 0 ? "… " : ""}${cut}${from + 170 < section.text.length ? " …" : ""}`;
}

// Text with its words marked, as nodes: nothing of it is ever read as markup.
function marked(text, terms) {
  const made = document.createDocumentFragment();
  const lower = text.toLowerCase();
  let at = 0;
  while (at < text.length) {
    let next = [Infinity, ""];
    for (const term of terms) {
      const place = lower.indexOf(term, at);
      if (place >= 0 && (place < next[0] || (place === next[0] && term.length > next[1].length))) next = [place, term];
    }
    if (next[0] === Infinity) break;
    made.append(text.slice(at, next[0]));
    const mark = document.createElement("mark");
    mark.textContent = text.slice(next[0], next[0] + next[1].length);
    made.append(mark);
    at = next[0] + next[1].length;
  }
  made.append(text.slice(at));
  return made;
}

function offerSearch() {
  const box = document.querySelector(".search");
  const input = document.getElementById("query");
  const list = document.getElementById("found");
  const count = document.getElementById("count");
  let chosen = -1;
  box.hidden = false;

  function close() {
    list.hidden = true;
    chosen = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(number) {
    const options = list.querySelectorAll("[role=option]");
    if (!options.length) return;
    chosen = (number + options.length) % options.length;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    input.setAttribute("aria-activedescendant", options[chosen].id);
    options[chosen].scrollIntoView({ block: "nearest" });
  }

  function line(section, terms, at) {
    const option = Object.assign(document.createElement("li"), { role: "presentation" });
    const link = document.createElement("a");
    Object.assign(link, { id: `found-${at}`, role: "option", href: top_ + section.place, tabIndex: -1 });
    const title = document.createElement("b");
    const where = section.title || section.page;
    title.append(marked(where, terms));
    const page = document.createElement("small");
    page.append(where === section.page ? "" : `${section.page} · `, marked(excerpt(section, terms), terms));
    link.append(title, page);
    option.append(link);
    return option;
  }

  async function show() {
    const query = input.value.trim();
    if (!query) { close(); count.textContent = ""; return; }
    try {
      await load();
    } catch {
      list.replaceChildren(Object.assign(document.createElement("li"), { className: "none", textContent: "search-index.js cannot be loaded" }));
      list.hidden = false;
      return;
    }
    if (query !== input.value.trim()) return;
    const { terms, found, all } = search(query);
    const said = all === 0 ? "Nothing found" : all > found.length ? `${found.length} of ${all} places` : `${all} ${all === 1 ? "place" : "places"}`;
    const none = Object.assign(document.createElement("li"), { className: "none", role: "presentation", textContent: all ? said : `${said} with all of: ${terms.join(", ")}` });
    list.replaceChildren(...found.map((section, at) => line(section, terms, at)), ...(all > found.length || !all ? [none] : []));
    count.textContent = said;
    list.hidden = false;
    list.scrollTop = 0;
    input.setAttribute("aria-expanded", "true");
    chosen = -1;
    if (found.length) choose(0);
  }

  input.addEventListener("focus", () => { load().catch(() => {}); if (input.value) show(); });
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Enter") list.querySelector("[aria-selected=true]")?.click();
    else if (event.key === "Escape" && !list.hidden) close();
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", close);
  document.addEventListener("click", (event) => { if (!box.contains(event.target)) close(); });
  box.addEventListener("focusout", (event) => { if (event.relatedTarget && !box.contains(event.relatedTarget)) close(); });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if ((event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
}

function foldMenu() {
  const menu = document.querySelector(".menu");
  const narrow = matchMedia("(max-width: 56rem)");
  const fold = () => { menu.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  const here = menu.querySelector("[aria-current]");
  if (here && !narrow.matches) menu.scrollTop = here.offsetTop - menu.clientHeight / 2;
}

offerThemes();
offerSearch();
foldMenu();
