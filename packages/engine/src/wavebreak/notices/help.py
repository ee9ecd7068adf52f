"""Help pages for everybody: what is not allowed, and what companies can do instead.

A page is structured content in one language; a template gives it its form.
"""

from __future__ import annotations

import msgspec

from wavebreak.languages import Language
from wavebreak.notices.page import Link, Section, present_links
from wavebreak.notices.platform import Platform
from wavebreak.notices.statement import business_links


class HelpPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page: title, lead and sections in one language."""

    id: str
    language: str
    direction: str
    title: str
    lead: str
    sections: tuple[Section, ...]


def help_page(platform: Platform, language: Language) -> HelpPage:
    """Return the page on unauthorised automated and bulk messaging.

    >>> from wavebreak.languages import get_language
    >>> from wavebreak.notices.platform import load_platform
    >>> [section.id for section in help_page(load_platform(), get_language("he")).sections]
    ['not-allowed', 'why', 'detection', 'accounts', 'mistake', 'legal', 'businesses']
    """
    _ = language.gettext
    return HelpPage(
        id="automated-and-bulk-messaging",
        language=language.code,
        direction=language.direction,
        title=_("Unauthorised automated and bulk messaging"),
        lead=_(
            "What {name} does not allow, how it is found without reading messages, and what you "
            "can do if your account was restricted by mistake.",
            name=platform.name_in(language),
        ),
        sections=(
            _not_allowed(platform, language),
            _why(language),
            _detection(language),
            _accounts(language),
            _mistake(platform, language),
            _legal(platform, language),
            _businesses(platform, language),
        ),
    )


def _not_allowed(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="not-allowed",
        heading=_("What is not allowed"),
        paragraphs=(_("Our terms rule out three things, which often go together:"),),
        items=tuple(
            platform.clause(term, language) for term in ("bulk", "automated", "non_personal")
        ),
        closing=(
            _(
                "This also covers help to others in doing so: selling such software, such accounts "
                "or such a service."
            ),
            _(
                "Writing a lot is allowed. So is writing to new people who are glad to hear from "
                "you, and so are groups of people who want to be in them."
            ),
        ),
        links=present_links(Link(_("Read the terms"), platform.links.terms)),
    )


def _why(language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="why",
        heading=_("Why"),
        paragraphs=(
            _(
                "A private messenger is useful as long as its messages come from people who have "
                "something to say to each other. Messages sent to thousands by a program push "
                "these aside, and they are a common way into fraud."
            ),
            _("Those who receive them did not ask for them and have no simple way to end them."),
        ),
    )


def _detection(language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="detection",
        heading=_("How it is found"),
        paragraphs=(
            _(
                "No message is read. What counts is metadata: who writes to whom, when and how "
                "much, and how people react."
            ),
        ),
        items=(
            _("how an account was registered"),
            _("how many people it writes to first, and how many of them answer"),
            _("whether people block or report it, above all after a first message"),
            _("whether it does what no person can do by hand"),
        ),
        closing=(
            _(
                "No single sign is proof: people who are new, who move house or who organise an "
                "event write to many people as well. Doubt alone only slows first messages to "
                "people you have not been in touch with. Receiving many messages never counts "
                "against you."
            ),
            _(
                "Reports help. Nobody learns who reported them, and reports that several people "
                "arranged among themselves weigh less."
            ),
            _(
                "We do not publish where the limits lie: those who send in bulk would stay just "
                "below them."
            ),
        ),
    )


def _accounts(language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="accounts",
        heading=_("What happens to accounts"),
        items=(
            _("A check: the account confirms that a person is using it, and goes on."),
            _(
                "A limit: first messages to people you have not been in touch with are slowed. "
                "Each answer frees a place."
            ),
            _("A restriction: existing chats go on; new chats and groups wait until it ends."),
            _("A suspension: for a time nothing can be sent; receiving and reading go on."),
            _("A ban: the account can no longer be used. It does not end by itself."),
        ),
        closing=(
            _(
                "Everybody who is affected gets a notice with what it means, why, until when, and "
                "how to appeal. It may come with a delay, so that those who send in bulk cannot "
                "learn from it."
            ),
            _(
                "If an account seems to be in other hands, its owner is asked on the device used "
                "before. That is protection, not an accusation."
            ),
        ),
    )


def _mistake(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="mistake",
        heading=_("If you think that we were wrong"),
        paragraphs=(
            language.ngettext(
                "Appeal. It is free, and you have at least {n} day.",
                "Appeal. It is free, and you have at least {n} days.",
                platform.appeal_days,
            ),
            _(
                "A person who took no part in the decision reads your appeal and answers with "
                "reasons. If it was a mistake, everything is restored at once and the signs that "
                "led to it no longer count."
            ),
            _("You can also reach us here: {contact}", contact=platform.contact_in(language)),
        ),
        links=present_links(
            Link(_("Appeal"), platform.links.appeal), Link(_("Contact us"), platform.links.support)
        ),
    )


def _legal(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    paragraphs = [
        _(
            "Beyond technical measures, we may take legal action against people and companies that "
            "send automated or bulk messages, or help others to do so."
        ),
        _(
            "Where evidence from {name} itself is linked to them, it does not matter when it was.",
            name=platform.name_in(language),
        ),
    ]
    if platform.notice_ms is not None and platform.continues_from_ms is not None:
        notice = language.format_day(platform.notice_ms)
        begins = language.format_day(platform.continues_from_ms)
        paragraphs += [
            _(
                "On {notice} we gave public notice that from then on evidence from elsewhere can "
                "be enough, such as a company's own public statements about what it offers.",
                notice=notice,
            ),
            _(
                "That holds where the conduct goes on after the notice, which means on {begins} or "
                "later (UTC), or where the company is linked to evidence from the service itself "
                "from before that day.",
                begins=begins,
            ),
        ]
    paragraphs.append(
        _(
            "Whether we take legal action is decided by people, case by case. Measures against "
            "accounts do not depend on it."
        )
    )
    return Section(id="legal", heading=_("Legal action"), paragraphs=tuple(paragraphs))


def _businesses(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="businesses",
        heading=_("If you write for a business"),
        paragraphs=(
            _(
                "There are tools that are made for writing to customers. Rules of their own apply "
                "to them, and people decide whether they want to hear from you."
            ),
        ),
        links=business_links(platform, language),
    )


def business_page(platform: Platform, language: Language) -> HelpPage:
    """Return the page for companies that would like to send in bulk.

    >>> from wavebreak.languages import get_language
    >>> from wavebreak.notices.platform import load_platform
    >>> business_page(load_platform(), get_language("en")).title
    'Messages to customers: what is allowed'
    """
    _ = language.gettext
    return HelpPage(
        id="messages-to-customers",
        language=language.code,
        direction=language.direction,
        title=_("Messages to customers: what is allowed"),
        lead=_(
            "For companies that would like to write to many people on {name}.",
            name=platform.name_in(language),
        ),
        sections=(
            _policy(platform, language),
            _small_business(platform, language),
            _business_platform(platform, language),
            _offers(platform, language),
        ),
    )


def _policy(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="policy",
        heading=_("The policy in short"),
        items=(
            _("From an ordinary account, neither bulk nor automated messages are allowed."),
            _("Lists of numbers that were bought, collected or generated must not be written to."),
            _(
                "People who have not agreed to hear from you must not be written to in bulk by any "
                "tool."
            ),
            _("Programs that operate an ordinary account, or many of them, are not allowed."),
        ),
        links=present_links(Link(_("Read the terms"), platform.links.terms)),
    )


def _small_business(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="small-business",
        heading=_("App for small businesses"),
        paragraphs=(
            _(
                "For businesses whose people write to customers themselves: a profile, opening "
                "hours, quick replies. Bulk and automated messages are not allowed here either."
            ),
        ),
        links=present_links(Link(_("App for small businesses"), platform.links.business_app)),
    )


def _business_platform(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="business-platform",
        heading=_("Business platform"),
        paragraphs=(_("For programs that write to customers. What applies there:"),),
        items=(
            _("Customers have agreed beforehand to hear from you, and you can prove it."),
            _("Whoever no longer wants to hear from you gets no further message."),
            _(
                "Free replies are possible for a time after a customer's message; outside that "
                "time only with templates that were approved."
            ),
            _(
                "How many customers you may write to grows with the quality of your messages, as "
                "they themselves see it."
            ),
        ),
        links=present_links(Link(_("Business platform"), platform.links.business_platform)),
    )


def _offers(platform: Platform, language: Language) -> Section:
    _ = language.gettext
    return Section(
        id="offers",
        heading=_("Offers that promise more"),
        paragraphs=(
            _(
                "Software and services that promise unlimited messages from ordinary accounts are "
                "not ours, and using them can cost you the account. If you have used one and want "
                "to put things right, write to us: {contact}",
                contact=platform.contact_in(language),
            ),
        ),
        links=present_links(Link(_("Contact us"), platform.links.support)),
    )
