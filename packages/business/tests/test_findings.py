"""Windows, limits, stops, retries, templates, consent, id changes and cost, at their boundaries."""

from __future__ import annotations

from typing import Any

import pytest

from support.business_logs import (
    DAY,
    HOUR,
    KEY,
    NOON,
    OTHER,
    SHOP,
    check,
    hook,
    inbound,
    limit,
    messages,
    person,
    preference,
    read,
    status,
    template,
)
from wavebreak_business.answers import Options
from wavebreak_business.findings import find
from wavebreak_business.identities import Identities
from wavebreak_business.providers import READERS
from wavebreak_business.record_table import Kind
from wavebreak_business.settings import load_settings

ANN, BEN = person(1), person(2)


def delivered(n: int | str, to: str, at_s: int, **more: object) -> dict[str, object]:
    return status(f"m{n}", to, "delivered", at_s, **more)  # type: ignore[arg-type]


def pseudonym(number: str) -> str:
    return Identities(KEY).person(number)


def test_statuses_of_a_message_are_one_message() -> None:
    kinds = ("sent", "delivered", "delivered", "read")
    totals = check(*(status("m", ANN, kind, NOON + n) for n, kind in enumerate(kinds))).totals
    assert (totals.messages, totals.delivered, totals.read, totals.open) == (1, 1, 1, 0)


def test_message_that_arrives_after_a_failure_has_not_failed() -> None:
    again = check(status("m", ANN, "failed", NOON, code=131000), status("m", ANN, "read", NOON + 9))
    assert (again.totals.failed, again.failures) == (0, ())


@pytest.mark.parametrize(
    ("after_s", "counted"), [(DAY - 1, 0), (DAY, 1), (DAY + 1, 1), (0, 0), (-1, 1)]
)
def test_window_ends_exactly_a_day_after_the_last_message(after_s: int, counted: int) -> None:
    use = check(inbound("i", ANN, NOON), delivered(1, ANN, NOON + after_s)).limit
    assert (use.peak, use.inside) == (counted, 1 - counted)


def test_window_is_of_the_portfolio_and_of_one_person() -> None:
    wrote = inbound("i", ANN, NOON)
    found = check(
        wrote, delivered(1, ANN, NOON + 60, shop=OTHER), delivered(2, BEN, NOON + 60)
    )  # fmt: skip
    assert (found.limit.inside, found.limit.peak) == (1, 1)


def test_word_of_the_provider_on_a_window_goes_first() -> None:
    pricing = {"billable": False, "category": "utility", "type": "free_customer_service"}
    assert check(delivered(1, ANN, NOON, pricing=pricing)).limit.inside == 1


@pytest.mark.parametrize(("gap_s", "peak"), [(DAY - 1, 2), (DAY, 1), (DAY + 1, 1)])
def test_person_leaves_the_limit_exactly_a_day_later(gap_s: int, peak: int) -> None:
    assert check(delivered(1, ANN, NOON), delivered(2, BEN, NOON + gap_s)).limit.peak == peak


def test_person_written_to_twice_counts_once() -> None:
    sends = (delivered(n, ANN, NOON + n * HOUR) for n in range(30))
    assert check(*sends).limit.peak == 1


def test_failed_and_text_messages_count_nothing() -> None:
    text = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": f"+{ANN}", "From": f"+{BEN}",
            "received_at": NOON}  # fmt: skip
    found = check(text, status("m", ANN, "failed", NOON, code=131026))
    assert (found.totals.messages, found.limit.peak) == (2, 0)


def test_late_records_count_at_their_own_time() -> None:
    in_order = check(inbound("i", ANN, NOON), delivered(1, ANN, NOON + 60))
    late = check(delivered(1, ANN, NOON + 60), inbound("i", ANN, NOON))
    assert late == in_order


def test_forecast_names_the_days_to_the_limit() -> None:
    sends = [
        delivered(f"{day}-{n}", person(n), NOON + day * DAY * 2)
        for day in range(5)
        for n in range(20 * (day + 1))
    ]
    use = check(limit(250), *sends).limit
    assert (use.limit, use.peak, use.now) == (250, 100, 100)
    assert use.days_left is not None
    assert 10 <= use.days_left <= 20
    assert check(limit(100), *sends).limit.days_left == 0
    assert check(limit(-1), *sends).limit.days_left is None


