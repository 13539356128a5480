// The questions of a report: unpacked, filtered, drawn and shown. Behind page.js, in the same script.
const PAGE = 10;
const LONG = 700;
// More dots than these make a browser slow; of more questions those that changed most are drawn.
const DOTS = 1500;
// More values than these get a field to search them.
const MANY = 12;
const FLIPS = {
  harmful: ["▼", "red", "right → wrong"],
  beneficial: ["▲", "blue", "wrong → right"],
  wrong_to_wrong: ["◆", "grey", "wrong → other wrong"],
  right: ["●", "green", "stays right"],
  wrong: ["○", "grey", "stays wrong"],
  "": ["·", "grey", "right or wrong unknown"],
};
// The marks of the plane, around its places.
const SHAPES = {
  harmful: "M-4-3.5H4L0 4z", beneficial: "M-4 3.5H4L0-4z", wrong_to_wrong: "M-4 0 0-4 4 0 0 4z",
  right: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", wrong: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
};
// By name: its label, the measure, and 1 for the smallest first. The first: right → wrong, then the largest KL.
const SORTS = {
  chosen: ["changed most", null, 0],
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
const FILTERS = { flip: "Answer", task: "Task", scope: "Scope", run: "Run" };
const RANGES = ["kl", "delta_gold", "spearman"];
const NAMES = { kl: "KL", delta_gold: "change of the gold option's probability", spearman: "Spearman ρ" };

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

const addressOf = ({ task, doc_id: doc, run }) => `#question?${new URLSearchParams({ task, doc, ...(run ? { run } : {}) })}`;

function card(question) {
  const { kl, delta_gold: gold, spearman: rank } = question.measures;
  const figures = [
    ["KL", kl === null ? null : `${kl === Infinity ? "∞" : kl.toFixed(2)} nats`],
    ["gold option", gold === null ? null : `${signed(100 * gold, 1)} points`],
    ["Spearman ρ", rank === null ? null : signed(rank, 2)],
  ].filter(([, value]) => value !== null).map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
  const [glyph, colour, label] = FLIPS[question.flip];
  const where = [question.task, String(question.doc_id), question.scope.toUpperCase(), question.run].filter(Boolean);
  const head = element("h3", {}, element("span", { className: colour, ariaHidden: "true", textContent: `${glyph} ` }), element("b", { textContent: label }),
    ...where.flatMap((text, index) => [index ? " · " : "", element("bdi", { textContent: text })]), " ",
    element("a", { href: addressOf(question), textContent: "link" , className: "permalink", ariaLabel: `Link to this question, ${question.task} ${question.doc_id}` }));
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

// The questions: their numbers at once, and their texts when they are wanted. Those that changed most come first.
async function readQuestions() {
  const stored = JSON.parse(document.getElementById("questions-data").textContent);
  const columns = JSON.parse(await unpacked(stored.numbers));
  const named = (name, index) => columns[name].names[columns[name].codes[index]];
  const measure = (name, index) => (columns[name][index] === "∞" ? Infinity : columns[name][index]);
  // Thousandths of all options but the last, one question after the other.
  let at = 0;
  const stands = Array.from({ length: stored.n }, (_, index) => {
    const others = Math.max(0, columns.options[index] - 1);
    const [before, after] = ["before", "after"].map((name) => {
      const steps = columns[name].slice(at, at + others);
      return columns.options[index] ? [...steps, Math.max(0, steps.reduce((rest, step) => rest - step, 1000))].map((step) => step / 1000) : [];
    });
    at += others;
    const gold = columns.gold[index];
    return {
      index, doc_id: columns.doc_id[index], gold, before, after,
      ...Object.fromEntries(Object.keys(FILTERS).map((name) => [name, named(name, index)])),
      measures: { kl: measure("kl", index), spearman: measure("spearman", index), delta_gold: gold === null || !before.length ? null : after[gold] - before[gold] },
    };
  });
  const words = unpacked(stored.words).then(JSON.parse);
  const reading = new Map();
  const read = async (part) => {
    const list = await words;
    const texts = JSON.parse((await unpacked(stored.texts[part])).replace(/[\ue000-\uf8ff]/g, (code) => list[code.charCodeAt(0) - 0xe000]));
    texts.forEach(([text, options, written], place) => {
      const [target, answers, unreadable, pieces] = written ?? [];
      Object.assign(stands[part * stored.size + place], { text, options, generated: written && { target, answers, unreadable, pieces } });
    });
  };
  // The texts of some questions, or of all.
  const fill = async (wanted) => {
    const parts = new Set(wanted.filter(({ text }) => text === undefined).map(({ index }) => Math.floor(index / stored.size)));
    await Promise.all([...parts].map((part) => {
      if (!reading.has(part)) reading.set(part, read(part));
      return reading.get(part);
    }));
  };
  // Without a KL an answer that turned right comes before those that stayed.
  const rank = ({ flip, measures: { kl } }) => [flip === "harmful" ? 0 : 1, kl === null ? Infinity : -kl, flip === "beneficial" ? 0 : 1];
  const ranks = new Map(stands.map((question) => [question, rank(question)]));
  const less = (one, two) => { const at = one.findIndex((value, place) => value !== two[place]); return at < 0 ? 0 : one[at] < two[at] ? -1 : 1; };
  return { all: [...stands].sort((a, b) => less(ranks.get(a), ranks.get(b))), fill };
}

// One filter by values: how many questions have each, any number of which can be chosen.
function filterOf(name, counts, chosen, label, changed) {
  const values = [...counts].sort(([a], [b]) => compare(a, b, 1));
  const summary = element("summary", {}, `${FILTERS[name]}: `, element("b", { textContent: "all" }));
  const boxes = values.map(([value, count]) => {
    const box = element("input", { type: "checkbox", value, name });
    box.addEventListener("change", () => { chosen[box.checked ? "add" : "delete"](value); changed(); });
    return element("label", { className: "choice" }, box, " ", element("bdi", { textContent: label(value) }), element("span", { textContent: ` ${count}` }));
  });
  const list = element("div", { className: "choices", role: "group", ariaLabel: FILTERS[name] }, ...boxes);
  const place = element("details", { className: "filter" }, summary, list);
  if (boxes.length > MANY) {
    const search = element("input", { type: "search", ariaLabel: `Find in ${FILTERS[name].toLowerCase()}`, placeholder: "Find", autocomplete: "off" });
    search.addEventListener("input", () => {
      for (const box of boxes) box.hidden = !box.textContent.toLowerCase().includes(search.value.toLowerCase());
    });
    list.prepend(search);
  }
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !place.open) return;
    place.open = false;
    summary.focus();
  });
  document.addEventListener("click", (event) => { if (!place.contains(event.target)) place.open = false; });
  const show = () => {
    for (const box of list.querySelectorAll("input[type=checkbox]")) box.checked = chosen.has(box.value);
    summary.lastChild.textContent = !chosen.size ? "all" : chosen.size === 1 ? label([...chosen][0]) : `${chosen.size} of ${values.length}`;
  };
  return { place, show };
}

