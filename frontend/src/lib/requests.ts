// htmx: nothing evaluated, nothing sent elsewhere, Django's token on everything, failures said.

import htmx from "htmx.org";
import { csrfToken, text } from "./page";
import { toast } from "./toasts";

interface HtmxRequest {
  headers: Record<string, string>;
}
interface HtmxResponse {
  xhr: XMLHttpRequest;
}

/** Set htmx up; what `<meta name="htmx-config">` says is added by htmx itself. */
export function setUpRequests(): void {
  Object.assign(htmx.config, {
    allowEval: false,
    allowScriptTags: false,
    includeIndicatorStyles: false,
    selfRequestsOnly: true,
    historyCacheSize: 0,
    historyRestoreAsHxRequest: false,
    // 409: a stale form, with the difference; 422: a form with errors. Both bring what to show.
    responseHandling: [
      { code: "204", swap: false },
      { code: "[23]..", swap: true },
      { code: "(409|422)", swap: true, error: false },
      { code: "[45]..", swap: false, error: true },
    ],
  });
  document.addEventListener("htmx:configRequest", (event) => {
    (event as CustomEvent<HtmxRequest>).detail.headers["X-CSRFToken"] = csrfToken();
  });
  document.addEventListener("htmx:responseError", (event) => {
    const { status } = (event as CustomEvent<HtmxResponse>).detail.xhr;
    toast(text(status === 401 ? "session_ended" : "request_failed"), "danger");
  });
  document.addEventListener("htmx:sendError", () => toast(text("offline"), "danger"));
  showProgress();
}

function showProgress(): void {
  let waiting = 0;
  let timer: number | undefined;
  const bar = document.createElement("div");
  bar.className = "page-progress";
  bar.setAttribute("aria-hidden", "true");
  document.addEventListener("htmx:beforeRequest", () => {
    waiting += 1;
    timer ??= window.setTimeout(() => document.body.append(bar), 250);
  });
  document.addEventListener("htmx:afterRequest", () => {
    waiting = Math.max(0, waiting - 1);
    if (waiting) return;
    window.clearTimeout(timer);
    timer = undefined;
    bar.remove();
  });
}