@pytest.mark.parametrize(("people", "reached"), [(124, False), (125, True)])
def test_raise_needs_half_of_the_limit_in_a_week(people: int, reached: bool) -> None:
    sends = (delivered(n, person(n), NOON + n) for n in range(people))
    use = check(limit(250), *sends).limit
    assert (use.raise_reached, use.next_limit) == (reached, 2000)


def test_latest_limit_holds_and_an_option_goes_first() -> None:
    hooks = (limit("TIER_250", NOON), limit(2000, NOON + 1))
    assert check(*hooks).limit.limit == 2000
    assert check(*hooks, options=Options(limit=-1)).limit.limit == -1
    assert check().limit.limit is None


@pytest.mark.parametrize(
    ("code", "cause", "stopped"),
    [(131026, "unreachable", True), (131050, "opted_out", True), (131049, "person_cap", False),
     (131047, "window", False)],
)  # fmt: skip
def test_people_to_stop_come_from_codes(code: int, cause: str, stopped: bool) -> None:
    found = check(status("m", ANN, "failed", NOON, code=code))
    assert found.failures[0].cause == cause
    named = [(each.cause, each.people.listed) for each in found.stops.people]
    assert named == ([(cause, (pseudonym(ANN),))] if stopped else [])


def test_person_reached_later_is_not_stopped_unless_they_opted_out() -> None:
    for code, count in ((131026, 0), (131050, 1)):
        found = check(status("m", ANN, "failed", NOON, code=code), delivered(1, ANN, NOON + 9))
        assert sum(each.people.count for each in found.stops.people) == count


def test_failure_without_a_time_makes_no_later_send_a_repeated_one() -> None:
    callback = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005",
                "To": f"+{ANN}", "From": f"+{BEN}"}  # fmt: skip
    found = check(callback, status("m", ANN, "failed", NOON, code=131049))
    assert {each.cause for each in found.waste} == {"failed"}


def test_account_events_stop_until_reinstated_and_others_say_nothing() -> None:
    def event(what: str, at_s: int, state: str = "") -> dict[str, object]:
        return hook("account_update", {"event": what, "ban_info": {"waba_ban_state": state}}, at_s)

    banned = event("DISABLED_UPDATE", NOON, "DISABLE")
    assert check(event("PARTNER_ADDED", NOON)).stops.account == ()
    assert check(banned).stops.account == ("DISABLED_UPDATE",)
    assert check(event("DISABLED_UPDATE", NOON + 1, "REINSTATE"), banned).stops.account == ()


