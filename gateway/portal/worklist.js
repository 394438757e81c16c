// Keeps the rows that are shown up to date, and says when studies have come. The page works without it.
"use strict";

const news = document.getElementById("news");
const body = document.querySelector("#studies tbody");
const AGAIN = 5000; // milliseconds after which a refused connection is tried again
const words = JSON.parse(news.dataset.words); // what is said, in the reader's language
const MOST = 100; // studies that are asked for at once
let source = null;
let timer = null;
let waiting = new Set(); // studies whose rows are to be asked for
let isAsking = false;

function rowOf(study) {
  return document.getElementById(`study-${study}`);
}

function shown() {
  return [...body.rows].map((row) => row.dataset.study);
}

function say(text, address, label) {
  news.replaceChildren(text);
  if (address) {
    const link = document.createElement("a");
    link.href = address;
    link.textContent = label;
    news.append(" ", link);
  }
}

// Puts a row in the place of another; what was open stays open, and what had the focus keeps it.
function replace(row, fresh) {
  const open = [...row.querySelectorAll("details")].map((each) => each.open);
  fresh.querySelectorAll("details").forEach((each, place) => (each.open = open[place] ?? false));
  const reachable = "a, button, summary";
  const focused = [...row.querySelectorAll(reachable)].indexOf(document.activeElement);
  const picture = row.querySelector("img");
  const other = fresh.querySelector("img");
  if (picture && other && picture.getAttribute("src") === other.getAttribute("src")) other.replaceWith(picture);
  row.replaceWith(fresh);
  fresh.querySelectorAll(reachable)[focused]?.focus();
}

async function ask() {
  if (isAsking || !waiting.size) return;
  isAsking = true;
  const studies = [...waiting].slice(0, MOST);
  studies.forEach((each) => waiting.delete(each));
  try {
    const answer = await fetch(`/worklist/rows?StudyInstanceUID=${studies.join(",")}`);
    if (answer.ok) show(studies, await answer.text());
    else if (answer.status === 401) end();
  } catch {
    studies.forEach((each) => waiting.add(each)); // asked for again with the next connection
    return;
  } finally {
    isAsking = false;
  }
  ask();
}

function show(studies, text) {
  const rows = document.createElement("template");
  rows.innerHTML = `<table><tbody>${text}</tbody></table>`;
  const fresh = new Map([...rows.content.querySelectorAll("tr")].map((row) => [row.dataset.study, row]));
  const changed = [];
  for (const study of studies) {
    const row = rowOf(study);
    const other = fresh.get(study);
    if (!row) continue;
    if (!other) row.remove();
    else if (row.textContent.trim() !== other.textContent.trim()) {
      replace(row, other);
      changed.push(study);
    }
  }
  if (changed.length === 1) announce(words.changed.replace("%(study)s", () => rowOf(changed[0]).querySelector("th").textContent.split(":")[0].trim()));
  else if (changed.length) announce(words.rows.replace("%(number)s", changed.length));
}

// What is heard and not seen: the row itself shows it.
function announce(text) {
  document.getElementById("heard").textContent = text;
}

function want(studies) {
  studies.filter(rowOf).forEach((each) => waiting.add(each));
  ask();
}

function end() {
  disconnect();
  say(words.over, `/login?next=${encodeURIComponent(location.pathname + location.search)}`, words.again);
}

function tellOfNew({ number, most }) {
  if (!number) return news.replaceChildren();
  const text = number > most ? words.many : number === 1 ? words.new : words.several;
  say(text.replace("%(number)s", Math.min(number, most)), news.dataset.first, words.first);
}

function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function connect() {
  disconnect();
  source = new EventSource(`/worklist/events?${news.dataset.events}`);
  source.addEventListener("changed", (event) => want(JSON.parse(event.data).studies));
  source.addEventListener("all", () => want(shown()));
  source.addEventListener("new", (event) => tellOfNew(JSON.parse(event.data)));
  source.addEventListener("over", end);
  source.addEventListener("error", () => {
    if (source?.readyState !== EventSource.CLOSED) return; // the browser connects again by itself
    timer = setTimeout(check, AGAIN);
  });
}

// A connection that was refused does not say why; whether the session has ended is told by another request.
async function check() {
  const answer = await fetch(`/worklist/rows?StudyInstanceUID=${shown()[0] ?? "0"}`).catch(() => null);
  if (answer?.status === 401) end();
  else if (!document.hidden) connect();
}

// A browser opens few connections to a site: only what is looked at has one.
function follow() {
  if (document.hidden) disconnect();
  else if (!source && news.dataset.events) connect();
}

// j and k, and the arrows, go from study to study while the focus is in the list.
body.addEventListener("keydown", (event) => {
  const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 }[event.key];
  if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = event.target.closest("tr");
  const next = step > 0 ? row.nextElementSibling : row.previousElementSibling;
  if (!next) return;
  event.preventDefault();
  next.querySelector("a.open").focus();
});

document.addEventListener("visibilitychange", follow);
addEventListener("pagehide", disconnect);
addEventListener("pageshow", follow);
follow();
