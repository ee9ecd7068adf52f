"""The console in a real browser: sign-in with second factors, keyboard work, undo, axe.

One server and one browser for all tests of this module. Screenshots are kept where the environment
variable WAVEBREAK_SCREENSHOTS names a directory.
"""

from __future__ import annotations

import base64
import dataclasses
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLResolver, get_resolver, resolve
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, sync_playwright

from support.factories import DAY, NOON
from support.operator_events import TEAM, team_events
from support.service_harness import abuser
from support.service_process import KEY, SIGNER, Server
from support.webhook_receiver import Receiver, listening
from wavebreak.config import SHIPPED
from wavebreak.model import save, smallest_model
from wavebreak_cases.bundles import evidence_intake
from wavebreak_cases.bundles.verify import exit_code, verify_bundle
from wavebreak_cases.bundles.workspace import open_workspace
from wavebreak_cases.cases.case import CaseOpened
from wavebreak_cases.claims.exhibits import Actor
from wavebreak_cases.pages.apps import CaseStore
from wavebreak_cases.pages.demo_case import CASE_ID, build_demo_case
from wavebreak_server.pipeline.live_policy import models_directory

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "frontend" / "build-test" / "axe.min.js"
PASSWORD = "correct horse battery staple"
ROLES = (
    "lead", "analyst", "admin", "counsel", "policy_owner", "auditor", "data_scientist",
)  # fmt: skip
# Who signs in with more than a password from then on is nobody that another test signs in as.
PEOPLE = {role.replace("_", "-"): role for role in ROLES} | {
    "with-totp": "auditor", "with-passkey": "counsel",
}  # fmt: skip
MODEL, OLDER = "autumn", "spring"
SHEET = re.compile(r'name="sheet" value="([^"]+)"')
SCANNED = "C-2026-2"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service's directory with people of each role, a legal case, and two trained models."""
    made = tmp_path_factory.mktemp("console") / "var"
    password = made.parent / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    _create_people(made, password)
    store = CaseStore(made / "cases", SIGNER, bytes.fromhex(KEY))
    build_demo_case(store, "spam-0")
    _open_scanned_case(store, made.parent / "scan.png")
    for name, threshold in ((MODEL, 1000), (OLDER, 2000)):
        model = dataclasses.replace(
            smallest_model(), name=name, thresholds={"challenge": threshold}
        )
        save(model, models_directory(made) / name)
        (models_directory(made) / name / "card.html").write_text("<p>Its card</p>", "utf-8")
    return made


def _open_scanned_case(store: CaseStore, scan: Path) -> None:
    """Open a case whose only exhibit is a scanned letter."""
    picture = Image.new("RGB", (600, 800), "white")
    ImageDraw.Draw(picture).text((60, 60), "Ordered by Dana Levi", fill="black")
    picture.save(scan)
    place, actor = store.directory / SCANNED, Actor("user:noa", "here", "an answer", "order 4")
    with open_workspace(
        place, SIGNER, lambda: time.time_ns() // 1_000_000, secrets.token_bytes, new=SCANNED
    ) as at:
        at.take(CaseOpened("A scanned letter"), by=actor.who, role="counsel")
        evidence_intake.add_file_exhibit(at, scan, actor, "counsel", title="Letter")


def _create_people(home: Path, password: Path) -> None:
    """Create them by the command, all in one process, which is slow to start."""
    program = (
        "import json, sys; import wavebreak.cli; from wavebreak.cli.app import app\n"
        "for words in json.load(sys.stdin): app(words, standalone_mode=False)"
    )
    file = ["--password-file", str(password)]
    create = ["user", "create", str(home)]
    commands = [[*create, name, "--role", role, *file, "--new"] for name, role in PEOPLE.items()]
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(commands), capture_output=True,
        text=True, check=False, env=os.environ | {"WAVEBREAK_KEY": KEY},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """A server with a team of three and twelve banned accounts, whose cases wait."""
    events = home.parent / "events.jsonl"
    now = time.time_ns() // 1_000_000 - DAY
    # The team's limits of 72 h last through the tests, whenever they end.
    lines = [e | {"ts": e["ts"] - NOON + now - 4 * DAY} for e in team_events()]
    # The twelve began long enough ago that notices of their limits of an hour are due (half an hour
    # at most), and those of most limits run on for longer than the tests take.
    begin = now + DAY - 43 * 60_000
    lines += [e for k in range(12) for e in abuser(account=f"spam-{k}", ts=begin + 60_000 * k)]
    events.write_text("\n".join(map(json.dumps, lines)))
    options = ("--enforce", "--console", "--private-webhooks", "--backfill", str(events))
    running = Server(home, options).start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def platform(server: Server) -> Iterator[Receiver]:
    """The platform's webhook, which would carry codes to account holders."""
    with listening(Receiver()) as receiver:
        receiver.known_to(server)
        yield receiver


