// The clip with its events: seek by tick, by range, by key; slow motion and single frames.

const FRAME_S = 1 / 30; // the usual rate of our clips; a step over a slower clip shows the same frame twice
const LEAD_S = 0.7; // an event is seen from a little before it
const typing = (element) => element.matches?.("input:not([type=range]), textarea, select");

class ClipPlayer extends HTMLElement {
  connectedCallback() {
    if (this.video) return;
    this.video = this.querySelector("video");
    this.video.controls = false;
    this.range = this.querySelector(".range");
    this.now = this.querySelector("[data-now]");
    this.ticks = [...this.querySelectorAll(".tick")];
    for (const tick of this.ticks) {
      tick.addEventListener("click", () => this.show(Number(tick.dataset.at)));
      tick.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); this.show(Number(tick.dataset.at)); }
      });
    }
    for (const button of this.querySelectorAll("[data-do]")) button.addEventListener("click", () => this.do(button.dataset.do));
    for (const button of this.querySelectorAll("[data-rate]")) button.addEventListener("click", () => this.rate(Number(button.dataset.rate)));
    this.range.addEventListener("input", () => { this.video.pause(); this.video.currentTime = Number(this.range.value); });
    this.video.addEventListener("click", () => this.do("play"));
    for (const name of ["play", "pause", "seeked", "timeupdate", "loadedmetadata"]) this.video.addEventListener(name, () => this.draw());
    this.draw();
  }

  /** Seek to an event and play through it. */
  show(atS) {
    this.video.currentTime = Math.max(0, atS - LEAD_S);
    this.video.play().catch(() => {}); // a browser may refuse to play before the first click; the frame is shown anyway
  }

  do(what) {
    const video = this.video;
    const times = this.ticks.map((tick) => Number(tick.dataset.at));
    if (what === "play") video.paused ? video.play().catch(() => {}) : video.pause();
    if (what === "back" || what === "forward") { video.pause(); video.currentTime += what === "back" ? -FRAME_S : FRAME_S; }
    if (what === "after") this.step(times.find((at) => at - LEAD_S > video.currentTime + 0.05));
    if (what === "before") this.step(times.findLast((at) => at - LEAD_S < video.currentTime - 0.6));
    if (what === "slow") this.rate(video.playbackRate < 1 ? 1 : 0.25);
    if (what === "full") document.fullscreenElement ? document.exitFullscreen() : this.video.requestFullscreen?.();
  }

  step(atS) { if (atS !== undefined) this.show(atS); }

  rate(value) {
    this.video.playbackRate = value;
    for (const button of this.querySelectorAll("[data-rate]")) button.setAttribute("aria-pressed", String(Number(button.dataset.rate) === value));
  }

  draw() {
    const { currentTime, paused } = this.video;
    this.now.textContent = currentTime.toFixed(1);
    if (document.activeElement !== this.range || !paused) this.range.value = currentTime;
    this.querySelector("[data-when=paused]").hidden = !paused;
    this.querySelector("[data-when=playing]").hidden = paused;
    for (const tick of this.ticks) tick.classList.toggle("now", Math.abs(Number(tick.dataset.at) - currentTime) < 0.5);
    if (!paused && !this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; if (this.isConnected) this.draw(); });
  }
}
customElements.define("clip-player", ClipPlayer);

const KEYS = { " ": "play", k: "play", ",": "back", ".": "forward", ArrowLeft: "back", ArrowRight: "forward", n: "after", p: "before", s: "slow", f: "full" };
document.addEventListener("keydown", (event) => {
  const player = document.querySelector("clip-player");
  if (!player || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const action = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!action || (event.key === " " && event.target.closest("button, summary, a"))) return;
  event.preventDefault();
  player.do(action);
});
document.addEventListener("click", (event) => {
  const seek = event.target.closest?.("[data-seek]");
  if (seek) document.querySelector("clip-player")?.show(Number(seek.dataset.seek));
});
