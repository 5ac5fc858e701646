// A file picker that sends a file in parts, each after the last was taken: one message with all of
// it would be refused by the server beyond 10 MB, and the connection closed without a word.
function render({ model, el }) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  const status = document.createElement("span");
  label.className = "chatter-upload";
  label.append(model.get("label") + " ", input);
  input.type = "file";
  input.accept = model.get("accept");
  input.disabled = model.get("disabled");
  status.className = "chatter-upload-status";
  status.setAttribute("role", "status");
  el.append(label, status);

  let file = null;
  let sent = 0;
  let turn = ""; // answers to an earlier file's parts, or to another view's, are passed over

  const size = (bytes) =>
    bytes >= 1e9 ? (bytes / 1e9).toFixed(1) + " GB" : (bytes / 1e6).toFixed(1) + " MB";

  async function sendPart() {
    const mine = turn;
    const part = await file.slice(sent, sent + model.get("part_bytes")).arrayBuffer();
    if (mine !== turn) return;
    const about = { kind: "part", turn, offset: sent, last: sent + part.byteLength >= file.size };
    sent += part.byteLength;
    model.send(about, undefined, [part]);
  }

  input.addEventListener("change", () => {
    file = input.files[0];
    if (!file) return;
    turn = Math.random().toString(36).slice(2);
    sent = 0;
    const limit = model.get("limit_bytes");
    if (file.size > limit) {
      status.textContent =
        `${file.name} has ${size(file.size)}; up to ${size(limit)} can be uploaded. ` +
        "Put it beside the notebook and give its path instead.";
      input.value = "";
      return;
    }
    status.textContent = `sending ${file.name} …`;
    model.send({ kind: "begin", turn, name: file.name, size: file.size });
  });

  const answer = (message) => {
    if (!file || message.turn !== turn) return;
    if (message.kind === "more") {
      if (file.size) {
        const share = Math.round((100 * sent) / file.size);
        status.textContent = `sending ${file.name}: ${share} %`;
      }
      sendPart().catch((error) => {
        status.textContent = `${file.name} could not be read: ${error.message}`;
        input.value = "";
      });
    } else {
      status.textContent = message.text;
      file = null;
      input.value = ""; // so that the same file can be chosen again
    }
  };
  const disable = () => { input.disabled = model.get("disabled"); };
  model.on("msg:custom", answer);
  model.on("change:disabled", disable);
  return () => {
    model.off("msg:custom", answer);
    model.off("change:disabled", disable);
  };
}
export default { render };
