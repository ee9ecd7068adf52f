"""Features of what a model says: for rules, never for a model."""

from __future__ import annotations

from wavebreak.features.declared import Feature as F  # noqa: N817 - a table reads better so

SCORES: tuple[F, ...] = (
    F("score", "probability", "scores", "last scoring point",
      "Probability that the account is abusive, as the model said at its last scoring point, "
      "calibrated; missing without a model and before the first point.", ("message.sent",),
      "see the model card", "senders unlike any that the model was trained on"),
    F("registration_score", "probability", "scores", "at registration",
      "The same at the last registration, to 1/1,024 of log-odds: the prior carried into "
      "messaging.",
      ("account.registered",), "see the model card", "clean registrations"),
)  # fmt: skip
"""They stand last in the catalog, so that a model's inputs are a prefix of it."""
