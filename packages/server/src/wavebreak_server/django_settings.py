"""Django's settings: those of the API, and what the console adds.

Models of storage and slices need all apps to be known, so that this is read before any of them is
imported. It names what is above it by strings, which Django looks up.
"""

from __future__ import annotations

import secrets
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import django
import django.conf

from wavebreak.durations import DAY_S, MINUTE_S

CONSOLE = Path(__file__).resolve().parent / "console"
CONSOLE_MIDDLEWARE = (
    "wavebreak_server.console.middleware.SecurityMiddleware",
    "wavebreak_server.console.middleware.StaticFilesMiddleware",
    "wavebreak_server.console.middleware.CompressionMiddleware",
    "wavebreak_server.console.text_direction.DirectionMiddleware",
    "wavebreak_server.console.error_pages.BusyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "wavebreak_server.console.middleware.LanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "wavebreak_server.console.middleware.SessionAgeMiddleware",
    "wavebreak_server.console.middleware.SecondFactorMiddleware",
)
"""Middleware of the console's pages; requests to the API do not pass through it."""
PUBLIC_URLS = "wavebreak_server.console.public_urls"
"""Addresses of a service that serves no page of the console."""
PUBLIC_MIDDLEWARE = CONSOLE_MIDDLEWARE[:5]
"""Middleware of the pages for account holders where the console's pages are not served."""
OPENID_CONNECT = {"provider_class": "wavebreak_server.console.openid_connect.NonceProvider"}
"""Settings of every OpenID Connect provider; allauth reads the class once, at its start."""
SIGN_IN_FORMS = "wavebreak_server.console.sign_in"
PLUGINS = ("wavebreak.console_plugins", "wavebreak.service_plugins")
"""Groups of the entry points by which distributions add pages, and to the service: see
`console.plugins` and `service_plugins`."""


def _plugins() -> list[str]:
    """Return the Django apps of installed plug-ins."""
    found = [entry.load() for group in PLUGINS for entry in entry_points(group=group)]
    return sorted(f"{plugin.__module__}.{plugin.__qualname__}" for plugin in found)


def set_up() -> None:
    """Configure Django once; a handler made afterwards has the API's middleware."""
    if not django.conf.settings.configured:
        django.conf.settings.configure(**settings())
        django.setup()
        django.conf.settings.MIDDLEWARE = []


