"""The service: ingests events over HTTP or from brokers, decides, and delivers decisions.

An acknowledged event is durable. Importing the package configures Django without a database, which
`database.connect` then binds, and structlog on top of the standard library's logging.
"""

from __future__ import annotations

import secrets

import django
import structlog
from django.conf import settings as _django

if not _django.configured:
    _django.configure(
        INSTALLED_APPS=["wavebreak.service"],
        DATABASES={"default": {"ENGINE": "django.db.backends.dummy"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        ROOT_URLCONF="wavebreak.service.api.routes",
        # Nothing is signed across restarts, so each process has a key of its own.
        SECRET_KEY=secrets.token_hex(32),
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["wavebreak.service.api.routes.method_not_allowed"],
        USE_TZ=True,
        APPEND_SLASH=False,
        DATA_UPLOAD_MAX_MEMORY_SIZE=1 << 20,
        # `observability.configure_logging` configures logging.
        LOGGING_CONFIG=None,
    )
    django.setup()

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
