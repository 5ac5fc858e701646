// Plays pieces of a sound as they come, one after the other without a gap, and tells how many
// samples have been played: the kernel sends no more than is needed soon.
function initialize({ model }) {
  let context = null;
  let turn = -1; // of the sound that is played; another sound stops it
  let end_s = 0; // on the context's clock
  let played = 0;
  const sources = new Set();

  function stop() {
    for (const source of sources) {
      source.onended = null;
      source.stop();
    }
    sources.clear();
  }

  function begin(message) {
    stop();
    context?.close();
    // At the sound's own rate: pieces that are resampled one by one do not meet.
    context = new AudioContext({ sampleRate: message.rate });
    [turn, end_s, played] = [message.turn, 0, 0];
  }

  function play(view) {
    const pcm = new Int16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    const sound = context.createBuffer(1, pcm.length, context.sampleRate);
    sound.copyToChannel(Float32Array.from(pcm, (value) => value / 32768), 0);
    const source = context.createBufferSource();
    source.buffer = sound;
    source.connect(context.destination);
    source.onended = () => {
      sources.delete(source);
      played += pcm.length;
      model.send({ turn, played });
    };
    end_s = Math.max(end_s, context.currentTime + 0.05);
    source.start(end_s);
    end_s += sound.duration;
    sources.add(source);
  }

  model.on("msg:custom", (message, buffers) => {
    if (message.kind === "stop") return stop();
    if (message.turn !== turn) begin(message);
    buffers.forEach(play);
  });
}

export default { initialize };
