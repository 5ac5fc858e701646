// The edits of a run's lines, each by its line's place: kept by `save`, a function that returns a promise,
// or else in the browser, which offers them as a file. `onText` gets what a person is told.
function reviewEdits({ lines, name, save, onText }) {
  const edits = new Map(), changed = new Map(), key = `chatter review ${name}`;
  const idOf = (edit) => [edit.document, edit.start, edit.end, edit.text_sha256].join(":");
  const isWanted = ([id, edit]) => edit.words !== null || edit.take !== null || edit.flag || edit.note || changed.has(id);
  let saving = Promise.resolve();

  function recall() {
    for (const line of lines) edits.set((line.id = idOf(line.edit)), line.edit);
    if (save) return;
    try {
      for (const edit of JSON.parse(localStorage.getItem(key)) ?? [])
        if (edits.has(idOf(edit))) changed.set(idOf(edit), edit);
    } catch {
      onText("This browser keeps nothing of this page: download the review before you close it.");
    }
    for (const [id, edit] of changed) edits.set(id, edit);
  }

  function change(line, values, text) {
    const edit = { ...edits.get(line.id), ...values }, said = `Line ${line.index}: ${text}`;
    edits.set(line.id, edit);
    if (save) {
      saving = saving.then(() => save(edit)).then(() => onText(`${said}, saved.`), (error) => onText(`${said}, but not saved: ${error.message ?? error}`));
      return;
    }
    changed.set(line.id, edit);
    try {
      localStorage.setItem(key, JSON.stringify([...changed.values()]));
      onText(`${said}, kept in this browser.`);
    } catch {
      onText(`${said}. This browser does not keep it: download the review before you close the page.`);
    }
  }

  function download() {
    const wanted = [...edits].filter(isWanted).map(([, edit]) => edit);
    const text = JSON.stringify({ schema: 1, edits: wanted }, null, 1), link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "review.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    onText(`review.json holds ${wanted.length} edit${wanted.length === 1 ? "" : "s"}.`);
  }

  return { of: (line) => edits.get(line.id), saved: () => saving, recall, change, download };
}