@pytest.fixture(scope="module")
def browser(browser_path: Path) -> Iterator[Browser]:
    with sync_playwright() as play:
        started = play.chromium.launch(
            executable_path=str(browser_path),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()


class Person:
    """A person with a browser window of their own; what the console says to it is kept."""

    def __init__(self, browser: Browser, server: Server, **more: Any) -> None:
        self.at = f"http://localhost:{server.port}"
        self.context: BrowserContext = browser.new_context(
            viewport=more.pop("viewport", {"width": 1280, "height": 900}),
            # Else it is the machine's, which may be none (LANG=C.UTF-8).
            locale=more.pop("locale", "en-US"),
            **more,
        )
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.complaints.append(message.text)

    def sign_in(self, name: str, password: str = PASSWORD) -> Person:
        """Sign in with the password, or try to."""
        self.open("/console/user/login/")
        self.page.fill("[name=login]", name)
        self.page.fill("[name=password]", password)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Sign in", exact=True).click()
        return self

    def confirm(self, path: str) -> Page:
        """Open a page that asks for the password again, and give it."""
        self.open(path)
        self.page.fill("[name=password]", PASSWORD)
        with self.page.expect_navigation():
            self.page.get_by_role("button", name="Confirm").click()
        return self.page

    def open(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(f"{self.at}{path}")
        return self.page

    def send(self, path: str, **fields: str) -> str:
        """Send a form with the open page's token; return the address to which it leads."""
        token = self.page.locator("meta[name=csrf-token]").get_attribute("content") or ""
        form: dict[str, Any] = {"csrfmiddlewaretoken": token} | fields
        answer = self.context.request.post(f"{self.at}{path}", form=form)
        if sheet := SHEET.search(answer.text()):
            sent = form | {"sheet": sheet[1]}
            answer = self.context.request.post(f"{self.at}{path}", form=sent)
        assert answer.ok, answer.text()
        return answer.url

    def shoot(self, name: str) -> None:
        """Keep a screenshot, where they are wanted."""
        if kept := os.environ.get("WAVEBREAK_SCREENSHOTS"):
            self.page.screenshot(path=f"{kept}/{name}.png", full_page=True)


@pytest.fixture
def person(browser: Browser, server: Server) -> Iterator[Person]:
    made = Person(browser, server)
    yield made
    assert made.complaints == []
    made.context.close()


def wait_for_cases(person: Person) -> None:
    """Wait until the indexer has opened cases."""
    for _ in range(100):
        person.open("/console/queue/cases")
        if person.page.locator("tr[data-row]").count():
            return
        time.sleep(0.2)
    raise AssertionError("no case was opened")


def wait_for_operator(person: Person, accounts: int) -> Locator:
    """Wait until the grouping has linked so many accounts; return the operator's row."""
    # Only the second column counts accounts: the others have small numbers, too.
    count = f"td:nth-child(2):text-is('{accounts}')"
    operator = person.page.locator("tr[data-row]", has=person.page.locator(count))
    for _ in range(100):
        person.open("/console/operators")
        if operator.count() == 1:
            return operator
        time.sleep(0.2)
    raise AssertionError(f"no operator has {accounts} accounts")


def totp(secret: str, at: float) -> str:
    """Return the code of a secret at a time (RFC 6238)."""
    key, counter = base64.b32decode(secret), int(at) // 30
    digest = hmac.digest(key, counter.to_bytes(8), "sha1")
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


def test_sign_in_with_totp_asks_for_the_code(person: Person) -> None:
    person.sign_in("with-totp").confirm("/console/user/2fa/totp/activate/")
    secret = person.page.locator("#authenticator_secret").input_value()
    person.shoot("totp")
    person.page.fill("[name=code]", totp(secret, time.time()))
    person.page.get_by_role("button", name="Activate").click()
    person.page.wait_for_url("**/recovery-codes/**")
    person.context.clear_cookies()
    person.sign_in("with-totp")
    person.page.wait_for_url("**/2fa/authenticate/")
    # A code counts once: the next one comes with the next half minute.
    time.sleep(30 - time.time() % 30 + 0.5)
    person.page.fill("[name=code]", totp(secret, time.time()))
    person.page.get_by_role("button", name="Sign In").first.click()
    person.page.wait_for_url("**/console/")
    assert "Overview" in person.page.title()


def test_sign_in_with_a_passkey_is_not_slowed(person: Person) -> None:
    session = person.context.new_cdp_session(person.page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {"options": {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                     "hasUserVerification": True, "isUserVerified": True}},
    )  # fmt: skip
    person.sign_in("with-passkey").confirm("/console/user/2fa/webauthn/add/")
    person.page.fill("[name=name]", "laptop")
    person.page.locator("[name=passwordless]").check()
    person.page.get_by_role("button", name="Add").click()
    person.page.wait_for_url(lambda url: not url.endswith("/webauthn/add/"))
    person.context.clear_cookies()
    slowed = person.page.get_by_role("alert").filter(has_text="Too many wrong attempts")
    for _ in range(40):
        person.sign_in("with-passkey", "a wrong guess")
        if slowed.is_visible():
            break
    assert "A passkey works at once" in slowed.inner_text()
    person.shoot("sign-in-slowed")
    assert list(_violations(person.page)) == []
    person.page.get_by_role("button", name="Sign in with a passkey").click()
    person.page.wait_for_url("**/console/")
    assert "with-passkey" in person.page.locator(".sidebar").inner_text()


def test_queue_is_worked_by_keyboard_alone(person: Person) -> None:
    person.sign_in("analyst")
    wait_for_cases(person)
    page = person.page
    page.keyboard.press("?")
    assert page.get_by_role("dialog").get_by_text("Take the next case").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.wait_for_url(re.compile(r"/queue/\d+$"))
    first = page.url
    page.keyboard.press("b")
    assert page.locator("[name=verdict][value=benign]").is_checked()
    page.fill("#reason", "a wedding list")
    page.locator("#act-preview [name=sheet]").wait_for(state="attached")
    page.keyboard.press("Control+Enter")
    page.wait_for_url(lambda url: url != first and re.search(r"/queue/\d+$", url) is not None)
    person.shoot("case")
    page.keyboard.press("s")
    page.wait_for_url(re.compile(r"/queue/\d+$"))
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url(re.compile("/queue$"))
    assert re.search(r"\b[1-9]\d* accounts? wait", page.locator(".page-head").inner_text())


def test_batch_is_undone_in_one_act(person: Person) -> None:
    person.sign_in("lead")
    wait_for_cases(person)
    page = person.page
    page.locator("tbody input[type=checkbox]").nth(0).check()
    page.locator("tbody input[type=checkbox]").nth(1).check()
    assert page.locator("[data-selected-count]").first.inner_text() == "2"
    page.locator("summary", has_text="Act on").click()
    page.locator("[name=verdict][value=benign]").check()
    page.fill("#bulk-reason", "our own test accounts")
    page.get_by_role("button", name="Preview for the selection").click()
    person.shoot("bulk-preview")
    page.get_by_role("button", name="Act on 2 accounts").click()
    page.wait_for_url(re.compile("/queue/batches/"))
    assert page.locator(".pill-allow").count() == 2
    before = page.locator("tbody .pill").first.inner_text()
    act_with_reason(
        page, page.get_by_role("button", name="Undo the batch").first, "Undo the batch", "not ours"
    )
    assert "Undone: 2 accounts" in page.locator("main").inner_text()
    page.locator("tbody a").first.click()
    page.wait_for_url(re.compile("/console/accounts/"))
    assert before in page.locator(".page-head").inner_text()


def test_operator_is_acted_on_and_the_act_undone(person: Person) -> None:
    person.sign_in("lead")
    operator, page = wait_for_operator(person, len(TEAM)), person.page
    operator.locator("a[data-row-open]").click()
    page.locator("[data-graph] canvas").first.wait_for()
    listed = page.locator("tbody[data-list] a").all_inner_texts()
    assert sorted(listed) == sorted(TEAM)
    before = page.locator("tbody[data-list] .pill").all_inner_texts()
    person.shoot("operator")
    page.get_by_label("Select all accounts").check()
    assert page.locator("[data-selected-count]").first.inner_text() == "3"
    page.locator("[name=verdict][value=undetermined]").check()
    page.select_option("[name=outcome]", "suspend")
    page.select_option("[name=hold]", "3d")
    page.fill("aside [name=reason]", "one team with one list")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Act on 3 accounts").click()
    page.wait_for_url(re.compile("/queue/batches/"))
    batch = page.url
    assert page.locator("td:nth-child(3) .pill").all_inner_texts() == ["suspend"] * 3
    opener = page.get_by_role("button", name="Undo the batch").first
    act_with_reason(page, opener, "Undo the batch", "a school")
    assert "Undone: 3 accounts" in page.locator("main").inner_text()
    page.goto(f"{person.at}/console/operators")
    operator.locator("a[data-row-open]").click()
    assert page.locator("tbody[data-list] .pill").all_inner_texts() == before
    assert page.goto(batch) is not None
    assert "undone by" in page.locator(".page-head").inner_text()


def test_act_asks_for_outcome_and_duration_where_needed(person: Person) -> None:
    page = person.sign_in("analyst").page
    wait_for_cases(person)
    page.keyboard.press("/")
    page.keyboard.type("spam-10")
    page.keyboard.press("Enter")
    page.wait_for_url("**/accounts/spam-10")
    outcome, hold = page.locator("#outcome"), page.locator("#hold")
    assert outcome.is_disabled()
    page.get_by_label("Neither").check()
    page.fill("#reason", "a school")
    page.get_by_role("button", name="Apply").click()
    assert outcome.evaluate("field => field.matches(':invalid')")
    outcome.select_option("limit")
    page.get_by_role("button", name="Apply").click()
    # Nothing was sent, and nothing typed is lost.
    assert hold.evaluate("field => field.matches(':invalid')")
    assert page.locator("#reason").input_value() == "a school"
    outcome.select_option("ban")
    assert not hold.evaluate("field => field.matches(':invalid')")
    page.get_by_label("Benign").check()
    assert outcome.is_disabled()
    assert hold.is_disabled()


def test_new_key_is_copied_and_a_fault_keeps_the_form(person: Person) -> None:
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = person.sign_in("admin").open("/console/settings")
    page.get_by_text("Create a key").click()
    page.fill("#key-name", "a messenger")
    page.fill("#key-reason", "its events")
    # Without a scope there is no key: the form is shown again with the fault at its field.
    page.get_by_role("button", name="Create", exact=True).click()
    page.locator("#key-scope_error").wait_for()
    assert page.locator("#key-name").input_value() == "a messenger"
    assert page.locator("#key-reason").input_value() == "its events"
    page.locator("[name=scope][value=ingest]").check()
    page.get_by_role("button", name="Create", exact=True).click()
    key = page.locator("#secret").inner_text()
    page.get_by_role("button", name="Copy").click()
    page.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == key
    assert key.startswith("wb_")


def test_bundle_is_downloaded_and_a_tampered_one_fails(person: Person, tmp_path: Path) -> None:
    page = person.sign_in("counsel").page
    case = page.locator("tr", has_text=CASE_ID)
    reload_until(page, f"{person.at}/console/cases", case)
    case.get_by_role("link").first.click()
    page.get_by_role("link", name="Bundle").click()
    page.fill("main [name=reason]", "for the court")
    page.get_by_role("button", name="Build and verify").click()
    page.get_by_text("Everything was checked and holds.").wait_for(timeout=240_000)
    person.shoot("case-bundle")
    with page.expect_download() as started:
        page.get_by_role("link", name=re.compile("^Download")).click()
    assert started.value.suggested_filename == f"{CASE_ID}.zip"
    bundle, tampered = tmp_path / "bundle.zip", tmp_path / "tampered.zip"
    started.value.save_as(bundle)
    assert exit_code(verify_bundle(bundle, [SIGNER.key])) == 0
    replace_in_zip(bundle, tampered, b"80,000 a day", b"90,000 a day")
    findings = verify_bundle(tampered, [SIGNER.key])
    assert exit_code(findings) == 1
    assert "bag" in [finding.what for finding in findings if finding.holds is False]


def test_region_is_drawn_with_the_mouse_and_by_fields(person: Person) -> None:
    page = person.sign_in("counsel").open(f"/console/cases/{SCANNED}/exhibits/E1")
    page.get_by_role("link", name="Redact").click()
    picture = page.get_by_alt_text("Page 1 of the original")
    picture.scroll_into_view_if_needed()
    picture.evaluate("image => image.decode()")
    bounds = page.locator("svg[data-region-page='1']").bounding_box()
    assert bounds is not None
    x, y, wide, high = (bounds[name] for name in ("x", "y", "width", "height"))
    page.mouse.move(x + wide * 0.05, y + high * 0.05)
    page.mouse.down()
    page.mouse.move(x + wide * 0.3, y + high * 0.08, steps=4)
    page.mouse.move(x + wide * 0.5, y + high * 0.1, steps=4)
    page.mouse.up()
    typed = page.locator("[data-region-row]").first.locator("input")
    drawn = [int(field.input_value()) for field in typed.all()]
    assert drawn == pytest.approx([1, 50, 50, 500, 100], abs=3)
    page.get_by_role("button", name="Add a region").click()
    for value in ("1", "600", "600", "900", "900"):
        page.keyboard.type(value)
        page.keyboard.press("Tab")
    assert page.locator("svg[data-region-page='1'] rect").count() == 2
    assert page.locator("svg[data-region-page='1'] rect").last.get_attribute("width") == "300"
    person.shoot("case-redact")
    with page.expect_navigation():
        page.get_by_role("button", name="Preview the copy").click()
    assert "Regions" in page.locator("dl.kv").inner_text()
    copy = page.get_by_alt_text("Page 1 of the redacted copy")
    assert copy.evaluate("image => image.naturalWidth") == 600
    person.shoot("case-redact-preview")
    page.fill("main [name=reason]", "a customer, no party")
    with page.expect_navigation():
        page.get_by_role("button", name="Put the copy in its place").click()
    assert "A redacted copy." in page.locator("main").inner_text()
    assert "Sealed as step 3" in page.locator("main").inner_text()


def test_form_of_a_case_names_every_wrong_field_beside_it(person: Person, tmp_path: Path) -> None:
    page = person.sign_in("counsel").open(f"/console/cases/{SCANNED}/act/add_exhibit")
    letter = tmp_path / "letter.txt"
    letter.write_text("We send bulk messages.")
    page.set_input_files("#f-file", letter)
    page.fill("#f-title", "A letter")
    page.get_by_role("button", name="Take it in").click()
    faults = page.get_by_role("alert").filter(has_text="3 fields are wrong")
    faults.wait_for()
    assert faults.locator("li").count() == 3
    # The file is still there: it is not chosen again.
    assert page.locator("#f-file").evaluate("field => field.files[0].name") == "letter.txt"
    for name, fault in (
        ("f-kind", "It is missing"),
        ("f-authority", "It is missing"),
        ("reason", "A reason is missing"),
    ):
        field = page.locator(f"#{name}")
        assert field.get_attribute("aria-invalid") == "true"
        described = (field.get_attribute("aria-describedby") or "").split()
        words = [page.locator(f"[id='{each}']").inner_text() for each in described]
        assert any(fault in text for text in words), (name, words)
    assert page.locator("#f-title").input_value() == "A letter"
    person.shoot("case-form-faults")
    faults.get_by_role("link", name="By what authority").click()
    assert page.evaluate("document.activeElement.id") == "f-authority"
    page.keyboard.type("order 4")
    page.select_option("#f-kind", index=1)
    page.fill("#reason", "as ordered")
    page.get_by_role("button", name="Take it in").click()
    page.wait_for_url(lambda url: "add_exhibit" not in url)
    assert "A letter" in page.locator("main").inner_text()


def replace_in_zip(source: Path, target: Path, old: bytes, new: bytes) -> None:
    """Write a copy of a zip file in which some bytes of its files are others."""
    changed = 0
    with zipfile.ZipFile(source) as found, zipfile.ZipFile(target, "w") as made:
        for entry in found.infolist():
            content = found.read(entry)
            changed += old in content
            made.writestr(entry, content.replace(old, new))
    assert changed > 0


def test_transparency_report_is_recounted_equal(person: Person) -> None:
    page = person.sign_in("lead").open("/console/reports")
    month = time.strftime("%Y-%m", time.gmtime(time.time() - DAY / 1000))
    page.select_option("#month", month)
    with page.expect_navigation():
        page.get_by_role("button", name="Count").click()
    row = page.locator("tr", has=page.get_by_role("link", name=month, exact=True))
    reload_until(page, f"{person.at}/console/reports", row)
    # Withheld, unless tests before it left no small count from which this one could be derived.
    decisions = row.locator("td.num").first.inner_text()
    # On the first of a month most of the day may be in the other one.
    few = {"<5"} if time.gmtime().tm_mday == 1 else set()
    assert decisions in {"withheld", *few} or int(decisions.replace(",", "")) >= 12
    free = row.get_by_role("button", name="Recount").and_(page.locator(":enabled"))
    reload_until(page, f"{person.at}/console/reports", free)
    with page.expect_navigation():
        free.click()
    reload_until(page, f"{person.at}/console/reports", row.get_by_text("equal", exact=True))
    counted = re.search(r"(\d+) of (\d+)", row.inner_text())
    assert counted
    assert counted[1] == counted[2]
    person.shoot("reports")
    row.get_by_role("link", name=month, exact=True).click()
    page.get_by_role("heading", level=1).first.wait_for()
    assert decisions in page.locator("body").inner_text()
    person.shoot("report")


def test_challenger_is_promoted_by_two_people_and_rolled_back(
    browser: Browser, server: Server, person: Person
) -> None:
    page = person.sign_in("data-scientist").open("/console/policy/models")
    page.get_by_role("button", name="Register a model").click()
    page.select_option("dialog[open] [name=name]", MODEL)
    page.fill("dialog[open] [name=reason]", "autumn data")
    with page.expect_navigation():
        page.locator("dialog[open]").get_by_role("button", name="Register").click()
    version = page.url
    page.get_by_role("button", name="Compare on history").click()
    page.select_option("dialog[open] [name=days]", "7")
    with page.expect_navigation():
        page.locator("dialog[open]").get_by_role("button", name="Compare").click()
    assert page.get_by_role("button", name="Approve").count() == 0
    second = Person(browser, server).sign_in("lead")
    approve = second.page.get_by_role("button", name="Approve…")
    reload_until(second.page, version, approve)
    second.shoot("challenger")
    # Who registered it may not approve it.
    page.goto(version)
    assert "It waits for a second person" in page.locator("main").inner_text()
    assert page.get_by_role("button", name="Approve…").count() == 0
    act_with_reason(second.page, approve, "Approve", "read the comparison")
    promote = second.page.get_by_role("button", name="Promote…")
    act_with_reason(second.page, promote, "Promote now", "better on labels")
    assert "It scores now" in second.page.locator("main").inner_text()
    second.page.goto(f"{second.at}/console/policy/models")
    assert MODEL in second.page.locator(".page-head").inner_text()
    back = second.page.get_by_role("button", name="Roll back", exact=True)
    act_with_reason(second.page, back, "Roll back now", "it slowed a school")
    assert "No model: rules alone decide" in second.page.locator(".page-head").inner_text()
    assert "it slowed a school" in second.page.locator("main").inner_text()
    assert second.complaints == []
    second.context.close()


def test_account_shows_timeline_measures_and_neighbours(person: Person) -> None:
    person.sign_in("lead").open("/console/accounts/spam-11")
    page = person.page
    page.locator("figure[data-chart=events] canvas, figure[data-chart=events] svg").first.wait_for()
    page.get_by_role("rowheader", name="network", exact=True).wait_for()
    assert page.get_by_text("first contacts in 1 h").first.is_visible()
    page.locator("[data-story]").get_by_text("it had never exchanged a message with").wait_for()
    person.shoot("account")


NO_LOCALE = """Object.defineProperty(Navigator.prototype, "language", {
    configurable: true, get: () => "en-US@posix",
});"""
"""The language that Chromium names where the machine has no locale."""


def test_charts_are_drawn_in_a_browser_without_a_locale(person: Person) -> None:
    person.page.add_init_script(NO_LOCALE)
    page = person.sign_in("lead").open("/console/accounts/spam-11")
    page.locator("figure[data-chart=events] canvas").first.wait_for()
    assert page.evaluate("navigator.language") == "en"


def test_long_name_widens_no_page(browser: Browser, server: Server) -> None:
    name = "W" * 180
    for width in (360, 1440):
        someone = Person(browser, server, viewport={"width": width, "height": 900})
        page = someone.sign_in("lead").open("/console/accounts/spam-11")
        page.evaluate(
            """name => {
                for (const place of document.querySelectorAll(
                    "h1 bdi, td .mono, li .mono, .breadcrumbs [aria-current], .story p",
                )) place.textContent = name;
            }""",
            name,
        )
        assert page.locator("h1 bdi").inner_text() == name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        someone.context.close()


HEBREW = "כתבתי לכל מוזמני החתונה. כולם מכירים אותי."


def test_holder_appeals_in_hebrew_and_sees_it_reversed(
    browser: Browser, server: Server, platform: Receiver, person: Person
) -> None:
    person.sign_in("analyst")
    wait_for_cases(person)
    notice = newest_notice(server, "spam-7")
    holder = Person(browser, server, viewport={"width": 360, "height": 780}, locale="he-IL")
    page = holder.page
    page.goto(f"{notice}?lang=he")
    assert page.locator("html").get_attribute("dir") == "rtl"
    holder.shoot("notice-he")
    page.locator("a[href*='/appeal/']").first.click()
    page.fill("#statement", HEBREW)
    page.locator("form button[type=submit]").click()
    page.fill("#code", code_sent(platform))
    page.locator("form button[type=submit]").first.click()
    page.wait_for_load_state()
    holder.shoot("appeal-he")
    person.open("/console/appeals")
    person.page.locator("tr[data-row] a").first.click()
    assert HEBREW in person.page.locator("main").inner_text()
    person.shoot("appeal")
    person.page.locator("[name=result][value=reversed]").check()
    person.page.fill("#reason", "אלה אורחי החתונה שלכם. טעינו.")
    person.page.get_by_role("button", name="Preview the answer").click()
    person.page.wait_for_load_state()
    assert "טעינו" in person.page.locator("#sheet").inner_text()
    person.shoot("appeal-preview")
    person.page.get_by_role("button", name="Send the answer").click()
    person.page.wait_for_load_state()
    page.reload()
    assert "טעינו" in page.locator("main").inner_text()
    page.goto(f"{notice}?lang=he")
    assert "טעינו" in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    holder.shoot("notice-corrected-he")
    assert holder.complaints == []
    holder.context.close()


def newest_notice(server: Server, account: str) -> str:
    """Return the address of the notice of an account's newest decision, as the API gives it."""
    decision = newest_decision(server, account)
    return str(_read(server, f"/v1/decisions/{decision}/statement")["url"])


def newest_decision(server: Server, account: str) -> str:
    """Return the id of an account's newest decision."""
    return str(_read(server, f"/v1/accounts/{account}")["decisions"][0]["decision"]["id"])


def _read(server: Server, path: str) -> Any:
    """Read from the API with the key that the server printed at its first start."""
    key = re.search(
        r"wb_[0-9a-f]{8}_[0-9a-f]{64}", (server.home.parent / f"{server.home.name}.out").read_text()
    )
    assert key
    asked = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}", headers={"authorization": f"Bearer {key[0]}"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def code_sent(platform: Receiver) -> str:
    """Wait for the message with an appeal's code; return the code."""
    for _ in range(100):
        for _headers, body in platform.requests:
            message = json.loads(body)
            if message["type"] == "appeal.code":
                return str(message["data"]["code"])
        time.sleep(0.2)
    raise AssertionError("no code was sent")


def upload_policy(page: Page, numbers: str, reason: str) -> None:
    """Upload the shipped allowance with other numbers, by the form of the page."""
    text = (SHIPPED / "rules/allowance.toml").read_text("utf-8")
    assert "new_chats_1d = 0" in text
    content = text.replace("new_chats_1d = 0", numbers).encode()
    file = FilePayload(name="allowance.toml", mimeType="application/toml", buffer=content)
    page.get_by_role("button", name="Upload a version").click()
    page.set_input_files("dialog[open] [name=files]", [file])
    page.fill("dialog[open] [name=reason]", reason)
    with page.expect_navigation():
        page.get_by_role("button", name="Upload and check").click()


def test_rule_is_changed_by_two_people_and_rolled_back(
    browser: Browser, server: Server, person: Person
) -> None:
    owner = person.sign_in("policy-owner").open("/console/policy/versions")
    upload_policy(owner, "new_chats_1d = 40", "an hour without anybody is too hard")
    version = owner.url
    person.shoot("policy-uploaded")
    with owner.expect_navigation():
        owner.get_by_role("button", name=re.compile("^Replay")).click()
    second = Person(browser, server).sign_in("lead")
    page = second.page
    approve = page.get_by_role("button", name="Approve…")
    reload_until(page, version, approve)
    second.shoot("policy-version")
    act_with_reason(page, approve, "Approve", "as discussed on Monday")
    act_with_reason(page, page.get_by_role("button", name="Go live…"), "Go live now", "agreed")
    page.goto(f"{second.at}/console/policy/rules/first_contact_allowance")
    assert "40" in page.locator("main").inner_text()
    page.goto(f"{second.at}/console/policy/versions")
    second.shoot("policy-versions")
    back = page.get_by_role("button", name="Roll back", exact=True)
    act_with_reason(page, back, "Roll back now", "it slowed a school")
    page.goto(f"{second.at}/console/policy")
    assert "shipped-" in page.locator(".page-head").inner_text()
    assert second.complaints == []
    second.context.close()


def reload_until(page: Page, address: str, shown: Any) -> None:
    """Open a page again until something is on it."""
    for _ in range(600):
        page.goto(address)
        if shown.count():
            return
        time.sleep(0.2)
    raise AssertionError(page.locator("main").inner_text())


def act_with_reason(page: Page, opener: Any, button: str, reason: str) -> None:
    """Open a dialog, give a reason, and send it."""
    opener.click()
    page.fill("dialog[open] [name=reason]", reason)
    with page.expect_navigation(timeout=120_000):
        page.locator("dialog[open]").get_by_role("button", name=button, exact=True).click()


PAGES: dict[str, tuple[str, ...]] = {
    "": (
        "/console/user/login/", "/notice/{notice}", "/appeal/{notice}", "/appeal/{appealed}",
        "/help/{lang}", "/business/{lang}",
    ),
    "lead": (
        "/console/", "/console/queue", "/console/queue/cases", "/console/queue/1",
        "/console/queue/campaigns/{campaign}", "/console/queue/batches",
        "/console/account-sharing/device/spam-11", "/console/queue/batches/{batch}",
        "/console/accounts",
        "/console/accounts/spam-11",
        "/console/operators", "/console/operators/{operator}", "/console/appeals",
        "/console/appeals/{appeal}", "/console/policy",
        "/console/policy/rules/impossible_acts",
        "/console/policy/versions", "/console/policy/versions/{version}",
        "/console/policy/replays/{replay}", "/console/policy/models",
        "/console/policy/models/{model}", "/console/policy/learning",
        "/console/policy/comparisons/{comparison}",
        "/console/query?outcome=ban&measure=stranger_complaints&op=%3E%3D&value=0",
        "/console/cases", "/console/reports", "/console/profile",
        "/console/portfolios", "/console/portfolios/{portfolio}", "/console/portfolios/-/consents",
    ),
    "counsel": (
        "/console/cases/new", "/console/cases/{case}", "/console/cases/{case}/parties",
        "/console/cases/{case}/claims", "/console/cases/{case}/determination",
        "/console/cases/{case}/notices", "/console/cases/{case}/bundle",
        "/console/cases/{case}/act/add_task", "/console/cases/{case}/exhibits/E1",
        "/console/cases/{case}/exhibits/E1/redact",
        "/console/cases/{scanned}/exhibits/E1/redact",
    ),
    "admin": (
        "/console/settings", "/console/settings/sources", "/console/settings/lists",
        "/console/settings/lanes",
        "/console/settings/audit",
    ),
    "analyst": (
        "/console/user/reauthenticate/", "/console/user/password/change/", "/console/user/2fa/",
        "/console/user/2fa/totp/activate/", "/console/user/2fa/webauthn/",
        "/console/user/2fa/webauthn/add/", "/console/user/3rdparty/", "/console/user/logout/",
    ),
}  # fmt: skip
"""Pages that axe looks at, by who opens them; `subjects` makes the parts of addresses in braces."""
_PART = "a part of another page, or a file"
_OWN_STYLE = "a page of its own, sandboxed, as the command wrote it"
_FACTOR = "needs a second factor; the walks of signing in go through it"
_OFF = "it only says that a sign-in failed, or leads elsewhere"
NOT_LOOKED_AT: dict[str, str] = {
    "shared_case": "a link of one case; its own test goes through it",
    "timeline": _PART, "shared": _PART,
    "act_sheet": _PART, "operator_graph": _PART,
    "notice_json": _PART, "case_bundle_status": _PART, "case_bundle_download": _PART,
    "legal_exhibit_reading": _PART, "legal_exhibit_image": _PART, "legal_exhibit_page": _PART,
     "case_document": _PART, "portfolio_preview": _PART,
    "policy_card": _OWN_STYLE, "report_file": _OWN_STYLE,
    "mfa_authenticate": _FACTOR, "mfa_reauthenticate": _FACTOR, "mfa_deactivate_totp": _FACTOR,
    "mfa_view_recovery_codes": _FACTOR, "mfa_generate_recovery_codes": _FACTOR,
    "mfa_download_recovery_codes": _FACTOR, "mfa_reauthenticate_webauthn": _FACTOR,
    "mfa_remove_webauthn": _FACTOR, "mfa_edit_webauthn": _FACTOR, "mfa_login_webauthn": _FACTOR,
    "account_inactive": _OFF, "socialaccount_login_cancelled": _OFF, "openid_connect_login": _OFF,
    "openid_connect_callback": _OFF,
}  # fmt: skip
"""Addresses that axe does not look at, by their name in the URLconf, and why."""


def named_addresses() -> Iterator[tuple[str, Any]]:
    """Name and view of every address of the console that may be opened."""

    def walk(patterns: Any) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns)
            elif "GET" in getattr(pattern.callback, "methods", ("GET",)):
                yield pattern.name, pattern.callback

    every = get_resolver("wavebreak_server.console.urls").url_patterns
    return walk(one for one in every if getattr(one, "namespace", None) != "api")


