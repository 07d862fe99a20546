// Keeps a page up to date: applies fragments from the server in place, tells when the page is not
// live, and lets people work without a mouse. The page works without this script, but stands still.
"use strict";

const SILENCE_MS = 40_000; // The server sends something every 15 seconds.
const REST_MS = 60_000;
const RETRY_MS = [1_000, 2_000, 5_000, 10_000];
const MAX_LINES = 5_000;
const byId = (id) => document.getElementById(id);

// --- In place --------------------------------------------------------------------------------

function elementOf(html) {
  const template = document.createElement("template");
  template.innerHTML = html; // Scripts in a template don't run, and the page's policy forbids inline ones.
  return template.content.firstElementChild;
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
}

// Changes `old` to look like `fresh`: elements that stay keep focus, selection and scroll position.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    const own = name === "style" || (old.nodeName === "DETAILS" && name === "open");
    if (!fresh.hasAttribute(name) && !own) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.nodeName === "PROGRESS") old.value = Number(fresh.getAttribute("value"));
  morphChildren(old, fresh);
}

function morphChildren(old, fresh) {
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    let found = at;
    while (found && !alike(found, child)) found = found.nextSibling;
    if (!found) {
      old.insertBefore(child, at);
      continue;
    }
    at = removeUntil(at, found).nextSibling;
    morph(found, child);
  }
  removeUntil(at, null);
}

function removeUntil(node, end) {
  while (node !== end) {
    const next = node.nextSibling;
    node.remove();
    node = next;
  }
  return end;
}

// A change of the page: {title, say, drop: [ids], put: [[html, is a row, id of the row before]]}.
// After a lost connection, `rows` has the ids of all rows.
function apply(change) {
  const rows = byId("rows");
  const kept = change.rows && new Set(change.rows);
  const drop = kept && rows ? [...rows.children].map((row) => row.id).filter((id) => !kept.has(id)) : change.drop;
  for (const id of drop) {
    const gone = byId(id);
    if (gone && gone.contains(document.activeElement)) focusNear(gone);
    if (gone) gone.remove();
  }
  for (const [html, list, after] of change.put) {
    const fresh = elementOf(html);
    if (!fresh) continue;
    const old = byId(fresh.id);
    if (old) {
      const phase = phaseOf(old);
      morph(old, fresh);
      if (phase !== phaseOf(old)) flash(old);
    }
    if (list) place(rows, old || fresh, after && byId(after));
  }
  if (change.title) document.title = change.title;
  if (change.say) byId("say").textContent = change.say;
  scrollNew();
  showMore();
  tick();
}

// A row that is where it belongs isn't touched, because moving it would lose the focus.
function place(rows, element, previous) {
  if (element.parentNode === rows && element.previousElementSibling === (previous || null)) return;
  if (previous) previous.after(element);
  else rows.prepend(element);
}

const phaseOf = (element) => element.querySelector(".c-phase .mark")?.textContent;

function flash(element) {
  if (!element.hasAttribute("data-row")) return;
  element.classList.add("changed");
  element.addEventListener("animationend", () => element.classList.remove("changed"), { once: true });
}

// --- Live ------------------------------------------------------------------------------------

class Stream {
  constructor(url, handlers, show, last = null) {
    this.url = url;
    this.handlers = handlers;
    this.show = show;
    this.failures = 0;
    this.last = last; // What the server sent last: the version of the page, or the number of a line.
    this.lostAt = null;
    this.open();
    setInterval(() => this.check(), 5_000);
    for (const event of ["online", "pageshow"]) addEventListener(event, () => this.check());
    document.addEventListener("visibilitychange", () => this.turn());
    addEventListener("pagehide", () => this.source?.close());
  }

  // A page that nobody looks at rests: browsers open six connections to a host, for all its tabs.
  turn() {
    clearTimeout(this.rest);
    if (document.hidden) this.rest = setTimeout(() => { this.isResting = true; this.source.close(); }, REST_MS);
    else if (this.isResting) { this.isResting = false; this.open(); }
    else this.check();
  }

