// A button that asks for a text and puts it on the clipboard. The text is made when it is asked for.
function render({ model, el }) {
  const button = document.createElement("button");
  const status = document.createElement("span");
  button.type = "button";
  button.className = "jupyter-button lm-Widget chatter-copy"; // looks like its neighbours
  button.textContent = model.get("label");
  button.title = model.get("tooltip_text");
  status.className = "chatter-upload-status";
  status.setAttribute("role", "status");
  el.append(button, status);

  button.addEventListener("click", () => {
    status.textContent = "";
    model.send({ kind: "asked" });
  });
  const answer = async (message) => {
    if (message.text === undefined) return;
    try {
      await navigator.clipboard.writeText(message.text);
      status.textContent = "copied";
    } catch {
      status.textContent = "copy it from the field below";
    }
  };
  model.on("msg:custom", answer);
  return () => model.off("msg:custom", answer);
}
export default { render };