def test_every_page_is_looked_at_or_named_with_a_reason() -> None:
    looked_at = set()
    for path in (path for paths in PAGES.values() for path in paths):
        plain = re.sub(r"\{\w+\}", "1", path.partition("?")[0])
        looked_at.add(resolve(plain, "wavebreak_server.console.urls").url_name)
    names = {name for name, _view in named_addresses()}
    assert len(names) > 60
    assert names - looked_at - NOT_LOOKED_AT.keys() == set()
    assert looked_at & NOT_LOOKED_AT.keys() == set()
    assert NOT_LOOKED_AT.keys() - names == set()


@pytest.fixture(scope="module")
def subjects(browser: Browser, server: Server) -> Iterator[dict[str, str]]:
    """One of everything that has a page of its own; returns the parts of the addresses."""
    people = {name: Person(browser, server).sign_in(name) for name in _ARRANGERS}
    wait_for_cases(people["lead"])
    yield _arranged(people, server)
    for person in people.values():
        person.context.close()


_ARRANGERS = ("lead", "policy-owner", "data-scientist")


def _arranged(people: dict[str, Person], server: Server) -> dict[str, str]:
    lead, owner, scientist = (people[name] for name in _ARRANGERS)
    policy, reason = "/console/policy", {"reason": "for its page"}
    owner.open(f"{policy}/versions")
    upload_policy(owner.page, "new_chats_1d = 9", reason["reason"])
    version = number_in(owner.page.url, "versions")
    owner.send(f"{policy}/versions/{version}/replay")
    model = number_in(scientist.send(f"{policy}/models/register", name=OLDER, **reason), "models")
    scientist.send(f"{policy}/models/{model}/compare", days="0")
    chosen = {"verdict": "undetermined", "outcome": "suspend", "hold": "3d"} | reason
    batch = lead.send("/console/queue/bulk", account="spam-10", **chosen).rpartition("/")[2]
    decision = newest_decision(server, "spam-9")
    said = {
        "decision": decision,
        "statement": HEBREW,
        "reason": "the holder asks",
        "language": "he",
    }
    key = f"Bearer {server.first_key()}"
    appealed = server.post(json.dumps(said).encode(), "/v1/appeals", authorization=key)
    assert appealed.status == 201, appealed.body
    operators = _read(server, "/v1/operators")["operators"]
    replay = link_to(lead, f"{policy}/versions/{version}", f"{policy}/replays/")
    comparison = link_to(lead, f"{policy}/models/{model}", f"{policy}/comparisons/")
    return {
        "version": version, "model": model, "batch": batch, "case": CASE_ID,
        "scanned": SCANNED, "replay": replay,
        "comparison": comparison, "appeal": str(appealed.json()["id"]),
        "portfolio": _business(lead, server),
        "campaign": link_to(lead, "/console/queue", "/console/queue/campaigns/"),
        "operator": next(o["id"] for o in operators if set(o["accounts"]) == set(TEAM)),
        "notice": newest_notice(server, "spam-8").rpartition("/")[2],
        "appealed": newest_notice(server, "spam-9").rpartition("/")[2],
    }  # fmt: skip


