// What a listener chooses: stars, keep, compare, a note. A server writes choices.json; a page opened as
// a file keeps the choices in the browser and offers the file as a download.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const table = document.querySelector("table");
  if (!table) return;
  const rows = [...table.tBodies[0].rows].filter((row) => row.querySelector("audio"));
  const { place, choices: text, chosenMs, save: address } = table.dataset;
  const shelf = `chatter_nb choices ${location.pathname} ${place}`;
  const choices = new Map(Object.entries(earlier()));
  const nothing = { stars: 0, note: "", keep: false, compare: false };
  const unsaved = new Set(); // names of runs
  let saving = Promise.resolve();

  $("sort").add(new Option("Stars", "stars"));
  document.querySelector(".choices").hidden = !rows.length;
  for (const row of rows) addControls(row);
  summarise();
  if (!address) {
    $("download").hidden = false;
    tell("Choices stay in this browser until you download them.");
  }

  // What was chosen here after the file was written wins over the file.
  function earlier() {
    const inFile = JSON.parse(text);
    if (address) return inFile;
    try {
      const here = JSON.parse(localStorage.getItem(shelf));
      return here && here.at > Number(chosenMs) ? here.choices : inFile;
    } catch {
      return inFile;
    }
  }

  function nameOf(row) {
    return row.querySelector("[data-column='name']").dataset.key;
  }

  function addControls(row) {
    const controls = $("choice").content.firstElementChild.cloneNode(true);
    controls.setAttribute("aria-label", `your choice: ${nameOf(row)}`);
    row.querySelector("td.listen").append(controls);
    controls.addEventListener("click", ({ target }) => {
      if (target.dataset.stars) star(row, Number(target.dataset.stars));
    });
    controls.addEventListener("input", ({ target }) =>
      change(row, { [target.dataset.choice]: target.type === "checkbox" ? target.checked : target.value }));
    show(row);
  }

  function of(row) {
    return { ...nothing, ...choices.get(nameOf(row)) };
  }

  function star(row, stars) {
    change(row, { stars: of(row).stars === stars ? 0 : stars }); // the same again takes them
  }

  function change(row, values) {
    choices.set(nameOf(row), { ...of(row), ...values });
    unsaved.add(nameOf(row));
    show(row);
    summarise();
    save();
  }

  function show(row) {
    const choice = of(row), controls = row.querySelector(".choice");
    controls.dataset.key = choice.stars || "";
    for (const button of controls.querySelectorAll("[data-stars]")) {
      button.classList.toggle("given", Number(button.dataset.stars) <= choice.stars);
      button.setAttribute("aria-pressed", Number(button.dataset.stars) === choice.stars);
    }
    for (const name of ["keep", "compare"])
      controls.querySelector(`[data-choice="${name}"]`).checked = choice[name];
    const note = controls.querySelector("[data-choice='note']");
    if (note !== document.activeElement) note.value = choice.note;
    row.dataset.note = choice.note;
    row.dataset.marks = Object.keys(choice).filter((name) => choice[name]).join(" ");
  }

  function summarise() {
    const all = [...choices.values()];
    const kept = all.filter((choice) => choice.keep).length;
    const compared = all.filter((choice) => choice.compare).length;
    const parts = kept ? [`${kept} to keep`] : [];
    if (compared) parts.push(`${compared} to compare, in 05_compare with runs = "choices.json"`);
    $("chosen").textContent = parts.length ? `${parts.join(" · ")}.` : "";
  }

  function content(names = [...choices.keys()]) {
    const chosen = Object.fromEntries(names.map((name) => [name, choices.get(name)]));
    return JSON.stringify({ schema: 1, choices: chosen }, null, 1);
  }

  // Saves go out one after the other, each with what has changed by then.
  function save() {
    if (address) saving = saving.then(send);
    else keep();
  }

  async function send() {
    const headers = { "Content-Type": "application/json" }, names = [...unsaved];
    if (!names.length) return;
    unsaved.clear();
    try {
      const answer = await fetch(address, { method: "POST", headers, body: content(names) });
      if (!answer.ok) throw new Error(await answer.text());
      tell("Saved in choices.json.");
    } catch (error) {
      for (const name of names) unsaved.add(name);
      $("download").hidden = false;
      tell(`Not saved: ${error.message}. Download the choices, or start chatter-nb gallery --open again.`);
    }
  }

  function keep() {
    try {
      localStorage.setItem(shelf, JSON.stringify({ at: Date.now(), choices: Object.fromEntries(choices) }));
      tell("Kept in this browser; download choices.json and put it beside this page.");
    } catch {
      tell("This browser keeps nothing here: download choices.json before you leave.");
    }
  }

  function tell(sentence) {
    $("saved").textContent = sentence;
  }

  $("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content()], { type: "application/json" }));
    link.download = "choices.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  document.addEventListener("keydown", (event) => {
    const on = event.target;
    if (on.matches("[data-choice='note']") && ["Enter", "Escape"].includes(event.key)) return on.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || on.matches("select, input:not([type='checkbox'])")) return;
    const row = on.closest("tbody tr") ?? document.querySelector("tr.playing");
    if (!row?.querySelector(".choice")) return;
    const key = event.key.toLowerCase();
    if (/^[0-5]$/.test(key)) change(row, { stars: Number(key) });
    else if (key === "k") change(row, { keep: !of(row).keep });
    else if (key === "c") change(row, { compare: !of(row).compare });
    else if (key === "n") row.querySelector("[data-choice='note']").focus();
    else return;
    event.preventDefault();
  });
})();
