"""Files that outlast a loss of power: their directory is synced too, since it holds their names."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Sync a directory, so that the names of files made in it are on the disk.

    File systems that cannot sync a directory are left to themselves.
    """
    with suppress(OSError):
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
