// A button that asks for a text and puts it on the clipboard. The text is made when it is asked for.
function render({ model, el }) {
  const button = document.createElement("button");
  const told = document.createElement("span");
  button.type = "button";
  button.className = "jupyter-button lm-Widget chatter-copy"; // looks like its neighbours
  button.textContent = model.get("label");
  button.title = model.get("tooltip_text");
  told.className = "chatter-upload-told";
  told.setAttribute("role", "status");
  el.append(button, told);

  button.addEventListener("click", () => {
    told.textContent = "";
    model.send({ kind: "asked" });
  });
  const answer = async (message) => {
    if (message.text === undefined) return;
    try {
      await navigator.clipboard.writeText(message.text);
      told.textContent = "copied";
    } catch {
      told.textContent = "copy it from the field below";
    }
  };
  model.on("msg:custom", answer);
  return () => model.off("msg:custom", answer);
}
export default { render };
