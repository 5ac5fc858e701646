// The editor in a notebook: what it asks for, the kernel answers by messages.
function render({ model, el }) {
  const view = crypto.randomUUID?.() ?? String(Math.random()), waiting = new Map();
  const ask = (kind, values) => new Promise((done, fail) => {
    const turn = `${view} ${waiting.size} ${performance.now()}`;
    waiting.set(turn, { done, fail });
    model.send({ turn, kind, ...values });
  });
  const hear = ({ turn, value, error }) => {
    const asked = waiting.get(turn);
    waiting.delete(turn);
    error ? asked?.fail(new Error(error)) : asked?.done(value);
  };
  const data = () => structuredClone(model.get("data")); // each view of the widget has rows of its own
  const actions = {
    save: (edit) => ask("save", { edit }),
    again: (edit) => ask("again", { edit }),
    audio: (edit, key) => ask("audio", { edit, key }),
    apply: () => ask("apply", {}).then(data),
  };
  const draw = () => model.get("data").lines && mountReview(el, data(), actions);
  model.on("msg:custom", hear);
  model.on("change:data", draw);
  draw();
  return () => {
    model.off("msg:custom", hear);
    model.off("change:data", draw);
    el.review?.abort();
  };
}

export default { render };