@pytest.mark.parametrize(
    ("end_s", "stops"), [(NOON + 10, ("ACCOUNT_RESTRICTION",)), (NOON + 9, ())]
)
def test_restriction_that_is_over_stops_nothing(end_s: int, stops: tuple[str, ...]) -> None:
    restricted = {
        "event": "ACCOUNT_RESTRICTION",
        "restriction_info": [
            {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": end}
            for end in (NOON + 1, end_s)
        ],
    }
    found = check(hook("account_update", restricted), delivered(1, ANN, NOON + 9))
    assert found.stops.account == stops


def test_number_is_flagged_until_the_platform_says_otherwise() -> None:
    def quality(event: str, at_s: int) -> dict[str, object]:
        value = {"display_phone_number": SHOP, "event": event, "current_limit": "TIER_1K"}
        return hook("phone_number_quality_update", value, at_s)

    flagged, cleared = quality("FLAGGED", NOON), quality("UNFLAGGED", NOON + 5)
    assert check(flagged).stops.numbers == (pseudonym(SHOP),)
    assert check(cleared, flagged).stops.numbers == ()
    assert check(quality("DOWNGRADE", NOON)).stops.numbers == ()
    assert check(flagged).limit.limit == 1000


@pytest.mark.parametrize(
    ("detail", "hours", "next_pause"), [("FIRST_PAUSE", 3, "6h"), ("SECOND_PAUSE", 6, "disabled")]
)
def test_lone_pause_is_the_one_that_the_platform_names(
    detail: str, hours: int, next_pause: str
) -> None:
    paused = template("sale", NOON, event="PAUSED", other_info={"title": detail})
    (found,) = check(paused).templates
    assert (found.resumes_ms, found.next_pause) == (1000 * (NOON + 3600 * hours), next_pause)


def test_unlisted_code_is_shown_without_advice() -> None:
    (failure,) = check(status("m", ANN, "failed", NOON, code=999999)).failures
    assert (failure.code, failure.known, failure.cause) == ("999999", False, "unlisted")


def test_errors_of_no_message_have_advice_too() -> None:
    error = {"code": 131047, "fbtrace_id": "A"}
    (found,) = check({"error": error}).errors
    assert (found.code, found.cause, found.messages, found.people) == ("131047", "window", 1, 0)


def test_codes_of_the_messenger_come_through_any_provider() -> None:
    settings = load_settings()
    assert settings.code("infobip", "131050") == settings.code("whatsapp", "131050")
    assert settings.code("bird", "368") is None


@pytest.mark.parametrize(
    ("provider", "code", "cause", "stop", "retry"),
    [
        ("infobip", "REJECTED_DESTINATION_BLOCKLISTED", "opted_out", "person", "never"),
        ("infobip", "REJECTED_FLOODING_FILTER", "pair_rate", "", "later"),
        ("infobip", "EC_MARKETING_OPT_OUT", "opted_out", "person", "never"),
        ("infobip", "EXPIRED_DLR_UNKNOWN", "provider", "", "never"),
        ("sinch", "404", "unreachable", "", "later"),
        ("sinch", "412", "country", "", "changed"),
        ("sinch", "413", "account", "account", "changed"),
        ("bird", "5", "unreachable", "person", "never"),
        ("bird", "27", "unreachable", "", "later"),
        ("twilio", "30007", "spam", "account", "changed"),
    ],
)
def test_codes_say_what_their_providers_document(
    provider: str, code: str, cause: str, stop: str, retry: str
) -> None:
    known = load_settings().code(provider, code)
    assert known is not None
    assert (known.cause, known.stop, known.retry) == (cause, stop, retry)


def test_every_provider_has_codes_of_its_own() -> None:
    assert set(load_settings().codes) == set(READERS)


def test_refusal_of_marketing_through_a_provider_stops_marketing_alone() -> None:
    def report(message: str, at: str, error: str, category: str = "WHATSAPP") -> dict[str, Any]:
        return {"results": [{
            "messageId": message, "to": ANN, "from": "Shop", "channel": category, "sentAt": at,
            "doneAt": at, "status": {"groupName": "DELIVERED" if error == "NO_ERROR" else
                                     "UNDELIVERABLE"}, "error": {"name": error},
        }]}  # fmt: skip

    first, later = "2026-11-05T12:00:00.000+0000", "2026-11-06T12:00:00.000+0000"
    refused = report("a", first, "EC_MARKETING_OPT_OUT")
    utility = check(refused, report("b", later, "NO_ERROR"))
    assert utility.consent.after_stop == 0
    everything = report("a", first, "REJECTED_DND", "SMS")
    assert check(everything, report("b", later, "NO_ERROR", "SMS")).consent.after_stop == 1


def test_account_codes_and_account_updates_stop_everything() -> None:
    banned = hook("account_update", {"event": "DISABLED_UPDATE"})
    found = check(banned, status("m", ANN, "failed", NOON, code=131031))
    assert found.stops.account == ("DISABLED_UPDATE", "whatsapp 131031")


@pytest.mark.parametrize(("end_s", "due"), [(DAY - 1, 0), (DAY, 1)])
def test_retry_is_due_exactly_when_its_wait_has_passed(end_s: int, due: int) -> None:
    refused = status("m", ANN, "failed", NOON, code=131049)
    (retry,) = check(refused, inbound("i", BEN, NOON + end_s)).retries
    assert (retry.due, retry.from_ms) == (due, 1000 * (NOON + DAY))


def test_person_reached_since_needs_no_retry() -> None:
    refused = status("m", ANN, "failed", NOON, code=131049)
    assert check(refused, delivered(1, ANN, NOON)).retries == ()


def test_template_pauses_climb_a_ladder_and_end_by_themselves() -> None:
    def paused(n: int, title: str) -> dict[str, object]:
        other = {"title": title}
        return template("sale", NOON + n * DAY, event="PAUSED", other_info=other)

    (first,) = check(paused(0, "FIRST_PAUSE")).templates
    assert (first.pause, first.resumes_ms, first.next_pause) == (
        "quality", 1000 * (NOON + 3 * HOUR), "6h",
    )  # fmt: skip
    (second,) = check(paused(0, "FIRST_PAUSE"), paused(1, "SECOND_PAUSE")).templates
    assert second.resumes_ms == 1000 * (NOON + DAY + 6 * HOUR)
    assert second.next_pause == "disabled"


def test_pause_that_is_reported_again_is_one_pause() -> None:
    paused = template("sale", NOON, event="PAUSED", other_info={"title": "FIRST_PAUSE"})
    (found,) = check(paused, paused).templates
    assert (found.pauses, found.next_pause) == (1, "6h")


def test_pacing_pause_never_ends_by_itself() -> None:
    other = {"title": "RATE_LIMITING_PAUSE"}
    (found,) = check(template("sale", NOON, event="PAUSED", other_info=other)).templates
    assert (found.pause, found.resumes_ms, found.pauses) == ("pacing", None, 0)
    assert check(template("sale", NOON, event="PAUSED", other_info=other)).stops.templates


def test_template_with_bad_rating_or_many_failures_is_at_risk() -> None:
    named = {"biz_opaque_callback_data": "sale"}
    sends = [
        status(f"m{n}", person(n), "failed", NOON, code=131026, **named) if n < 2
        else delivered(n, person(n), NOON, **named)
        for n in range(20)
    ]  # fmt: skip
    (found,) = check(template("sale", NOON, new_quality_score="RED"), *sends).templates
    assert (found.sends, found.failed, found.risks) == (20, 2, ("quality_red", "failures"))
    (fewer,) = check(template("sale", NOON, new_quality_score="GREEN"), *sends[1:]).templates
    assert fewer.risks == ()


def test_label_of_its_own_on_each_send_is_not_kept() -> None:
    table = read(*(delivered(n, ANN, NOON, biz_opaque_callback_data=f"o-{n}") for n in range(50)))
    kept = (table.people, table.senders, table.codes, table.currencies)
    assert sum(len(names.texts) for names in kept) == 2


@pytest.mark.parametrize(("after_s", "count"), [(-1, 0), (0, 0), (1, 1)])
def test_marketing_after_a_stop_is_found(after_s: int, count: int) -> None:
    found = check(preference(ANN, "stop", NOON), delivered(1, ANN, NOON + after_s)).consent
    assert (found.stops, found.after_stop) == (1, count)


def test_stop_covers_marketing_of_one_number_until_a_resume() -> None:
    stop = preference(ANN, "stop", NOON)
    assert check(stop, delivered(1, ANN, NOON + 9, category="utility")).consent.after_stop == 0
    other = check(stop, delivered(1, ANN, NOON + 9, shop=OTHER)).consent
    assert (other.after_stop, other.other_number) == (0, 1)
    back = check(stop, preference(ANN, "resume", NOON + 5), delivered(1, ANN, NOON + 9)).consent
    assert (back.after_stop, back.stops, back.resumed) == (0, 0, 1)


def test_stop_follows_a_person_to_a_new_number() -> None:
    system = {"type": "user_changed_number", "wa_id": BEN}
    moved = messages(NOON + 5, messages=[
        {"id": "s", "from": ANN, "timestamp": str(NOON + 5), "type": "system", "system": system},
    ])  # fmt: skip
    found = check(preference(ANN, "stop", NOON), moved, delivered(1, BEN, NOON + 9))
    assert found.consent.after_stop == 1
    assert found.totals.people == 1


def test_answer_stop_covers_every_text_message() -> None:
    says = {"MessageSid": "SM0", "SmsStatus": "received", "OptOutType": "STOP", "Body": "STOP",
            "From": f"+{ANN}", "To": f"+{BEN}", "received_at": NOON}  # fmt: skip
    sent = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": f"+{ANN}", "From": f"+{BEN}",
            "received_at": NOON + 9}  # fmt: skip
    assert check(says, sent).consent.after_stop == 1
    assert check(says, delivered(1, ANN, NOON + 9)).consent.after_stop == 0


