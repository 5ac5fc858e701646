// The one editor of a run's lines: hear, mark, edit words, choose takes. A static page, a notebook and
// the web page show it. What only some can do is in `actions`, functions that return promises:
// save(edit), again(edit), apply(), audio(edit, key). Without `save`, edits stay in the browser.
function mountReview(root, data, actions = {}, last = {}) {
  const LEAD_S = 2, HEIGHT = 56;
  const isStatic = !actions.save;
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const bytes = (text) => Uint8Array.from(atob(text ?? ""), (letter) => letter.charCodeAt(0));
  const lines = data.lines, documents = Object.keys(data.audio);
  const peaks = Object.fromEntries(documents.map((name) => [name, bytes(data.peaks[name])]));
  const idOf = (edit) => [edit.document, edit.start, edit.end, edit.text_sha256].join(":");
  const edits = new Map();
  lines.forEach((line, place) => {
    Object.assign(line, { id: idOf(line.edit), place });
    edits.set(line.id, line.edit);
  });
  let view = lines, line = null, take = null, at_s = 0, saving = Promise.resolve(), busy = 0;
  root.review?.abort();
  const ended = (root.review = new AbortController());
  const on = (target, kinds, act) => {
    for (const kind of kinds.split(" ")) target.addEventListener(kind, act, { signal: ended.signal });
  };

  // ---- what is kept

  const key = `chatter review ${data.run} ${data.started}`;
  const changed = new Map();
  const say = (text) => (status.textContent = text);
  const editOf = (some) => edits.get(some.id);
  const isEdited = (edit) => edit.words !== null || edit.take !== null;

  function recall() {
    try {
      for (const edit of JSON.parse(localStorage.getItem(key)) ?? [])
        if (edits.has(idOf(edit))) changed.set(idOf(edit), edit);
    } catch {
      say("This browser keeps nothing of this page: download the review before you close it.");
    }
    for (const [id, edit] of changed) edits.set(id, edit);
  }

  function change(values, text) {
    const edit = { ...editOf(line), ...values }, name = `Line ${line.index}`;
    edits.set(line.id, edit);
    drawRow(line);
    drawEditor();
    count();
    if (!isStatic) {
      const save = () => actions.save(edit);
      saving = saving.then(save).then(() => say(`${name}: ${text}, saved.`), (error) => say(`${name} is not saved: ${error.message ?? error}`));
      return;
    }
    changed.set(line.id, edit);
    try {
      localStorage.setItem(key, JSON.stringify([...changed.values()]));
      say(`${name}: ${text}, kept in this browser.`);
    } catch {
      say(`${name}: ${text}; this browser does not keep it: download the review before you close the page.`);
    }
  }

  function download() {
    const wanted = [...edits.values()].filter((edit) => isEdited(edit) || edit.flag || edit.note || changed.has(idOf(edit)));
    const file = new Blob([JSON.stringify({ schema: 1, edits: wanted }, null, 1)], { type: "application/json" });
    const link = make("a", { href: URL.createObjectURL(file), download: "review.json" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(`review.json holds ${wanted.length} edit${wanted.length === 1 ? "" : "s"}.`);
  }

  async function run(button, begin, work) {
    button.disabled = true;
    busy += 1;
    say(begin);
    try {
      await saving;
      await work();
    } catch (error) {
      say(String(error.message ?? error));
    }
    busy -= 1;
    button.disabled = busy > 0;
  }

  const again = () => run(buttons.m, `Line ${line.index} is made again …`, async () => {
    const made = line, { words } = editOf(line);
    const heard = made.takes.filter((other) => other.words === words).map((other) => other.take);
    const answer = await actions.again({ ...editOf(made), take: heard.length ? Math.max(...heard) : null });
    const fresh = { ...answer, url: answer.audio_url, words, lossy: false };
    made.takes.push(fresh);
    if (made === line) choose(fresh, 0);
    say(`Line ${made.index}: take ${fresh.take} is made${fresh.verdict === "doubtful" ? ", in doubt" : ""}. Keep it with c.`);
  });

  const apply = () => run(applyButton, "The files are built again …", async () => {
    const fresh = await actions.apply();
    stop();
    mountReview(root, fresh, actions, { id: line?.id, order: order.value, show: show.value, text: "The files hold all edits now." });
  });

  // ---- hearing

  const whole = new Audio(), alone = new Audio();
  let sound = null; // what plays: its element, where the line begins in it, its end

  async function sourceOf(part) {
    if (!part.inFile && part.url) return { audio: alone, url: part.url, zero_s: 0 };
    if (part.inFile && data.audio[line.edit.document]) return { audio: whole, url: data.audio[line.edit.document], zero_s: line.start_s };
    part.piece ??= await actions.audio(editOf(line), part.key);
    return { audio: part.inFile ? whole : alone, url: part.piece.url, zero_s: part.piece.zero_s };
  }

  async function play(from_s) {
    if (!line) return;
    const turn = (play.turn = (play.turn ?? 0) + 1), leading = from_s < 0 && !take.inFile;
    const part = leading ? line.takes[0] : take;
    sound?.audio.pause();
    sound = null;
    try {
      const source = await sourceOf(part);
      if (turn !== play.turn) return;
      if (source.audio.src !== new URL(source.url, document.baseURI).href) source.audio.src = source.url;
      if (source.audio.readyState < 1)
        await new Promise((done, fail) => {
          source.audio.onloadedmetadata = done;
          source.audio.onerror = () => fail(new Error("the audio cannot be played: is it beside the page?"));
          source.audio.load();
        });
      if (turn !== play.turn) return;
      source.audio.currentTime = Math.max(0, source.zero_s + from_s);
      sound = { ...source, until_s: leading ? 0 : part.seconds, leading };
      at_s = from_s;
      await source.audio.play();
      tick();
    } catch (error) {
      if (turn === play.turn && error.name !== "AbortError") say(`Line ${line.index}: ${error.message}`);
    }
  }

  function tick() {
    if (!sound || sound.audio.paused) return drawHead();
    at_s = sound.audio.currentTime - sound.zero_s;
    if (at_s >= sound.until_s || sound.audio.ended) {
      if (sound.leading) return play(0);
      stop();
      at_s = 0;
    }
    drawHead();
    if (sound) requestAnimationFrame(tick);
  }

  function stop() {
    play.turn = (play.turn ?? 0) + 1;
    sound?.audio.pause();
    sound = null;
    drawHead();
  }

  const toggle = () => (sound ? stop() : play(at_s));
  const seek = (s) => {
    at_s = Math.min(take.seconds, Math.max(0, s));
    sound ? play(at_s) : drawHead();
  };

  // Another take begins where the last one was: the same words are compared.
  function choose(part, from_s = at_s) {
    const plays = sound || from_s !== at_s;
    take = part;
    drawEditor();
    at_s = Math.min(from_s, take.seconds);
    plays ? play(at_s) : drawHead();
  }

  const usable = () => line.takes.filter((part) => part.inFile || part.url || actions.audio);
  const nextTake = () => {
    const parts = usable();
    if (parts.length < 2) say(`Line ${line.index} has no other take to hear.`);
    else choose(parts[(parts.indexOf(take) + 1) % parts.length]);
  };
  const keep = () => {
    const edit = editOf(line);
    if (take.words !== edit.words) return say("This take says other words than the line now has.");
    const isKept = edit.take === take.take;
    change({ take: isKept ? null : take.take }, isKept ? "no take is chosen" : `take ${take.take} is kept`);
  };

  // ---- the lines

  function drawRow(some) {
    const edit = editOf(some);
    if (!some.row) {
      some.row = make("li", {}, make("button", { type: "button", className: "line", ariaExpanded: "false" }));
      some.row.firstChild.review = some;
    }
    const marks = [
      some.verdict === "doubtful" && ["doubt", "in doubt"],
      edit.flag && ["flag", "⚑ flagged"],
      edit.words !== null && ["edit", edit.words === some.spoken ? "words edited" : "words edited, not yet spoken"],
      edit.take !== null && ["edit", `take ${edit.take} kept`],
      edit.note && ["note", `note: ${edit.note}`],
    ].filter(Boolean);
    const place = documents.length > 1 ? `${some.edit.document} ${clock(some.start_s)}` : clock(some.start_s);
    const text = [make("span", { className: "words", dir: "auto", textContent: edit.words ?? some.text })];
    if (some.reason) text.push(make("span", { className: "reason", dir: "auto", textContent: some.reason }));
    if (marks.length) text.push(make("span", { className: "marks" }, ...marks.map(([name, word]) => make("span", { className: name, dir: "auto", textContent: word }))));
    some.row.firstChild.replaceChildren(make("span", { className: "at", textContent: place }), make("span", { className: "body" }, ...text));
  }

  function open(some, focus = true) {
    if (line === some) return focus && some.row.firstChild.focus();
    stop();
    line?.row.classList.remove("open");
    if (line) line.row.firstChild.ariaExpanded = "false";
    line = some;
    if (!some) return editor.remove();
    [take, at_s] = [some.takes[0], 0];
    some.row.classList.add("open");
    some.row.firstChild.ariaExpanded = "true";
    some.row.append(editor);
    drawEditor();
    if (focus) some.row.firstChild.focus({ preventScroll: true });
    if (focus) some.row.scrollIntoView({ block: "nearest" });
  }

  const step = (by) => {
    const next = view[line ? view.indexOf(line) + by : 0];
    if (next) open(next);
  };

  const shows = {
    all: ["all", () => true],
    doubt: ["in doubt", (some) => some.verdict === "doubtful"],
    flagged: ["flagged", (some) => editOf(some).flag],
    edited: ["edited", (some) => isEdited(editOf(some))],
  };

  function count() {
    for (const option of show.options) {
      const [word, holds] = shows[option.value];
      option.textContent = `${word} (${lines.filter(holds).length})`;
    }
  }

  function sift() {
    const sought = search.value.toLowerCase();
    view = lines.filter((some) => shows[show.value][1](some) && (!sought || `${some.text} ${editOf(some).words ?? ""} ${editOf(some).note}`.toLowerCase().includes(sought)));
    if (order.value === "worst") view.sort((some, other) => some.rank - other.rank);
    list.replaceChildren(...view.map((some) => some.row));
    nothing.hidden = view.length > 0;
    if (!view.includes(line)) open(view[0] ?? null, false);
  }

  // ---- the open line

  const wave = make("div", { className: "wave", tabIndex: 0, role: "slider", ariaLabel: "position in the line; left and right arrow move it", ariaValueMin: "0" });
  const head = make("i", { className: "head" }), labels = make("div", { className: "labels", ariaHidden: "true" });
  const says = make("p", { className: "says", dir: "auto" }), takes = make("div", { className: "takes", role: "group", ariaLabel: "takes" });
  const findings = make("ul", { className: "findings" });
  const words = make("textarea", { rows: 3, dir: "auto", maxLength: 2000 }), note = make("input", { dir: "auto", maxLength: 2000 });
  const button = (letter, text, act) => {
    const made = make("button", { type: "button", onclick: act, title: `key: ${letter}`, ariaKeyShortcuts: letter }, text);
    return (buttons[letter] = made);
  };
  const buttons = {};
  button("Space", "Play", toggle);
  button("b", "From 2 s before", () => play(-LEAD_S));
  button("t", "Next take", nextTake);
  button("c", "Keep this take", keep);
  if (actions.again) button("m", "Make again", again);
  button("f", "Flag", () => change({ flag: !editOf(line).flag }, editOf(line).flag ? "no flag" : "flagged"));
  const editor = make("div", { className: "editor", role: "group", ariaLabel: "the open line" },
    wave, says, takes, findings, make("div", { className: "buttons" }, ...Object.values(buttons)),
    make("label", {}, "Words to speak", words), make("label", {}, "Note", note));

  function drawEditor() {
    const edit = editOf(line), parts = usable();
    takes.replaceChildren(...parts.map((part) => make("button", {
      type: "button", ariaPressed: String(part === take), onclick: () => choose(part),
    }, `${part.inFile ? "in the file" : `take ${part.take}`}${part.take === edit.take && part.words === edit.words ? ", kept" : ""}${part.words !== edit.words ? ", other words" : ""}`)));
    takes.hidden = buttons.t.hidden = parts.length < 2;
    findings.replaceChildren(...take.findings.map((finding) => make("li", { dir: "auto", textContent: finding.text })));
    says.replaceChildren(...spans());
    buttons.f.ariaPressed = String(edit.flag);
    buttons.c.ariaPressed = String(edit.take !== null && edit.take === take.take);
    words.value = edit.words ?? line.text.trim();
    note.value = edit.note;
    drawWave();
  }

  // What the take says: its words, each at its time, where times are known.
  function spans() {
    const text = take.inFile ? line.spoken ?? line.text : take.words ?? line.text, parts = [];
    let end = 0;
    for (const [from, to, start_s, end_s] of take.inFile ? line.times : []) {
      const word = make("span", { className: "word", textContent: text.slice(from, to) });
      Object.assign(word, { start_s, end_s, onclick: () => play(start_s) });
      parts.push(text.slice(end, from), word);
      end = to;
    }
    return [...parts, text.slice(end)];
  }

  function drawWave() {
    const here = take.peaks ? bytes(take.peaks) : peaks[line.edit.document];
    const first = take.peaks ? 0 : Math.floor(line.start_s * data.peaks_per_s);
    const levels = here.subarray(first, first + Math.max(2, Math.ceil(take.seconds * data.peaks_per_s)));
    const scale = (HEIGHT / 2 - 2) / Math.max(12, ...levels);
    const top = [...levels].map((level, x) => `${x} ${(HEIGHT / 2 - 0.5 - level * scale).toFixed(1)}`);
    const under = [...levels].map((level, x) => `${x} ${(HEIGHT / 2 + 0.5 + level * scale).toFixed(1)}`).reverse();
    const svg = (tag, values) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
      return element;
    };
    const width = Math.max(1, levels.length - 1), picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const { start_s, end_s, about_all } of take.findings)
      if (!about_all) picture.append(svg("rect", { x: start_s * data.peaks_per_s, width: Math.max(1, (end_s - start_s) * data.peaks_per_s), height: HEIGHT, class: "place" }));
    picture.append(svg("path", { d: levels.length ? `M${top.join("L")}L${under.join("L")}Z` : "" }));
    labels.replaceChildren();
    wave.replaceChildren(picture, labels, head);
    let free = 0;
    for (const word of says.querySelectorAll(".word")) {
      const middle = ((word.start_s + word.end_s) / 2 / take.seconds) * wave.clientWidth, half = 3 + 3.1 * word.textContent.length;
      if (middle - half < free || middle + half > wave.clientWidth) continue;
      const label = make("span", { textContent: word.textContent });
      label.style.left = `${middle}px`;
      labels.append(label);
      free = middle + half;
    }
    wave.ariaValueMax = take.seconds.toFixed(1);
    drawHead();
  }

  function drawHead() {
    if (!line) return;
    const now_s = Math.min(take.seconds, Math.max(0, at_s));
    head.style.left = `${(now_s / take.seconds) * 100}%`;
    wave.ariaValueNow = now_s.toFixed(1);
    wave.ariaValueText = `${now_s.toFixed(1)} of ${take.seconds.toFixed(1)} seconds`;
    buttons.Space.textContent = sound ? "Stop" : "Play";
    for (const word of says.querySelectorAll(".word")) word.classList.toggle("lit", Boolean(sound) && at_s >= word.start_s && at_s < word.end_s);
  }

  const saveWords = () => {
    const text = words.value.trim(), next = text && text !== line.text.trim() ? text : null;
    if (next !== editOf(line).words) change({ words: next, take: null }, next === null ? "the words of the text" : "the words are edited");
    else words.value = next ?? line.text.trim();
  };
  const saveNote = () => note.value.trim() !== editOf(line).note && change({ note: note.value.trim() }, "the note");
  on(words, "change", saveWords);
  on(note, "change", saveNote);
  on(wave, "click", (event) => {
    const box = wave.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * take.seconds);
  });
  on(whole, "timeupdate ended", tick);
  on(alone, "timeupdate ended", tick);

  // ---- keys

  const keys = {
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1), " ": toggle,
    e: () => words.focus(), n: () => note.focus(), Escape: stop,
    ...Object.fromEntries(Object.entries(buttons).map(([letter, made]) => [letter, () => made.disabled || made.click()])),
  };

  on(isStatic ? document : root, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = event.target, field = target.closest?.("textarea, input, select");
    let act = keys[event.key];
    if (field) {
      const leaves = line && (field === words || field === note) && (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey));
      act = leaves && (() => {
        if (event.key === "Escape") drawEditor();
        else field === words ? saveWords() : saveNote();
        line.row.firstChild.focus();
      });
    } else if (target === wave && /^Arrow(Left|Right)$/.test(event.key)) act = () => seek(at_s + (event.key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 2 : 0.5));
    else if (event.key === " " && target.closest?.("button:not(.line), summary, a")) act = null;
    event.stopPropagation();
    if (!act || (!line && !["j", "ArrowDown"].includes(event.key) && !field)) return;
    event.preventDefault();
    act();
  });

  // ---- what stands above the lines

  const options = (pairs) => pairs.map(([value, text]) => make("option", { value, textContent: text }));
  const order = make("select", {}, ...options([["text", "as in the text"], ["worst", "worst first"]]));
  const show = make("select", {}, ...options(Object.entries(shows).map(([value, [text]]) => [value, text])));
  const search = make("input", { type: "search", placeholder: "words, notes" });
  const status = make("p", { className: "status", role: "status" });
  const applyButton = actions.apply ? make("button", { type: "button", onclick: apply }, "Apply to the files") : make("button", { type: "button", onclick: download }, "Download review.json");
  const list = make("ol", { className: "lines" }), nothing = make("p", { className: "nothing", textContent: "No line is like that." });
  const letters = "j k or ↓ ↑: next and previous line · space: play · b: from 2 s before · t: next take · c: keep this take · e: edit the words · n: note · f: flag" + (actions.again ? " · m: make again" : "") + " · Enter: done, Escape: as before";
  const apart = isStatic ? [make("p", { className: "quiet" }, "Your edits are kept in this browser. To use them, download review.json, then: ", make("code", { textContent: data.command }))] : [];
  on(order, "change", sift);
  on(show, "change", sift);
  on(search, "input", sift);
  on(list, "click", (event) => {
    const some = event.target.closest(".line")?.review;
    if (some) open(some === line ? null : some);
  });
  recall();
  lines.forEach(drawRow);
  count();
  order.value = last.order ?? (lines.some(shows.doubt[1]) ? "worst" : "text");
  show.value = last.show ?? "all";
  root.classList.add("chatter-review");
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab takes the letters otherwise
  root.replaceChildren(
    make("div", { className: "bar" }, make("label", {}, "Order ", order), make("label", {}, "Show ", show), make("label", {}, "Search ", search), applyButton, status),
    ...apart, make("p", { className: "quiet keys", textContent: letters }), nothing, list);
  line = null;
  sift();
  const before = lines.find((some) => some.id === last.id);
  if (before) open(before);
  if (last.text) say(last.text);
  new ResizeObserver(() => line && drawWave()).observe(list);
}
