// The page of `nsrfc review`: plain JavaScript, no request to anything but the server that sent it.
// A screen is a function that fills <main>, and returns what its keys do.

const main = document.querySelector("main");
const STEP = 60;

// The token comes once, after the # of the address, which no server sees; each tab keeps it for itself.
const token = (() => {
  const given = location.hash.match(/^#token=([\w-]+)$/);
  if (given) {
    sessionStorage.setItem("token", given[1]);
    history.replaceState(null, "", "#/questions");
  }
  return sessionStorage.getItem("token") ?? "";
})();

// --- Small helpers

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false && child !== 0));
  return node;
}

const key = (name) => el("kbd", { "aria-hidden": "true" }, name);
const many = (n, one, more = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : more}`;
const titled = (group) => group.name ?? (group.id[0] === "p" ? "Person without a name" : "Not named yet");
const button = (label, shortcut, act, attributes = {}) =>
  el("button", { type: "button", "aria-keyshortcuts": shortcut, onclick: act, ...attributes },
    label, shortcut ? " " : null, shortcut ? key(shortcut) : null);

let quiet = 0;
function tell(text, ...more) {
  const place = document.querySelector("#said");
  place.replaceChildren(text, ...more);
  clearTimeout(quiet);
  quiet = setTimeout(() => place.replaceChildren(), more.length ? 15000 : 6000);
  complain("");
}
function complain(text) {
  document.querySelector("#wrong").textContent = text;
  if (text) document.querySelector("#said").replaceChildren();
}

class Refused extends Error {
  constructor(answer, status) { super(answer.error ?? "The server gave no answer."); Object.assign(this, { answer, status }); }
}

async function ask(path, body) {
  const request = { headers: { "X-Token": token } };
  if (body !== undefined) Object.assign(request, { method: "POST", body: JSON.stringify(body) });
  let reply;
  try { reply = await fetch(path, request); } catch {
    throw new Refused({ error: "The server does not answer: is nsrfc review still running?" }, 0);
  }
  const answer = await reply.json().catch(() => ({}));
  if (!reply.ok) throw new Refused(answer, reply.status);
  return answer;
}

// --- What was said in this tab, so that "undo" takes back what this human said last, and no other

const said = JSON.parse(sessionStorage.getItem("said") ?? "[]");
function remember(change) {
  change();
  sessionStorage.setItem("said", JSON.stringify(said.slice(-1000)));
  document.querySelector("#undo").disabled = !said.length;
}

// Words go to the server one after another, in the order in which they were said.
let before = Promise.resolve();
function inTurn(act) {
  const result = before.then(act);
  before = result.catch(() => {});
  return result;
}

const say = (word, body, message) => inTurn(async () => {
  const answer = await ask(`/api/say/${word}`, body);
  remember(() => said.push({ acts: answer.acts, words: answer.words.join("; ") }));
  tell(message ?? `${answer.words.join("; ")}.`);
  return answer;
});

// Says something where nothing else is to be done about a refusal but to show it.
async function trySay(...args) {
  try { return await say(...args); } catch (error) { complain(error.message); return null; }
}

const undo = (acts) => inTurn(async () => {
  const last = acts ? { acts } : said.at(-1);
  if (!last) return tell("Nothing was said in this tab that is not undone; the history can undo more.");
  const forget = () => remember(() => {
    const at = said.findLastIndex((each) => each.acts.join() === last.acts.join());
    if (at >= 0) said.splice(at, 1);
  });
  try {
    const { words } = await ask("/api/say/undo", { acts: last.acts });
    tell(last.words ? `Undone: ${last.words}.` : `${words.join("; ")}.`);
    forget();
    screen.undone?.(last.acts);
  } catch (error) {
    complain(error.message);
    // What another tab undid is not tried again.
    if (error.status === 409 && !acts) forget();
  }
  screen.load?.();
});

// --- Faces

let points = null;
const SVG = "http://www.w3.org/2000/svg";
function dot(at, kind, radius) {
  const node = document.createElementNS(SVG, "circle");
  for (const [name, value] of Object.entries({ cx: at[0], cy: at[1], r: radius, class: kind })) node.setAttribute(name, value);
  return node;
}

// Where there is no picture: where the face is on a map of all faces, and its peer of a question.
function mapped(face, peer) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("aria-hidden", "true");
  points ??= ask("/api/map").then((answer) => answer.points).catch(() => []);
  points.then((every) => {
    svg.prepend(...every.map((at) => dot(at, "other", 0.9)));
    if (!every.length) points = null;
  });
  if (peer?.at) svg.append(dot(peer.at, "peer", 5));
  if (face.at) svg.append(dot(face.at, "halo", 9), dot(face.at, "own", 4));
  return svg;
}

const called = (face) => face.key ?? `face ${face.id}`;
const about = (face) => [called(face), face.photo && face.photo !== face.key ? face.photo : null, face.taken].filter(Boolean).join(", ");

function picture(face, alt = "", peer = null) {
  if (!face) return el("span", { class: "picture none" });
  if (face.picture) {
    const source = `/thumbnail/${face.id}?token=${encodeURIComponent(token)}`;
    return el("img", { class: "picture", src: source, alt, width: 112, height: 112, loading: "lazy", decoding: "async", draggable: "false" });
  }
  const label = alt ? { role: "img", "aria-label": alt } : { "aria-hidden": "true" };
  return el("span", { class: "picture map", ...label }, mapped(face, peer), el("span", { class: "code" }, called(face)));
}

// --- Lists of tiles: one has the focus, arrows move it, tiles that stay the same are left in place

function fill(list, items, make) {
  const old = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("[data-key]")?.dataset.key : null;
  const stood = [...old.keys()].indexOf(focused);
  const nodes = items.map((item) => {
    const mark = JSON.stringify(item);
    const known = old.get(String(item.id));
    if (known?.mark === mark) return known;
    const node = make(item);
    node.dataset.key = item.id;
    node.mark = mark;
    return node;
  });
  list.replaceChildren(...nodes);
  const tiles = stops(list);
  const found = nodes.findIndex((node) => node.dataset.key === focused);
  const place = Math.max(0, found >= 0 ? found : Math.min(stood, tiles.length - 1));
  tiles.forEach((tile, at) => { tile.tabIndex = at === place ? 0 : -1; });
  if (focused != null) tiles[place]?.focus();
}

const stops = (list) => [...list.querySelectorAll("[data-stop]")];

function focusTile(list, tile) {
  if (!tile) return;
  for (const other of stops(list)) other.tabIndex = -1;
  tile.tabIndex = 0;
  tile.focus();
  tile.scrollIntoView({ block: "nearest" });
}

function move(list, event) {
  const tiles = stops(list);
  if (!tiles.length) return false;
  const at = tiles.indexOf(document.activeElement);
  const row = tiles.filter((tile) => Math.abs(tile.getBoundingClientRect().top - tiles[0].getBoundingClientRect().top) < 8).length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -at, End: tiles.length - 1 - at }[event.key];
  if (by === undefined) return false;
  const to = at < 0 ? 0 : at + by;
  if (tiles[to]) focusTile(list, tiles[to]);
  return true;
}

// Loads a list again until it is of the present. `read` shows what came, and returns whether it is of the
// present; null: there is nothing to be shown yet.
function following(read) {
  let timer = 0, gone = false, turn = 0, failed = false;
  const load = async () => {
    clearTimeout(timer);
    const own = ++turn;
    try {
      const current = await read(() => gone || own !== turn);
      if (gone || own !== turn) return;
      if (failed) complain("");
      failed = false;
      if (!current) timer = setTimeout(load, 700);
      if (current === null) return;
    } catch (error) {
      if (gone) return;
      complain(error.message);
      failed = true;
      timer = setTimeout(load, 5000);
    }
    main.setAttribute("aria-busy", "false");
  };
  return { load, leave: () => { gone = true; clearTimeout(timer); } };
}

// --- Screen: questions

const sameGroups = (one, other) => one.groups.map((each) => each.id).sort().join() === other.groups.map((each) => each.id).sort().join();
const samePair = (one, other) => one.a.id === other.a.id && one.b.id === other.b.id;

function questions() {
  let queue = [], at = 0, twelve = sessionStorage.getItem("twelve") === "yes";
  const done = [];  // answers of this visit, whose questions older lists may still hold
  const place = el("div", { class: "questions" });
  const title = el("h2", {}, "Is this one person?");
  const count = el("p", { class: "quiet", id: "count" });
  const mode = button("", "t", () => { twelve = !twelve; sessionStorage.setItem("twelve", twelve ? "yes" : "no"); at = 0; draw(true); });
  main.replaceChildren(el("div", { class: "row" }, el("div", {}, title, count), mode), place);

  const follow = following(async (late) => {
    const answer = await ask(`/api/questions?limit=60`);
    if (late()) return true;
    const open = answer.questions.filter((each) => !done.some((other) => other.current
      ? samePair(other.question, each) : sameGroups(other.question, each)));
    const shown = queue[at];
    const first = shown && !twelve ? [shown] : [];
    const next = twelve && queue.length ? queue : [...first, ...open.filter((each) => !first.some((one) => samePair(one, each)))];
    const same = next.length === queue.length && next.every((each, i) => samePair(each, queue[i]));
    queue = next;
    if (!twelve) at = 0;
    if (answer.current) for (const each of done) each.current ||= Boolean(each.acts);
    if (!same || !place.children.length || !queue.length) draw(false, answer.current);
    return answer.current;
  });

  function side(group, face, letter, peer, small) {
    const others = small ? [] : group.beside.map((each) => picture(each));
    const label = group.name ?? (small ? many(group.count, "face") : titled(group));
    return el("figure", { class: "side" },
      picture(face, `Face ${letter}: ${about(face)}`, peer),
      el("figcaption", {},
        el("a", { href: `#/person/${group.id}`, tabindex: small ? -1 : null }, label),
        el("span", { class: "quiet" }, `${about(face)} · ${many(group.count, "face")}`)),
      others.length ? el("div", { class: "beside", "aria-hidden": "true" }, others) : null);
  }

  function pair(question, small) {
    const [a, b] = question.groups;
    const inside = a.id === b.id;
    const label = inside ? `Is ${titled(a)} one person? Faces ${called(question.a)} and ${called(question.b)}`
      : `Are ${titled(a)}, ${called(question.a)}, and ${titled(b)}, ${called(question.b)}, one person?`;
    return el("div", { class: small ? "pair small" : "pair", role: "group", "aria-label": label, tabindex: small ? -1 : 0, "data-stop": "" },
      side(a, question.a, "A", question.b, small), side(b, question.b, "B", question.a, small),
      small ? el("div", { class: "answers" },
        ["yes", "no", "unsure"].map((word) => button({ yes: "Yes", no: "No", unsure: "?" }[word], null, () => answer(word, question),
          { tabindex: -1, "aria-label": { yes: "Yes", no: "No", unsure: "Nobody can tell" }[word] }))) : null);
  }

  function draw(focus, current = true) {
    const had = place.contains(document.activeElement) || document.activeElement === document.body || focus;
    mode.replaceChildren(twelve ? "One at a time " : "12 at a time ", key("t"));
    if (!queue.length) {
      count.textContent = "";
      place.replaceChildren(el("p", { class: "empty" }, current
        ? "Nothing is left to ask. Look through the people, or add more faces."
        : "Looking for questions …"));
      return;
    }
    if (twelve) return drawTwelve(had);
    at = Math.min(at, queue.length - 1);
    const question = queue[at];
    const inside = question.groups[0].id === question.groups[1].id;
    title.textContent = inside ? "Is this group one person?" : "Is this one person?";
    count.textContent = `${at + 1} of ${queue.length} · ${Math.round(100 * question.probability)} % likely`;
    const shown = pair(question, false);
    place.replaceChildren(shown, el("div", { class: "bar" },
      button("Yes", "y", () => answer("yes"), { class: "yes" }),
      button("No", "n", () => answer("no"), { class: "no" }),
      button("Nobody can tell", "s", () => answer("unsure")),
      button("Earlier", "←", () => step(-1), { "aria-keyshortcuts": "ArrowLeft", class: "plain" }),
      button("Later", "→", () => step(1), { "aria-keyshortcuts": "ArrowRight", class: "plain" })));
    if (had) shown.focus({ preventScroll: true });
  }

  function drawTwelve(had) {
    const shown = queue.slice(0, 12);
    title.textContent = "Are these one person each?";
    count.textContent = `${shown.length} of ${queue.length} · the keys answer the pair in the frame`;
    const list = el("div", { class: "twelve" }, shown.map((question) => pair(question, true)));
    place.replaceChildren(list, el("div", { class: "bar chosen" },
      button("Yes", "y", () => answer("yes"), { class: "yes" }),
      button("No", "n", () => answer("no"), { class: "no" }),
      button("Nobody can tell", "s", () => answer("unsure")),
      button(`Yes to all ${shown.length}`, "Y", all, { class: "plain" })));
    at = Math.min(at, shown.length - 1);
    const tiles = stops(list);
    list.addEventListener("focusin", (event) => { at = Math.max(0, tiles.indexOf(event.target.closest("[data-stop]"))); });
    if (had) focusTile(list, tiles[at]); else tiles[at].tabIndex = 0;
  }

  function step(by) {
    at = Math.max(0, Math.min(queue.length - 1, at + by));
    draw(true);
  }

  function answer(word, question = queue[at]) {
    if (!question) return null;
    const entry = { question, word, current: false };
    done.push(entry);
    // Those of the same two groups may be settled by it, or come again: the next list will tell.
    queue = queue.filter((each) => !sameGroups(each, question));
    draw(true, false);
    const text = { yes: "Yes: one person.", no: "No: different persons.", unsure: "Left open: nobody can tell." }[word];
    return say("answer", { a: question.a.id, b: question.b.id, word }, text).then((answer) => { entry.acts = answer.acts; }, (error) => {
      complain(error.message);
      entry.current = true;
    }).then(follow.load);
  }

  function all() {
    for (const question of queue.slice(0, 12)) answer("yes", question);
  }

  follow.load();
  return {
    ...follow,
    undone(acts) {
      const entry = done.find((each) => each.acts?.join() === acts.join());
      if (!entry) return;
      done.splice(done.indexOf(entry), 1);
      queue.unshift(entry.question);
      at = 0;
      draw(true);
    },
    keys: {
      y: () => answer("yes"), n: () => answer("no"), s: () => answer("unsure"), t: () => mode.click(),
      Y: () => { if (twelve) all(); },
      ArrowLeft: (event) => twelve ? move(place.querySelector(".twelve"), event) : step(-1),
      ArrowRight: (event) => twelve ? move(place.querySelector(".twelve"), event) : step(1),
      ArrowUp: (event) => twelve && move(place.querySelector(".twelve"), event),
      ArrowDown: (event) => twelve && move(place.querySelector(".twelve"), event),
    },
    help: [["y", "yes, one person"], ["n", "no, different persons"], ["s", "skip: nobody can tell; it is not asked again"],
      ["← →", "earlier, later question, without an answer"], ["t", "one, or 12 at a time"], ["Y", "yes to all 12"]],
  };
}

