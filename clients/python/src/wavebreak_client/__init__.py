"""Connect a messenger to Wavebreak: send metadata events, ask before acts, keep states."""

from wavebreak_client import events
from wavebreak_client.business import Send, SendAnswer
from wavebreak_client.client import AsyncClient, Client
from wavebreak_client.errors import (
    ContentError,
    EventError,
    ServiceError,
    SettingsError,
    SpoolError,
    UnknownFieldError,
    WavebreakClientError,
    WebhookError,
)
from wavebreak_client.event_base import Event
from wavebreak_client.events import build_event
from wavebreak_client.health import Health
from wavebreak_client.states import State
from wavebreak_client.verdicts import Verdict
from wavebreak_client.webhooks import ReplayWindow, verify_webhook

__version__ = "0.3.0.dev0"

__all__ = [
    "AsyncClient",
    "Client",
    "ContentError",
    "Event",
    "EventError",
    "Health",
    "ReplayWindow",
    "Send",
    "SendAnswer",
    "ServiceError",
    "SettingsError",
    "SpoolError",
    "State",
    "UnknownFieldError",
    "Verdict",
    "WavebreakClientError",
    "WebhookError",
    "build_event",
    "events",
    "verify_webhook",
]