function chipsOf(counts, chosen, changed) {
  const known = Object.keys(FLIPS).filter((flip) => counts.has(flip));
  const chips = known.map((flip) => {
    const [glyph, colour, label] = FLIPS[flip];
    const chip = element("button", { type: "button", className: "chip", value: flip },
      element("span", { className: colour, ariaHidden: "true", textContent: glyph }), ` ${label} `, element("b"));
    chip.addEventListener("click", () => { chosen[chosen.has(flip) ? "delete" : "add"](flip); changed(); });
    return chip;
  });
  const show = (found) => {
    for (const chip of chips) {
      chip.ariaPressed = String(chosen.has(chip.value));
      chip.lastChild.textContent = (found.get(chip.value) ?? 0).toLocaleString("en");
    }
  };
  return { chips, show };
}

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Marks of a figure by keyboard: one of them is reached by Tab, its neighbours by the arrows.
function rove(marks) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  marks.forEach((mark, place) => {
    mark.setAttribute("tabindex", place ? "-1" : "0");
    mark.addEventListener("keydown", (event) => {
      const next = event.key in step ? place + step[event.key] : { Home: 0, End: marks.length - 1 }[event.key];
      if (!marks[next]) return;
      event.preventDefault();
      mark.setAttribute("tabindex", "-1");
      marks[next].setAttribute("tabindex", "0");
      marks[next].focus();
    });
  });
}

