// The one editor of a run's lines: hear, mark, edit words, choose takes. A static page, a notebook and
// the web page show it. What only some can do is in `actions`, functions that return promises:
// save(edit), again(edit), apply(), audio(edit, key). Without `save`, edits stay in the browser.
function mountReview(root, data, actions = {}, last = {}) {
  const LEAD_S = 2;
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const bytes = (text) => Uint8Array.from(atob(text ?? ""), (letter) => letter.charCodeAt(0));
  const isStatic = !actions.save, lines = data.lines, documents = Object.keys(data.audio);
  const peaks = Object.fromEntries(documents.map((name) => [name, bytes(data.peaks[name])]));
  const say = (text) => (status.textContent = text);
  const edits = reviewEdits({ lines, name: `${data.run} ${data.started}`, save: actions.save, onText: say });
  const editOf = edits.of;
  let view = lines, line = null, take = null, busy = 0;
  root.review?.abort(); // of an earlier editor in this place
  root.review = new AbortController();
  const { signal } = root.review;

  // ---- what is wanted and made

  const isEdited = ({ words, take }) => words !== null || take !== null;
  const isKept = (part) => editOf(line).take === part.take && editOf(line).words === part.words;

  function change(values, text) {
    edits.change(line, values, text);
    drawRow(line);
    drawEditor();
    count();
  }

  async function run(text, work) {
    busy += 1;
    buttons.m.disabled = applyButton.disabled = true;
    say(text);
    try {
      await edits.saved();
      await work();
    } catch (error) {
      say(String(error.message ?? error));
    }
    busy -= 1;
    buttons.m.disabled = applyButton.disabled = busy > 0;
  }

  const again = () => run(`Line ${line.index} is made again …`, async () => {
    const some = line, edit = editOf(line);
    const heard = some.takes.filter((part) => part.words === edit.words).map((part) => part.take);
    const fresh = await actions.again({ ...edit, take: heard.length ? Math.max(...heard) : null });
    some.takes.push({ ...fresh, url: fresh.audio_url, words: edit.words });
    say(`Line ${some.index}: take ${fresh.take} is made${fresh.verdict === "doubtful" ? ", and in doubt" : ""}. “Keep this take” keeps it.`);
    if (some !== line) return;
    choose(some.takes.at(-1));
    sound.play(take, 0);
  });

  const apply = () => run("The files are built again …", async () => {
    const fresh = await actions.apply();
    sound.stop();
    mountReview(root, fresh, actions, { id: line?.id, order: order.value, show: show.value, text: "The files hold all edits." });
  });

  // ---- hearing

  const whole = new Audio(), alone = new Audio();
  const sound = reviewSound({ sourceOf, onTick: drawHead, onError: (error) => say(`Line ${line?.index}: ${error.message}`) });
  const wave = reviewWave({ per_s: data.peaks_per_s, onSeek: seek });

  async function sourceOf(part) {
    const audio = part.in_file ? whole : alone, url = part.in_file ? data.audio[line.edit.document] : part.url;
    if (url) return { audio, url, zero_s: part.in_file ? line.start_s : 0 };
    part.piece ??= await actions.audio(line.edit, part.key);
    return { audio, ...part.piece };
  }

  const play = (from_s) => sound.play(take, from_s, line.takes[0]);
  const toggle = () => (sound.plays ? sound.stop() : play(sound.at_s));

  function seek(s) {
    sound.at_s = Math.min(take.seconds, Math.max(0, s));
    sound.plays ? play(sound.at_s) : drawHead();
  }

  // Another take begins where the last one was: the same words are compared.
  function choose(part) {
    take = part;
    drawEditor();
    if (sound.plays) play(Math.min(sound.at_s, take.seconds));
  }

  const usable = () => line.takes.filter((part) => part.in_file || part.peaks);
  const nextTake = () => choose(usable()[(usable().indexOf(take) + 1) % usable().length]);

  function keep() {
    if (take.words !== editOf(line).words) return say("This take says other words than the line has now.");
    const kept = isKept(take);
    change({ take: kept ? null : take.take }, kept ? "no take is chosen" : `take ${take.take} is kept`);
  }

  // ---- the lines

  function drawRow(some) {
    const edit = editOf(some), reason = some !== line && some.reason ? `: ${some.reason}` : ""; // the open line lists them
    some.row ??= make("li", {}, make("button", { type: "button", className: "line", line: some }));
    some.row.classList.toggle("open", some === line);
    some.row.firstChild.ariaExpanded = String(some === line);
    const marks = [
      some.verdict === "doubtful" && ["doubt", `in doubt${reason}`],
      some.unspoken && ["note", `not spoken: ${some.unspoken}`],
      some.said && ["note", `said: ${some.said}`],
      edit.flag && ["mark", "⚑ flagged"],
      edit.words !== null && ["mark", edit.words === some.takes[0].words ? "words edited" : "words edited, not yet in the files"],
      edit.take !== null && ["mark", `take ${edit.take} kept`],
      edit.note && ["note", `note: ${edit.note}`],
    ].filter(Boolean);
    const place = documents.length > 1 ? `${some.edit.document} ${clock(some.start_s)}` : clock(some.start_s);
    const who = make("span", { className: "speaker", dir: "auto", textContent: some.speaker });
    who.style.setProperty("--speaker", some.colour);
    some.row.firstChild.replaceChildren(
      make("span", { className: "at", textContent: place }),
      make("span", { className: "body" },
        ...(some.speaker ? [who] : []),
        make("span", { className: "words", dir: "auto", textContent: edit.words ?? some.text }),
        ...marks.map(([className, textContent]) => make("span", { className, dir: "auto", textContent }))));
  }

  function open(some, focus = true) {
    if (line !== some) {
      sound.stop();
      const both = [line, some].filter(Boolean);
      [line, take, sound.at_s] = [some, some?.takes[0], 0];
      both.forEach(drawRow);
      if (!some) return editor.remove();
      some.row.append(editor);
      drawEditor();
    }
    if (!some || !focus) return;
    some.row.firstChild.focus({ preventScroll: true });
    some.row.scrollIntoView({ block: "nearest" });
  }

  function step(by) {
    const next = view[line ? view.indexOf(line) + by : 0];
    if (next) open(next);
  }

  const shows = {
    all: ["all", () => true],
    doubt: ["in doubt", (some) => some.verdict === "doubtful"],
    flagged: ["flagged", (some) => editOf(some).flag],
    edited: ["edited", (some) => isEdited(editOf(some))],
  };

  function count() {
    for (const option of show.options) option.textContent = `${shows[option.value][0]} (${lines.filter(shows[option.value][1]).length})`;
  }

  function sift() {
    const sought = search.value.toLowerCase();
    const says = (some) => `${some.text} ${editOf(some).words ?? ""} ${editOf(some).note}`.toLowerCase();
    view = lines.filter((some) => shows[show.value][1](some) && (!sought || says(some).includes(sought)));
    if (order.value === "worst") view.sort((some, other) => some.rank - other.rank);
    list.replaceChildren(...view.map((some) => some.row));
    nothing.hidden = view.length > 0;
    if (!view.includes(line)) open(view[0] ?? null, false);
  }

  // ---- the open line

  const buttons = {};
  for (const [letter, text, act] of [
    [" ", "Play", toggle], ["b", "From 2 s before", () => play(-LEAD_S)], ["t", "Next take", nextTake], ["c", "Keep this take", keep],
    ["m", "Make again", again], ["f", "Flag", () => change({ flag: !editOf(line).flag }, editOf(line).flag ? "no flag" : "flagged")],
  ]) buttons[letter] = make("button", { type: "button", onclick: act, textContent: text, ariaKeyShortcuts: letter === " " ? "Space" : letter });
  buttons.m.hidden = !actions.again;
  const takes = make("div", { className: "takes", role: "group", ariaLabel: "takes" }), findings = make("ul", { className: "findings" });
  const words = make("textarea", { rows: 2, dir: "auto", maxLength: 2000, onchange: keepField });
  const note = make("input", { dir: "auto", maxLength: 2000, onchange: keepField });
  const editor = make("div", { className: "editor", role: "group", ariaLabel: "the open line" },
    wave.element, takes, findings, make("div", { className: "buttons" }, ...Object.values(buttons)),
    make("label", {}, "Words to speak", words), make("label", {}, "Note", note));

  function drawEditor() {
    const edit = editOf(line), parts = usable();
    takes.replaceChildren(...parts.map((part) => make("button", { type: "button", ariaPressed: String(part === take), onclick: () => choose(part) },
      `take ${part.take}${part.in_file ? ", in the file" : ""}${isKept(part) ? ", kept" : ""}${part.words !== edit.words ? ", other words" : ""}`)));
    takes.hidden = buttons.t.hidden = parts.length < 2;
    findings.replaceChildren(...take.findings.map(({ text }) => make("li", { dir: "auto", textContent: text })));
    buttons.f.ariaPressed = String(edit.flag);
    buttons.c.ariaPressed = String(isKept(take));
    for (const field of [words, note]) if (root.getRootNode().activeElement !== field) fill(field); // who types is not interrupted
    drawWords();
    drawWave();
  }

  // In the row: the words that the take says, each at its time, where times are known. Their places
  // count letters, of which a string may hold two for an emoji.
  function drawWords() {
    const place = line.row.querySelector(".words"), edit = editOf(line), letters = [...(line.spoken ?? line.text)];
    place.textContent = edit.words ?? line.text;
    if (!take.in_file || take.words !== edit.words) return;
    let end = 0;
    place.textContent = "";
    for (const [from, to, start_s, end_s] of line.times) {
      const word = make("span", { className: "word", textContent: letters.slice(from, to).join(""), start_s, end_s });
      place.append(letters.slice(end, from).join(""), word);
      end = to;
    }
    place.append(letters.slice(end).join(""));
  }

  const shownWords = () => [...line.row.querySelectorAll(".word")];
  function drawWave() {
    const first = take.in_file ? Math.floor(line.start_s * data.peaks_per_s) : 0;
    const levels = take.in_file ? peaks[line.edit.document] : bytes(take.peaks);
    wave.draw(levels.subarray(first, first + Math.ceil(take.seconds * data.peaks_per_s)), take, shownWords());
    drawHead();
  }

  function drawHead() {
    if (!line) return;
    wave.show(sound.at_s);
    buttons[" "].textContent = sound.plays ? "Stop" : "Play";
    for (const word of shownWords())
      word.classList.toggle("lit", sound.at_s > 0 && sound.at_s >= word.start_s && sound.at_s < word.end_s);
  }

  const fill = (field) => (field.value = field === words ? editOf(line).words ?? line.text.trim() : editOf(line).note);

  function keepField({ target }) {
    const text = target.value.trim(), edit = editOf(line), next = text && text !== line.text.trim() ? text : null;
    if (target === note && text !== edit.note) change({ note: text }, "the note is written");
    if (target === words && next !== edit.words) change({ words: next, take: null }, next === null ? "the words of the text are back" : "the words are edited");
  }

  // ---- keys

  const keys = {
    j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1),
    e: () => words.focus(), n: () => note.focus(), Escape: sound.stop,
  };
  for (const [letter, button] of Object.entries(buttons)) keys[letter] = () => button.hidden || button.click();

  function leave(field, isKept) {
    isKept ? keepField({ target: field }) : fill(field);
    line.row.firstChild.focus();
  }

  function actOf({ key, target, shiftKey }) {
    const field = target.closest?.("textarea, input, select");
    if (field === words || field === note)
      return key === "Escape" || (key === "Enter" && !shiftKey) ? () => leave(field, key === "Enter") : null;
    if (field || (key === " " && target.closest?.("button:not(.line), summary, a"))) return null;
    if (target === wave.element) {
      const by_s = shiftKey ? 2 : 0.5, to_s = { ArrowLeft: sound.at_s - by_s, ArrowRight: sound.at_s + by_s, Home: 0, End: take.seconds }[key];
      if (to_s !== undefined) return () => seek(to_s);
    }
    return line || key === "j" || key === "ArrowDown" ? keys[key] : null;
  }

  (isStatic ? document : root).addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const act = actOf(event);
    if (!act) return;
    event.preventDefault();
    act();
  }, { signal });

  // ---- what stands above the lines

  const choice = (pairs) => make("select", { onchange: sift }, ...pairs.map(([value, textContent]) => make("option", { value, textContent })));
  const order = choice([["text", "as in the text"], ["worst", "worst first"]]);
  const show = choice(Object.entries(shows).map(([value, [text]]) => [value, text]));
  const search = make("input", { type: "search", placeholder: "words, notes", oninput: sift });
  const status = make("p", { className: "said", role: "status" });
  const applyButton = make("button", { type: "button", onclick: actions.apply ? apply : edits.download }, actions.apply ? "Apply to the files" : "Download review.json");
  const list = make("ol", { className: "lines" }), nothing = make("p", { className: "nothing", textContent: "No line is like that." });
  const letters = `j k or ↓ ↑: next and previous line · space: play · b: from 2 s before · t: next take · c: keep this take${
    actions.again ? " · m: make again" : ""} · e: edit the words · n: note · f: flag · Enter: done, Escape: as before`;
  const about = isStatic ? [make("p", { className: "quiet" }, "Your edits are kept in this browser. To use them, download review.json, then: ", make("code", { textContent: data.command }))] : [];
  list.onclick = ({ target }) => {
    const some = target.closest(".line")?.line;
    if (some && some === line && target.start_s !== undefined) play(target.start_s);
    else if (some) open(some === line ? null : some);
  };
  edits.recall();
  lines.forEach(drawRow);
  count();
  order.value = last.order ?? (lines.some(shows.doubt[1]) ? "worst" : "text");
  show.value = last.show ?? "all";
  root.classList.add("chatter-review", ...(isStatic ? [] : ["inside"])); // inside a page: its lines scroll alone
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab takes the letters otherwise
  root.replaceChildren(
    make("div", { className: "bar" }, make("label", {}, "Order ", order), make("label", {}, "Show ", show), make("label", {}, "Search ", search), applyButton, status),
    ...about, make("p", { className: "quiet", textContent: letters }), nothing, list);
  sift();
  if (last.id) open(lines.find((some) => some.id === last.id) ?? line);
  if (last.text) say(last.text);
  new ResizeObserver(() => line && drawWave()).observe(list);
}
