"""URLs: the console's pages, people's own pages by allauth, and the API's."""

from __future__ import annotations

from typing import Any

from django.urls import include, path

from wavebreak_server.console.plugins import plugin_urls
from wavebreak_server.console.public_urls import PUBLIC
from wavebreak_server.console.user_urls import USER
from wavebreak_server.console.views import (
    accounts,
    appeals,
    models,
    operators,
    overview,
    policy,
    queue,
    reports,
    settings,
)
from wavebreak_server.slices import routes

CONSOLE: list[Any] = [
    path("", overview.overview, name="overview"),
    path("live", overview.live, name="live"),
    path("queue", queue.queue, name="queue"),
    path("queue/next", queue.take_next, name="queue_next"),
    path("queue/preview", queue.preview, name="bulk_preview"),
    path("queue/bulk", queue.bulk, name="bulk"),
    path("queue/batches", queue.batches, name="batches"),
    path("queue/batches/<str:batch_id>", queue.batch, name="batch"),
    path("queue/batches/<str:batch_id>/undo", queue.undo_batch, name="undo_batch"),
    path("queue/golden", queue.golden, name="golden_cases"),
    path("queue/<int:case_id>/golden", queue.mark_golden, name="mark_golden"),
    path("queue/<int:case_id>/golden/remove", queue.unmark_golden, name="unmark_golden"),
    path("queue/opinions/<int:opinion_id>", queue.answer_opinion, name="answer_opinion"),
    path("queue/<int:case_id>", queue.case, name="queue_case"),
    path("queue/<int:case_id>/claim", queue.claim, name="claim"),
    path("queue/<int:case_id>/release", queue.release, name="release"),
    path("queue/<int:case_id>/skip", queue.skip, name="skip"),
    path("queue/<int:case_id>/decide", queue.decide, name="decide"),
    path("queue/<int:case_id>/ask", queue.ask_opinion, name="ask_opinion"),
    path("accounts", accounts.accounts, name="accounts"),
    path("acts/<int:act_id>/undo", accounts.undo, name="undo_act"),
    # Each begins in its own way, since an account's id may end like the path of another page.
    path("accounts/<path:account>", accounts.account, name="account"),
    path("account-timelines/<path:account>", accounts.timeline, name="timeline"),
    path("account-neighbours/<path:account>", accounts.shared, name="shared"),
    path("account-acts/<path:account>", accounts.act, name="act"),
    path("policy", policy.rules, name="policy"),
    path("policy/rules/<str:rule_id>", policy.rule, name="policy_rule"),
    path("policy/versions", policy.policy_versions, name="policy_versions"),
    path("policy/versions/new", policy.new_version, name="policy_new"),
    path("policy/versions/<int:number>", policy.version, name="policy_version"),
    path("policy/versions/<int:number>/edit", policy.edit, name="policy_edit"),
    path("policy/versions/<int:number>/check", policy.check, name="policy_check"),
    path("policy/versions/<int:number>/replay", policy.start_replay, name="policy_start"),
    path("policy/versions/<int:number>/approve", policy.approve, name="policy_approve"),
    path("policy/versions/<int:number>/reject", policy.reject, name="policy_reject"),
    path("policy/versions/<int:number>/live", policy.live, name="policy_live"),
    path("policy/rollback", policy.roll_back, name="policy_rollback"),
    path("policy/replays/<int:number>", policy.replay, name="policy_replay"),
    path("policy/models", models.models, name="policy_models"),
    path("policy/models/register", models.register_model, name="model_register"),
    path("policy/models/rollback", models.roll_back, name="model_rollback"),
    path("policy/models/<int:number>", models.model_version, name="model_version"),
    path("policy/models/<int:number>/compare", models.compare, name="model_compare"),
    path("policy/models/<int:number>/live", models.live, name="model_live"),
    path("policy/models/<int:number>/follow", models.follow, name="model_follow"),
    path("policy/models/<int:number>/unfollow", models.unfollow, name="model_unfollow"),
    path("policy/models/<int:number>/approve", models.approve, name="model_approve"),
    path("policy/models/<int:number>/reject", models.reject, name="model_reject"),
    path("policy/models/<int:number>/promote", models.promote, name="model_promote"),
    path("policy/models/<str:name>/card", models.card, name="policy_card"),
    path("policy/comparisons/<int:number>", models.model_replay, name="model_replay"),
    path("policy/calibration", policy.calibration, name="policy_calibration"),
    path("policy/calibration/report", policy.calibration_report, name="policy_calibration_report"),
    path(
        "policy/calibration/approve", policy.approve_calibration, name="policy_calibration_approve"
    ),
    path("operators", operators.operators, name="operators"),
    path("operators/<str:operator_id>", operators.operator, name="operator"),
    path("operators/<str:operator_id>/graph", operators.graph, name="operator_graph"),
    *plugin_urls(),
    path("appeals", appeals.appeals, name="appeals"),
    path("appeals/<int:appeal_id>", appeals.appeal, name="appeal"),
    path("appeals/<int:appeal_id>/decide", appeals.decide, name="decide_appeal"),
    path("reports", reports.reports, name="reports"),
    path("reports/make", reports.make_report, name="make_report"),
    path("reports/<str:month>/recount", reports.recount, name="recount"),
    path("reports/<str:month>/<path:name>", reports.report_file, name="report_file"),
    path("settings", settings.settings, name="settings"),
    path("settings/users", settings.add_user, name="add_user"),
    path("settings/users/<int:user_id>", settings.change_user, name="change_user"),
    path("settings/users/<int:user_id>/reset", settings.reset_user, name="reset_user"),
    path("settings/keys", settings.add_key, name="add_key"),
    path("settings/keys/<str:prefix>/revoke", settings.revoke_key, name="revoke_key"),
    path("settings/sources", settings.sources, name="sources"),
    path("settings/sources/<str:name>/approve", settings.approve_source, name="approve_source"),
    path("settings/audit", settings.audit, name="audit"),
    path("profile", settings.profile, name="profile"),
]

urlpatterns: list[Any] = [
    path("console/user/", include(USER)),
    path("console/", include(CONSOLE)),
    *PUBLIC,
    # Under a namespace: some operations are named as pages are.
    path("", include((routes.urlpatterns, "api"))),
]
handler400 = "wavebreak_server.slices.routes.malformed"
handler403 = "wavebreak_server.slices.routes.not_found"
handler404 = "wavebreak_server.console.views.errors.not_found"
handler500 = "wavebreak_server.console.views.errors.server_error"
