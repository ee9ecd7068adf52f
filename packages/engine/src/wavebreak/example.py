"""Example data: a simulated week of a small messenger, as events and labels.

Two thousand people write to each other, and some of them resemble bulk senders: researchers,
organisers, coordinators of volunteers, shops, couriers, people with a new number, families with one
phone. Three campaigns are among them: a bulk advertiser, slow senders who share devices, and
companions linked to other people's accounts. The stream carries no phone numbers and no addresses.

Detection on it is a demonstration, not a measurement: the project made both.
`experiments/make_example.py` writes the files.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

NAME = "example"
"""Word that stands for the example's events where a file of events is given."""

_DATA = Path(str(files("wavebreak"))) / "data"


def example_path() -> Path:
    """Return the path of the example's events, a Parquet file.

    >>> example_path().name
    'example_events.parquet'
    """
    return _DATA / "example_events.parquet"


def example_labels_path() -> Path:
    """Return the path of the example's labels: account, label, family and operator.

    >>> example_labels_path().name
    'example_labels.csv'
    """
    return _DATA / "example_labels.csv"
