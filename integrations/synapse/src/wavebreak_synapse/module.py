"""The module that Synapse loads."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from synapse.api.errors import Codes, SynapseError
from synapse.crypto.event_signing import compute_event_signature
from synapse.module_api import NOT_SPAM, DirectServeJsonResource, ModuleApi
from synapse.module_api.errors import ConfigError
from synapse.spam_checker_api import RegistrationBehaviour
from synapse.types import UserID, create_requester
from twisted.internet import reactor
from twisted.python.threadpool import ThreadPool
from wavebreak_client import Client

from wavebreak_synapse import health, tables
from wavebreak_synapse.callbacks import Answers, Callbacks, Host, guarded
from wavebreak_synapse.config import SettingError, Settings, parse_settings
from wavebreak_synapse.enforcement import Actions, Enforcement
from wavebreak_synapse.feed import Bounds, Feed
from wavebreak_synapse.mapping import WITHDRAWN
from wavebreak_synapse.metrics import Metrics
from wavebreak_synapse.policy_rooms import ListsService, PolicyRoomWatch
from wavebreak_synapse.policy_server import SIGN_PATH, sign_resource
from wavebreak_synapse.publisher import PUBLISH_EVERY_MS, Publisher
from wavebreak_synapse.reporter import Reporter
from wavebreak_synapse.service import Service
from wavebreak_synapse.take_back import TakeBack, Withdrawals

log = logging.getLogger("wavebreak_synapse")

REPORT_EVERY_MS = 200
ENFORCE_EVERY_MS = 500
WATCH_EVERY_MS = 1_000
DECLARE_EVERY_MS = 10_000


class Module:
    """Reports metadata to Wavebreak, and enforces its decisions.

    Synapse makes it at its start, with what `parse_config` returned.

    Args:
        config: The settings.
        api: Synapse's interface for modules.
    """

    def __init__(self, config: Settings, api: ModuleApi) -> None:
        self._settings = config
        self._api = api
        # These have no public counterpart; the README names the versions that were tested.
        self._hs = api._hs
        self._store = api._store
        delegates_auth = bool(self._hs.config.mas.enabled)
        self._service = Service(config, self._make_client, delegates_auth=delegates_auth)
        self._metrics = Metrics()
        self._metrics.follow(self._service)
        self._pool = ThreadPool(minthreads=1, maxthreads=16, name="wavebreak")
        self._host = Host(
            server_name=api.server_name,
            now_ms=api.get_current_time_msec,
            run_db=api.run_db_interaction,
            run_in_thread=self._run_in_thread,
            user_info=api.get_userinfo_by_id,
            notices_account=self._hs.config.servernotices.server_notices_mxid,
            delegates_auth=delegates_auth,
            blocks_invitation=self._blocks_invitation,
        )
        self._declared = False
        self._lists: ListsService | None = None
        self._watch: PolicyRoomWatch | None = None
        if config.lists.key:
            self._lists = ListsService(config.url, config.lists.key)
        if self._lists is not None and config.lists.rooms:
            self._watch = PolicyRoomWatch(config, self._host, self._lists)
        self._publisher = self._make_publisher()
        self._register()
        reactor.callWhenRunning(self._start)
        reactor.addSystemEventTrigger("before", "shutdown", self._stop)

    @staticmethod
    def parse_config(config: Any) -> Settings:
        """Return the settings of `homeserver.yaml`.

        Raises:
            ConfigError: Where a key is unknown, missing or has an invalid value.
        """
        try:
            return parse_settings(config)
        except SettingError as error:
            raise ConfigError(f"wavebreak_synapse: {error}") from error

    def _make_client(self) -> Client:
        settings = self._settings
        return Client(
            settings.url,
            settings.key,
            mode=settings.mode,
            on_failure=dict(settings.on_failure),
            timeout_s=settings.timeout_ms / 1000,
        )

    def _register(self) -> None:
        api, settings = self._api, self._settings
        answers = Answers(
            NOT_SPAM, Codes.FORBIDDEN, RegistrationBehaviour.ALLOW, RegistrationBehaviour.DENY
        )
        tell_first = self._watch.tell_first if self._watch else None
        self._callbacks = Callbacks(
            settings, self._host, self._service, answers, self._metrics, tell_first
        )
        calls = self._callbacks
        api.register_spam_checker_callbacks(
            check_event_for_spam=guarded(calls.check_event_for_spam, NOT_SPAM),
            should_drop_federated_event=guarded(calls.should_drop_federated_event, False),
            user_may_create_room=guarded(calls.user_may_create_room, NOT_SPAM),
            user_may_invite=guarded(calls.user_may_invite, NOT_SPAM),
            user_may_send_3pid_invite=guarded(calls.user_may_send_3pid_invite, NOT_SPAM),
            federated_user_may_invite=guarded(calls.federated_user_may_invite, NOT_SPAM),
            check_registration_for_spam=guarded(
                calls.check_registration_for_spam, RegistrationBehaviour.ALLOW
            ),
            check_login_for_spam=guarded(calls.check_login_for_spam, NOT_SPAM),
            check_username_for_spam=guarded(calls.check_username_for_spam, False),
        )
        api.register_account_validity_callbacks(
            is_user_expired=guarded(calls.is_user_expired, None),
            on_user_registration=guarded(calls.on_user_registration, None),
        )
        api.register_third_party_rules_callbacks(
            on_create_room=self._asked_about_rooms(guarded(calls.on_create_room, NOT_SPAM)),
            on_user_deactivation_status_changed=guarded(
                calls.on_user_deactivation_status_changed, None
            ),
        )
        api.register_account_data_callbacks(
            on_account_data_updated=guarded(calls.on_account_data_updated, None)
        )
        shown = HealthResource(api, self._service, settings, self._problems_of_lists)
        api.register_web_resource(health.PATH, shown)
        self._ask_about_knocks(guarded(calls.user_may_knock, NOT_SPAM))
        if settings.remote_invitations == "drop":
            self._drop_invitations(guarded(calls.drops_invitation, False))
        if settings.policy_server.key:
            made = sign_resource(self._hs, settings.policy_server.key, self._host, calls)
            api.register_web_resource(SIGN_PATH, made)

    @staticmethod
    def _asked_about_rooms(judge: Any) -> Any:
        # The only callback that may change the request, so that a room is made with those of its
        # invitations that are allowed.
        async def on_create_room(requester: Any, config: Any, is_requester_admin: bool) -> None:
            # Synapse asks modules about no room of an administrator.
            answer = NOT_SPAM
            if not is_requester_admin:
                answer = await judge(requester.user.to_string(), config)
            if answer != NOT_SPAM:
                code, shown = answer
                raise SynapseError(403, "Not allowed to make this room", code, shown)

        return on_create_room

    def _ask_about_knocks(self, user_may_knock: Any) -> None:
        # Synapse asks modules about a knock by `check_event_allowed` alone, for which it reads the
        # whole state of a room at each event.
        handler = self._hs.get_room_member_handler()
        update_membership = handler.update_membership

        @functools.wraps(update_membership)
        async def ask_first(
            requester: Any, target: Any, room_id: str, action: str, *more: Any, **named: Any
        ) -> Any:
            if action == "knock":
                answer = await user_may_knock(requester.user.to_string(), room_id)
                if answer != NOT_SPAM:
                    code, shown = answer
                    raise SynapseError(403, "Not allowed to knock", code, shown)
            return await update_membership(requester, target, room_id, action, *more, **named)

        handler.update_membership = ask_first

    async def _blocks_invitation(self, invitee: str, inviter: str) -> bool:
        config = await self._store.get_invite_config_for_user(invitee)
        return str(config.get_invite_rule(inviter).value) == "block"

    def _drop_invitations(self, drops_invitation: Any) -> None:
        # A callback can only refuse, of which the sender's server learns.
        handler = self._hs.get_federation_handler()
        on_invite_request = handler.on_invite_request

        @functools.wraps(on_invite_request)
        async def drop_first(*given: Any, **named: Any) -> Any:
            asked = inspect.signature(on_invite_request).bind(*given, **named).arguments
            event = asked["event"]
            invites = event.type == "m.room.member" and event.content.get("membership") == "invite"
            from_there = event.sender.partition(":")[2] == asked["origin"]
            if not (invites and from_there and await drops_invitation(event)):
                return await on_invite_request(*given, **named)
            event.signatures.update(
                compute_event_signature(
                    asked["room_version"],
                    event.get_pdu_json(),
                    self._hs.hostname,
                    self._hs.signing_key,
                )
            )
            return event

        handler.on_invite_request = drop_first

    def _start(self) -> None:
        self._pool.start()
        api = self._api
        api.delayed_background_call(0, self._declare, desc="wavebreak_declare")
        api.delayed_background_call(0, self._create_tables, desc="wavebreak_tables")
        if api.should_run_background_tasks():
            self._report()
        if api.worker_app is None and self._publisher is not None:
            api.looping_background_call(
                self._publisher.run,
                PUBLISH_EVERY_MS,
                desc="wavebreak_publish",
                run_on_all_instances=True,
            )
        # Only the main process can send server notices.
        if api.worker_app is None and self._settings.enforces:
            actions = Actions(self._store.set_user_suspended_status, self._notify())
            self._enforcement = Enforcement(
                self._settings, self._host, self._service, actions, self._metrics
            )
            api.looping_background_call(
                self._enforcement.run,
                ENFORCE_EVERY_MS,
                desc="wavebreak_enforce",
                run_on_all_instances=True,
            )
            self._take_back = TakeBack(
                self._settings, self._host, self._service, self._withdrawals(), self._metrics
            )
            # Apart: a suspension must not wait until much is taken back.
            api.looping_background_call(
                self._take_back.run,
                ENFORCE_EVERY_MS,
                desc="wavebreak_take_back",
                run_on_all_instances=True,
            )

    def _make_publisher(self) -> Publisher | None:
        lists = self._settings.lists
        if self._lists is None or not lists.publish_in:
            return None

        async def publish(state_key: str, content: dict[str, Any]) -> None:
            await self._api.create_and_send_event_into_room(
                {
                    "type": "m.policy.rule.user", "state_key": state_key, "content": content,
                    "room_id": lists.publish_in, "sender": lists.publish_as,
                }
            )  # fmt: skip

        return Publisher(self._host, self._lists, publish)

    def _problems_of_lists(self) -> list[str]:
        found = self._watch.problems if self._watch else []
        failed = self._publisher.problem if self._publisher else None
        return [*found, *([failed] if failed else [])]

    def _report(self) -> None:
        api = self._api
        if self._watch is not None:
            api.looping_background_call(self._watch.report, WATCH_EVERY_MS, desc="wavebreak_lists")
        feed = Feed(self._settings, api.server_name, notices_account=self._host.notices_account)
        self._reporter = Reporter(
            feed,
            self._service,
            self._metrics,
            now_ms=api.get_current_time_msec,
            bounds=self._bounds,
            run_db=api.run_db_interaction,
            run_in_thread=self._run_in_thread,
        )
        api.looping_background_call(self._reporter.run, REPORT_EVERY_MS, desc="wavebreak_report")

    def _stop(self) -> None:
        if self._pool.started:
            self._pool.stop()  # Waits for what is under way, which needs the client.
        self._service.close()
        if self._lists is not None:
            self._lists.close()

    async def _create_tables(self) -> None:
        # Each worker: a callback may want them before the one that runs background tasks starts.
        try:
            await self._api.run_db_interaction("wavebreak_tables", tables.create_tables)
        except Exception as error:
            # Another worker was faster; what is really wrong stops the reporter, and is logged.
            log.info("the tables were not made here: %s", type(error).__name__)

    async def _declare(self) -> None:
        if not await self._run_in_thread(self._service.declare):
            self._api.delayed_background_call(
                DECLARE_EVERY_MS, self._declare, desc="wavebreak_declare"
            )

    async def _run_in_thread(self, function: Any, *arguments: Any) -> Any:
        return await self._api.defer_to_threadpool(self._pool, function, *arguments)

    def _bounds(self) -> Bounds:
        events = self._store.get_room_max_stream_ordering()
        receipts = self._store.get_max_receipt_stream_id()
        # A token of several writers names the position up to which all of them wrote.
        return Bounds(events, int(getattr(receipts, "stream", receipts)))

    def _withdrawals(self) -> Withdrawals:
        members = self._hs.get_room_member_handler()

        async def leave(by: str, account: str, room_id: str, content: dict[str, Any]) -> None:
            requester = create_requester(by, authenticated_entity=self._api.server_name)
            target = UserID.from_string(account)
            # `ModuleApi.update_room_membership` would hold it to the sender's limit of messages.
            await members.update_membership(
                requester, target, room_id, "leave", content=content, ratelimit=False
            )

        async def remove(by: str, account: str, room_id: str) -> None:
            await leave(by, account, room_id, {})

        async def decline(account: str, room_id: str) -> None:
            await leave(account, account, room_id, {WITHDRAWN: True})

        async def redact(account: str, room_id: str, event_id: str) -> None:
            version = await self._store.get_room_version(room_id)
            named = {"redacts": event_id}
            event: dict[str, Any] = {"type": "m.room.redaction", "content": {}}
            event |= {"content": named} if version.updated_redaction_rules else named
            event |= {"room_id": room_id, "sender": account}
            await self._api.create_and_send_event_into_room(event)

        return Withdrawals(remove, decline, redact)

    def _notify(self) -> Any:
        manager = self._hs.get_server_notices_manager()
        if not self._settings.notices.enabled:
            return None
        if not manager.is_enabled():
            log.warning(
                "account holders get no notices. Fix: set server_notices in homeserver.yaml,"
                " or notices.enabled to false"
            )
            return None

        async def notify(account: str, text: str) -> None:
            await manager.send_notice(account, {"msgtype": "m.text", "body": text})

        return notify


class HealthResource(DirectServeJsonResource):  # type: ignore[misc]
    """Answers whether the module does its work; an administrator's token shows how."""

    def __init__(
        self,
        api: ModuleApi,
        service: Service,
        settings: Settings,
        problems_of_lists: Callable[[], Sequence[str]],
    ) -> None:
        super().__init__()
        self._problems_of_lists = problems_of_lists
        self._api = api
        self._service = service
        self._settings = settings

    async def _async_render_GET(self, request: Any) -> tuple[int, dict[str, Any]]:  # noqa: N802
        full = False
        if request.requestHeaders.hasHeader(b"Authorization"):
            requester = await self._api.get_user_by_req(request)
            full = await self._api.is_user_admin(requester.user.to_string())
            if not full:
                raise SynapseError(403, "not an administrator", Codes.FORBIDDEN)
        return health.report(
            self._service,
            self._settings,
            full=full,
            problems_of_lists=self._problems_of_lists(),
        )
