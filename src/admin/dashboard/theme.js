// The chosen theme, before the first paint. A classic script on purpose: a module would run after it.
(() => {
  const theme = localStorage.getItem("bootdepot.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
