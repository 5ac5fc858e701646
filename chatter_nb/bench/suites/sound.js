// Notes what begins to play: `sounding` becomes an audio element, in the document or not, or samples whose
// time has come. Run again, it forgets what has played.
() => {
  const isNew = window.sounding === undefined;
  window.sounding = null;
  if (!isNew) return;
  const hear = ({ target }) => (window.sounding = target);
  const { play } = HTMLMediaElement.prototype, { start } = AudioBufferSourceNode.prototype;
  document.addEventListener("playing", hear, true);
  HTMLMediaElement.prototype.play = function () {
    this.addEventListener("playing", hear);
    return play.call(this);
  };
  AudioBufferSourceNode.prototype.start = function (at_s = 0) {
    setTimeout(hear, (at_s - this.context.currentTime) * 1000, { target: this });
    start.call(this, at_s);
  };
  // All of it is inside the window, and nothing covers it, such as the edge of a part that scrolls.
  window.isInView = () => {
    const { x, y, width, height, bottom } = window.sounding.getBoundingClientRect();
    const middle = document.elementFromPoint(x + width / 2, y + height / 2);
    return y >= 0 && bottom <= innerHeight && middle === window.sounding;
  };
};
