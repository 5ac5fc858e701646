// Sorting, filtering and listening. The page reads the same without it.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const table = document.querySelector("table");
  for (const time of document.querySelectorAll("time")) localise(time);
  if (!table) return;

  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headers = [...table.tHead.rows[0].cells].filter((cell) => cell.dataset.column);
  const collator = new Intl.Collator(undefined, { numeric: true });
  const search = $("search"), status = $("status"), engine = $("engine"), marked = $("marked");
  const sort = $("sort"), direction = $("direction");
  let order = { column: "name", descending: false };

  keepRoles();
  offerSorts();
  for (const control of [search, status, engine, marked]) control.addEventListener("input", filter);
  document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  for (const header of headers) {
    header.firstChild.addEventListener("click", () => {
      const again = header.dataset.column === order.column;
      sortBy(header.dataset.column, again && !order.descending);
    });
  }
  sort.addEventListener("change", () => sortBy(sort.value, false));
  direction.addEventListener("click", () => sortBy(order.column, !order.descending));
  $("clear").addEventListener("click", () => {
    search.value = status.value = engine.value = marked.value = "";
    filter();
    search.focus();
  });
  mark();
  filter(); // a browser may have kept what was typed before a reload

  // ---- sorting

  function offerSorts() {
    const named = new Map(headers.map((header) => [header.dataset.column, header.textContent.trim()]));
    for (const one of body.querySelectorAll("dl [data-column]"))
      named.set(one.dataset.column, one.dataset.column.slice(2));
    for (const [column, label] of named) sort.add(new Option(label, column));
  }

  function sortBy(column, descending) {
    order = { column, descending };
    const keys = new Map(rows.map((row) => [row, keyOf(row, column)]));
    const numbers = [...keys.values()].every((key) => key === "" || Number.isFinite(Number(key)));
    const sign = descending ? -1 : 1;
    rows.sort((one, other) => {
      const a = keys.get(one), b = keys.get(other);
      if (a === "" || b === "") return (a === "") - (b === ""); // unknown: last, either way
      return sign * (numbers ? a - b : collator.compare(a, b));
    });
    body.append(...rows);
    mark();
  }

  function keyOf(row, column) {
    const cell = row.querySelector(`[data-column="${CSS.escape(column)}"]`);
    return cell ? cell.dataset.key : "";
  }

  function mark() {
    for (const header of headers) {
      if (header.dataset.column !== order.column) header.removeAttribute("aria-sort");
      else header.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
    }
    sort.value = order.column;
    direction.textContent = order.descending ? "↓" : "↑";
  }

  // ---- filtering

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const hit =
        (!status.value || row.dataset.status === status.value) &&
        (!engine.value || row.dataset.engine === engine.value) &&
        (!marked.value || (row.dataset.marks ?? "").split(" ").includes(marked.value)) &&
        words.every((word) => textOf(row).includes(word));
      row.hidden = !hit;
      shown += hit;
    }
    const all = `${rows.length} run${rows.length === 1 ? "" : "s"}`;
    $("shown").textContent = shown === rows.length ? all : `${shown} of ${all}`;
    $("nothing").hidden = shown > 0;
  }

  // All that a row says, but not its links: "ok" must not find every "notebook".
  function textOf(row) {
    if (row.found === undefined) {
      const copy = row.cloneNode(true);
      for (const link of copy.querySelectorAll(".links, .files, .choice")) link.remove();
      for (const one of copy.querySelectorAll("[title]")) one.append(` ${one.title}`);
      row.found = copy.textContent.toLowerCase();
    }
    return `${row.found} ${(row.dataset.note ?? "").toLowerCase()}`;
  }

  // ---- listening

  let current = null;

  document.addEventListener("play", (event) => {
    for (const audio of document.querySelectorAll("audio"))
      if (audio !== event.target) audio.pause();
    if (current) current.closest("tr").classList.remove("playing");
    current = event.target;
    current.closest("tr").classList.add("playing");
  }, true);
  document.addEventListener("timeupdate", (event) => drawHead(event.target), true);
  document.addEventListener("ended", (event) => {
    if ($("onwards").checked && event.target === current) step(1);
  }, true);
  body.addEventListener("click", (event) => {
    const wave = event.target.closest(".wave");
    if (!wave) return;
    const audio = wave.parentElement.querySelector("audio");
    const box = wave.getBoundingClientRect();
    playFrom(audio, (event.clientX - box.left) / box.width);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target;
    const free = on === document.body || on.tagName === "AUDIO";
    if (!free) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      step(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === " " && on === document.body) {
      event.preventDefault();
      if (!current) step(1);
      else current.paused ? play(current) : current.pause();
    }
  });

  function step(by) {
    const players = [...body.querySelectorAll("tr:not([hidden]) audio")].filter(
      (audio) => audio === current || !audio.closest("details:not([open])"));
    const next = players[current ? players.indexOf(current) + by : 0]; // first the first
    if (!next) return;
    const seek = next.currentTime > 0;
    if (seek) next.currentTime = 0;
    play(next);
    next.focus({ preventScroll: true });
    next.closest(".player").scrollIntoView({ block: "nearest" });
  }

  // The next step may pause a player before it has begun: that is no fault.
  function play(audio) {
    audio.play().catch(() => {});
  }

  function playFrom(audio, share) {
    const length = audio.duration || Number(audio.dataset.length);
    const seek = () => { audio.currentTime = share * audio.duration; };
    if (audio.readyState > 0) seek();
    else audio.addEventListener("loadedmetadata", seek, { once: true });
    if (length) play(audio);
  }

  function drawHead(audio) {
    const wave = audio.parentElement.querySelector(".wave");
    if (!wave || !audio.duration) return;
    wave.style.setProperty("--at", audio.currentTime / audio.duration);
    wave.style.setProperty("--seen", 1);
  }

  // ---- the rest

  // Rows that are laid out as cards are still a table to who listens to the page.
  function keepRoles() {
    table.setAttribute("role", "table");
    body.setAttribute("role", "rowgroup");
    for (const row of rows) {
      row.setAttribute("role", "row");
      for (const cell of row.cells)
        cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
    }
  }

  function localise(time) {
    const when = new Date(time.dateTime);
    const thisYear = when.getFullYear() === new Date().getFullYear();
    const day = { day: "numeric", month: "short", ...(thisYear ? {} : { year: "numeric" }) };
    const clock = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    const told = [when.toLocaleDateString(undefined, day), when.toLocaleTimeString(undefined, clock)];
    time.title = time.dateTime;
    time.textContent = told.map((part) => part.replaceAll(" ", "\u00a0")).join(" ");
  }
})();
