// Plays pieces of a sound as they come, one after the other without a gap, and tells how many samples have
// been played: the kernel sends no more than is needed soon. A form shows the sound as it grows: a waveform,
// and the text with the spoken chunk lit; a click on either moves it. When the finished player is there, it
// goes on in a chunk's pause.
const MOST_SAMPLES = 20 * 60 * 24000; // 58 MB
const views = new Map(); // by the widget's key: what is shown lives as long as the page

function initialize({ model }) {
  let context = null;
  let turn = -1; // of the sound that is played; another sound stops it
  let end_s = 0; // on the context's clock
  let played = 0, received_s = 0, total_s = 1;
  let pieces = [], ends_s = [], levels = []; // of chunks; the loudest sample of each 600th
  let sounds = [], kept = 0, gone_s = 0; // the last samples, to go back to; what came before them
  let ending = 0, drawing = 0; // timers
  const sources = new Set();
  const view = document.createElement("div"), canvas = document.createElement("canvas"), book = document.createElement("div");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "waveform, as far as it is made");
  [canvas.width, canvas.height] = [1200, 96];
  canvas.style.cssText = "display:block;width:100%;max-width:60em;height:48px";
  book.style.cssText = "position:relative;max-height:9em;max-width:60em;overflow:auto;line-height:1.5;white-space:pre-line";
  book.tabIndex = 0;
  canvas.onclick = ({ offsetX }) => seek((offsetX / canvas.clientWidth) * Math.max(total_s, received_s));
  view.append(canvas, book);
  view.hidden = true;
  views.set(model.get?.("key"), view);

  const heard_s = () => received_s - Math.max(0, end_s - (context?.currentTime ?? 0));

  function stop() {
    for (const source of sources) {
      source.onended = null;
      source.stop();
    }
    sources.clear();
    view.hidden = true;
  }

  // Plays again what is here from `from_s` on; what is not here yet follows.
  function seek(from_s) {
    if (!(from_s < received_s)) return;
    stop();
    [view.hidden, end_s, received_s] = [false, 0, gone_s];
    for (const pcm of sounds) play(pcm, Math.max(from_s, gone_s));
    draw();
    if (ending) hand_over();
  }

  function begin(message) {
    stop();
    context?.close();
    // At the sound's own rate: pieces that are resampled one by one do not meet.
    context = new AudioContext({ sampleRate: message.rate });
    [turn, end_s, played, received_s] = [message.turn, 0, 0, 0];
    [levels, ends_s, total_s, ending] = [[], [], message.total_s || 1, 0];
    [sounds, kept, gone_s] = [[], 0, 0];
    pieces = (message.texts ?? []).map((text, at) => Object.assign(document.createElement("span"), {
      textContent: text + " ", onclick: () => seek(at ? ends_s[at - 1] : 0) }));
    book.replaceChildren(...pieces);
    view.hidden = !pieces.length;
  }

  function receive(view) {
    const pcm = new Int16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    kept += pcm.length;
    for (sounds.push(pcm); kept > MOST_SAMPLES && sounds.length > 1; kept -= sounds.shift().length)
      gone_s += sounds[0].length / context.sampleRate;
    pcm.forEach((value, at) => {
      const bin = Math.floor(((received_s + at / context.sampleRate) / total_s) * 600);
      levels[bin] = Math.max(levels[bin] ?? 0, Math.abs(value));
    });
    play(pcm, 0);
  }

  function play(pcm, from_s) {
    const skip_s = from_s - received_s;
    received_s += pcm.length / context.sampleRate;
    const until_s = received_s;
    if (until_s <= from_s) return;
    const sound = context.createBuffer(1, pcm.length, context.sampleRate);
    sound.copyToChannel(Float32Array.from(pcm, (value) => value / 32768), 0);
    const source = context.createBufferSource();
    source.buffer = sound;
    source.connect(context.destination);
    source.onended = () => {
      sources.delete(source);
      played = Math.max(played, Math.round(until_s * context.sampleRate));
      model.send({ turn, played });
    };
    end_s = Math.max(end_s, context.currentTime + 0.05);
    source.start(end_s, Math.max(0, skip_s));
    end_s += sound.duration - Math.max(0, skip_s);
    sources.add(source);
  }

  function draw() {
    const bins = Math.max(600, levels.length), loudest = Math.max(1600, ...levels.filter(Boolean)), pen = canvas.getContext("2d");
    pen.clearRect(0, 0, 1200, 96);
    pen.fillStyle = "#6f97c4"; // mid tones: they read on white and on black
    levels.forEach((level, bin) => pen.fillRect((bin / bins) * 1200, 47 - (level / loudest) * 46, 1200 / bins, 2 + (level / loudest) * 92));
    pen.fillStyle = "#d1602b";
    pen.fillRect((heard_s() / Math.max(total_s, received_s)) * 1200, 0, 3, 96);
    const lit = ends_s.findIndex((chunk_end_s) => chunk_end_s > heard_s() + 0.06); // sound begins a little later
    const now = pieces[lit < 0 ? Math.min(ends_s.length, pieces.length - 1) : lit];
    if (now && now.getAttribute("aria-current") === null) {
      for (const piece of book.querySelectorAll("[aria-current]")) {
        piece.removeAttribute("aria-current");
        piece.style.background = "";
      }
      now.setAttribute("aria-current", "true");
      now.style.background = "rgba(111,151,196,.4)";
      book.scrollTop = now.offsetTop - book.clientHeight / 4;
    }
    clearTimeout(drawing); // each piece that comes draws as well
    if (sources.size) drawing = setTimeout(draw, 100);
  }

  // The finished player takes over where a chunk ends: there, nobody hears the change.
  function hand_over() {
    const end = ends_s.find((chunk_end_s) => chunk_end_s > heard_s()) ?? received_s;
    const last = end >= (ends_s.at(-1) ?? 0), mine = turn;
    clearTimeout(ending);
    ending = setTimeout(() => {
      if (turn !== mine) return;
      const audio = last ? null : view.closest(".chatter-form")?.querySelector("audio");
      stop();
      if (!audio) return;
      audio.currentTime = end;
      audio.play();
    }, Math.max(0, end - heard_s()) * 1000);
  }

  // "Run all" leaves a notebook at its last cell, and an off-screen form out of the page.
  function look(tries = 0) {
    const form = view.closest(".chatter-form");
    if (view.isConnected && form) {
      const fits = form.clientHeight < 0.7 * innerHeight;
      return (fits ? form : (form.querySelector(".chatter-result") ?? form)).scrollIntoView({ block: "nearest" });
    }
    const notebook = document.querySelector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer");
    if (notebook && !tries) notebook.scrollTop = 0;
    if (tries < 200) setTimeout(() => look(tries + 1), 20);
  }

  model.on("msg:custom", (message, buffers) => {
    if (message.kind === "look") return look();
    if (message.kind === "stop") return stop();
    if (message.kind === "end" && message.turn !== turn) return; // nothing of it was heard
    if (message.turn !== turn) begin(message);
    if (message.kind === "joined") ends_s.push(...message.ends_s);
    if (message.kind === "end") hand_over();
    buffers?.forEach(receive);
    if (buffers?.length && pieces.length) draw();
  });
}

function render({ model, el }) {
  el.append(views.get(model.get("key")) ?? "");
}

export default { initialize, render };
