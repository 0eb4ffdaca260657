let last = null;
let misses = 0;
async function look() {
  const left = () => document.getElementById("list").dataset.left !== "0";
  try {
    const answer = await fetch("state" + location.search, { cache: "no-store" });
    if (!answer.ok) throw new Error("refused");
    const state = await answer.text();
    misses = 0;
    if (state !== last) {
      const page = await (await fetch(location.href, { cache: "no-store" })).text();
      const fresh = new DOMParser().parseFromString(page, "text/html").getElementById("list");
      const shown = document.getElementById("list");
      if (fresh && fresh.outerHTML !== shown.outerHTML) {
        const focused = document.activeElement && document.activeElement.id;
        // A row that says what it said stays the same element: it may be pressed at this moment.
        for (const row of fresh.querySelectorAll("li[id]")) {
          const old = document.getElementById(row.id);
          if (old && old.outerHTML === row.outerHTML) row.replaceWith(old);
        }
        shown.replaceWith(fresh);
        const again = focused && document.getElementById(focused);
        if (again) again.focus();
      }
    }
    last = state;
  } catch {
    misses += 1;
  }
  if (misses >= 2 && left()) document.getElementById("gone").hidden = false;
  if (misses < 2 && left()) setTimeout(look, 2000);
}
look();
