// The web page's own script. While a run is made, its live player lights the chunk that is spoken;
// the finished run's player goes on where the live player is.
(function () {
  const startsIn = (result) => [...result.querySelectorAll("[data-starts]")].pop()?.dataset.starts.split(",").map(Number) ?? [];
  const light = (audio) => {
    const result = audio.closest(".result"), said = result.querySelector(".said");
    const now = startsIn(result).filter((start) => start <= audio.currentTime).length - 1;
    [...said.children].forEach((span, index) => {
      const isNew = index === now && !span.classList.contains("lit");
      span.classList.toggle("lit", index === now);
      if (isNew) said.scrollTop = span.offsetTop - said.clientHeight / 3; // the box, never the page
    });
  };
  document.addEventListener("timeupdate", ({ target }) => target.closest(".live") && light(target), true);
  document.addEventListener("click", ({ target }) => {
    const span = target.closest?.(".live .said span"), result = span?.closest(".result");
    const start = span && startsIn(result)[[...span.parentElement.children].indexOf(span)];
    if (start !== undefined && span) result.querySelector(".live audio").currentTime = start;
  });

  // An earlier run's settings: a hidden button of Gradio's brings them into the form.
  const tabOf = (element) => element.closest('[role="tabpanel"]');
  document.addEventListener("click", ({ target }) => {
    if (!target.matches?.(".use-run")) return;
    window.chosenRun = target.closest(".take").dataset.run;
    tabOf(target).querySelector("button.use").click();
    window.showForm = () => tabOf(target).querySelector(".main").querySelector("textarea, input").focus();
  });

  // ▶ beside a voice: its sample, which the service makes once. Returns what is wrong, as HTML.
  const sample = new Audio();
  window.hearVoice = async (engine, voice) => {
    const button = document.querySelector(".hear-voice"), text = (button.dataset.text ??= button.textContent.trim());
    const say = (words = text) => (button.textContent = words);
    if (button.ariaBusy === "true") return "";
    if (!sample.paused) return sample.pause(), "";
    document.body.append(sample);
    sample.onplay = () => say("■ Stop");
    sample.onpause = () => say();
    button.ariaBusy = "true";
    say("Making it …");
    try {
      const query = engine === "auto" ? "" : `?engine=${encodeURIComponent(engine)}`;
      const answer = await fetch(`/api/v1/voices/${encodeURIComponent(voice)}/sample${query}`);
      if (!answer.ok) throw new Error((await answer.json()).detail);
      URL.revokeObjectURL(sample.src);
      sample.src = URL.createObjectURL(await answer.blob());
      await sample.play();
      return "";
    } catch (error) {
      say();
      const wrong = Object.assign(document.createElement("p"), { className: "status wrong", role: "alert", textContent: error.message });
      return wrong.outerHTML;
    } finally {
      button.ariaBusy = null;
    }
  };

  // Gradio's lists drop the focus with the choice, a little later, and stay open where it leaves by
  // Tab. It is back before the next key, unless it has gone elsewhere.
  document.addEventListener("keydown", ({ key, target }) => {
    if (!target.matches('[role="combobox"]')) return;
    const close = () => target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    const back = ({ relatedTarget }) => relatedTarget || queueMicrotask(() => (target.focus(), close()));
    if (key === "Tab") setTimeout(close);
    if (key === "Enter") target.addEventListener("blur", back, { once: true });
  }, true);

  // One sound at a time.
  const hush = (other) => document.querySelectorAll("audio").forEach((audio) => audio !== other && audio.pause());
  document.addEventListener("play", ({ target }) => hush(target), true);

  const goOn = (live, take) => {
    take.preload = "auto";
    take.load();
    take.addEventListener("loadedmetadata", () => {
      const isHeard = !live.ended && !(live.paused && live.currentTime); // it may not have begun yet
      take.currentTime = live.currentTime;
      live.closest(".live").querySelectorAll(".live audio, .live .said").forEach((part) => part.remove());
      if (isHeard) take.play().catch(() => {});
    }, { once: true });
  };
  new MutationObserver(() => {
    for (const live of document.querySelectorAll(".live audio:not([data-goes-on])")) {
      const take = document.querySelector(`.take[data-run="${live.dataset.run}"] audio`);
      if (!take) continue;
      live.dataset.goesOn = "yes";
      goOn(live, take);
    }
  }).observe(document, { childList: true, subtree: true });

  // The lines of a run in the service's hands: shown once its fold is opened.
  customElements.define("chatter-review", class extends HTMLElement {
    connectedCallback() {
      const fold = this.closest("details");
      fold.addEventListener("toggle", () => fold.open && !this.review && this.show());
      for (const kind of ["click", "keydown"]) this.addEventListener(kind, () => hush());
    }

    async ask(path, edit) {
      const body = JSON.stringify({ schema: 1, edits: edit ? [edit] : [] });
      const post = { method: "POST", headers: { "Content-Type": "application/json" }, body };
      const answer = await fetch(this.getAttribute("src") + path, path ? post : {});
      const value = await answer.json();
      if (!answer.ok) throw new Error(value.detail);
      return value;
    }

    async show() {
      const actions = {
        save: (edit) => this.ask("/edits", edit),
        again: (edit) => this.ask("/again", edit),
        apply: async () => {
          const data = await this.ask("/apply");
          this.closest(".take").querySelector(".player").innerHTML = data.player;
          return data;
        },
      };
      try {
        mountReview(this, await this.ask(""), actions);
      } catch (error) {
        this.textContent = error.message;
      }
    }
  });
})();
