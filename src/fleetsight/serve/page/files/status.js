// The status page: looks again every two seconds, and moves traffic through the control API.

const LOOK_MS = 2000;
let changes = 0; // an answer that was asked for before a change says nothing about after it

// ------------------------------------------------------------------- live
function showTimes() {
  for (const element of document.querySelectorAll("time")) {
    element.textContent = new Date(element.dateTime).toLocaleTimeString([], { hourCycle: "h23" });
  }
}

async function look() {
  const asked = changes;
  try {
    const answer = await fetch("/status", { cache: "no-store" });
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.getElementById("offline").hidden = true;
    if (asked === changes) show(fresh);
  } catch {
    document.getElementById("offline").hidden = false;
  }
}

function show(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (next && next.innerHTML !== old.innerHTML) old.replaceChildren(...next.childNodes);
  }
  for (const slider of document.querySelectorAll(".range")) {
    const next = fresh.getElementById(slider.id);
    if (next && !slider.closest("form").dataset.moving) set(slider, Number(next.value));
  }
  showTimes();
}

// ---------------------------------------------------------------- traffic
function set(slider, percent) {
  slider.value = percent;
  slider.setAttribute("aria-valuetext", `${percent} per cent`);
  slider.parentElement.querySelector(".percent").textContent = `${percent} %`;
}

// The others share what is left in the proportion they had.
function rebalance(moved, others) {
  const left = 100 - Number(moved.value);
  const before = others.reduce((sum, other) => sum + Number(other.value), 0);
  let given = 0;
  others.forEach((other, at) => {
    const part = before ? Number(other.value) / before : 1 / others.length;
    const share = at === others.length - 1 ? left - given : Math.round(left * part);
    given += share;
    set(other, share);
  });
  set(moved, Number(moved.value));
}

async function put(form, shares) {
  const model = form.closest("[data-model]").dataset.model;
  const said = form.querySelector(".said");
  changes += 1;
  try {
    const answer = await fetch(`/v1/models/${encodeURIComponent(model)}/split`, {
      method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ shares }),
    });
    const told = await answer.json();
    said.classList.toggle("bad", !answer.ok);
    said.textContent = answer.ok ? `In force after ${told.took_ms} ms.` : told.error.message;
  } catch {
    said.classList.add("bad");
    said.textContent = "The service did not answer; nothing is known to have changed.";
  }
  delete form.dataset.moving;
  await look();
}

for (const form of document.querySelectorAll("form.traffic")) {
  const sliders = [...form.querySelectorAll(".range")];
  const shares = () => Object.fromEntries(sliders.map((slider) => [slider.name, Number(slider.value)]));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    form.dataset.moving = "yes";
    rebalance(event.target, sliders.filter((slider) => slider !== event.target));
  });
  form.addEventListener("change", () => put(form, shares()));
  form.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if (button.dataset.all) {
      for (const slider of sliders) set(slider, slider.name === button.dataset.all ? 100 : 0);
      put(form, shares());
    } else {
      put(form, null);
    }
  });
}

showTimes();
setInterval(() => { if (!document.hidden) look(); }, LOOK_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