def test_refusal_for_opting_out_makes_the_next_send_one_after_a_stop() -> None:
    refused = [status(f"r{n}", ANN, "failed", NOON + n, code=131050) for n in range(3)]
    assert check(*refused).consent.after_stop == 2


def test_gap_is_marketing_to_who_never_wrote_before() -> None:
    found = check(delivered(1, ANN, NOON), inbound("i", ANN, NOON + 1), delivered(2, ANN, NOON + 2))
    assert (found.consent.marketing, found.consent.gap_messages) == (2, 1)
    assert found.consent.gap_people.listed == (pseudonym(ANN),)


def test_two_ids_of_one_person_are_one_person() -> None:
    user = "GB.13491208655302741918"
    named = delivered(1, ANN, NOON, recipient_user_id=user)
    found = check(named, delivered(2, user, NOON + 9))
    assert (found.limit.peak, found.totals.people, found.duplicates.to_old_id) == (1, 1, 0)


@pytest.mark.parametrize(("gap_s", "both"), [(DAY - 1, 1), (DAY, 0)])
def test_sends_to_both_ids_after_a_change_are_duplicates(gap_s: int, both: int) -> None:
    system = {"type": "user_changed_number", "wa_id": BEN}
    moved = messages(NOON, messages=[
        {"id": "s", "from": ANN, "timestamp": str(NOON), "type": "system", "system": system},
    ])  # fmt: skip
    before = delivered(0, ANN, NOON - 1)
    found = check(before, moved, delivered(1, ANN, NOON + 1), delivered(2, BEN, NOON + 1 + gap_s))
    assert (found.duplicates.changed, found.duplicates.to_old_id) == (1, 1)
    assert found.duplicates.both == both


