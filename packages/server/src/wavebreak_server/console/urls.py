"""URLs: the console's pages, people's own pages by allauth, and the API's."""

from __future__ import annotations

from typing import Any

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.webauthn import views as webauthn
from allauth.socialaccount import views as social
from allauth.socialaccount.providers.openid_connect import views as openid_connect
from django.urls import include, path

from wavebreak_server.console.plugins import plugin_urls
from wavebreak_server.console.public_urls import PUBLIC
from wavebreak_server.console.sign_in import change_password, slowed
from wavebreak_server.console.views import (
    accounts,
    appeals,
    campaigns,
    lanes,
    models,
    operators,
    overview,
    policy,
    queries,
    queue,
    reports,
    settings,
    shares,
)
from wavebreak_server.slices import routes

CONSOLE: list[Any] = [
    path("", overview.overview, name="overview"),
    path("queue", campaigns.campaigns, name="queue"),
    path("queue/campaigns/<str:key>", campaigns.campaign, name="campaign"),
    path("queue/cases", queue.queue, name="queue_cases"),
    path("queue/next", queue.take_next, name="queue_next"),
    path("queue/preview", queue.preview, name="bulk_preview"),
    path("queue/bulk", queue.bulk, name="bulk"),
    path("queue/batches", queue.batches, name="batches"),
    path("queue/batches/<str:batch_id>", queue.batch, name="batch"),
    path("queue/batches/<str:batch_id>/undo", queue.undo_batch, name="undo_batch"),
    path("queue/<int:case_id>", queue.case, name="queue_case"),
    path("queue/<int:case_id>/claim", queue.claim, name="claim"),
    path("queue/<int:case_id>/release", queue.release, name="release"),
    path("queue/<int:case_id>/skip", queue.skip, name="skip"),
    path("queue/<int:case_id>/decide", queue.decide, name="decide"),
    path("queue/<int:case_id>/share", shares.share, name="share_case"),
    path("queue/shares/<int:number>/revoke", shares.revoke, name="revoke_share"),
    path("accounts", accounts.accounts, name="accounts"),
    path("query", queries.query, name="query"),
    path("query/save", queries.save_view, name="save_view"),
    path("query/<int:number>/remove", queries.remove_view, name="remove_view"),
    path("acts/<int:act_id>/undo", accounts.undo, name="undo_act"),
    # Each begins in its own way, since an account's id may end like the path of another page.
    path("accounts/<path:account>", accounts.account, name="account"),
    path("account-timelines/<path:account>", accounts.timeline, name="timeline"),
    path("account-sharing/<str:kind>/<path:account>", accounts.sharing, name="sharing"),
    path("account-neighbours/<path:account>", accounts.shared, name="shared"),
    path("act-previews/<path:account>", accounts.act_sheet, name="act_sheet"),
    path("account-acts/<path:account>", accounts.act, name="act"),
    path("policy", policy.rules, name="policy"),
    path("policy/rules/<str:rule_id>", policy.rule, name="policy_rule"),
    path("policy/versions", policy.policy_versions, name="policy_versions"),
    path("policy/versions/upload", policy.upload, name="policy_upload"),
    path("policy/versions/<int:number>", policy.version, name="policy_version"),
    path("policy/versions/<int:number>/replay", policy.start_replay, name="policy_start"),
    path("policy/versions/<int:number>/approve", policy.approve, name="policy_approve"),
    path("policy/versions/<int:number>/reject", policy.reject, name="policy_reject"),
    path("policy/versions/<int:number>/live", policy.live, name="policy_live"),
    path("policy/rollback", policy.roll_back, name="policy_rollback"),
    path("policy/replays/<int:number>", policy.replay, name="policy_replay"),
    path("policy/models", models.models, name="policy_models"),
    path("policy/learning", models.learning, name="policy_learning"),
    path("policy/models/register", models.register_model, name="model_register"),
    path("policy/models/rollback", models.roll_back, name="model_rollback"),
    path("policy/models/<int:number>", models.model_version, name="model_version"),
    path("policy/models/<int:number>/compare", models.compare, name="model_compare"),
    path("policy/models/<int:number>/approve", models.approve, name="model_approve"),
    path("policy/models/<int:number>/reject", models.reject, name="model_reject"),
    path("policy/models/<int:number>/promote", models.promote, name="model_promote"),
    path("policy/models/<str:name>/card", models.card, name="policy_card"),
    path("policy/comparisons/<int:number>", models.model_replay, name="model_replay"),
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
    path("settings/lists", settings.outside_lists, name="outside_lists"),
    path("settings/lanes", lanes.lanes, name="lanes"),
    path("settings/lanes/declare", lanes.declare, name="declare_lane"),
    path("settings/webhooks", settings.add_webhook, name="add_webhook"),
    path(
        "settings/webhooks/<str:webhook_id>/remove", settings.remove_webhook, name="remove_webhook"
    ),
    path(
        "settings/webhooks/<str:webhook_id>/enable", settings.enable_webhook, name="enable_webhook"
    ),
    path("settings/sources", settings.sources, name="sources"),
    path("settings/sources/<str:name>/approve", settings.approve_source, name="approve_source"),
    path("settings/audit", settings.audit, name="audit"),
    path("profile", settings.profile, name="profile"),
    path("language", settings.language, name="language"),
]