  open() {
    clearTimeout(this.timer);
    this.source?.close();
    if (this.ended) return;
    const url = new URL(this.url, location.href);
    if (this.last !== null) url.searchParams.set("last", this.last);
    const source = new EventSource(url);
    this.source = source;
    this.heardAt = Date.now();
    source.onopen = () => this.heard();
    source.onerror = () => this.lost();
    source.addEventListener("beat", () => this.heard());
    source.addEventListener("leave", () => this.leave());
    for (const [name, handle] of Object.entries(this.handlers)) {
      source.addEventListener(name, (event) => {
        this.heard();
        if (event.lastEventId) this.last = event.lastEventId;
        handle(JSON.parse(event.data), this);
      });
    }
  }

  heard() {
    this.heardAt = Date.now();
    this.failures = 0;
    if (this.lostAt !== null || !this.wasLive) {
      this.lostAt = null;
      this.wasLive = true;
      this.show("live");
    }
  }

  // EventSource gives up after some errors, so the script reconnects itself.
  lost() {
    this.source.close();
    if (this.ended) return;
    this.lostAt ??= Date.now();
    this.show("lost", this.lostAt);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
  }

  // After a laptop's sleep no error is raised: the connection is dead, and silent.
  check() {
    if (!this.ended && !this.isResting && Date.now() - this.heardAt > SILENCE_MS && this.lostAt === null) this.lost();
  }

  end() {
    this.ended = true;
    this.source.close();
  }

  // The server can't serve this page any more, for example because the session has ended.
  leave() {
    this.end();
    location.reload();
  }
}

function showLive(state, at, why) {
  const live = byId("live");
  live.dataset.state = state;
  document.body.toggleAttribute("data-stale", state === "lost");
  const since = at ? new Date(at).toLocaleTimeString() : "";
  const text = state === "live" ? "live" : `not live since ${since}, reconnecting`;
  if (live.textContent !== text) live.textContent = text;
  live.title = why || "";
}

function follow() {
  const { events, version } = document.body.dataset;
  if (!events) return;
  new Stream(
    events,
    {
      change: apply,
      // The server lost its own watch of the cluster.
      upstream: ({ live, since, why }) => (live ? showLive("live") : showLive("lost", since, why)),
    },
    showLive,
    version,
  );
}

// --- Logs ------------------------------------------------------------------------------------

function followLog() {
  const log = byId("log");
  if (!log) return;
  const state = byId("log-state");
  let sought = /^#L\d{1,9}$/.test(location.hash) ? location.hash.slice(1) : null;
  new Stream(
    log.dataset.stream,
    {
      lines: (lines) => {
        const bottom = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
        for (const html of lines) {
          const line = elementOf(html);
          const old = line && byId(line.id);
          if (old) old.replaceWith(line);
          else if (line) log.append(line);
        }
        while (log.childElementCount > MAX_LINES) log.firstElementChild.remove();
        const target = sought && byId(sought);
        if (target) {
          target.classList.add("target");
          target.scrollIntoView({ block: "center" });
          sought = null;
        } else if (bottom && !location.hash) {
          log.scrollTop = log.scrollHeight;
        }
      },
      restart: () => log.replaceChildren(),
      state: (text) => (state.textContent = text),
      done: (text, stream) => {
        state.textContent = text;
        stream.end();
      },
    },
    (live, at) => {
      if (live === "lost") state.textContent = `not live since ${new Date(at).toLocaleTimeString()}, reconnecting`;
    },
  );
}

// --- Clocks ----------------------------------------------------------------------------------

const UNITS = [["y", 31_536_000], ["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]];

// As mljob.render.times writes durations: the two largest units.
function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const at = UNITS.findIndex(([, size]) => whole >= size);
  if (at < 0) return "0s";
  const [unit, size] = UNITS[at];
  const [smaller, smallerSize] = UNITS[at + 1] ?? ["", Infinity];
  const rest = Math.floor((whole % size) / smallerSize);
  return `${Math.floor(whole / size)}${unit}${rest ? `${rest}${smaller}` : ""}`;
}

function tick() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-clock]")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    const text = duration((now - at) / 1000) + (time.dataset.clock === "ago" ? " ago" : "");
    if (time.textContent !== text) time.textContent = text;
    if (time.dataset.local !== time.dateTime) {
      time.dataset.local = time.dateTime;
      time.title = new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
    }
  }
}

// --- Keys ------------------------------------------------------------------------------------

