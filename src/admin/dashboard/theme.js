// Sets the chosen theme before the first paint. It is a classic script because a module would run after the first paint.
(() => {
  const theme = localStorage.getItem("bootdepot.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