def _business(lead: Person, server: Server) -> str:
    """Register a business with a template, bar it, and have it appeal; return its name."""
    numbers = [{"number": "shop-1", "display_name": "החנות"}]
    registered = {"legal_name": "Shop Ltd", "owners": ["shop-holding"], "numbers": numbers}
    template = {"category": "utility", "language": "he", "status": "approved"}
    _tell(server, "PUT", "/v1/business/shop", registered)
    _tell(server, "PUT", "/v1/business/shop/templates/ready", template)
    chosen = {"seen": "0", "step": "restricted_3d", "ground": "consent"}
    lead.send("/console/portfolios/shop/standing", **chosen, reason="for its page")
    _tell(server, "POST", "/v1/business/shop/appeal", {"appeal": "opened"})
    return "shop"


def _tell(server: Server, method: str, path: str, body: dict[str, Any]) -> None:
    said = json.dumps(body | {"reason": "for its page"}).encode()
    key = f"Bearer {server.first_key()}"
    answer = server.post(said, path, method=method, authorization=key)
    assert answer.status == 200, answer.body


def number_in(address: str, after: str) -> str:
    """Return the number that follows a word in an address."""
    found = re.search(rf"/{after}/(\d+)", address)
    assert found, address
    return found[1]


def link_to(person: Person, page: str, begin: str) -> str:
    """Open a page until it has a link that begins so; return the rest of the link."""
    link = person.page.locator(f"a[href^='{begin}']")
    reload_until(person.page, f"{person.at}{page}", link)
    return str(link.first.get_attribute("href")).removeprefix(begin).partition("?")[0]


