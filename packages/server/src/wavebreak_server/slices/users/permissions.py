"""Roles and permissions: which role may see or do what, as one table.

A view declares one permission (see `pages.page`); a test asks for every URL as every role. A person
has one role. Nobody who judges accounts also manages users or keys, and an auditor changes nothing.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from wavebreak.languages import msgid

Role = Literal["analyst", "lead", "policy_owner", "data_scientist", "counsel", "auditor", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
ROLE_NAMES: Final[dict[str, str]] = {
    "analyst": msgid("Analyst"),
    "lead": msgid("Lead analyst"),
    "policy_owner": msgid("Policy owner"),
    "data_scientist": msgid("Data scientist"),
    "counsel": msgid("Counsel"),
    "auditor": msgid("Auditor (read only)"),
    "admin": msgid("Administrator"),
}
ROLE_DUTIES: Final[dict[str, str]] = {
    "analyst": msgid("reviews cases, acts on accounts, decides appeals"),
    "lead": msgid("as an analyst; acts on many accounts at once, approves policies"),
    "policy_owner": msgid(
        "writes rules, replays them on history, brings them live with an approval"
    ),
    "data_scientist": msgid(
        "reads accounts, rules and models; registers, compares, approves models"
    ),
    "counsel": msgid("works on cases, notices and evidence"),
    "auditor": msgid("reads everything and changes nothing"),
    "admin": msgid("manages users, API keys and webhooks"),
}

_ALL: Final = frozenset(ROLES)


def _roles(*roles: Role) -> frozenset[str]:
    return frozenset(roles)


PERMISSIONS: Final[dict[str, frozenset[str]]] = {
    "use_console": _ALL,
    "view_overview": _ALL,
    "view_queue": _roles("analyst", "lead", "auditor"),
    "review": _roles("analyst", "lead"),
    "share_cases": _roles("lead"),
    "act_on_many": _roles("lead"),
    "view_accounts": _roles(
        "analyst", "lead", "policy_owner", "data_scientist", "counsel", "auditor"
    ),
    "save_views": _roles("analyst", "lead", "policy_owner", "data_scientist", "counsel"),
    "share_views": _roles("lead"),
    "act_on_accounts": _roles("analyst", "lead"),
    "view_policy": _roles("analyst", "lead", "policy_owner", "data_scientist", "auditor"),
    "edit_policy": _roles("policy_owner"),
    "approve_policy": _roles("policy_owner", "lead"),
    "register_models": _roles("data_scientist"),
    "approve_models": _roles("data_scientist", "policy_owner", "lead"),
    "view_cases": _roles("counsel", "lead", "auditor"),
    "work_on_cases": _roles("counsel"),
    "view_appeals": _roles("analyst", "lead", "counsel", "auditor"),
    "decide_appeals": _roles("analyst", "lead"),
    "view_reports": _ALL,
    "make_reports": _roles("lead", "counsel", "policy_owner"),
    "manage_users": _roles("admin"),
    "manage_keys": _roles("admin"),
    "view_settings": _roles("admin", "auditor"),
}
"""The roles that have each permission."""


def may(role: str, permission: str) -> bool:
    """Whether a role has a permission.

    >>> may("analyst", "review"), may("auditor", "review"), may("admin", "act_on_accounts")
    (True, False, False)
    """
    return role in PERMISSIONS[permission]
