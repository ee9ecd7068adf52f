"""Secret keys: read from a file or the environment, generated at first use."""

from __future__ import annotations

import hmac
import os
import secrets
import stat
from pathlib import Path

from wavebreak.durable_files import create_file
from wavebreak.errors import FileError, UsageError

KEY_BYTES = 16
"""Minimum length of a key; a generated key has twice as many bytes."""
MAX_SECRET = 64 << 10
"""Bytes of a secret file that are read."""
_CONTEXT = b"wavebreak record authentication v1\0"
_MAKE = "generate one: python3 -c 'import secrets; print(secrets.token_hex(32))'"


def load_key(path: Path | None, *, create: bool = True) -> bytes:
    """Read the deployment's secret key; generate it at first use.

    Without `path`, the environment variable WAVEBREAK_KEY is used (hex digits, or the path of a key
    file), else ~/.config/wavebreak/key. A key file contains hex digits and has mode 0600. Without
    `create`, a key must be there: what is read with a new one would prove nothing.

    Raises:
        UsageError: The key is not hexadecimal, shorter than 16 bytes or one byte repeated, or
            others can read its file.
        FileError: The key file cannot be read, or is not there.
    """
    default = Path.home() / ".config" / "wavebreak" / "key"
    return _load(path, "WAVEBREAK_KEY", "--key", default, create=create)


def load_webhook_key(path: Path | None, home: Path) -> bytes:
    """Read the key that the secrets of webhooks are derived from; generate it at first use.

    As `load_key`, with the environment variable WAVEBREAK_WEBHOOK_KEY, else the file
    HOME/webhook.key in the service's directory.
    """
    default = home / "webhook.key"
    return _load(path, "WAVEBREAK_WEBHOOK_KEY", "--webhook-key", default, create=True)


def _load(path: Path | None, variable: str, option: str, default: Path, *, create: bool) -> bytes:
    if path is None:
        value = os.environ.get(variable, "").strip()
        if value and not ("/" in value or os.path.exists(value)):
            return _parse_key(value, f"the environment variable {variable}")
        path = Path(value) if value else default
    if not path.exists():
        if not create:
            raise FileError(
                f"there is no key file {path}",
                fix=f"give {option} or {variable}: the key that the service runs with",
            )
        try:
            _create_key_file(path)
        except OSError as error:
            raise FileError(
                f"the key file {path} cannot be written: {error.strerror}",
                fix=f"give {option} or {variable} with a file that can be written",
            ) from None
    return _parse_key(read_secret_file(path, "key file"), f"the key file {path}")


def derived_key(secret: bytes, purpose: str) -> bytes:
    """Derive a key of its own for a purpose from the deployment's key."""
    return hmac.digest(secret, _CONTEXT + purpose.encode(), "sha256")


def read_secret_file(path: Path, what: str) -> str:
    """Read a file that holds a secret, which nobody else may read or have written.

    The group may read a file that root owns: so systems hand secrets to a service.

    Raises:
        UsageError: The file belongs to another user, or others can read or change it.
        FileError: The file cannot be read.
    """
    fix = f"give a readable {what} of mode 0600"
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FileError(f"the {what} {path} cannot be read: it is no file", fix=fix)
            _check_access(found, f"the {what} {path}", path)
            content = file.read(MAX_SECRET)
        return content.decode("utf-8").strip()
    except OSError as error:
        what = f"the {what} {path} cannot be read: {error.strerror}"
        raise FileError(what, fix=fix) from None
    except UnicodeDecodeError:
        raise FileError(f"the {what} {path} cannot be read: it is not text", fix=fix) from None


def _check_access(found: os.stat_result, where: str, path: Path) -> None:
    reader, mode = os.geteuid(), stat.S_IMODE(found.st_mode)
    if found.st_uid not in (0, reader) and reader != 0:
        raise UsageError(
            f"{where} belongs to another user", fix=f"copy it to a file of your own, not {path}"
        )
    handed = 0o040 if found.st_uid == 0 and reader != 0 else 0
    if mode & 0o077 & ~handed:
        raise UsageError(
            f"{where} can be read or changed by others (mode {mode:04o})",
            fix=f"chmod 600 {path}; if others had access to it, make a new one",
        )


def _create_key_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    create_file(temporary, f"{secrets.token_hex(2 * KEY_BYTES)}\n".encode(), mode=0o600)
    try:
        # A link fails where a name exists: of two first runs, one key wins for both.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _parse_key(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{where} is not hexadecimal", fix=_MAKE) from None
    if len(key) < KEY_BYTES:
        raise UsageError(f"{where} is too short: {len(key)} of {KEY_BYTES} bytes", fix=_MAKE)
    if len(set(key)) == 1:
        raise UsageError(f"{where} is one byte repeated, which anybody can guess", fix=_MAKE)
    return key
