// What is seen and heard of a line: its waveform with words, and one sound at a time.

// A player of takes. `sourceOf(take)` promises { audio, url, zero_s }: an element, an address, and where
// the line begins in it. Times count from the line's start; below 0 is what comes before the line.
function reviewSound({ sourceOf, onTick, onError }) {
  let sound = null, turn = 0;
  const player = { at_s: 0, get plays() { return Boolean(sound); }, play, stop };

  function stop() {
    turn += 1;
    sound?.audio.pause();
    sound = null;
    onTick();
  }

  // `lead` is the take that is in the file: before the line, only it can be heard.
  async function play(take, from_s, lead = take) {
    stop();
    const mine = turn, part = from_s < 0 ? lead : take;
    player.at_s = from_s;
    try {
      const source = await sourceOf(part);
      if (mine !== turn) return;
      await load(source);
      if (mine !== turn) return;
      source.audio.currentTime = Math.max(0, source.zero_s + from_s);
      const leads = part !== take;
      sound = { ...source, until_s: leads ? 0 : part.seconds, then: leads && (() => play(take, 0)) };
      await source.audio.play();
      tick();
    } catch (error) {
      if (mine !== turn || error.name === "AbortError") return;
      stop();
      onError(error);
    }
  }

  function load({ audio, url }) {
    if (audio.src !== new URL(url, document.baseURI).href) audio.src = url;
    if (audio.readyState > 0) return null;
    return new Promise((done, fail) => {
      audio.onloadedmetadata = done;
      audio.onerror = () => fail(new Error("its audio cannot be played: it should lie beside this page"));
      audio.ontimeupdate = audio.onended = tick; // a page in the background gets no frames
      audio.load();
    });
  }

  function tick() {
    if (!sound) return;
    player.at_s = sound.audio.currentTime - sound.zero_s;
    if (player.at_s >= sound.until_s || sound.audio.ended) {
      if (sound.then) return sound.then();
      player.at_s = 0;
      return stop();
    }
    onTick();
    requestAnimationFrame(tick);
  }

  return player;
}

// A waveform, a slider of the place in the line. `draw` gets levels of 0 to 127, `per_s` a second, and
// the elements of the take's words, with their times.
function reviewWave({ per_s, onSeek }) {
  const HEIGHT = 56, SVG = "http://www.w3.org/2000/svg";
  const element = document.createElement("div"), head = document.createElement("i"), labels = document.createElement("div");
  Object.assign(element, { className: "wave", tabIndex: 0, role: "slider", ariaLabel: "position in the line; left and right arrow move it", ariaValueMin: "0" });
  [head.className, labels.className, labels.ariaHidden] = ["head", "labels", "true"];
  let take = null;

  const shape = (tag, values) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(values)) made.setAttribute(name, value);
    return made;
  };

  function draw(levels, drawn, words) {
    take = drawn;
    const width = Math.max(1, levels.length - 1), middle = HEIGHT / 2, scale = (middle - 2) / Math.max(12, ...levels);
    const edge = (sign) => [...levels].map((level, x) => `${x} ${(middle + sign * (0.5 + level * scale)).toFixed(1)}`);
    const picture = shape("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const { start_s, end_s, about_all } of take.findings)
      if (!about_all) picture.append(shape("rect", { x: start_s * per_s, width: Math.max(1, (end_s - start_s) * per_s), height: HEIGHT, class: "place" }));
    if (levels.length) picture.append(shape("path", { d: `M${edge(-1).join("L")}L${edge(1).reverse().join("L")}Z` }));
    element.replaceChildren(picture, labels, head);
    element.ariaValueMax = take.seconds.toFixed(1);
    name(words);
  }

  function name(words) {
    let free = 0;
    labels.replaceChildren();
    for (const { textContent: text, start_s, end_s } of words) {
      const middle = ((start_s + end_s) / 2 / take.seconds) * element.clientWidth, half = 3 + 3.1 * text.length;
      if (middle - half < free || middle + half > element.clientWidth) continue;
      const label = document.createElement("span");
      label.textContent = text;
      label.style.left = `${middle}px`;
      labels.append(label);
      free = middle + half;
    }
  }

  function show(at_s) {
    const now_s = Math.min(take.seconds, Math.max(0, at_s));
    head.style.left = `${(now_s / take.seconds) * 100}%`;
    element.ariaValueNow = now_s.toFixed(1);
    element.ariaValueText = `${now_s.toFixed(1)} of ${take.seconds.toFixed(1)} seconds`;
  }

  element.addEventListener("click", (event) => {
    const box = element.getBoundingClientRect();
    onSeek(((event.clientX - box.left) / box.width) * take.seconds);
  });
  return { element, draw, show };
}