// --- Screen: people

const looked = { kind: "people", search: "" };

function people() {
  let groups = [], total = 0, wanted = STEP;
  const chosen = new Map();
  const list = el("ul", { class: "tiles", "aria-label": "People" });
  const more = button("More", null, () => { wanted += 2 * STEP; follow.load(); }, { hidden: true });
  const search = el("input", { type: "search", placeholder: "Search a name", "aria-label": "Search a name", "aria-keyshortcuts": "/", value: looked.search,
    oninput: () => { looked.search = search.value; wanted = STEP; follow.load(); } });
  const kinds = { people: "Persons", clusters: "Not named yet", hidden: "Hidden" };
  const tabs = Object.entries(kinds).map(([kind, label]) => el("button", { type: "button", "data-kind": kind, "aria-pressed": String(kind === looked.kind),
    onclick: () => show(kind) }, label, " ", el("span", { class: "quiet" })));
  const bar = el("div", { class: "bar chosen", hidden: true });
  main.replaceChildren(
    el("div", { class: "row" }, el("div", {}, el("h2", {}, "People"),
      el("div", { class: "tabs", role: "group", "aria-label": "Which" }, tabs)), search),
    list, el("div", { class: "more" }, more), bar);
  new IntersectionObserver((seen) => { if (seen[0].isIntersecting && groups.length < total && groups.length >= wanted) { wanted += STEP; follow.load(); } },
    { rootMargin: "400px" }).observe(more);

  const follow = following(async (late) => {
    let answer, found = [];
    do {
      const query = new URLSearchParams({ kind: looked.kind, search: looked.search, offset: found.length, limit: Math.min(500, wanted - found.length) });
      answer = await ask(`/api/people?${query}`);
      if (late()) return true;
      found = found.concat(answer.groups);
    } while (found.length < wanted && answer.groups.length && found.length < answer.total);
    // A list that changed between two requests could hold one twice.
    groups = [...new Map(found.map((each) => [each.id, each])).values()];
    total = answer.total;
    document.querySelector("#library").textContent = answer.library;
    for (const tab of tabs) tab.lastChild.textContent = answer.counts[tab.dataset.kind].toLocaleString("en");
    if (looked.kind === "people" && !answer.counts.people && answer.counts.clusters && !looked.search && !looked.chosen) {
      await show("clusters");
      return true;
    }
    fill(list, groups, tile);
    for (const id of chosen.keys()) if (!groups.some((each) => each.id === id)) chosen.delete(id);
    for (const each of groups) if (chosen.has(each.id)) chosen.set(each.id, each);
    if (!groups.length) list.append(el("li", { class: "empty" }, looked.search ? "Nobody has such a name." : "Nobody is here."));
    more.hidden = groups.length >= total;
    more.textContent = `More: ${groups.length.toLocaleString("en")} of ${total.toLocaleString("en")} are shown`;
    drawBar();
    return answer.current;
  });

  function show(kind) {
    Object.assign(looked, { kind, chosen: true });
    wanted = STEP;
    chosen.clear();
    for (const tab of tabs) tab.setAttribute("aria-pressed", String(tab.dataset.kind === kind));
    return follow.load();
  }

  function tile(group) {
    const check = el("input", { type: "checkbox", tabindex: -1, "aria-label": `Select ${titled(group)}`, onchange: () => choose(group, check.checked) });
    check.checked = chosen.has(group.id);
    const label = `${titled(group)}, ${many(group.count, "face")}`;
    return el("li", { class: "tile" },
      el("a", { href: `#/person/${group.id}`, "data-stop": "", "aria-label": label, tabindex: -1 }, picture(group.cover),
        group.name && el("strong", {}, group.name), el("span", { class: "quiet count" }, many(group.count, "face"))),
      el("label", { class: "check" }, check));
  }

  function choose(group, yes) {
    if (yes) chosen.set(group.id, group); else chosen.delete(group.id);
    const node = list.querySelector(`[data-key="${group.id}"] input`);
    if (node) node.checked = yes;
    drawBar();
  }

  function drawBar() {
    const every = [...chosen.values()];
    bar.hidden = !every.length;
    const onlyPersons = every.every((each) => each.id[0] === "p");
    const named = target(every)?.name;
    bar.replaceChildren(el("span", { role: "status" }, `${every.length} selected`),
      ...[
        every.length > 1 && button(named ? `Merge into ${named}` : "Merge", "m", merge, { class: "yes" }),
        onlyPersons && button(looked.kind === "hidden" ? "Show" : "Hide", "h", hide),
        button("Clear", "Esc", clear, { class: "plain", "aria-keyshortcuts": "Escape" }),
      ].filter(Boolean));
  }

  // A name stays; else what was selected first.
  const target = (every) => every.find((each) => each.name) ?? every.find((each) => each.id[0] === "p") ?? every[0];

  async function merge() {
    const every = [...chosen.values()];
    if (every.length < 2) return;
    const who = target(every), others = every.filter((each) => each !== who);
    if (others.some((each) => each.name && each.name !== who.name)) {
      const names = others.filter((each) => each.name).map(titled).join(", ");
      if (!await confirmed(`Merge ${names} into ${titled(who)}?`, `The name ${titled(who)} stays. It can be undone.`, "Merge")) return;
    }
    if (await trySay("merge", { who: who.id, others: others.map((each) => each.id), seen: seen(every) })) chosen.clear();
    await follow.load();
  }

  async function hide() {
    for (const each of [...chosen.values()].filter((each) => each.id[0] === "p")) await trySay("hide", { who: each.id, hidden: looked.kind !== "hidden" });
    chosen.clear();
    await follow.load();
  }

  function clear() { for (const each of [...chosen.values()]) choose(each, false); }

  const focused = () => groups.find((each) => each.id === document.activeElement?.closest?.("[data-key]")?.dataset.key);
  const toggle = () => { const each = focused(); if (each) choose(each, !chosen.has(each.id)); };
  const arrow = (event) => move(list, event);
  follow.load().then(() => { if (document.activeElement === document.body || document.activeElement === main) focusTile(list, stops(list)[0]); });
  return {
    ...follow,
    keys: { " ": toggle, x: toggle, m: merge, h: hide, Escape: clear, "/": () => search.focus(),
      ArrowLeft: arrow, ArrowRight: arrow, ArrowUp: arrow, ArrowDown: arrow, Home: arrow, End: arrow },
    help: [["arrows", "move"], ["Enter", "open"], ["space", "select"], ["m", "merge those that are selected"], ["h", "hide, or show"],
      ["/", "search"], ["Esc", "clear the selection"]],
  };
}

