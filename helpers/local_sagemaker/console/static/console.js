// Keeps what is live on a page up to date: fetches the page again and puts its live parts in the place of the old ones.
// Without this script, a reload does the same.
(() => {
  "use strict";
  const EVERY = 3000;
  const KEY = "console-live";
  const live = () => [...document.querySelectorAll("[data-live]")];
  if (!live().length) return;

  const button = document.createElement("button");
  button.type = "button";
  button.className = "live";
  const isOn = () => localStorage.getItem(KEY) !== "off";
  const show = () => {
    button.setAttribute("aria-pressed", String(isOn()));
    button.textContent = isOn() ? "Live" : "Paused";
    button.title = isOn() ? "Refreshed every 3 seconds. Press to pause." : "Press to follow again.";
  };
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, isOn() ? "off" : "on");
    show();
    if (isOn()) refresh();
  });
  document.querySelector(".trail, main h1").before(button);
  show();

  const atEnd = (part) => part.scrollTop + part.clientHeight >= part.scrollHeight - 8;
  const toEnd = () =>
    document.querySelectorAll("[data-tail]").forEach((part) => { part.scrollTop = part.scrollHeight; });
  const isBusy = (part) => part.contains(document.activeElement) && document.activeElement !== part
    || !document.getSelection().isCollapsed && part.contains(document.getSelection().anchorNode);

  let isRefreshing = false;
  async function refresh() {
    if (isRefreshing) return;
    isRefreshing = true;
    try {
      const answer = await fetch(location.href, { credentials: "omit" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of live()) {
        const replacement = fresh.getElementById(part.id);
        // What someone reads by keyboard or has selected stays until they are done.
        if (!replacement || isBusy(part) || replacement.innerHTML === part.innerHTML) continue;
        const wasAtEnd = atEnd(part), hadFocus = document.activeElement === part, place = part.scrollTop;
        const adopted = document.adoptNode(replacement);
        part.replaceWith(adopted);
        if (hadFocus) adopted.focus({ preventScroll: true });
        adopted.scrollTop = "tail" in adopted.dataset && wasAtEnd ? adopted.scrollHeight : place;
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the server is away: the next time will tell
    } finally {
      isRefreshing = false;
    }
  }
  toEnd();
  setInterval(() => { if (isOn() && !document.hidden) refresh(); }, EVERY);
})();
