// The preview's own switch: ?theme=dark&dir=rtl&keys=off
const options = new URLSearchParams(location.search);
const root = document.documentElement;
if (options.get("theme")) root.dataset.theme = options.get("theme");
if (options.get("dir")) root.dir = options.get("dir");
if (options.get("dir") === "rtl") root.lang = "he";
if (options.get("keys")) root.dataset.keys = options.get("keys");