const seen = (groups) => Object.fromEntries(groups.filter((each) => each.id[0] === "c").map((each) => [each.id, each.seen]));

// --- Screen: one person

function person(who) {
  let group = null, faces = [], wanted = 2 * STEP, last = 0;
  const chosen = new Set();
  const list = el("ul", { class: "tiles faces", "aria-label": "Faces" });
  const head = el("div", { class: "person" });
  const bar = el("div", { class: "bar chosen", hidden: true });
  const more = button("More", null, () => { wanted += 4 * STEP; follow.load(); }, { hidden: true });
  const name = el("input", { id: "name", type: "text", maxlength: 200, autocomplete: "off", placeholder: "Who is this?", "aria-keyshortcuts": "e" });
  const birth = el("input", { id: "birth", type: "date", onchange: () => act("born", { date: birth.value || null }) });
  main.replaceChildren(head, list, el("div", { class: "more" }, more), bar);

  const follow = following(async (late) => {
    let answer, found = [];
    try {
      do {
        answer = await ask(`/api/group/${who}?offset=${found.length}&limit=${Math.min(500, wanted - found.length)}`);
        if (late()) return true;
        found = found.concat(answer.faces);
      } while (found.length < wanted && answer.faces.length && found.length < answer.group.count);
    } catch (error) {
      // A person who was just made is there when clusters are found again.
      if (error.status === 404 && error.answer.current === false) return null;
      if (error.status === 404 && !late()) { location.hash = "#/people"; return true; }
      throw error;
    }
    if (late()) return true;
    faces = [...new Map(found.map((each) => [each.id, each])).values()];
    group = answer.group;
    if (group.id !== who) { who = group.id; history.replaceState(null, "", `#/person/${who}`); }
    for (const face of [...chosen]) if (!faces.some((each) => each.id === face)) chosen.delete(face);
    drawHead();
    fill(list, faces, tile);
    more.hidden = faces.length >= group.count;
    more.textContent = `More: ${faces.length.toLocaleString("en")} of ${group.count.toLocaleString("en")} are shown`;
    drawBar();
    return answer.current;
  });

  function drawHead() {
    const isPerson = group.id[0] === "p", open = group.count - group.confirmed;
    document.title = `${titled(group)} · nsrfc review`;
    // What somebody is typing stays as it is.
    if (head.dataset.who === group.id && [name, birth].includes(document.activeElement)) return;
    head.dataset.who = group.id;
    const state = !isPerson ? "found by the machine" : open ? `${open.toLocaleString("en")} not confirmed` : "all confirmed";
    name.value = group.name ?? "";
    birth.value = group.birth ?? "";
    head.replaceChildren(
      picture(group.cover, `${titled(group)}, as shown in lists`),
      el("form", { onsubmit: rename },
        el("h2", { class: "hidden" }, titled(group)),
        el("label", { for: "name" }, "Name ", key("e")),
        el("div", { class: "line" }, name, el("button", { type: "submit", class: "yes" }, "Save")),
        el("p", { class: "quiet" }, `${many(group.count, "face")}, ${state} · ${group.id}`)),
      el("div", { class: "aside" },
        group.count > 2 && button("Suggest a split", "d", suggest),
        isPerson && open && button(`Confirm all ${group.count.toLocaleString("en")}`, "c", confirmAll),
        isPerson && button(group.hidden ? "Show" : "Hide", "h", () => act("hide", { hidden: !group.hidden })),
        isPerson && el("label", { class: "birth" }, "Born ", birth)));
  }

  function tile(face) {
    const node = el("button", { type: "button", "data-stop": "", tabindex: -1, "aria-pressed": String(chosen.has(face.id)),
      "aria-label": `${about(face)}${face.confirmed ? ", confirmed" : ""}`, title: about(face),
      onclick: (event) => choose(face, !chosen.has(face.id), event.shiftKey) },
      picture(face), el("span", { class: "quiet" }, called(face)), face.confirmed ? el("span", { class: "sure", "aria-hidden": "true" }, "✓") : null);
    return el("li", { class: "tile" }, node);
  }

  function choose(face, yes, range = false) {
    const at = faces.findIndex((each) => each.id === face.id);
    const [low, high] = range ? [Math.min(at, last), Math.max(at, last)] : [at, at];
    for (const each of faces.slice(low, high + 1)) {
      if (yes) chosen.add(each.id); else chosen.delete(each.id);
      list.querySelector(`[data-key="${each.id}"] button`)?.setAttribute("aria-pressed", String(yes));
    }
    last = at;
    drawBar();
  }

  function drawBar() {
    const isPerson = group.id[0] === "p", some = faces.filter((each) => chosen.has(each.id));
    bar.hidden = !some.length;
    bar.replaceChildren(el("span", { role: "status" }, `${some.length} selected`),
      ...[
        isPerson && some.some((each) => !each.confirmed) && button("Confirm", "c", confirmSome, { class: "yes" }),
        isPerson && button("Remove", "r", remove, { class: "no" }),
        some.length < group.count && button("Split off", "s", split),
        isPerson && some.length === 1 && some[0].confirmed && button("Use as cover", "v", cover),
        button("Clear", "Esc", clear, { class: "plain", "aria-keyshortcuts": "Escape" }),
      ].filter(Boolean));
  }

  const ids = () => [...chosen];
  async function act(word, body, message) {
    const answer = await trySay(word, { who, seen: seen([group]), ...body }, message);
    if (answer) chosen.clear();
    for (const node of list.querySelectorAll('[aria-pressed="true"]')) node.setAttribute("aria-pressed", String(!answer));
    await follow.load();
    return answer;
  }

  async function rename(event) {
    event?.preventDefault();
    const given = name.value.trim();
    if (!given || given === group.name) return;
    try {
      const answer = await say("name", { who, name: given, seen: seen([group]) });
      name.blur();
      if (answer.who !== who) return go(answer.who);
    } catch (error) {
      const same = error.answer?.same;
      if (!same) return complain(error.message);
      const text = `${same.name} has ${many(same.count, "face")} already. Merged, name and cover of that person stay; it can be undone.`;
      if (!await confirmed(`Is this the same ${same.name}?`, text, "Merge", "Not the same")) return name.focus();
      if (await trySay("merge", { who: same.id, others: [who], seen: seen([group]) })) return go(same.id);
    }
    await follow.load();
  }

  function go(other) {
    who = other;
    history.replaceState(null, "", `#/person/${who}`);
    chosen.clear();
    main.focus();
    return follow.load();
  }

  const confirmAll = () => loadAll().then((every) => act("confirm", { faces: every }));
  const confirmSome = () => act("confirm", { faces: ids() });
  const remove = () => act("reject", { faces: ids() });
  const split = async () => {
    const answer = await act("split", { faces: ids() });
    if (answer) tell(`${answer.words[0]}.`, el("a", { href: `#/person/${answer.who}` }, "Open the new person"));
  };
  // Selects who may be somebody else: a human looks, and splits them off or not.
  async function suggest() {
    tell("Looking for faces that may be somebody else …");
    try {
      const answer = await ask(`/api/split/${who}`);
      await loadAll();
      clear();
      for (const face of faces) if (answer.faces.includes(face.id)) choose(face, true);
      tell(`${many(answer.faces.length, "face")} may be somebody else: look at what is selected, and split it off if so.`);
      focusTile(list, list.querySelector('[aria-pressed="true"]'));
    } catch (error) { complain(error.message); }
  }
  const cover = () => act("cover", { face: ids()[0] });
  function clear() { for (const face of faces) if (chosen.has(face.id)) choose(face, false); }
  async function loadAll() {
    if (faces.length < group.count) { wanted = group.count; await follow.load(); }
    return faces.map((each) => each.id);
  }

  const focused = () => faces.find((each) => String(each.id) === document.activeElement?.closest?.("[data-key]")?.dataset.key);
  const toggle = (event) => { const face = focused(); if (face) choose(face, !chosen.has(face.id), event.shiftKey); };
  const arrow = (event) => move(list, event);
  const isPerson = () => group?.id[0] === "p";
  const ifChosen = (what) => () => { if (chosen.size && group) what(); };
  follow.load().then(() => { if (document.activeElement === document.body || document.activeElement === main) focusTile(list, stops(list)[0]); });
  return {
    ...follow,
    keys: { e: () => { name.focus(); name.select(); }, " ": toggle, x: toggle,
      r: ifChosen(() => isPerson() && remove()), s: ifChosen(split), v: ifChosen(() => chosen.size === 1 && isPerson() && cover()),
      c: () => isPerson() && (chosen.size ? confirmSome() : confirmAll()),
      h: () => isPerson() && act("hide", { hidden: !group.hidden }),
      d: suggest, a: () => faces.forEach((face) => choose(face, true)), Escape: () => chosen.size ? clear() : (location.hash = "#/people"),
      ArrowLeft: arrow, ArrowRight: arrow, ArrowUp: arrow, ArrowDown: arrow, Home: arrow, End: arrow },
    help: [["e", "name"], ["arrows", "move"], ["space", "select; with shift, up to here"], ["a", "select all that are shown"], ["c", "confirm those selected, or all"],
      ["r", "remove: not this person"], ["s", "split off as another person"], ["d", "divide: select who may be somebody else"], ["v", "use as cover"], ["h", "hide, or show"], ["Esc", "clear the selection; back to the people"]],
  };
}