def settings() -> dict[str, Any]:
    """Return the settings of the process; `database.connect` binds the database later."""
    api = {
        "INSTALLED_APPS": ["wavebreak_server.storage"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.dummy"}},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "ROOT_URLCONF": "wavebreak_server.slices.routes",
        # Replaced at start by a key derived from the deployment's (`console.server.configure`).
        "SECRET_KEY": secrets.token_hex(32),
        "ALLOWED_HOSTS": ["*"],
        "MIDDLEWARE": [],
        "USE_TZ": True,
        "APPEND_SLASH": False,
        "DATA_UPLOAD_MAX_MEMORY_SIZE": 1 << 20,
        # `observability.configure_logging` configures logging.
        "LOGGING_CONFIG": None,
    }
    return {**api, **_console()}


def _console() -> dict[str, Any]:
    return {
        "INSTALLED_APPS": [
            "wavebreak_server.storage",
            "wavebreak_server.console",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "django.contrib.staticfiles",
            "django.contrib.humanize",
            "allauth",
            "allauth.account",
            "allauth.socialaccount",
            "allauth.socialaccount.providers.openid_connect",
            "allauth.mfa",
            "django_htmx",
            *_plugins(),
        ],
        "ROOT_URLCONF": "wavebreak_server.console.urls",
        # allauth looks for its own at set-up; `set_up` then leaves the API's.
        "MIDDLEWARE": list(CONSOLE_MIDDLEWARE),
        "AUTH_USER_MODEL": "console.User",
        "AUTHENTICATION_BACKENDS": [
            "wavebreak_server.slices.users.credentials.ProvenCredentialsBackend"
        ],
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.Argon2PasswordHasher"],
        "AUTH_PASSWORD_VALIDATORS": [
            {
                "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
                "OPTIONS": {"min_length": 12},
            },
            {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
            {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
        ],
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [str(CONSOLE / "templates")],
                "APP_DIRS": True,
                "OPTIONS": {
                    "builtins": ["django.templatetags.i18n"],
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                        "wavebreak_server.console.pages.page_context",
                    ],
                },
            }
        ],
        "STATIC_URL": "/static/",
        "WHITENOISE_USE_FINDERS": True,
        "WHITENOISE_AUTOREFRESH": False,
        "WHITENOISE_MAX_AGE": DAY_S,
        "LANGUAGE_CODE": "en",
        "USE_I18N": True,
        "TIME_ZONE": "UTC",
        "LOGIN_URL": "/console/user/login/",
        "LOGIN_REDIRECT_URL": "/console/",
        "ACCOUNT_LOGOUT_REDIRECT_URL": "/console/user/login/",
        "SESSION_ENGINE": "wavebreak_server.slices.users.sessions",
        "SESSION_COOKIE_NAME": "wavebreak_session",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_EXPIRE_AT_BROWSER_CLOSE": True,
        "CSRF_COOKIE_NAME": "wavebreak_csrf",
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Strict",
        "CSRF_FAILURE_VIEW": "wavebreak_server.console.pages.csrf_failure",
        "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend",
        "SECURE_CONTENT_TYPE_NOSNIFF": True,
        "X_FRAME_OPTIONS": "DENY",
        "MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage",
        "ACCOUNT_ADAPTER": "wavebreak_server.console.adapters.AccountAdapter",
        "ACCOUNT_LOGIN_METHODS": {"username"},
        "ACCOUNT_SIGNUP_FIELDS": ["username*", "password1*", "password2*"],
        "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_SESSION_REMEMBER": False,
        "ACCOUNT_LOGIN_TIMEOUT": 15 * MINUTE_S,
        # `console.sign_in_limits` instead: allauth's lock a name, or an address, for everybody.
        "ACCOUNT_RATE_LIMITS": dict.fromkeys(
            ("login", "login_failed", "reauthenticate", "change_password")
        ),
        "ACCOUNT_REAUTHENTICATION_METHODS": ("password", "mfa"),
        "ACCOUNT_FORMS": {"change_password": f"{SIGN_IN_FORMS}.NewPasswordForm"},
        "ACCOUNT_PREVENT_ENUMERATION": True,
        "SOCIALACCOUNT_ADAPTER": "wavebreak_server.console.adapters.SocialAccountAdapter",
        "SOCIALACCOUNT_REAUTHENTICATION_REQUIRED": True,
        "SOCIALACCOUNT_PROVIDERS": {"openid_connect": dict(OPENID_CONNECT)},
        "MFA_ADAPTER": "wavebreak_server.console.adapters.MfaAdapter",
        "MFA_FORMS": {
            "authenticate": f"{SIGN_IN_FORMS}.SignInCodeForm",
            "reauthenticate": f"{SIGN_IN_FORMS}.ConfirmCodeForm",
            "authenticate_webauthn": f"{SIGN_IN_FORMS}.SignInPasskeyForm",
            "login_webauthn": f"{SIGN_IN_FORMS}.PasskeyAloneForm",
            "reauthenticate_webauthn": f"{SIGN_IN_FORMS}.ConfirmPasskeyForm",
        },
        # A passkey has no secret to guess, and everybody of an office may sign in at once.
        "MFA_RATE_LIMITS": {"webauthn_login": None},
        "MFA_SUPPORTED_TYPES": ["totp", "webauthn", "recovery_codes"],
        "MFA_PASSKEY_LOGIN_ENABLED": True,
        "MFA_PASSKEY_SIGNUP_ENABLED": False,
        "MFA_TOTP_ISSUER": "Wavebreak",
        "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN": True,
    }
