/** Light or dark before anything is painted: what was chosen here, else what the system asks for. */
"use strict";
(() => {
  /** @returns {string | null} */
  const chosen = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage may be forbidden
    }
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const theme = chosen() ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    document.getElementById("theme")?.setAttribute("aria-pressed", String(theme === "dark"));
  };
  const toggle = () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", next);
    } catch {
      // then it holds for this page
    }
    show();
    document.documentElement.dataset.theme = next;
    document.getElementById("theme")?.setAttribute("aria-pressed", String(next === "dark"));
  };
  dark.addEventListener("change", show);
  show();
  document.addEventListener("DOMContentLoaded", () => {
    show();
    document.getElementById("theme")?.addEventListener("click", toggle);
  });
})();