// --- Screen: history

function past() {
  let wanted = STEP;
  const list = el("ol", { class: "acts", "aria-label": "What was said, the last first" });
  const more = button("More", null, () => { wanted += 4 * STEP; follow.load(); }, { hidden: true });
  main.replaceChildren(el("h2", {}, "History"), list, el("div", { class: "more" }, more));

  const follow = following(async (late) => {
    const answer = await ask(`/api/history?limit=${Math.min(500, wanted)}`);
    if (late()) return true;
    fill(list, answer.acts.map((each) => ({ ...each, id: String(each.number) })), row);
    if (!answer.acts.length) list.append(el("li", { class: "empty" }, "Nothing was said yet."));
    more.hidden = answer.acts.length >= answer.total || wanted >= 500;
    return answer.current;
  });

  function row(act) {
    const time = new Date(act.at);
    return el("li", { class: act.counts ? "act" : "act gone" },
      el("span", { class: "number quiet" }, String(act.number)),
      el("span", { class: "words" }, act.words, act.counts ? "" : el("span", { class: "quiet" }, " · undone")),
      el("time", { datetime: act.at, class: "quiet" }, time.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })),
      act.counts ? button("Undo", null, () => undo([act.number]), { "data-stop": "", tabindex: -1, "aria-label": `Undo: ${act.words}` }) : el("span"));
  }

  const arrow = (event) => move(list, { key: { ArrowUp: "ArrowLeft", ArrowDown: "ArrowRight" }[event.key] ?? event.key });
  follow.load().then(() => { if (document.activeElement === document.body || document.activeElement === main) focusTile(list, stops(list)[0]); });
  return { ...follow, keys: { ArrowUp: arrow, ArrowDown: arrow, Home: arrow, End: arrow }, help: [["↑ ↓", "move"], ["Enter", "undo this act; the undo of an undo restores it"]] };
}

