// Forms with files keep them where something else in the form is wrong. A page that is loaded anew
// has none: no browser fills a file in. So the form is sent by the script, and the fields with the
// files are put into the page that comes back.

import htmx from "htmx.org";
import { all, text } from "./page";
import { toast } from "./toasts";

const FILES = "input[type=file]";

function chosen(form: HTMLFormElement): HTMLInputElement[] {
  return all<HTMLInputElement>(FILES, form).filter((field) => field.files?.length);
}

async function send(form: HTMLFormElement, submitter: HTMLElement | null): Promise<void> {
  const files = chosen(form);
  const response = await fetch(form.action, {
    method: "POST",
    credentials: "same-origin",
    headers: { Accept: "text/html", "X-Keeps-Files": "1" },
    body: new FormData(form, submitter),
  }).catch(() => undefined);
  if (!response) {
    toast(text("offline"), "danger");
    return;
  }
  if (response.redirected && response.ok) {
    window.location.assign(response.url);
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const [main, came] = [document.querySelector("main"), page.querySelector("main")];
  if (!main || !came) {
    toast(text("request_failed"), "danger");
    return;
  }
  main.replaceChildren(...came.childNodes);
  for (const file of files) {
    const field = document.getElementById(file.id);
    if (field?.matches(FILES)) field.replaceWith(file);
  }
  htmx.process(main);
  main.firstElementChild?.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true }));
  main.querySelector<HTMLElement>("[role=alert]")?.focus();
}

/** Send forms with chosen files by the script. */
export function setUpKeptFiles(): void {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || !(form instanceof HTMLFormElement)) return;
    if (!form.matches("[data-keeps-files]") || !chosen(form).length) return;
    event.preventDefault();
    void send(form, event.submitter);
  });
}
