// Live updates for pages that work without it: what the server sends replaces what it rendered before.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const address = document.body.dataset.stream;
  let source = null, paused = false, lostSince = null, said = "";

  // ------------------------------------------------------------------ times

  const span = (seconds) => {
    const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
    let left = Math.round(seconds), text = [];
    for (const [size, unit] of parts) {
      const count = Math.floor(left / size);
      left -= count * size;
      if (count) text.push(count + unit);
      if (text.length === 2) break;
    }
    return text.join(" ") || "0s";
  };
  const tick = () => {
    for (const time of document.querySelectorAll("time[data-until]")) {
      const left = (Date.parse(time.dateTime) - Date.now()) / 1000;
      const text = left > 0 ? "in " + span(left) : "now";
      if (time.dataset.rel !== text) time.dataset.rel = text;
    }
  };

  // ------------------------------------------------------------------ what the server sends

  const announce = (text) => {
    if (text && text !== said) byId("announcer").textContent = said = text;
  };
  const fragment = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };
  // The place of the keyboard's focus within a part, to put it back after the part was replaced.
  const keepingFocus = (part, change) => {
    const held = document.activeElement;
    const inside = part.contains(held) && held !== part;
    const mark = inside ? [held.tagName, held.getAttribute("href"), held.textContent] : null;
    change();
    if (!mark) return;
    for (const one of part.querySelectorAll(mark[0])) {
      if (one.getAttribute("href") === mark[1] && one.textContent === mark[2]) return one.focus({preventScroll: true});
    }
    byId("main").focus({preventScroll: true});
  };
  const putParts = (parts) => {
    for (const [name, html] of Object.entries(parts || {})) {
      const part = byId("part-" + name);
      if (part) keepingFocus(part, () => part.replaceChildren(fragment(html)));
    }
  };
  // A page that waits for its rollout: nobody answered when it was loaded. Not at once, should the page be told otherwise.
  const awaited = byId("awaited");
  const isAnswered = (parts) => awaited && parts && parts.banner !== undefined && !parts.banner.trim();
  const putRows = (update) => {
    const body = byId("rows");
    if (!body || !update.order) return;
    keepingFocus(body, () => {
      for (const [id, html] of Object.entries(update.rows)) {
        const row = fragment("<table><tbody>" + html + "</tbody></table>").querySelector("tr");
        const old = byId(id);
        if (!old) body.append(row);
        else if (old.outerHTML !== row.outerHTML) {
          if (!update.first) row.classList.add("changed");
          old.replaceWith(row);
        }
      }
      const wanted = new Set(update.order);
      for (const row of [...body.children]) if (!wanted.has(row.id)) row.remove();
      update.order.forEach((id, at) => {
        const row = byId(id);
        if (row && body.children[at] !== row) body.insertBefore(row, body.children[at] || null);
      });
    });
    byId("none").hidden = update.order.length > 0;
  };

  // ------------------------------------------------------------------ the connection

  const lost = (text) => {
    const box = byId("connection");
    box.textContent = text;
    box.hidden = !text;
  };
  // Browsers allow six connections to one server over HTTP/1.1, and a seventh page would wait for ever: a page that
  // nobody sees holds none, and is brought up to date when it is shown again.
  const follow = () => {
    if (!paused && !document.hidden && (!source || source.readyState === EventSource.CLOSED)) open();
  };
  const leave = () => { if (source) source.close(); };
  const open = () => {
    source = new EventSource(address);
    source.addEventListener("open", () => { lostSince = null; lost(""); });
    source.addEventListener("update", (event) => {
      const update = JSON.parse(event.data);
      if (isAnswered(update.parts)) return setTimeout(() => { if (!paused) location.reload(); }, 500);
      putRows(update);
      putParts(update.parts);
      if (update.title) document.title = update.title;
      announce(update.announce);
      tick();
      document.body.dataset.seen = String(Number(document.body.dataset.seen || 0) + 1);
    });
    source.addEventListener("gone", () => { source.close(); location.reload(); });
    source.addEventListener("error", () => {
      lostSince = lostSince || new Date().toISOString().slice(11, 19) + " UTC";
      const over = source.readyState === EventSource.CLOSED;
      lost("No live updates from this server since " + lostSince + (over ? ": load the page again." : "; trying again."));
      if (over) setTimeout(follow, 5000);
    });
  };
  const control = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    const show = () => {
      button.textContent = paused ? "Resume live updates" : "Pause live updates";
    };
    button.addEventListener("click", () => {
      paused = !paused;
      if (paused) { leave(); lost(""); } else follow();
      show();
    });
    show();
    byId("live").append("This page follows what happens.", button);
  };

  // ------------------------------------------------------------------ forms

  // A form counts once whatever is pressed; this shows that it is on its way. No answer: it may be sent again.
  const SEND_WITHIN = 15000, ASK_AGAIN = 5000;
  const sending = (form, on) => {
    form.toggleAttribute("data-sending", on);
    for (const button of form.querySelectorAll("button")) button.disabled = on;
  };
  addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form.act")) return;
    if (form.hasAttribute("data-sending")) return event.preventDefault();
    sending(form, true);
    setTimeout(() => sending(form, false), SEND_WITHIN);
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form.act[data-sending]")) sending(form, false);
  });

  if (address && window.EventSource) {
    follow();
    control();
    if (awaited) awaited.hidden = false;
    document.addEventListener("visibilitychange", () => { if (document.hidden) leave(); else follow(); });
    addEventListener("pagehide", leave);
    addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
  }
  // A page that nobody could be asked for: there is no stream to follow.
  const again = byId("again");
  if (again) {
    again.hidden = false;
    setInterval(() => {
      if (document.hidden) return;
      // Also a login that is asked for meanwhile shows itself by loading the page, not by being followed from here.
      fetch(location.href, {redirect: "manual"}).then((answer) => {
        if (answer.ok || answer.status === 404 || answer.type === "opaqueredirect") location.reload();
      }, () => {});
    }, ASK_AGAIN);
  }
  tick();
  setInterval(tick, 1000);
})();