// Each question as a dot: how probable its gold option was, and is.
function drawPlane(figure, questions, marked) {
  const known = questions.filter(({ gold, before }) => gold !== null && before.length);
  const shown = (known.includes(marked) ? [marked, ...known.filter((question) => question !== marked)] : known).slice(0, DOTS);
  figure.hidden = !shown.length;
  if (!shown.length) return;
  const [left, top, size] = [44, 8, 280];
  const x = (p) => left + size * p;
  const y = (p) => top + size * (1 - p);
  const ticks = [0, 0.25, 0.5, 0.75, 1].flatMap((p) => [
    drawn("line", { x1: x(p), x2: x(p), y1: y(0), y2: y(1), class: "grid" }), drawn("line", { x1: x(0), x2: x(1), y1: y(p), y2: y(p), class: "grid" }),
    drawn("text", { x: x(p), y: y(0) + 14, "text-anchor": "middle" }, `${100 * p}`), drawn("text", { x: left - 6, y: y(p) + 4, "text-anchor": "end" }, `${100 * p}`),
  ]);
  // The first of the order is painted last, above the others.
  const dots = shown.map((question) => {
    const [, colour, label] = FLIPS[question.flip];
    const [from, to] = [question.before[question.gold], question.after[question.gold]];
    const told = `${question.task} · ${question.doc_id}: ${label}, gold option ${percent(from)} → ${percent(to)}`;
    const mark = drawn("path", { d: SHAPES[question.flip] ?? SHAPES.wrong, transform: `translate(${x(from).toFixed(1)} ${y(to).toFixed(1)})` });
    const current = question === marked ? { "aria-current": "true" } : {};
    return drawn("a", { href: addressOf(question), class: `${colour}${question.flip === "wrong" ? " open" : ""}`, "data-tip": told, "aria-label": told, ...current }, mark);
  });
  rove(dots);
  const svg = drawn("svg", { viewBox: `0 0 ${left + size + 12} ${top + size + 34}`, role: "group", "aria-label": "Each question by the probability of its gold option, before and after" },
    ...ticks, drawn("line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "zero" }),
    drawn("text", { x: x(0.5), y: y(0) + 30, "text-anchor": "middle" }, "gold option before, %"),
    drawn("text", { x: 12, y: y(0.5), "text-anchor": "middle", transform: `rotate(-90 12 ${y(0.5)})` }, "after, %"), ...[...dots].reverse());
  figure.querySelector(".plane").replaceChildren(svg);
  const used = Object.keys(FLIPS).filter((flip) => shown.some((question) => question.flip === flip));
  figure.querySelector(".legend").replaceChildren(...used.map((flip) => element("span", {}, element("span", { className: FLIPS[flip][1], ariaHidden: "true", textContent: FLIPS[flip][0] }), ` ${FLIPS[flip][2]}`)));
  figure.querySelector("figcaption").textContent = `Below the line the gold option lost probability. A dot leads to its question.${known.length > shown.length ? ` Of ${known.length.toLocaleString("en")} the ${shown.length.toLocaleString("en")} that come first are drawn.` : ""}`;
}

async function explore() {
  const place = document.getElementById("explorer");
  if (!place) return;
  if (!CAN_UNPACK) {
    document.getElementById("packed").hidden = false;
    return;
  }
  const { all, fill } = await readQuestions();
  const control = (name) => place.querySelector(`[name="${name}"]`);
  const status = place.querySelector("[role=status]");
  place.querySelector(".legend > :last-child").hidden = !all.some(({ before }) => before.length);
  const chosen = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, new Set()]));
  const ranges = {};
  let one = null;
  let page = 1;
  let turn = 0;

  const shows = [];
  // Of what the other filters leave, how many answers turned in each way.
  const turned = new Map();
  const counts = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, new Map()]));
  for (const question of all) for (const name of Object.keys(FILTERS)) counts[name].set(question[name], (counts[name].get(question[name]) ?? 0) + 1);
  const changed = () => { one = null; page = 1; keep(); return show(); };
  const chips = chipsOf(counts.flip, chosen.flip, changed);
  place.querySelector(".chips").replaceChildren(...chips.chips);
  shows.push(chips.show);
  for (const name of ["task", "scope", "run"]) {
    if (counts[name].size < 2) continue;
    const filter = filterOf(name, counts[name], chosen[name], name === "scope" ? (value) => value.toUpperCase() : String, changed);
    control("sort").parentElement.before(filter.place);
    shows.push(filter.show);
  }
  const known = (measure) => all.some((question) => question.measures[measure] !== null);
  control("sort").append(...Object.entries(SORTS).filter(([, [, measure]]) => !measure || known(measure)).map(([value, [textContent]]) => element("option", { value, textContent })));
  control("sort").parentElement.hidden = control("sort").options.length < 2;
  const standard = control("sort").value;
  const limits = element("span", { className: "limits" });
  status.after(limits);

  const wordsWanted = () => control("q").value.toLowerCase().split(/\s+/).filter(Boolean);

  async function found() {
    if (one) return all.filter(({ task, doc_id: doc, run }) => task === one.task && String(doc) === one.doc && run === one.run);
    const within = ([name, [low, high]], { measures }) => measures[name] !== null && measures[name] >= low && (measures[name] < high || high === Infinity);
    let fitting = all.filter((question) => Object.entries(chosen).every(([name, values]) => name === "flip" || !values.size || values.has(question[name]))
      && Object.entries(ranges).every((range) => within(range, question)));
    const wanted = wordsWanted();
    if (wanted.length) {
      await fill(fitting);
      fitting = fitting.filter((question) => {
        question.words ??= wordsOf(question);
        return wanted.every((word) => question.words.includes(word));
      });
    }
    turned.clear();
    for (const { flip } of fitting) turned.set(flip, (turned.get(flip) ?? 0) + 1);
    fitting = fitting.filter(({ flip }) => !chosen.flip.size || chosen.flip.has(flip));
    const [, measure, direction] = SORTS[control("sort").value];
    return !measure ? fitting : fitting.sort((a, b) => compare(a.measures[measure], b.measures[measure], direction));
  }

  let drawnFor = null;
  async function show() {
    turn += 1;
    const mine = turn;
    place.ariaBusy = "true";
    const fitting = await found();
    const pages = Math.max(1, Math.ceil(fitting.length / PAGE));
    page = Math.min(Math.max(page, 1), pages);
    const first = (page - 1) * PAGE;
    const here = fitting.slice(first, first + PAGE);
    await fill(here);
    // Of two searches at once the later one counts.
    if (mine !== turn) return;
    place.querySelector(".cards").replaceChildren(...here.map(card));
    highlight(place, wordsWanted());
    for (const update of shows) update(turned);
    limits.replaceChildren(...Object.entries(ranges).map(([name, [low, high]]) => {
      const ends = [low, high].map((end) => (Number.isFinite(end) ? String(end).replace("-", "−") : null));
      const text = `${NAMES[name]} ${ends[0] === null ? `below ${ends[1]}` : ends[1] === null ? `from ${ends[0]}` : `${ends[0]} to ${ends[1]}`}`;
      const chip = element("button", { type: "button", className: "chip", ariaLabel: `Remove: ${text}`, textContent: `${text} ✕` });
      chip.addEventListener("click", () => { delete ranges[name]; changed(); });
      return chip;
    }));
    const shown = here.length ? `: ${first + 1} to ${first + here.length} shown` : "";
    status.textContent = one ? (here.length ? "One question, from a link" : "No question here is that of the link")
      : `${fitting.length.toLocaleString("en")} of ${all.length.toLocaleString("en")} questions${shown}`;
    control("clear").firstChild.data = one ? "All questions" : "Clear";
    control("clear").hidden = !one && !wordsWanted().length && control("sort").value === standard && !Object.keys(ranges).length && Object.values(chosen).every(({ size }) => !size);
    place.querySelector(".paging").hidden = pages === 1;
    place.querySelector(".paging span").textContent = `Page ${page} of ${pages}`;
    control("previous").disabled = page === 1;
    control("next").disabled = page === pages;
    // Leafing through the pages, the plane stays as it is; a single question is shown among those of its task.
    const key = addressNow().replace(/.page=\d+/, "");
    const among = one ? all.filter(({ task, run }) => task === one.task && run === one.run) : fitting;
    if (key !== drawnFor) drawPlane(place.querySelector(".dots"), among, one ? fitting[0] : null);
    drawnFor = key;
    place.ariaBusy = "false";
  }

  // The address holds the search and the filters, so that a view can be shared and survives a reload.
  function addressNow() {
    if (one) return `#question?${new URLSearchParams(one)}`;
    const state = new URLSearchParams();
    if (control("q").value) state.set("q", control("q").value);
    for (const [name, values] of Object.entries(chosen)) for (const value of values) state.append(name, value);
    for (const [name, [low, high]] of Object.entries(ranges)) state.set(name, `${Number.isFinite(low) ? low : ""}..${Number.isFinite(high) ? high : ""}`);
    if (control("sort").value !== standard) state.set("sort", control("sort").value);
    if (page > 1) state.set("page", page);
    const text = state.toString();
    return `#questions${text ? `?${text}` : ""}`;
  }

  function keep() {
    try { history.replaceState(null, "", addressNow()); } catch { /* some files may not */ }
  }

  async function recall() {
    const [, which, text] = location.hash.match(/^#(questions?)\?(.*)$/s) ?? [];
    if (!which) return;
    const state = new URLSearchParams(text);
    one = which === "question" ? { task: state.get("task") ?? "", doc: state.get("doc") ?? "", run: state.get("run") ?? "" } : null;
    control("q").value = state.get("q") ?? "";
    for (const [name, values] of Object.entries(chosen)) {
      values.clear();
      if (!one) for (const value of state.getAll(name)) if (counts[name].has(value)) values.add(value);
    }
    for (const name of RANGES) {
      delete ranges[name];
      const ends = state.get(name)?.split("..").map((end, place_) => (end === "" ? [-Infinity, Infinity][place_] : Number(end)));
      if (ends?.length === 2 && !ends.some(Number.isNaN)) ranges[name] = ends;
    }
    const sort = state.get("sort");
    control("sort").value = [...control("sort").options].some(({ value }) => value === sort) ? sort : standard;
    page = Number.parseInt(state.get("page") ?? 1, 10) || 1;
    await show();
    // A link leads to its question, and not to the filters above it.
    (one ? place.querySelector(".found") : document.getElementById("questions")).scrollIntoView();
    status.focus({ preventScroll: true });
  }

  const clear = () => {
    control("q").value = "";
    for (const values of Object.values(chosen)) values.clear();
    for (const name of RANGES) delete ranges[name];
    control("sort").value = standard;
    return changed();
  };
  const leaf = async (step) => {
    page += step;
    await show();
    keep();
    place.querySelector(".found").scrollIntoView();
    status.focus({ preventScroll: true });
  };
  control("q").addEventListener("input", changed);
  control("sort").addEventListener("change", changed);
  control("previous").addEventListener("click", () => leaf(-1));
  control("next").addEventListener("click", () => leaf(1));
  control("clear").addEventListener("click", async () => { await clear(); control("q").focus(); });
  place.addEventListener("keydown", (event) => { if (event.key === "Escape" && one) { clear(); status.focus(); } });
  addEventListener("hashchange", recall);
  place.hidden = false;
  await show();
  await recall();
}
