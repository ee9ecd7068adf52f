"""The service: ingests events over HTTP, decides, and delivers decisions.

An acknowledged event is durable. Importing the package configures Django without a database, which
`database.connect` then binds, and structlog on top of the standard library's logging.
"""

from __future__ import annotations

import structlog

from wavebreak_server import django_settings

django_settings.set_up()

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    wrapper_class=structlog.stdlib.BoundLogger,
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
