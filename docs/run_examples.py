r"""Run the commands that a document shows, and compare or rewrite the output that it shows.

    python docs/run_examples.py README.md            # run, and rewrite what differs
    python docs/run_examples.py --check README.md    # write nothing; exit code 1 on a difference

A block of the language `console` holds commands after `$ ` (`\` at the end of a line continues
one) and the output of each below it; a line `...` means any number of lines left out. The
blocks of a document run in order in one temporary directory. A block of another language that
follows the comment `<!-- file: NAME -->` is written there as a file first.

Times, rates, versions, keys, digests and the path of the directory are masked before the
comparison. A command that ends in ` &` stays running until the document ends: it is given `--port
0`, and later commands are sent to the port that it took. `curl` is a small script here, so that the
examples need no other program.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = re.compile(
    r"(?:^<!-- file: (?P<name>\S+) -->\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LEFT_OUT = "..."
PORT = "8480"
KEY = "00112233445566778899aabbccddeeff" * 2
COLOURS = {"FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS"}
WAIT_S = 900.0
MASKS = (
    (re.compile(r"wb_[0-9a-f]+_[0-9a-f]+"), "wb_KEY"),
    (re.compile(r"\b[\w.]+/[\w.-]+\+[0-9a-f]{8}\+\S+"), "VERIFIER-KEY"),
    (re.compile(r"127\.0\.0\.1:\d+"), f"127.0.0.1:{PORT}"),
    (re.compile(r"in \d+(\.\d+)? s\b"), "in N s"),
    (re.compile(r"[\d,]+ events/s"), "N events/s"),
    (re.compile(r"(shipped|default|catalog|reference|my-policy)-[0-9a-f]{12}"), r"\1-VERSION"),
    (re.compile(r"\b20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"as of 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"), "as of TIME"),
    (re.compile(r"\b[\d,]+ bytes"), "N bytes"),
    (re.compile(r"(_ms\":)1\d{12}\b"), r"\1MS"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\bwavebreak \d+\.\d+\.\d+\S*"), "wavebreak VERSION"),
    (re.compile(r"\b[0-9a-f]{32,}\b"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{8}( [0-9a-f]{8}){3}\b"), "FINGERPRINT"),
)
CURL = """#!{python}
import sys, urllib.error, urllib.request
arguments, headers, body, url, method = sys.argv[1:], {{}}, None, "", None
while arguments:
    word = arguments.pop(0)
    if word == "-H":
        name, _, value = arguments.pop(0).partition(":")
        headers[name] = value.strip()
    elif word in ("-d", "--data-binary"):
        text = arguments.pop(0)
        body = open(text[1:], "rb").read() if text.startswith("@") else text.encode()
    elif word == "-X":
        method = arguments.pop(0)
    elif not word.startswith("-"):
        url = word if "://" in word else "http://" + word
headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
request = urllib.request.Request(url, body, headers, method=method)
try:
    answer = urllib.request.urlopen(request, timeout=60)
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.write(answer.read().decode())
"""


@dataclass
class Session:
    """A temporary directory with what the commands of one document left there.

    `programs` is a directory whose programs the commands find before those of the environment.
    """

    home: Path
    programs: str = ""
    port: str = PORT
    key: str = ""
    background: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return the environment of a command: 80 columns, no colour, a fixed key."""
        kept = {k: v for k, v in os.environ.items() if k not in COLOURS}
        places = (f"{self.home}/.bin", self.programs, str(Path(sys.executable).parent))
        path = os.pathsep.join([*filter(None, places), kept.get("PATH", "")])
        return kept | {
            "PATH": path, "COLUMNS": "80", "NO_COLOR": "1",
            "TERM": "dumb", "WAVEBREAK_KEY": KEY, "KEY": self.key, "WAVEBREAK_BY": "Noa",
            "XDG_CONFIG_HOME": f"{self.home}/.config",
        }  # fmt: skip

    def run(self, command: str) -> str:
        """Run a command; return what it printed, with standard error."""
        command = command.replace(f"localhost:{PORT}", f"localhost:{self.port}")
        if command.endswith("&"):
            text = self.start(command.removesuffix("&").strip())
        else:
            text = subprocess.run(
                command, shell=True, cwd=self.home, env=self.environment(), text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                check=False, timeout=WAIT_S,
            ).stdout  # fmt: skip
        found = re.search(r"wb_[0-9a-f]+_[0-9a-f]+", text.replace("\n", ""))
        self.key = found[0] if found else self.key
        return text.replace(str(self.home), "…")

    def start(self, command: str) -> str:
        """Start a server; return what it printed until it served."""
        log = self.home / ".server.log"
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                f"exec {command} --port 0", shell=True, cwd=self.home, env=self.environment(),
                text=True, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.background.append(process)
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and process.poll() is None:
            text = log.read_text(encoding="utf-8")
            ready = re.search(r"http://127\.0\.0\.1:(\d+)", text)
            if ready and "Ctrl-C" in text:
                self.port = ready[1]
                return text.replace(f"127.0.0.1:{self.port}", f"127.0.0.1:{PORT}")
            time.sleep(0.1)
        return log.read_text(encoding="utf-8")

    def close(self) -> None:
        """Stop what still runs."""
        for process in self.background:
            process.terminate()
            process.wait(60)