@pytest.mark.parametrize("public", [True, False])
def test_pages_are_accessible_and_fit(
    browser: Browser, server: Server, subjects: dict[str, str], public: bool
) -> None:
    """Public pages have a direction by their language; those of staff are turned once open."""
    faults: dict[str, list[str]] = {}
    visits = [("", "en"), ("", "he")] if public else [(role, "en") for role in PAGES if role]
    for role, lang in visits:
        someone = Person(
            browser, server, viewport={"width": 360, "height": 780}, locale=lang,
        )  # fmt: skip
        if role:
            someone.sign_in(role)
        if role == "analyst":
            someone.confirm("/console/user/2fa/webauthn/add/")
        for path in PAGES[role]:
            kept = path.partition("?")[0].strip("/").replace("/", "-").translate(_PLAIN)
            directions = ("ltr", "rtl") if role else ("",)
            found = _faults(someone, path.format(lang=lang, **subjects), directions, kept + lang)
            faults[f"{path} {lang}"] = list(found)
        assert someone.complaints == []
        someone.context.close()
    assert {path: said for path, said in faults.items() if said} == {}


THEMES: tuple[Any, ...] = ("light", "dark")
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""Rules of axe that look at colours."""
SETTLED = """async () => {
    const atMost = (promise, ms) =>
        Promise.race([promise, new Promise(passed => setTimeout(passed, ms))]);
    await atMost(document.fonts.ready, 5000);
    const drawn = new Promise(passed => requestAnimationFrame(() => requestAnimationFrame(passed)));
    await atMost(drawn, 1000);
    for (const one of document.getAnimations())
        if (Number.isFinite(one.effect?.getComputedTiming().endTime)) one.finish();
}"""
"""Waits until fonts are there and a frame was drawn, each with an end: a page that draws no frame
must not hold up a run. What moves or changes colour is brought to its end."""
_PLAIN = str.maketrans("", "", "{}")


def _faults(someone: Person, path: str, directions: tuple[str, ...], kept: str) -> Iterator[str]:
    """What axe finds on a page in each direction and theme, and where it is wider than a phone."""
    page = someone.page
    page.emulate_media(color_scheme=THEMES[0])
    answer = page.goto(f"{someone.at}{path}")
    if answer is None or answer.status != 200:
        yield f"status {answer and answer.status}"
    for direction in directions:
        if direction:
            page.evaluate(f"document.documentElement.dir = '{direction}'")
        for theme in THEMES:
            where = " ".join(filter(None, (direction, theme)))
            page.emulate_media(color_scheme=theme)
            page.wait_for_selector(".htmx-request", state="detached")
            page.evaluate(SETTLED)
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > 360:
                yield f"{where}: {width} pixels wide"
            yield from (f"{where}: {fault}" for fault in _violations(page, theme))
            someone.shoot(f"{kept}-{where.replace(' ', '-')}")


def _violations(page: Page, theme: str = THEMES[0]) -> Iterator[str]:
    """What axe finds on the open page; of the second theme, which changes colours, in colours."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if theme != THEMES[0]:
        options["runOnly"] = {"type": "rule", "values": list(OF_COLOURS)}
    result = page.evaluate("options => axe.run(document, options)", options)
    for violation in result["violations"]:
        yield f"{violation['id']}: {violation['nodes'][0]['html'][:120]}"


