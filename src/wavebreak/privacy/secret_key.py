"""The secret key for pseudonyms: read from a file or the environment, generated at first use."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from wavebreak.errors import FileError, UsageError

KEY_BYTES = 16
"""Minimum length of a key; a generated key has twice as many bytes."""


def load_key(path: Path | None) -> bytes:
    """Read the deployment's secret key; generate it at first use.

    Without `path`, the environment variable WAVEBREAK_KEY is used (hex digits, or the path of a key
    file), else ~/.config/wavebreak/key. A key file contains hex digits and has mode 0600.

    Raises:
        UsageError: The key is not hexadecimal or shorter than 16 bytes.
        FileError: The key file cannot be read.

    """
    if path is None:
        value = os.environ.get("WAVEBREAK_KEY", "").strip()
        if value and not ("/" in value or os.path.exists(value)):
            return _parse_key(value, "the environment variable WAVEBREAK_KEY")
        path = Path(value) if value else Path.home() / ".config" / "wavebreak" / "key"
    try:
        if not path.exists():
            _create_key_file(path)
        return _parse_key(path.read_text("ascii").strip(), f"the key file {path}")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is not text"
        fix = "give a readable key file, or set WAVEBREAK_KEY to hex digits"
        raise FileError(f"the key file {path} cannot be read: {problem}", fix=fix) from None


def _create_key_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(2 * KEY_BYTES) + "\n")
    try:
        # A link fails where a name exists: of two first runs, one key wins for both.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _parse_key(text: str, where: str) -> bytes:
    fix = "generate one: python3 -c 'import secrets; print(secrets.token_hex(32))'"
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{where} is not hexadecimal", fix=fix) from None
    if len(key) < KEY_BYTES:
        raise UsageError(f"{where} is too short: {len(key)} of {KEY_BYTES} bytes", fix=fix)
    return key
