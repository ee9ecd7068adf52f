"""What the shipped policy would do with somebody's own data, measured in shadow, as one page."""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.assessment.measurement import Assessment, assess
    from wavebreak.assessment.report import assessment_report
    from wavebreak.assessment.sources import CsvOptions
else:
    __getattr__ = lazily(
        __name__,
        {
            "measurement": "Assessment assess",
            "report": "assessment_report",
            "sources": "CsvOptions",
        },
    )

__all__ = ["Assessment", "CsvOptions", "assess", "assessment_report"]
