"""Assessment of a platform's own data: the effect of the shipped policy in shadow, as one page."""

from typing import TYPE_CHECKING

from wavebreak.extras import lazily

if TYPE_CHECKING:
    from wavebreak.assessment.measurement import Assessment, assess
    from wavebreak.assessment.report import assessment_report
else:
    __getattr__ = lazily(
        __name__,
        {
            "measurement": "Assessment assess",
            "report": "assessment_report",
        },
    )

__all__ = ["Assessment", "assess", "assessment_report"]
