// What every page needs: times in the reader's zone, countdowns, the notice that the connection is gone, strips at their middle.

document.body.classList.add("enhanced");

// ------------------------------------------------------------------ times
// The server's clock counts: the page says when it was made, and the difference to our clock is kept.
let aheadMs = 0;
const FORMS = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" },
  date: { day: "numeric", month: "short", year: "numeric" },
  both: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
};

function lasted(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

function showTimes() {
  const nowMs = Date.now() + aheadMs;
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const distance = (nowMs - Date.parse(element.dateTime)) / 1000;
    const words = distance < -0.5 ? `in ${lasted(-distance)}` : `${lasted(Math.max(0, distance))} ago`;
    if (element.textContent !== words) element.textContent = words;
    if (!element.title) element.title = new Date(element.dateTime).toLocaleString();
  }
  for (const element of document.querySelectorAll("time[data-clock]")) {
    const words = new Intl.DateTimeFormat(navigator.language, FORMS[element.dataset.clock]).format(new Date(element.dateTime));
    if (element.textContent !== words) element.textContent = words;
  }
}

function arrived() {
  const live = document.getElementById("live");
  if (live?.dataset.now) aheadMs = Number(live.dataset.now) - Date.now();
  showTimes();
}

arrived();
setInterval(showTimes, 1000);
document.addEventListener("htmx:after:swap", arrived);

// ------------------------------------------------------------- connection
const offline = document.getElementById("offline");
const connected = (yes) => { offline.hidden = yes; };
document.addEventListener("htmx:error", () => connected(false));
document.addEventListener("htmx:after:request", (event) => {
  const status = event.detail.ctx?.response?.status ?? 0;
  connected(status > 0 && status < 500);
  if (status === 401 || status === 404) location.reload();
});
addEventListener("offline", () => connected(false));
addEventListener("online", () => connected(true));

// A tab that nobody sees asks for nothing.
document.addEventListener("htmx:config:request", (event) => {
  if (document.hidden && event.detail.ctx?.request?.method === "GET") event.preventDefault();
});

// ---------------------------------------------------------------- sign-in
// A sign-in link carries its token behind the #, which browsers keep from servers and their logs.
const gate = document.querySelector("form[data-sign-in]");
if (gate && location.hash.length > 1) {
  gate.elements.token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname + location.search);
  gate.requestSubmit();
}

// -------------------------------------------------------------- countdown
customElements.define("count-down", class extends HTMLElement {
  connectedCallback() {
    const left = Number(this.dataset.left);
    const whole = Number(this.dataset.whole || left || 1);
    const endMs = performance.now() + left * 1000;
    const ring = this.querySelector(".left");
    const seconds = this.querySelector("[data-seconds]");
    const show = () => {
      const now = Math.max(0, (endMs - performance.now()) / 1000);
      if (seconds) seconds.textContent = Math.ceil(now);
      if (ring) ring.style.strokeDashoffset = 100 - (100 * now) / whole;
      if (now > 0) return;
      clearInterval(this.timer);
      if (!this.dataset.expired) return;
      this.textContent = this.dataset.expired;
      this.closest("form")?.querySelector("button:not([type=button])")?.setAttribute("disabled", "");
    };
    this.timer = setInterval(show, 250);
    show();
  }
  disconnectedCallback() { clearInterval(this.timer); }
});

// ------------------------------------------------------------------ strip
customElements.define("frame-strip", class extends HTMLElement {
  connectedCallback() {
    // Loaded or shown, whichever comes last: then the picture has a width, and its middle is the moment itself.
    const seen = new ResizeObserver(() => {
      if (this.scrollWidth <= this.clientWidth) return;
      this.scrollLeft = (this.scrollWidth - this.clientWidth) / 2;
      seen.disconnect();
    });
    seen.observe(this.querySelector("img"));
  }
});
