"use strict";
// Before anything is painted. A browser may forbid storage to a file; then the colours are chosen for one visit.
const root = document.documentElement;
const KEY = "consistency-theme";
const kept = {
  get theme() { try { return localStorage.getItem(KEY); } catch { return null; } },
  set theme(name) { try { localStorage.setItem(KEY, name); } catch { /* for this visit only */ } },
};

function showTheme(name) {
  if (name === "light" || name === "dark") root.dataset.theme = name;
  else delete root.dataset.theme;
}

showTheme(kept.theme);
