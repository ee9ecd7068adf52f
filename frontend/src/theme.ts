// Loaded blocking in the head, so that a page is never drawn in the other theme first.
try {
  const theme = localStorage.getItem("wavebreak-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that stores nothing keeps the system's theme.
}
