// Imported before libraries that read `navigator.language` while they load. Chromium without a
// locale says "en-US@posix", which no Intl constructor takes.

function isLocale(tag: string): boolean {
  try {
    return Intl.getCanonicalLocales(tag).length > 0;
  } catch {
    return false;
  }
}

if (!isLocale(navigator.language)) {
  const value = document.documentElement.lang || "en";
  Object.defineProperty(navigator, "language", { value, configurable: true });
}

export {};
