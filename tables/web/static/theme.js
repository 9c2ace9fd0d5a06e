// Sets the theme before the first paint; a plain script in the head, so that nothing flashes.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
