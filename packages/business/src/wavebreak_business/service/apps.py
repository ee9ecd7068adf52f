"""Django's configuration of the platform for businesses, its scope and its kind of webhooks."""

from __future__ import annotations

from typing import ClassVar

from wavebreak_server.service_plugins import ServicePlugin

BUSINESS = "business"
"""Scope of the keys of businesses, and what their webhooks ask for."""


class BusinessService(ServicePlugin):
    """The platform for businesses as a plug-in of the service."""

    name = "wavebreak_business.service"
    label = "business"
    scopes: ClassVar = (BUSINESS,)
    webhook_kinds: ClassVar = (BUSINESS,)
