const byId = (id) => document.getElementById(id);
const filter = byId("filter");
const rows = [...document.querySelectorAll("tbody[data-t]")];
const items = [...document.querySelectorAll("li[data-t]")];
const texts = new Map();
function textOf(row) {
  if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
  return texts.get(row);
}
function apply() {
  const words = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const state = byId("state").value;
  const turn = byId("turn").value;
  const shown = new Set();
  for (const row of rows) {
    const fits = (!state || row.dataset.s === state)
      && (!turn || row.dataset.w.split(" ").includes(turn))
      && words.every((word) => textOf(row).includes(word));
    row.hidden = !fits;
    if (fits) shown.add(row.dataset.t);
  }
  for (const item of items) item.hidden = !shown.has(item.dataset.t);
  byId("shown").textContent = `${shown.size} of ${rows.length} shown`;
  if (byId("none")) byId("none").hidden = shown.size > 0;
}
function fallback(source) {
  const range = document.createRange();
  range.selectNodeContents(source);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
  return document.execCommand("copy");
}
async function copy(button) {
  const source = button.previousElementSibling;
  let done = false;
  try {
    await navigator.clipboard.writeText(source.textContent);
    done = true;
  } catch {
    done = fallback(source);
  }
  button.textContent = done ? "copied" : "selected";
  byId("said").textContent = done ? "Copied." : "Selected: copy it with the keyboard.";
  setTimeout(() => { button.textContent = "copy"; }, 1500);
}
function reveal() {
  const place = location.hash.length > 1 && byId(decodeURIComponent(location.hash.slice(1)));
  const details = place && place.closest("details");
  if (details) {
    details.open = true;
    place.scrollIntoView({ block: "center" });
  }
}
document.documentElement.classList.add("js");
filter.hidden = false;
filter.addEventListener("submit", (event) => event.preventDefault());
for (const kind of ["input", "change"]) filter.addEventListener(kind, apply);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.c");
  if (button) copy(button);
  const link = event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) reveal();
});
addEventListener("hashchange", reveal);
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
apply();
reveal();
