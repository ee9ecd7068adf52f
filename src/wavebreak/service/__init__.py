"""The service: events in over HTTP, answers and decisions out, nothing acknowledged lost.

Importing it sets Django up with no database; `database.connect` gives it one, as a value.
"""

from __future__ import annotations

import secrets

import django
from django.conf import settings as _django

if not _django.configured:
    _django.configure(
        INSTALLED_APPS=["wavebreak.service"],
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="wavebreak.service.api.routes",
        # Nothing is signed across restarts: a key of its own for each process will do.
        SECRET_KEY=secrets.token_hex(32),
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=[],
        USE_TZ=True,
        APPEND_SLASH=False,
        DATA_UPLOAD_MAX_MEMORY_SIZE=1 << 20,
        # The command's own logging decides what is said, and where.
        LOGGING_CONFIG=None,
    )
    django.setup()
