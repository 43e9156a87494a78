"use strict";
// Plain script, no libraries. Without it the page still shows everything but the list of single cells.
(function () {
  const status = document.getElementById("status");
  const say = (text) => { if (status) status.textContent = text; };
  const make = (tag, attributes, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };
  const plain = (element) => element.textContent.replace(/\s+/g, " ").trim();

  // ---- sorting
  // Missing values stay last in either direction.
  const compare = (a, b, direction) => {
    const empty = (value) => value === "" || value === null || value === undefined;
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
    return direction === "ascending" ? order : -order;
  };

  const next = (current, numeric) => {
    const [first, second] = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
    return current === first ? second : current === second ? "none" : first;
  };

  const sortButton = (head, press) => {
    const button = make("button", { type: "button" });
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => press(head));
  };

  const mark = (heads, chosen, direction) => {
    for (const head of heads) head.setAttribute("aria-sort", head === chosen ? direction : "none");
  };

  // The column of each head cell, counting what spans rows and columns.
  const headColumns = (table) => {
    const taken = [];
    const found = new Map();
    [...table.tHead.rows].forEach((row, line) => {
      let column = 0;
      for (const cell of row.cells) {
        while (taken[line] && taken[line][column]) column += 1;
        for (let y = line; y < line + cell.rowSpan; y += 1) {
          taken[y] = taken[y] || [];
          for (let x = column; x < column + cell.colSpan; x += 1) taken[y][x] = true;
        }
        if (cell.colSpan === 1) found.set(cell, column);
        column += cell.colSpan;
      }
    });
    return found;
  };

  const valueOf = (cell) => {
    if (!cell) return "";
    const told = cell.dataset.value;
    if (told === undefined) return cell.tagName === "TH" || cell.classList.contains("text") ? plain(cell) : "";
    return told === "" ? "" : Number.isNaN(Number(told)) ? told : Number(told);
  };

  const sortable = (table) => {
    const columns = headColumns(table);
    const heads = [...columns.keys()];
    const original = [...table.tBodies].map((body) => [body, [...body.rows]]);
    const rows = original.flatMap(([, mine]) => mine.filter((row) => !row.classList.contains("group")));
    // Once rows of several groups mix, each must still show its own; the heads of the groups step aside.
    const several = original.filter(([body]) => body.className === "methods").length > 1;
    const kinds = { floors: "floor", ceilings: "for comparison" };
    for (const [body, mine] of original) {
      const group = mine.find((row) => row.classList.contains("group"));
      const backbone = group && several ? plain(group).split(", ").slice(1).join(", ") : "";
      const told = [kinds[body.className], backbone].filter(Boolean).join(", ");
      for (const row of mine) {
        if (row === group) continue;
        if (body.className) row.classList.add(body.className);
        if (told) row.cells[0].dataset.group = told;
      }
    }
    const press = (head) => {
      const column = columns.get(head);
      const values = new Map(rows.map((row) => [row, valueOf(row.cells[column])]));
      const numeric = [...values.values()].some((value) => typeof value === "number");
      const direction = next(head.getAttribute("aria-sort"), numeric);
      mark(heads, head, direction);
      if (direction === "none") {
        for (const [body, mine] of original) body.append(...mine);
      } else {
        const sorted = [...rows].sort((a, b) => compare(values.get(a), values.get(b), direction));
        original[0][0].append(...sorted);
      }
      for (const row of table.querySelectorAll("tbody > .group")) row.hidden = direction !== "none";
      table.classList.toggle("sorted", direction !== "none");
      say(direction === "none" ? "Table in its own order." : `Sorted by ${plain(head)}, ${direction}.`);
    };
    for (const head of heads) sortButton(head, press);
  };
  document.querySelectorAll("table.sortable, table.results").forEach(sortable);

  // ---- figures shown large
  const shown = () => document.querySelector("figure:target");
  window.addEventListener("hashchange", () => {
    const figure = shown();
    if (figure) figure.querySelector(".close").focus();
  });
  document.addEventListener("keydown", (event) => {
    const figure = event.key === "Escape" && shown();
    if (!figure) return;
    figure.querySelector(".close").click();
    figure.querySelector(".enlarge").focus();
  });

  // A link to something folded away unfolds it.
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target && target.closest("details")) target.scrollIntoView();
  };
  window.addEventListener("hashchange", unfold);
  unfold();

  // Paper has no click: what belongs to a table is printed with it.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details.unfold-in-print:not([open])")];
    for (const one of folded) one.open = true;
  });
  window.addEventListener("afterprint", () => { for (const one of folded) one.open = false; });

  // ---- all cells
  const source = document.getElementById("cells-data");
  const place = document.getElementById("cells-place");
  if (!source || !place) return;
  const data = JSON.parse(source.textContent);
  const at = Object.fromEntries(data.columns.map((name, number) => [name, number]));
  const percent = (value, digits) => (value === null ? "undefined" : (100 * value).toFixed(digits));
  const fraction = (value) => (value ? `${Number((100 * value).toPrecision(6))} %` : "none");
  // "10 %" and "seed 2" are one word each.
  const joined = (text) => text.toLowerCase().replace(/(\d)\s*%/g, "$1%").replace(/\bseed\s*(\d)/g, "seed$1");
  const cells = data.rows.map((row) => {
    const [set, ...values] = row[at.metrics];
    const [method, title] = data.method[row[at.method]];
    const [dataset, datasetTitle] = data.dataset[row[at.dataset]];
    const cell = {
      key: row[at.key], method, title, dataset, datasetTitle, task: data.task[row[at.task]], fraction: row[at.fraction],
      seed: row[at.seed], headline: data.headline[row[at.headline]], value: row[at.value], seconds: row[at.seconds],
      metrics: data.metrics[set].map((name, number) => [name, values[number]]), command: data.command[row[at.command]],
      suite: data.suite[row[at.suite]], protocol: data.protocol[row[at.protocol]], pretrainSeed: row[at.pretrain_seed],
      arch: data.arch[row[at.arch]], attempt: row[at.attempt], started: row[at.started],
      selection: data.selection[row[at.selection]], weights: row[at.weights],
    };
    cell.words = [
      cell.key, method, title, dataset, datasetTitle, cell.task, cell.suite, cell.protocol, cell.headline, cell.arch,
      joined(fraction(cell.fraction)), `seed${cell.seed}`,
    ].join(" ").toLowerCase();
    return cell;
  });

  const COLUMNS = [
    ["Method", "title", (cell) => cell.title], ["Dataset", "datasetTitle", (cell) => cell.datasetTitle],
    ["Labels", "fraction", (cell) => fraction(cell.fraction)], ["Seed", "seed", (cell) => String(cell.seed)],
    ["Value, %", "value", (cell) => percent(cell.value, 2)], ["Metric", "headline", (cell) => cell.headline],
    ["Task", "task", (cell) => cell.task],
    ["Seconds", "seconds", (cell) => (cell.seconds === null ? "–" : cell.seconds.toFixed(1))],
    ["Key", "key", (cell) => `${cell.key.slice(0, 12)}…`],
  ];
  const TEXT = new Set(["title", "task", "datasetTitle", "headline", "key"]);
  const PAGE = 25;
  const state = { page: 0, sort: null, direction: "none", open: new Set() };

  const chooser = (id, label, field, words) => {
    const options = [...new Set(cells.map((cell) => cell[field]))].sort((a, b) => compare(a, b, "ascending"));
    const select = make("select", { id }, make("option", { value: "" }, "all"));
    options.forEach((value, number) => select.append(make("option", { value: String(number) }, words(value))));
    select.addEventListener("change", refresh);
    return {
      box: make("div", {}, make("label", { for: id }, label), select),
      keeps: (cell) => select.value === "" || cell[field] === options[Number(select.value)],
      clear: () => { select.value = ""; },
    };
  };
  const search = make("input", { id: "cells-search", type: "search", autocomplete: "off", spellcheck: "false" });
  search.addEventListener("input", refresh);
  const choosers = [
    ["cells-method", "Method", "title", String], ["cells-task", "Task", "task", String],
    ["cells-dataset", "Dataset", "datasetTitle", String], ["cells-labels", "Labels", "fraction", fraction],
    ["cells-suite", "Suite", "suite", String], ["cells-protocol", "Protocol", "protocol", String],
  ].filter(([, , field]) => new Set(cells.map((cell) => cell[field])).size > 1)
    .map((settings) => chooser(...settings));
  const reset = make("button", { type: "button" }, "Show all");
  reset.addEventListener("click", () => { search.value = ""; choosers.forEach((one) => one.clear()); refresh(); });
  const filters = make(
    "div", { class: "filters", role: "search", "aria-label": "Cells" },
    make("div", {}, make("label", { for: "cells-search" }, "Words, such as sista rsna 10 %, or a key"), search),
    ...choosers.map((one) => one.box), reset,
  );

  const count = make("p", { id: "cells-count", role: "status", class: "soft" });
  const body = make("tbody");
  const headRow = make("tr");
  const heads = COLUMNS.map(([title, field]) => {
    const head = make("th", { scope: "col", class: TEXT.has(field) ? "text" : "" }, title);
    sortButton(head, () => {
      state.direction = next(head.getAttribute("aria-sort"), !TEXT.has(field));
      state.sort = state.direction === "none" ? null : field;
      state.page = 0;
      mark(heads, head, state.direction);
      draw();
      say(state.sort ? `Cells sorted by ${title}, ${state.direction}.` : "Cells in their own order.");
    });
    headRow.append(head);
    return head;
  });
  const table = make("table", { id: "cells-table" },
    make("caption", { class: "hidden-text" }, "All cells"), make("thead", {}, headRow), body);
  const region = make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "All cells, table" }, table);
  const back = make("button", { type: "button" }, "Previous");
  const forth = make("button", { type: "button" }, "Next");
  const where = make("span", { class: "soft" });
  const turn = (step) => () => { state.page += step; draw(); count.scrollIntoView({ block: "nearest" }); };
  back.addEventListener("click", turn(-1));
  forth.addEventListener("click", turn(1));
  place.append(filters, count, region, make("div", { class: "pager" }, back, where, forth));

  function kept() {
    const words = joined(search.value).split(/[\s,]+/).filter(Boolean);
    const found = cells.filter((cell) => choosers.every((one) => one.keeps(cell))
      && words.every((word) => cell.words.includes(word)));
    return state.sort ? found.sort((a, b) => compare(a[state.sort], b[state.sort], state.direction)) : found;
  }

  function refresh() {
    state.page = 0;
    draw();
  }

  function inside(cell) {
    const facts = [
      ["key", cell.key], ["suite", cell.suite], ["protocol", cell.protocol], ["backbone", cell.arch],
      ["pre-training seed", String(cell.pretrainSeed)], ["weights (sha256)", `${cell.weights}…`],
      ["model chosen by", cell.selection], ["begun", cell.started], ["attempt", String(cell.attempt)],
    ];
    const list = make("dl", { class: "facts" });
    for (const [name, value] of facts) list.append(make("dt", {}, name), make("dd", {}, value));
    const rows = cell.metrics.map(([name, value]) => make("tr", {},
      make("th", { scope: "row" }, name), make("td", {}, percent(value, 2))));
    const metrics = make("table", {}, make("caption", {}, "Every metric, in %"), make("tbody", {}, ...rows));
    const command = (text) => make("pre", {}, make("code", {}, text));
    // Without labels there is no head to train again; such records are scored from the weights.
    const again = cell.fraction === 0 ? [make("p", {}, "Score the method's maps again, from its trained weights:")]
      : [make("p", {}, "Run it again and compare with this record:"), command(`vlpbench reproduce ${cell.key}`),
        make("p", {}, "Or in full, pre-training included where its weights are not there:")];
    return make("div", { class: "inside" }, ...again, command(cell.command), list, metrics);
  }

  function lines(cell) {
    const name = `${cell.key}.${cell.attempt}`;
    const open = state.open.has(name);
    const row = make("tr");
    const button = make("button", { type: "button", "aria-expanded": String(open), "data-cell": name },
      open ? "\u25be" : "\u25b8", make("span", { class: "hidden-text" }, ` Details of ${cell.key}: `));
    button.addEventListener("click", () => {
      if (open) state.open.delete(name); else state.open.add(name);
      draw();
      body.querySelector(`[data-cell="${name}"]`).focus();
    });
    COLUMNS.forEach(([, field, text], number) => {
      const content = field === "key" ? make("code", {}, text(cell)) : text(cell);
      row.append(number === 0 ? make("th", { scope: "row" }, button, content)
        : make("td", TEXT.has(field) ? { class: "text" } : {}, content));
    });
    if (!open) return [row];
    return [row, make("tr", { class: "opened" }, make("td", { colspan: String(COLUMNS.length) }, inside(cell)))];
  }

  function draw() {
    const found = kept();
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const from = state.page * PAGE;
    const page = found.slice(from, from + PAGE);
    body.replaceChildren(...page.flatMap(lines));
    const number = (value) => value.toLocaleString("en");
    count.textContent = found.length
      ? `${number(found.length)} of ${number(cells.length)} cells; shown: ${number(from + 1)} to ${number(from + page.length)}.`
      : "No cell fits. Take a word away, or show all.";
    where.textContent = `page ${state.page + 1} of ${pages}`;
    back.disabled = state.page === 0;
    forth.disabled = state.page === pages - 1;
  }
  draw();
})();
