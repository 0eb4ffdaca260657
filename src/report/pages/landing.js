const query = new URLSearchParams(location.search);
const seen = query.has("error") ? "declined"
  : (query.get("admin_consent") || "").toLowerCase() === "true" ? "granted" : "unclear";
for (const part of document.querySelectorAll("[data-when]")) {
  part.hidden = part.dataset.when !== seen;
}