class Keys:
    """A keyboard that counts: a chord is one key, and so is each letter that is typed."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, 0

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)
            self.count += 1

    def decide(self, *keys: str) -> None:
        """Press the keys of a verdict, read its effect sheet, and wait for the next case."""
        before = self.page.url
        self.press(*keys[:-1])
        self.page.locator("#act-preview [name=sheet]").wait_for(state="attached")
        self.press(keys[-1])
        self.page.wait_for_url(
            lambda url: url != before and re.search(r"/queue/\d+$", url) is not None
        )


def test_keys_of_a_verdict_lead_to_its_reason(person: Person) -> None:
    person.sign_in("analyst")
    wait_for_cases(person)
    page = person.page
    page.keyboard.press("n")
    page.wait_for_url(re.compile(r"/queue/\d+$"))
    page.keyboard.press("a")
    reason = page.locator("#reason")
    assert page.evaluate("document.activeElement.id") == "reason"
    page.keyboard.type("two of 3 parcels")
    assert reason.input_value() == "two of 3 parcels"
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    assert page.locator("[name=verdict][value=undetermined]").is_checked()
    assert page.locator("#outcome").is_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    assert reason.evaluate("field => field.required") is False
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    listed = page.get_by_role("dialog").inner_text()
    for label in ("Benign", "Abusive", "Neither", "Decide, and take the next", "Skip"):
        assert label in listed
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.wait_for_url(re.compile(r"/queue"))


def test_five_cases_take_a_few_keys(person: Person) -> None:
    """One key for the first, two for each, and one more for an outcome of "Neither"."""
    person.sign_in("lead")
    wait_for_cases(person)
    page, keys = person.page, Keys(person.page)
    keys.press("n")
    page.wait_for_url(re.compile(r"/queue/\d+$"))
    page.locator("#verdict").wait_for()
    for _ in range(3):
        keys.decide("b", "Control+Enter")
    keys.press("a")
    preview = page.locator("#act-preview")
    preview.get_by_text("Refused:").wait_for()
    assert "every act is refused" in preview.inner_text()
    assert page.locator("#reason").input_value() == "the evidence on the page is right"
    keys.decide("Control+Enter")
    keys.press("o", "1")
    assert page.locator("#outcome").input_value() == "limit"
    assert page.locator("#hold").input_value() == "7d"
    keys.decide("Control+Enter")
    assert keys.count == 12
