// Keeps what changes up to date: runs, their rounds and curves, and who takes part. The page works without it.
"use strict";

const live = document.getElementById("live");
const heard = document.getElementById("heard");
const AGAIN = 5000; // milliseconds after which a refused connection is tried again
let source = null;
let timer = null;
let isAsking = false;
let isWanted = false;

// What is shown is replaced only where it says something else, so that the focus and a selection stay.
async function ask() {
  isWanted = true;
  if (isAsking) return;
  isAsking = true;
  try {
    while (isWanted) {
      isWanted = false;
      const answer = await fetch(live.dataset.part);
      if (answer.status === 401 || answer.status === 403) return end();
      if (answer.ok) show(await answer.text());
    }
  } catch {
    isWanted = false; // asked for again with the next connection
  } finally {
    isAsking = false;
  }
}

function show(text) {
  const fresh = document.createElement("template");
  fresh.innerHTML = text;
  if (fresh.content.textContent.trim() === live.textContent.trim()) return;
  const focused = [...live.querySelectorAll("a, [tabindex]")].indexOf(document.activeElement);
  live.replaceChildren(fresh.content);
  live.querySelectorAll("a, [tabindex]")[focused]?.focus();
  heard.textContent = live.querySelector("#state + p")?.textContent.split(".")[0].trim() || heard.dataset.changed;
}

function end() {
  disconnect();
  heard.className = "problem";
  heard.textContent = heard.dataset.over;
}

function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function connect() {
  disconnect();
  source = new EventSource("/federation/events");
  source.addEventListener("all", ask);
  source.addEventListener("over", end);
  source.addEventListener("error", () => {
    if (source?.readyState !== EventSource.CLOSED) return; // the browser connects again by itself
    timer = setTimeout(() => (document.hidden ? null : connect()), AGAIN);
  });
}

// A browser opens few connections to a site: only what is looked at has one.
function follow() {
  if (document.hidden) disconnect();
  else if (!source) connect();
}

document.addEventListener("visibilitychange", follow);
addEventListener("pagehide", disconnect);
addEventListener("pageshow", follow);
follow();
