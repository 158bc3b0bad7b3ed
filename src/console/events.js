"use strict";
// The page says where it hears of changes. What changed is fetched as the same page again, and its parts take the place
// of the old ones; nothing of it is read from the event. Text that somebody is writing is left alone.

const root = document.querySelector("[data-events]");
const says = document.getElementById("says");
let source = null;

function offer(words) {
  says.textContent = words + " ";
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "Load the page again";
  says.append(link);
}

function isWritten(part) {
  return [...part.querySelectorAll("textarea, input")].some(
    (field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked,
  );
}

function put(part, fresh) {
  const held = part.contains(document.activeElement) ? document.activeElement : null;
  const place = held ? [...part.querySelectorAll("a, button, summary, textarea, input")].indexOf(held) : -1;
  part.replaceWith(fresh);
  if (place >= 0) {
    const next = fresh.querySelectorAll("a, button, summary, textarea, input")[place];
    (next || document.getElementById("main")).focus();
  }
}

async function renew() {
  const answer = await fetch(location.href, { redirect: "error", cache: "no-store" });
  if (!answer.ok) {
    throw new Error(answer.status);
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-part]")) {
    const fresh = page.querySelector(`[data-part="${part.dataset.part}"]`);
    if (!fresh || fresh.outerHTML === part.outerHTML) {
      continue;
    }
    // A form that asks for a security key holds a challenge of its own, and is as good as the new one.
    if (part.querySelector("form[data-use]") && fresh.querySelector("form[data-use]")) {
      continue;
    }
    if (isWritten(part) || fresh.querySelector("form[data-use]")) {
      offer("Something has changed about this.");
      continue;
    }
    put(part, document.adoptNode(fresh));
    says.textContent = "This page has just changed.";
  }
}

function listen() {
  if (source || document.hidden) {
    return;
  }
  source = new EventSource(root.dataset.events);
  source.addEventListener("changed", () => renew().catch(() => offer("This page is not up to date.")));
  source.addEventListener("over", () => {
    source.close();
    offer("You are signed out by now.");
  });
  source.addEventListener("error", () => {
    if (source && source.readyState === EventSource.CLOSED) {
      offer("This page does not renew itself any more.");
    }
  });
}

function rest() {
  if (source) {
    source.close();
    source = null;
  }
}

if (root) {
  document.addEventListener("visibilitychange", () => (document.hidden ? rest() : listen()));
  window.addEventListener("pagehide", rest);
  listen();
}