function rowsOfPage() {
  return [...document.querySelectorAll("[data-row] [data-open]")];
}

function step(by) {
  const links = rowsOfPage();
  if (!links.length) return;
  const row = document.activeElement?.closest?.("[data-row]");
  const at = row ? links.findIndex((link) => row.contains(link)) : -1;
  links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + by))].focus();
}

function focusNear(row) {
  const near = row.nextElementSibling || row.previousElementSibling;
  (near?.querySelector("[data-open]") || byId("main")).focus();
}

function chosen() {
  return [...document.querySelectorAll("[data-row] input[type=checkbox]:checked")];
}

function showChosen() {
  const form = byId("comparison");
  if (!form) return;
  form.toggleAttribute("data-some", chosen().length > 0);
  form.querySelector("[data-chosen]").textContent = `${chosen().length} chosen`;
}

const KEYS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  x: () => document.activeElement?.closest?.("[data-row]")?.querySelector("input[type=checkbox]")?.click(),
  c: () => chosen().length && byId("comparison")?.requestSubmit(),
  l: () => {
    const open = document.activeElement?.closest?.("[data-row]")?.querySelector("[data-open]");
    const logs = document.querySelector("[data-logs]");
    if (open && byId("rows")) location.assign(`${open.pathname}?tab=logs`);
    else if (logs) logs.click();
  },
  "?": () => byId("help").showModal(),
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const field = event.target.closest?.("input:not([type=checkbox]), select, textarea");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const act = KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});
document.querySelector("[data-help]")?.addEventListener("click", () => byId("help").showModal());
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-row] input[type=checkbox]")) showChosen();
  else if (event.target.matches("[data-filters] select")) event.target.form.requestSubmit();
});
// Filters without a value don't belong in the URL.
document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-filters]")) return;
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  setTimeout(() => { for (const field of event.target.elements) field.disabled = false; });
});

// Logs' ends and graphs scroll once, when they appear: with the page, or later with a change.
const scrolled = new WeakSet();

function scrollNew() {
  for (const [selector, scroll] of [[".tail", scrollToEnd], [".graph", scrollToTask]]) {
    for (const element of document.querySelectorAll(selector)) {
      if (!scrolled.has(element)) scroll(element);
      scrolled.add(element);
    }
  }
}

// The end of a log opens with the beginning of a line, also where lines are wrapped.
function scrollToEnd(tail) {
  tail.scrollTop = tail.scrollHeight;
  const edge = tail.getBoundingClientRect().top + tail.clientTop;
  const tops = [...tail.querySelectorAll(".line")].map((line) => line.getBoundingClientRect().top - edge);
  const cut = tops.find((top) => top > -1);
  if (tail.scrollTop > 0 && cut > 1) {
    tail.style.maxHeight = `${tail.offsetHeight - cut}px`;
    tail.scrollTop = tail.scrollHeight;
  }
}

// --- Graphs ----------------------------------------------------------------------------------

// Tells on which sides of a graph there is more of it.
function showMore() {
  for (const frame of document.querySelectorAll("[data-graph]")) {
    const graph = frame.firstElementChild;
    const [right, bottom] = [graph.scrollWidth - graph.clientWidth, graph.scrollHeight - graph.clientHeight];
    const sides = { left: graph.scrollLeft > 1, right: graph.scrollLeft < right - 1, top: graph.scrollTop > 1, bottom: graph.scrollTop < bottom - 1 };
    frame.dataset.more = Object.keys(sides).filter((side) => sides[side]).join(" ");
  }
}

// A graph shows its beginning, unless the task that matters now is beyond its edge.
function scrollToTask(graph) {
  const box = graph.querySelector(".box.tone-bad, .box.tone-busy, .box.tone-waiting");
  if (box) {
    const [frame, place] = [graph.getBoundingClientRect(), box.getBoundingClientRect()];
    const beyond = (end, edge, size) => (end > edge ? end - edge + size : 0);
    graph.scrollBy(beyond(place.right, frame.right, place.width), beyond(place.bottom, frame.bottom, place.height));
  }
}
for (const event of ["scroll", "resize"]) addEventListener(event, showMore, { capture: true, passive: true });
scrollNew();
showMore();

addEventListener("pageshow", showChosen);
setInterval(tick, 1_000);
tick();
follow();
followLog();
