// Runs as the `onload` of a player's picture: the one place where a script reaches a notebook's output,
// a widget and a saved page alike. Without it the picture and the audio element still serve.
// The playhead has the text's colour: what is orange is a seam.
(function start(image) {
  // A picture loads before the audio that follows it in a large page has been read.
  if (document.readyState === "loading") return document.addEventListener("DOMContentLoaded", () => start(image));
  const root = image.closest("[data-player]");
  if (!root?.isConnected || root.dataset.ready) return; // its place may have been filled anew meanwhile
  root.dataset.ready = "yes";
  const { from_s, seconds, noun, marks, name, speakers = [] } = JSON.parse(root.dataset.player);
  const sounds = [...root.querySelectorAll("audio")], wave = image.parentElement; // a result, and its source if it has one
  let [audio] = sounds; // what is heard
  const add = (parent, style) => {
    const made = document.createElement("div");
    made.style.cssText = style;
    return parent.appendChild(made);
  };
  const numbers = add(wave, "position:absolute;inset:0;pointer-events:none;font-size:11px;line-height:1");
  const head = add(wave, "position:absolute;top:0;bottom:0;width:2px;margin-left:-1px;background:currentColor;pointer-events:none");
  const line = document.createElement("div");
  line.style.cssText = "font-size:85%;min-height:1.5em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap;opacity:.8";
  wave.after(line);
  const clock = (s) => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
  const at = (s) => marks.find(([start, end]) => s >= start && s < end);
  const turn = (s) => Math.max(0, marks.findLastIndex(([start]) => s >= start - 0.001)); // also in its pause
  const who = (mark) => speakers[mark?.[5]]?.[0] ?? ""; // of a run with several
  const begins = (place) => who(marks[place]) !== who(marks[place - 1]); // another than before
  const titled = (mark) => `${noun} ${mark[2]}${who(mark) && ", " + who(mark)}`;
  const tell = (s) => {
    const mark = at(s);
    line.textContent = clock(s) + (mark ? `, ${titled(mark)}${mark[3] ? ": " + mark[3] : ""}` : "");
  };
  const now = () => Math.min(seconds, Math.max(0, audio.currentTime - from_s));
  const show = () => {
    head.style.left = `${(now() / seconds) * 100}%`;
    wave.setAttribute("aria-valuenow", now().toFixed(1));
    const mark = at(now());
    wave.setAttribute("aria-valuetext", clock(now()) + (mark ? `, ${titled(mark)}` : ""));
    light(turn(now()));
    follow(chapters.findLastIndex(({ start }) => now() >= start - 0.001));
  };
  // The text, a piece for each chunk: what is spoken is lit, and a click on it moves the player.
  const pieces = [], book = document.createElement("div");
  let lit = -1;
  const light = (number) => {
    const piece = pieces[number];
    if (!piece || number === lit) return;
    pieces[lit]?.removeAttribute("aria-current");
    if (lit >= 0) pieces[lit].style.background = "";
    piece.setAttribute("aria-current", "true");
    piece.style.background = "rgba(111,151,196,.4)";
    lit = number;
    const top = piece.offsetTop, room = book.clientHeight; // scrolls the box, never the page
    if (top < book.scrollTop || top + piece.offsetHeight > book.scrollTop + room) book.scrollTop = top - room / 4;
  };
  const named = (mark) => {
    const label = document.createElement("bdi");
    label.textContent = who(mark);
    label.style.cssText = `font-weight:600;border-inline-start:.4em solid ${speakers[mark[5]][1]};padding-inline-start:.3em`;
    return label;
  };
  const write = () => {
    book.style.cssText = "position:relative;max-height:9em;overflow:auto;margin:.4em 0;line-height:1.5;white-space:pre-line";
    book.tabIndex = 0;
    book.setAttribute("role", "group");
    book.setAttribute("aria-label", `text of ${name}; up and down move by ${noun}, space plays`);
    for (const [place, mark] of marks.entries()) {
      const [start, , , text, ends] = mark, piece = document.createElement("span");
      if (begins(place)) book.append(named(mark), " ");
      piece.textContent = text;
      piece.title = `${titled(mark)}, ${clock(start)}`;
      piece.style.cssText = "cursor:pointer;border-radius:3px;padding:1px 0";
      piece.addEventListener("click", () => seek(start));
      pieces.push(piece);
      book.append(piece, ends ? "\n" : " ");
    }
    book.addEventListener("keydown", press);
    audio.after(book);
  };
  // The list of chapters: a click, or Enter, plays from there; up and down move along it.
  const list = root.querySelector("[data-chapters]"), chapters = [];
  let heard = -1;
  const follow = (number) => {
    if (!list || number === heard) return;
    heard = number;
    chapters.forEach(({ button }, place) => {
      const isHeard = place === number;
      button.style.background = isHeard ? "rgba(111,151,196,.4)" : "none";
      button.ariaCurrent = isHeard ? "true" : null;
      button.tabIndex = place === Math.max(0, number) ? 0 : -1; // one stop for Tab, however many they are
    });
    const { offsetTop, offsetHeight } = chapters[Math.max(0, number)].button;
    if (offsetTop < list.scrollTop || offsetTop + offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = offsetTop;
  };
  const beside = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" };
  if (list) Object.assign(list.style, { position: "relative", maxHeight: "15em", overflow: "auto" });
  for (const item of list?.children ?? []) {
    const button = Object.assign(document.createElement("button"), { type: "button" }), start = Number(item.dataset.start);
    button.style.cssText = "font:inherit;color:inherit;width:100%;text-align:start;padding:.15em .5em;border:0;border-radius:4px;cursor:pointer;background:none";
    button.append(...item.childNodes);
    button.addEventListener("click", () => (seek(start), audio.play()));
    button.addEventListener("keydown", (event) => {
      if (!beside[event.key]) return;
      item[beside[event.key]]?.firstElementChild.focus();
      event.preventDefault();
    });
    item.append(button);
    chapters.push({ start, button });
  }
  const seek = (s) => {
    audio.currentTime = from_s + Math.min(seconds, Math.max(0, s));
    show();
    tell(now());
  };
  const under = (event) => {
    const box = wave.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * seconds;
  };
  const draw = () => {
    numbers.replaceChildren();
    let free = 0;
    for (const [place, mark] of marks.entries()) {
      const [start, end, number] = mark, middle = ((start + end) / 2 / seconds) * wave.clientWidth;
      const wide = wave.clientWidth * (end - start) / seconds > 8 + 7 * who(mark).length;
      const text = begins(place) && wide ? `${number} ${who(mark)}` : String(number);
      const half = 4 + 3.5 * text.length;
      if (marks.length < 2 || middle - half < free) continue;
      const label = document.createElement("span");
      label.textContent = text;
      label.style.cssText = `white-space:nowrap;position:absolute;top:1px;left:${middle}px;transform:translateX(-50%)`;
      numbers.append(label);
      free = middle + half;
    }
  };
  const step = () => {
    show();
    if (!audio.paused) requestAnimationFrame(step);
  };
  const keys = {
    ArrowLeft: (event) => seek(now() - (event.shiftKey ? 5 : 1)),
    ArrowRight: (event) => seek(now() + (event.shiftKey ? 5 : 1)),
    Home: () => seek(0),
    End: () => seek(seconds),
    ArrowUp: () => marks.length && seek(marks[Math.max(0, turn(now()) - 1)][0]),
    ArrowDown: () => marks.length && seek(marks[Math.min(marks.length - 1, turn(now()) + 1)][0]),
    " ": () => (audio.paused ? audio.play() : audio.pause()),
    s: () => sounds[1] && swap(1 - sounds.indexOf(audio)),
  };
  // The source is heard in the result's place, and goes on where the result was.
  const swap = (number) => {
    const [plays, at_s] = [!audio.paused, audio.currentTime];
    audio.pause();
    audio = sounds[number];
    audio.currentTime = at_s;
    choose();
    if (plays) audio.play();
  };
  const choices = ["Result", "Source"].map((textContent, number) =>
    Object.assign(document.createElement("button"), { type: "button", textContent, onclick: () => audio !== sounds[number] && swap(number) }));
  const choose = () => choices.forEach((choice, number) => {
    const isHeard = audio === sounds[number];
    sounds[number].style.display = isHeard ? "" : "none";
    choice.ariaPressed = String(isHeard);
    choice.style.cssText = `font:inherit;color:inherit;padding:.2em .9em;margin:0 .3em .3em 0;border:1px solid currentColor;border-radius:6px;cursor:pointer;background:${isHeard ? "rgba(111,151,196,.4)" : "none"}`;
  });
  const press = (event) => {
    const act = !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
    if (!act) return;
    act(event);
    event.preventDefault();
    event.stopPropagation();
  };
  const ink = getComputedStyle(root).color.match(/[\d.]+/g).slice(0, 3);
  for (const sound of sounds) sound.style.colorScheme = Math.max(...ink) > 150 ? "dark" : "light"; // of a notebook's theme, not the system's
  wave.tabIndex = 0;
  wave.style.cursor = "pointer";
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab takes the arrow keys otherwise
  const label = `position in ${name}; arrow keys move it, up and down by ${noun}, space plays${sounds[1] ? ", s changes to the source and back" : ""}`;
  const values = { role: "slider", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": seconds.toFixed(1) };
  for (const [key, value] of Object.entries(values)) wave.setAttribute(key, value);
  wave.addEventListener("click", (event) => seek(under(event)));
  wave.addEventListener("mousemove", (event) => tell(under(event)));
  wave.addEventListener("mouseleave", () => (line.textContent = ""));
  wave.addEventListener("keydown", press);
  for (const sound of sounds) {
    for (const kind of ["timeupdate", "seeked", "loadedmetadata"]) sound.addEventListener(kind, show);
    sound.addEventListener("play", () => {
      const others = root.closest("[data-together]")?.querySelectorAll("audio") ?? sounds;
      for (const other of others) if (other !== sound) other.pause();
      for (const other of sounds) other.preload = "auto"; // at hand when it is asked for
      step();
    });
  }
  if (sounds[1]) {
    const group = Object.assign(document.createElement("div"), { role: "group", ariaLabel: "what is heard; s changes it" });
    group.append(...choices);
    group.addEventListener("keydown", (event) => event.key === "s" && press(event));
    audio.before(group);
    audio.after(sounds[1]);
    choose();
  }
  // An embedded file is in the page once: its link takes it from the audio element.
  const embedded = audio.querySelector("source").src, link = root.querySelector("a[data-embedded]");
  if (link && embedded.startsWith("data:")) link.href = embedded;
  if (marks.some((mark) => mark[3])) write();
  new ResizeObserver(draw).observe(wave);
  show();
})(this);