def test_changed_user_id_without_a_number_is_followed() -> None:
    old, new = "GB.1111111111111111", "GB.2222222222222222"
    system = {"type": "user_changed_user_id", "previous_user_id": old, "user_id": new}
    moved = messages(NOON, messages=[
        {"id": "s", "timestamp": str(NOON), "type": "system", "system": system},
    ])  # fmt: skip
    found = check(delivered(0, old, NOON - 9), moved, delivered(1, new, NOON + 9))
    assert (found.totals.people, found.duplicates.changed, found.duplicates.to_old_id) == (1, 1, 0)


def test_waste_counts_each_message_under_one_cause() -> None:
    found = check(
        status("a", ANN, "failed", NOON, code=131026),
        status("b", ANN, "failed", NOON + 1, code=131026),
        preference(BEN, "stop", NOON),
        delivered(1, BEN, NOON + 1),
        options=Options(prices={"marketing": 0.06}),
    )
    shown = {each.cause: (each.messages, each.billed, each.cost) for each in found.waste}
    assert shown == {
        "after_stop": (1, 1, {"": 0.06}), "repeated": (1, 0, {}), "failed": (1, 0, {}),
    }  # fmt: skip


def test_price_of_the_log_goes_before_the_option() -> None:
    report = {"results": [{
        "messageId": "x", "to": ANN, "sentAt": "2026-11-05T12:00:00.000+0000",
        "status": {"groupName": "UNDELIVERABLE"}, "error": {"name": "EC_UNKNOWN_SUBSCRIBER"},
        "price": {"pricePerMessage": 0.04, "currency": "EUR"},
    }]}  # fmt: skip
    (waste,) = check(report, options=Options(prices={"sms": 1.0})).waste
    assert (waste.billed, waste.cost) == (1, {"EUR": 0.04})


def test_records_without_a_time_count_for_failures_alone() -> None:
    callback = {"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": "30005",
                "To": f"+{ANN}", "From": f"+{BEN}"}  # fmt: skip
    found = check(callback)
    assert (found.totals.without_time, found.failures[0].messages) == (1, 1)
    assert found.totals.first_ms is None
    assert found.stops.people[0].people.count == 1


def test_period_of_messages_does_not_begin_with_records_of_consent() -> None:
    table = read(delivered(1, ANN, NOON))
    table.add(Kind.CONSENT, 1000 * (NOON - 90 * DAY), provider="", person=ANN)
    found = find(table, load_settings(), Options(consent_given=True))
    assert (found.totals.first_ms, found.totals.last_ms) == (1000 * NOON, 1000 * NOON)


def test_nothing_is_found_in_nothing() -> None:
    found = check()
    assert (found.totals.messages, found.failures, found.days) == (0, (), ())