def mask(line: str) -> str:
    """Return a line without what differs from run to run.

    >>> mask("5 events in 0.1 s")
    '5 events in N s'
    """
    for pattern, word in MASKS:
        line = pattern.sub(word, line)
    return line.rstrip()


def matches(shown: list[str], real: list[str]) -> bool:
    """Return whether an output is the one shown, `...` being any number of lines.

    >>> matches(["a", "...", "d"], ["a", "b", "c", "d"])
    True
    """
    return bool(matched(tuple(map(mask, shown)), tuple(map(mask, real))))


def matched(shown: tuple[str, ...], real: tuple[str, ...]) -> bool:
    """Return whether masked lines match, trying every length of what `...` leaves out."""
    if not shown:
        return not real
    if shown[0] == LEFT_OUT:
        return any(matched(shown[1:], real[skip:]) for skip in range(len(real) + 1))
    return bool(real) and shown[0] == real[0] and matched(shown[1:], real[1:])


def refit(shown: list[str], real: list[str]) -> list[str]:
    """Return a real output shortened as the one shown was: as many lines before and after `...`."""
    if LEFT_OUT not in shown:
        return real
    first = shown.index(LEFT_OUT)
    last = len(shown) - 1 - shown[::-1].index(LEFT_OUT)
    after = len(shown) - last - 1
    return [*real[:first], LEFT_OUT, *(real[-after:] if after else [])]


def steps(body: str) -> list[tuple[list[str], list[str]]]:
    """Return a block's commands, each as its lines, with the lines of output shown below it."""
    found: list[tuple[list[str], list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(([line], []))
        elif found and found[-1][0][-1].endswith("\\") and not found[-1][1]:
            found[-1][0].append(line)
        elif found:
            found[-1][1].append(line)
    return found


def trimmed(lines: list[str]) -> list[str]:
    """Return lines without blank ones at both ends and spaces at the ends of lines."""
    return "\n".join(line.rstrip() for line in lines).strip("\n").splitlines()


def real_block(body: str, session: Session, differences: list[str]) -> str:
    """Run a block's commands; return the block with the output that they have now."""
    lines: list[str] = []
    for command, shown in steps(body):
        text = " ".join(line.removeprefix("$ ").removesuffix("\\").strip() for line in command)
        real = trimmed(session.run(text).splitlines())
        shown = trimmed(shown)
        if not matches(shown, real):
            differences.append(f"$ {text}\n" + "\n".join(real))
            shown = refit(shown, real)
        blank = [""] if lines else []
        lines += [*blank, *command, *shown]
    return "\n".join(lines) + "\n"


def run_document(path: Path, programs: str = "") -> tuple[str, list[str]]:
    """Run a document's examples; return its text as it should be, and each output that differs."""
    differences: list[str] = []
    text = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        session = Session(Path(directory).resolve(), programs)
        curl = session.home / ".bin" / "curl"
        curl.parent.mkdir()
        curl.write_text(CURL.format(python=sys.executable), encoding="utf-8")
        curl.chmod(curl.stat().st_mode | stat.S_IXUSR)

        def block(match: re.Match[str]) -> str:
            if match["name"]:
                file = session.home / match["name"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(match["body"], encoding="utf-8")
            if match["language"] != "console":
                return match[0]
            return f"```console\n{real_block(match['body'], session, differences)}```"

        try:
            return BLOCK.sub(block, text), differences
        finally:
            session.close()


def main(arguments: list[str]) -> int:
    """Rewrite, or with `--check` compare, the documents named; 1 if an output differed."""
    failed = False
    for name in arguments:
        if name == "--check":
            continue
        path = Path(name)
        text, differences = run_document(path)
        for difference in differences:
            print(f"{name} shows another output than\n{difference}\n")
        failed |= bool(differences)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    return 1 if failed and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