// --- Dialogs, keys, and which screen is shown

const dialog = document.querySelector("#dialog");
function confirmed(title, text, yes, no = "Cancel") {
  return new Promise((resolve) => {
    dialog.replaceChildren(el("form", { method: "dialog" }, el("h2", { id: "dialog-title" }, title), el("p", {}, text),
      el("div", { class: "bar" }, el("button", { value: "yes", class: "yes", autofocus: true }, yes), el("button", { value: "no" }, no))));
    dialog.returnValue = "no";
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.showModal();
  });
}

function help() {
  const rows = [...(screen.help ?? []), ["u", "undo what was said last in this tab"], ["1 2 3", "questions, people, history"], ["?", "these keys"]];
  dialog.replaceChildren(el("form", { method: "dialog" }, el("h2", { id: "dialog-title" }, "Keys"),
    el("dl", {}, rows.map(([name, what]) => [el("dt", {}, el("kbd", {}, name)), el("dd", {}, what)])),
    el("div", { class: "bar" }, el("button", { class: "yes", autofocus: true }, "Close"))));
  dialog.onclose = null;
  dialog.showModal();
}

const screens = { questions, people, person, history: past };
let screen = {};
function route() {
  const [, kind = "questions", who] = location.hash.split("/");
  screen.leave?.();
  complain("");
  main.setAttribute("aria-busy", "true");
  main.dataset.screen = [kind, who].filter(Boolean).join("/");
  document.title = "nsrfc review";
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.screen === (kind === "person" ? "people" : kind);
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  screen = (screens[kind] ?? questions)(who);
}

const everywhere = {
  u: () => undo(), "?": help,
  1: () => { location.hash = "#/questions"; }, 2: () => { location.hash = "#/people"; }, 3: () => { location.hash = "#/history"; },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  const typing = event.target.matches?.("input:not([type=checkbox])");
  if (typing) {
    if (event.key === "Escape") { event.target.blur(); main.focus(); }
    return;
  }
  // Space presses a button that has the focus; tiles of faces are selected by it.
  if (event.key === " " && event.target.matches?.("button:not([data-stop]), summary, input")) return;
  const act = screen.keys?.[event.key] ?? everywhere[event.key];
  if (!act || (event.repeat && !event.key.startsWith("Arrow"))) return;
  event.preventDefault();
  act(event);
});

document.querySelector("#undo").addEventListener("click", () => undo());
document.querySelector("#help").addEventListener("click", help);
// A new address that is pasted into a tab of the page brings a token.
window.addEventListener("hashchange", () => location.hash.startsWith("#token=") ? location.reload() : route());
remember(() => {});
if (token) {
  route();
  ask("/api/people?limit=1").then((answer) => { document.querySelector("#library").textContent = answer.library; }).catch(() => {});
} else {
  complain("The token is missing: open the address that nsrfc review printed.");
}