USER: list[Any] = [
    path("login/", slowed(account.login), name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", slowed(account.reauthenticate), name="account_reauthenticate"),
    path("password/change/", slowed(change_password), name="account_change_password"),
    path("2fa/", mfa.index, name="mfa_index"),
    path("2fa/authenticate/", slowed(mfa.authenticate), name="mfa_authenticate"),
    path("2fa/reauthenticate/", slowed(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("2fa/totp/activate/", totp.activate_totp, name="mfa_activate_totp"),
    path("2fa/totp/deactivate/", totp.deactivate_totp, name="mfa_deactivate_totp"),
    path("2fa/recovery-codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path(
        "2fa/recovery-codes/generate/",
        recovery_codes.generate_recovery_codes,
        name="mfa_generate_recovery_codes",
    ),
    path(
        "2fa/recovery-codes/download/",
        recovery_codes.download_recovery_codes,
        name="mfa_download_recovery_codes",
    ),
    path("2fa/webauthn/", webauthn.list_webauthn, name="mfa_list_webauthn"),
    path("2fa/webauthn/add/", webauthn.add_webauthn, name="mfa_add_webauthn"),
    path("2fa/webauthn/login/", webauthn.login_webauthn, name="mfa_login_webauthn"),
    path(
        "2fa/webauthn/reauthenticate/",
        webauthn.reauthenticate_webauthn,
        name="mfa_reauthenticate_webauthn",
    ),
    path(
        "2fa/webauthn/keys/<int:pk>/remove/", webauthn.remove_webauthn, name="mfa_remove_webauthn"
    ),
    path("2fa/webauthn/keys/<int:pk>/edit/", webauthn.edit_webauthn, name="mfa_edit_webauthn"),
    path("3rdparty/", social.connections, name="socialaccount_connections"),
    path("3rdparty/login/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("oidc/<str:provider_id>/login/", openid_connect.login, name="openid_connect_login"),
    path(
        "oidc/<str:provider_id>/login/callback/",
        openid_connect.callback,
        name="openid_connect_callback",
    ),
]
"""People's own pages: signing in and out, second factors, and nothing else of allauth.

It has pages for mail addresses, lost passwords and signing up, too. They would let whoever has a
session, or a mailbox, take the account over, and the console has no use for them.
"""

urlpatterns: list[Any] = [
    path("console/user/", include(USER)),
    # Its link is the permission.
    path("console/shared/<str:secret>", shares.shared_case, name="shared_case"),
    path("console/", include(CONSOLE)),
    *PUBLIC,
    # Under a namespace: some operations are named as pages are.
    path("", include((routes.urlpatterns, "api"))),
]
handler400 = "wavebreak_server.console.error_pages.bad_request"
handler403 = "wavebreak_server.console.error_pages.forbidden"
handler404 = "wavebreak_server.console.error_pages.not_found"
handler500 = "wavebreak_server.console.error_pages.server_error"
