// The review workspace: everything by key. The form beneath works without this script.

const GOAL_S = 30; // what a case should take at most
const typing = (element) => element.matches?.("input:not([type=range]), textarea, select");

class ReviewCase extends HTMLElement {
  connectedCallback() {
    if (this.form) return;
    this.started = performance.now();
    this.form = this.querySelector("form");
    this.lines = this.querySelector("[data-lines]");
    this.search = this.querySelector("[data-search]");
    this.found = this.querySelector("#found");
    this.choices = [...this.querySelector("template[data-choices]").content.children];
    this.total = this.querySelector("[data-total]");
    this.asking = null; // `correct` or `waive` while a reason is asked for
    this.ask(null);
    this.form.addEventListener("click", (event) => this.click(event));
    this.form.addEventListener("input", (event) => { if (event.target.name === "count") this.draw(); });
    // A line that opens under a pressed mouse moves what is pressed away: with a mouse, the click selects.
    this.form.addEventListener("pointerdown", () => { this.pointed = true; });
    this.form.addEventListener("focusin", (event) => { const line = event.target.closest(".edit"); if (line && !this.pointed) this.select(line, { focus: false }); });
    this.form.addEventListener("submit", (event) => this.submit(event), true);
    this.search.addEventListener("input", () => this.look());
    this.search.addEventListener("keydown", (event) => this.searchKey(event));
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey);
    this.timer = setInterval(() => this.tick(), 250);
    this.select(this.edits[0], { focus: false });
    this.draw();
    this.tick();
    const first = this.querySelector(".edit[data-loose] [data-seek], .edit [data-seek]");
    if (first && !matchMedia("(prefers-reduced-motion: reduce)").matches) document.querySelector("clip-player")?.show?.(Number(first.dataset.seek));
  }

  disconnectedCallback() {
    document.removeEventListener("keydown", this.onKey);
    clearInterval(this.timer);
  }

  get edits() { return [...this.lines.querySelectorAll(".edit")]; }
  get current() { return this.lines.querySelector(".edit[aria-current=true]"); }
  get seconds() { return (performance.now() - this.started) / 1000; }
  get changed() { return this.edits.some((line) => !("loose" in line.dataset) && this.count(line) !== Number(line.dataset.count)); }

  count(line) { return Number(line.querySelector("[name=count]")?.value || 0); }

  tick() {
    const seconds = this.seconds;
    this.querySelector("[data-timer]").textContent = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
    this.querySelector(".timer .run").style.strokeDashoffset = Math.max(0, 100 - (100 * seconds) / GOAL_S);
    this.querySelector(".timer").classList.toggle("late", seconds > GOAL_S);
  }

  select(line, { focus = true } = {}) {
    for (const other of this.edits) other.setAttribute("aria-current", String(other === line));
    if (!line) return;
    if (!focus) return;
    line.focus({ preventScroll: true });
    line.scrollIntoView({ block: "nearest" });
  }

  move(by) {
    const edits = this.edits;
    const next = edits[Math.min(edits.length - 1, Math.max(0, edits.indexOf(this.current) + by))];
    if (!next) return;
    this.select(next);
    const seek = next.querySelector("[data-seek]");
    if (seek) document.querySelector("clip-player")?.show(Number(seek.dataset.seek));
  }

  step(line, by) {
    const input = line?.querySelector("[name=count]");
    if (!input) return;
    input.value = Math.min(99, Math.max(0, Number(input.value) + by));
    this.draw();
  }

  /** Put one more of a SKU into the basket. */
  add(sku) {
    let line = this.edits.find((edit) => edit.dataset.sku === sku);
    if (!line) {
      const choice = this.choices.find((button) => button.dataset.sku === sku);
      line = this.querySelector("template[data-line]").content.firstElementChild.cloneNode(true);
      Object.assign(line.dataset, { sku, minor: choice?.dataset.minor ?? 0 });
      line.setAttribute("aria-label", choice?.dataset.name ?? sku);
      line.querySelector(".line-name").prepend(choice?.dataset.name ?? sku);
      line.querySelector(".line-sub").textContent = sku;
      line.querySelector("[name=sku]").value = sku;
      const picture = choice?.querySelector("img");
      if (picture) line.querySelector(".pack").replaceChildren(picture.cloneNode());
      line.querySelector("[name=count]").value = 0;
      this.lines.querySelector("[data-nothing]")?.remove();
      this.lines.append(line);
    }
    this.step(line, 1);
    this.select(line);
  }

  swap(line, sku) {
    if (line.dataset.sku === sku) return;
    this.step(line, -1);
    this.add(sku);
  }

  draw() {
    let minor = 0;
    for (const line of this.edits) {
      if ("loose" in line.dataset) continue;
      const count = this.count(line);
      minor += count * Number(line.dataset.minor || 0);
      line.classList.toggle("changed", count !== Number(line.dataset.count));
      line.classList.toggle("gone", count === 0);
    }
    const digits = Number(this.total.dataset.digits);
    const words = this.total.dataset.currency ? `${(minor / 10 ** digits).toFixed(digits)} ${this.total.dataset.currency}` : "";
    const correct = this.querySelector("[data-corrected]");
    if (correct) correct.textContent = this.changed ? words : "";
    if (this.changed) this.total.textContent = words;
    const accept = this.form.querySelector("[value=accept]");
    accept?.classList.toggle("button-main", !this.changed);
    this.form.querySelector("[value=correct]")?.classList.toggle("button-main", this.changed);
  }

  // ------------------------------------------------------------- deciding

  ask(action) {
    this.asking = action;
    for (const set of this.querySelectorAll("[data-codes]")) set.hidden = set.dataset.codes !== action;
    for (const button of this.querySelectorAll("[data-code]")) button.setAttribute("aria-pressed", "false");
    if (action) this.querySelector(`[data-codes=${action}] [data-code]`)?.focus();
  }

  decide(action, code) {
    const button = this.form.querySelector(`[name=action][value=${action}]`);
    if (!button || this.sent) return;
    this.form.elements.reason_code.value = code;
    this.form.elements.seconds.value = this.seconds.toFixed(1);
    this.sent = true;
    this.form.requestSubmit(button);
  }

  submit(event) {
    if (this.sent) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.choose(event.submitter?.value ?? "accept");
  }

  choose(action) {
    if (action === "accept" && this.changed) action = "correct";
    if (action === "accept") this.decide("accept", "as_proposed");
    else this.ask(this.asking === action ? null : action);
  }

  click(event) {
    const at = (name) => event.target.closest(`[data-${name}]`);
    const line = event.target.closest(".edit");
    if (at("step")) this.step(line, Number(at("step").dataset.step));
    else if (at("swap")) this.swap(line, at("swap").dataset.swap);
    else if (at("add")) this.add(at("add").dataset.add);
    else if (at("code")) this.decide(this.asking, at("code").dataset.code);
    else if (event.target.closest("#found button")) this.pick(event.target.closest("#found button"));
    if (line?.isConnected && !at("swap") && !at("add")) this.select(line, { focus: false });
  }

  key(event) {
    this.pointed = false;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") { this.ask(null); this.search.blur(); return; }
    const inCount = event.target.name === "count";
    if (typing(event.target) && !inCount) return;
    const digit = /^[1-9]$/.test(event.key) ? Number(event.key) : 0;
    const actions = {
      a: () => this.choose("accept"), c: () => this.choose("correct"), w: () => this.choose("waive"),
      ArrowDown: () => this.move(1), ArrowUp: () => this.move(-1), j: () => this.move(1),
      "+": () => this.step(this.current, 1), "=": () => this.step(this.current, 1), "-": () => this.step(this.current, -1),
      "/": () => this.search.focus(),
    };
    let action = actions[event.key] ?? actions[event.key.toLowerCase()];
    if (digit && this.asking) action = () => this.querySelectorAll(`[data-codes=${this.asking}] [data-code]`)[digit - 1]?.click();
    else if (digit && !inCount) action = () => this.current?.querySelector(`[data-key="${digit}"]`)?.click();
    if (!action) return;
    event.preventDefault();
    action();
  }

  // ------------------------------------------------------------ searching

  look() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = words.length ? this.choices.filter((choice) => words.every((word) => `${choice.dataset.name} ${choice.dataset.sku}`.toLowerCase().includes(word))).slice(0, 8) : [];
    this.found.replaceChildren(...hits.map((choice) => choice.cloneNode(true)));
    this.found.hidden = !hits.length;
    this.search.setAttribute("aria-expanded", String(hits.length > 0));
    this.mark(0);
  }

  mark(index) {
    const options = [...this.found.children];
    options.forEach((option, at) => { option.setAttribute("aria-selected", String(at === index)); option.id = `option-${at}`; });
    if (options[index]) { options[index].scrollIntoView({ block: "nearest" }); this.search.setAttribute("aria-activedescendant", options[index].id); }
    else this.search.removeAttribute("aria-activedescendant");
  }

  pick(option) {
    this.search.value = "";
    this.look();
    this.add(option.dataset.sku);
  }

  searchKey(event) {
    const options = [...this.found.children];
    const index = options.findIndex((option) => option.getAttribute("aria-selected") === "true");
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); this.mark(Math.min(options.length - 1, Math.max(0, index + (event.key === "ArrowDown" ? 1 : -1)))); }
    if (event.key === "Enter") { event.preventDefault(); if (options[index]) this.pick(options[index]); }
  }
}
customElements.define("review-case", ReviewCase);
