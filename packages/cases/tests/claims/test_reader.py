"""Public claims are read in six languages, and a page that only speaks of them is left alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from email.message import Message
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavebreak_cases.claims import read, render_html
from wavebreak_cases.claims.config import load_limits
from wavebreak_cases.claims.lexicon import load_vocabulary, unread_language
from wavebreak_cases.claims.normalize import fold
from wavebreak_cases.claims.page_text import (
    MAX_DEPTH,
    MAX_NODES,
    find_contacts,
    parse_html,
    parse_text,
)
from wavebreak_cases.claims.quantities import find_capacities, find_prices, parse_number
from wavebreak_cases.claims.reader import Reading, parse_file
from wavebreak_cases.claims.sentences import split_sentences
from wavebreak_cases.claims.warc import Exchange, encode_warc

AT = "2026-01-01T00:00:00Z"

CLAIMS = {
    "en": "We send 80,000 WhatsApp messages a day. No opt-in, no bans, $40 per 10k.",
    "he": "אנחנו שולחים 80,000 הודעות וואטסאפ ביום, בלי הסכמה ובלי חסימות. מחיר: 150 ש\"ח לאלף.",
    "pt": "Disparo em massa no WhatsApp: 80 mil mensagens por dia, sem bloqueio e sem autorização. "
    "Pacote R$ 97, chame no zap.",
    "es": "Envío masivo por WhatsApp: 80.000 mensajes al día, sin bloqueos y sin permiso de nadie. "
    "Planes desde $ 300.",
    "hi": "बल्क व्हाट्सएप मैसेज: रोज 80 हजार मैसेज, बिना सहमति के और नंबर बैन नहीं होगा। कीमत ₹499।",
    "id": "Jasa WA blast: kirim 80 ribu pesan per hari, tanpa izin, anti banned. Harga Rp50.000.",
}  # fmt: skip
DENIALS = {
    "en": "We never send bulk messages without opt-in. The sale of accounts is prohibited here.",
    "he": "אנחנו לא שולחים הודעות המוניות. מכירת חשבונות אסורה אצלנו.",
    "pt": "Não fazemos disparo em massa. É proibido vender contas aqui.",
    "es": "No hacemos envíos masivos. Está prohibido vender cuentas aquí.",
    "hi": "बल्क मैसेज भेजना प्रतिबंधित है। हम नंबर नहीं बेचते।",
    "id": "Kami tidak mengirim pesan massal. Dilarang menjual akun di sini.",
}


def reading(text: str) -> Reading:
    return read(parse_text(text), AT)


@pytest.mark.parametrize("language", CLAIMS)
def test_an_outright_claim_is_read_in_each_language(language: str) -> None:
    made = reading(CLAIMS[language])
    assert made.verdict == "claim"
    assert 80_000 in {c.count for c in made.capacities if c.period == "day"}
    assert made.prices
    assert {"no_consent", "evasion"} & set(made.offers)
    assert any(relied.offers for relied in made.relied_on)
    assert made.reasons[0].adds != 0


@pytest.mark.parametrize("language", DENIALS)
def test_denied_or_forbidden_offer_is_no_claim(language: str) -> None:
    made = reading(DENIALS[language])
    assert made.verdict == "benign"
    assert made.offers == {}


def test_reported_offer_has_low_weight() -> None:
    told = "Police said on Monday that the gang sold bulk WhatsApp messages, no bans, to anyone."
    assert reading(told).verdict == "benign"
    quoted = 'A shop had written: "bulk WhatsApp sender, anti-ban, 80,000 messages a day, $40".'
    assert reading(quoted).score < reading(quoted.replace('"', "")).score


def test_cited_sentences_match_their_offsets() -> None:
    text = "\u200bIntro.\nWe sell ｂｕｌｋ WhatsApp messages. $5 each.\nAnti-ban!"
    made = reading(text)
    assert made.relied_on
    for relied in made.relied_on:
        assert made.text[relied.start : relied.end].strip() == relied.text


HIDDEN = [
    "bu\u200blk what\u00adsapp sen\u200dder", "bulk whаtsаpp sеndеr", "BULK WHATSAPP SENDER",
    "b.u.l.k whatsapp sender", "b u l k whatsapp sender", "ｂｕｌｋ ｗｈａｔｓａｐｐ sender",
    "bülk whätsäpp sender", "bulk wh4ts4pp sender",
    "ʙᴜʟᴋ ᴡʜᴀᴛꜱᴀᴘᴘ sender",
    "𝐛𝐮𝐥𝐤 𝐰𝐡𝐚𝐭𝐬𝐚𝐩𝐩 sender",
    "\u202ebulk\u202c \u200fwhatsapp sender",
    "ⓑⓤⓛⓚ whatsapp sender", "bulk\u00a0whatsapp\u2009sender",
]  # fmt: skip


@pytest.mark.parametrize("text", HIDDEN)
def test_hidden_characters_and_look_alikes_are_undone(text: str) -> None:
    assert "whatsapp sender" in fold(text).text
    assert load_vocabulary().groups["en"]["bulk"].search(fold(text).text)


HOSTILE = {
    "one long word": "a" * 400_000, "Hebrew prefixes": "והבכלמש" * 50_000, "digits": "1" * 400_000,
    "a mail without end": "a.b-c+" * 60_000, "only ends": ".\n" * 100_000, "lines": "x\n" * 90_000,
    "set apart": "b u l k " * 40_000,
    "marks of direction": "\u202e\u200f" * 100_000, "quotes": '"a ' * 60_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_page_is_read_within_limits(kind: str) -> None:
    assert len(reading(HOSTILE[kind]).text) <= load_limits().reading.characters


def test_digits_of_other_scripts_are_numbers() -> None:
    made = reading("रोज ८०,००० व्हाट्सएप मैसेज, कीमत ₹४९९")
    assert [(c.count, c.period) for c in made.capacities] == [(80_000, "day")]
    assert [(p.amount, p.currency) for p in made.prices] == [(499, "INR")]


def test_channel_spellings_map_to_one_name() -> None:
    assert reading("disparo no zap, wpp e tele: tg").channels == ("whatsapp", "telegram")


def test_offer_without_consent_is_not_read_as_consent() -> None:
    made = reading("WhatsApp campaigns to cold leads, nobody has to opt in. 5,000 a day, $40.")
    assert "no_consent" in made.offers
    assert "consent" not in {reason.name for reason in made.reasons}


@given(st.text(max_size=300))
def test_folded_text_maps_characters_to_original(text: str) -> None:
    folded = fold(text)
    assert len(folded.text) == len(folded.origins)
    assert list(folded.origins) == sorted(folded.origins)
    assert all(0 <= origin < len(text) for origin in folded.origins)
    spans = split_sentences(folded.text)
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@given(st.text(max_size=400))
def test_no_text_breaks_the_reading(text: str) -> None:
    made = reading(text)
    assert 0 <= made.score <= 1
    assert "<script" not in render_html(made).lower() or "<script" not in text.lower()


NUMBERS = {
    "80,000": 80_000, "80.000": 80_000, "1.000.000": 1_000_000, "1,00,000": 100_000, "12.5": 12.5,
    "9,99": 9.99, "1.234,50": 1234.5, "1,234.50": 1234.5, "80 000": 80_000, "80'000": 80_000,
}  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_in_national_notations_are_parsed(text: str) -> None:
    assert parse_number(text) == NUMBERS[text]


COUNTS = {
    "80k messages a day": (80_000, "messages", "day"),
    "80 mil mensagens por dia": (80_000, "messages", "day"),
    "1 lakh messages roz": (100_000, "messages", "day"),
    "80 אלף הודעות ביום": (80_000, "messages", "day"),
    "5 ribu pesan per jam": (5_000, "messages", "hour"),
    "1 juta pesan sehari": (1_000_000, "messages", "day"),
    "रोज १०,००० मैसेज": (10_000, "messages", "day"),
    "2 millones de mensajes al mes": (2_000_000, "messages", "month"),
    "500 accounts in stock": (500, "things", ""), "80,000/day": (80_000, "sends", "day"),
    "800 new conversations a day": (800, "messages", "day"),
    "25-30k messages a day": (30_000, "messages", "day"),
    "10,000+ WhatsApp users": (10_000, "messages", ""),
    "cinco mil mensajes por hora": (5_000, "messages", "hour"),
    "half a million recipients": (500_000, "things", ""),
    "cada día llevamos tu video a 500 personas": (500, "things", "day"),
    "एक घंटे में 15 हजार": (15_000, "sends", "hour"),
    "ל-10,000 וואטסאפים באזור תוך יום": (10_000, "messages", "day"),
    "20rb chat 1,4jt": (20_000, "messages", ""), "25,000 – $340": (25_000, "sends", ""),
    "3 farms, 9,000 chats/day each": (9_000, "messages", "day"),
}  # fmt: skip


@pytest.mark.parametrize("text", COUNTS)
def test_capacities_are_read_with_their_time(text: str) -> None:
    found = find_capacities(fold(text).text, load_vocabulary())
    assert [(c.quantity, c.what, c.period) for c in found] == [COUNTS[text]]


@pytest.mark.parametrize(
    "text",
    ["we ship 5,000 kilos a day", "WhatsApp India $0.35 a day", "open since 2020 | 143 posts",
     "12 paise per msg", "1-99 $1.20, 100-499 $0.95", "✅ 45 | $190"],
)  # fmt: skip
def test_unrelated_number_is_no_capacity(text: str) -> None:
    assert find_capacities(fold(text).text, load_vocabulary()) == []


def test_repeated_count_and_price_are_listed_once() -> None:
    made = reading("80,000 messages a day for $40. Yes, 80k messages per day, 40 USD!")
    assert [(c.count, c.period) for c in made.capacities] == [(80_000, "day")]
    assert [p.amount for p in made.prices] == [40]


def test_word_equal_to_domain_name_is_a_brand() -> None:
    assert reading("Turbo WA sends for you. turbowa.example").brands == ("Turbo WA",)
    assert reading("We send for you. sales@turbowa.example").brands == ()
    assert reading("# TurboWA 7.2\nGet it at www.turbowa.example/get").brands == ("TurboWA",)


MONEY = {
    "$40": (40, "USD"), "R$ 97,00": (97, "BRL"), "97 reais": (97, "BRL"), "₹1,500": (1500, "INR"),
    "Rp 150 ribu": (150_000, "IDR"), "49 שקל": (49, "ILS"), '90 ש"ח': (90, "ILS"),
    "25 €": (25, "EUR"), "20rb chat = 1,4jt": (1_400_000, "IDR"), "40 bucks": (40, "USD"),
    "1 milhão R$ 1.500": (1500, "BRL"), "1500 ₽": (1500, "RUB"), "1 500 руб.": (1500, "RUB"),
    "990 рублей": (990, "RUB"), "₺250": (250, "TRY"), "AED 99": (99, "AED"),
    "₦5,000": (5000, "NGN"),
}  # fmt: skip


@pytest.mark.parametrize("text", MONEY)
def test_prices_are_read_with_their_currency(text: str) -> None:
    found = find_prices(fold(text).text, load_vocabulary())
    assert [(p.amount, p.currency) for p in found] == [MONEY[text]]


def test_contacts_of_a_business_are_found_once_each() -> None:
    html = (
        '<p>Sales@Shop.example, +55 (11) 95555-0123, @shop_desk <a href="https://wa.me/5511955550123">'
        'chat</a> <a href="mailto:sales@shop.example">mail</a> 2019-12-08 80,000'
    )
    found = find_contacts(parse_html(html).text, parse_html(html).links)
    assert found["mails"] == ("sales@shop.example",)
    assert found["phones"] == ("+5511955550123",)
    assert found["handles"] == ("@shop_desk",)
    assert "wa.me/5511955550123" in found["direct"]
    assert "sites" not in find_contacts("t.me/shop")
    assert find_contacts("0811\u200b-5550-199")["phones"] == ("08115550199",)


DATED = {
    '<meta property="article:published_time" content="2019-11-30T10:00:00+02:00"><p>x':
        ("2019-11-30T08:00:00Z", "2019-11-30T08:00:00Z"),
    '<script type="application/ld+json">{"@graph":[{"datePublished":"2019-12-08"}]}</script><p>x':
        ("2019-12-08T00:00:00Z", "2019-12-08T23:59:59Z"),
    "<p>Publicado em 7 de dezembro de 2019": ("2019-12-07T00:00:00Z", "2019-12-07T23:59:59Z"),
    "<p>© 2019 Shop": ("2019-01-01T00:00:00Z", "2019-12-31T23:59:59Z"),
}  # fmt: skip


@pytest.mark.parametrize("html", DATED)
def test_publication_date_is_an_interval(html: str) -> None:
    found = read(parse_html(html), AT).published
    assert found is not None
    assert (found.earliest, found.latest) == DATED[html]


def test_date_after_capture_is_ignored() -> None:
    assert read(parse_html('<meta name="date" content="2031-01-01"><p>x'), AT).published is None


def test_text_hidden_by_markup_is_left_out() -> None:
    html = (
        "<p>seen</p><p hidden>a</p><p style='display: none'>b</p><script>c</script><style>d</style>"
        "<template>e</template><noscript>f</noscript><!-- g --><div>also <b>seen</b></div>"
    )
    assert parse_html(html).text == "seen\nalso seen"


def test_deeply_nested_page_is_read() -> None:
    assert parse_html("<div>" * 20_000 + "bulk").text in ("bulk", "")


def test_page_past_its_nodes_or_depth_is_read_up_to_there() -> None:
    rows = "".join(f"<p>{n}</p>" for n in range(MAX_NODES // 2))
    assert parse_html(f"{rows}<p>bulk</p>").text.endswith("bulk") is False
    nested = "<b>" * (MAX_DEPTH - 10) + "bulk"
    assert parse_html(nested).text == "bulk"
    assert parse_html("<b>" * (MAX_DEPTH + 10) + "bulk").text == ""


def test_reading_html_escapes_page_text() -> None:
    text = 'We sell bulk WhatsApp messages <script>alert(1)</script> & "more" $5 each, no opt-in.'
    page = render_html(reading(text))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src 'none'" in page
    assert "<mark>" in page


def test_text_and_html_files_give_equal_readings() -> None:
    plain = parse_file(CLAIMS["en"].encode())[0]
    html = parse_file(f"<html><body><p>{CLAIMS['en']}</p>".encode())[0]
    assert plain.text == html.text
    assert json.loads(json.dumps(reading(plain.text).offers)) == reading(html.text).offers


def test_claim_by_wording_cites_its_sentences() -> None:
    said = (
        "I look after 260 WhatsApp numbers in a garage. 7,000 texts a day is normal. @ops_example"
    )
    made = reading(f"The weather was fine today.\n{said}")
    assert made.verdict != "benign"
    assert made.relied_on
    assert not any("weather" in relied.text for relied in made.relied_on)
    assert all(made.text[r.start : r.end].strip() == r.text for r in made.relied_on)
    assert reading("The museum opens at nine.").relied_on == ()


def test_words_as_a_whole_without_an_offer_are_for_a_person() -> None:
    made = reading(
        "I look after 260 WhatsApp numbers in a garage. 7,000 texts a day is normal. @ops_example"
    )
    assert not any(relied.offers for relied in made.relied_on)
    assert made.verdict == "unsure"


OTHER_LANGUAGES = {
    "French": "50 000 messages WhatsApp par jour à toute liste de numéros, sans consentement.",
    "German": "Massenversand: 50.000 WhatsApp-Nachrichten pro Tag, ohne Zustimmung der Empfänger.",
    "Italian": "Invio massivo su WhatsApp: 50.000 messaggi al giorno, senza consenso, per tutti.",
    "Turkish": "Toplu WhatsApp: günde 50.000 mesaj, izin yok, numara ve liste bizim için kolay.",
    "Vietnamese": "Gửi 50.000 tin nhắn WhatsApp mỗi ngày, không cần đồng ý.",
    "Polish": "50 000 wiadomości WhatsApp dziennie do każdej listy, bez zgody i bez blokad.",
    "Cyrillic": "Рассылка WhatsApp: 50 000 сообщений в день, без согласия.",
    "Arabic": "خمسون ألف رسالة واتساب يوميا بدون موافقة",
}  # fmt: skip


@pytest.mark.parametrize("language", OTHER_LANGUAGES)
def test_page_in_another_language_is_for_a_person(language: str) -> None:
    made = reading(OTHER_LANGUAGES[language])
    assert made.verdict == "unsure"
    assert f"language not read ({language}): for a person" in {r.name for r in made.reasons}
    assert made.language == ""


@pytest.mark.parametrize("language", CLAIMS)
def test_page_in_a_read_language_is_not_taken_for_another(language: str) -> None:
    for text in (CLAIMS[language], DENIALS[language]):
        assert unread_language(fold(text).text) == ""


def test_page_in_no_recognised_language_is_not_benign() -> None:
    made = reading("Zzyzx qwfp arst zxcd wars neio kmhl yulu jnbv.")
    assert made.verdict == "unsure"
    assert "language not read (not recognised): for a person" in {r.name for r in made.reasons}


OFFERS_AMONG_BENIGN_WORDS = {
    "en": "Our school, museum and clinic tell patients of appointments, parcels and recipes. "
    "Read our privacy policy and the weather report. Library hours, menu and bus timetable. "
    "Bulk WhatsApp sender with number rotation.",
    "pt": "A escola e o museu avisam pacientes de consultas, receitas e encomendas. Leia a notícia "
    "do jornal sobre o tempo. Disparo em massa no WhatsApp com rodízio de números.",
    "es": "La escuela y el museo avisan a los pacientes de citas, recetas y paquetes. Lea el "
    "periódico. Envío masivo por WhatsApp con rotación de números.",
}  # fmt: skip


@pytest.mark.parametrize("language", OFFERS_AMONG_BENIGN_WORDS)
def test_named_offer_is_never_called_benign(language: str) -> None:
    made = reading(OFFERS_AMONG_BENIGN_WORDS[language])
    assert made.offers
    assert made.verdict in ("claim", "unsure")


DISCLAIMERS = {
    "en": (
        "Use it only for opted-in contacts.", "We are not responsible if your number is blocked.",
        "Please comply with the WhatsApp terms of service.", "Do not use it for spam.",
        "For educational purposes only, at your own risk.",
    ),
    "pt": (
        "Envie apenas para contatos que deram consentimento.", "Use por sua conta e risco.",
        "Não nos responsabilizamos por bloqueios.", "Respeite os termos do WhatsApp.",
    ),
    "es": (
        "Envíe solo a contactos con permiso.", "No nos hacemos responsables de bloqueos.",
        "Respete los términos de WhatsApp.",
    ),
    "he": ("האחריות הבלעדית על המשתמש.", "יש לפעול בהתאם למדיניות וואטסאפ."),
    "hi": ("हम किसी नुकसान के लिए जिम्मेदार नहीं हैं।", "केवल सहमति वाले लोगों को भेजें।"),
    "id": ("Kami tidak bertanggung jawab atas pemblokiran.", "Gunakan dengan bijak."),
}  # fmt: skip


@pytest.mark.parametrize("language", DISCLAIMERS)
def test_disclaimer_of_a_seller_lowers_nothing(language: str) -> None:
    alone = reading(CLAIMS[language])
    for disclaimer in DISCLAIMERS[language]:
        made = reading(f"{CLAIMS[language]}\n{disclaimer}")
        assert made.score >= alone.score, disclaimer
        assert set(made.offers) >= set(alone.offers)


UNREAD = {
    "Массовая рассылка в WhatsApp без блокировки, 5000 сообщений в день, 1500 руб.": "Cyrillic",
    "برنامج إرسال رسائل واتساب جماعية بدون حظر، عدد غير محدود": "Arabic",
    "批量群发 WhatsApp 消息，防封号，自动换号": "Chinese",
}


@pytest.mark.parametrize("text", UNREAD)
def test_page_in_an_unread_language_is_for_a_person(text: str) -> None:
    made = reading(text)
    assert made.verdict == "unsure"
    assert made.reasons[0].name.startswith(f"language not read ({UNREAD[text]}")


@pytest.mark.parametrize(
    "text",
    ["see github.com/shop79/whatsapp-sender", "user shop_79/whatsapp", "on port 3000 contacts",
     "localhost:5000 users", "60 reads a minute from our users", "300 requests per minute",
     "WhatsApp allows 256 contacts in a list", "Meta limits a number to 250 messages a day",
     "Tier 1: 1,000 conversations a day", "https://x.example/5000/messages"],
)  # fmt: skip
def test_name_port_and_operators_limit_are_no_capacity(text: str) -> None:
    assert find_capacities(fold(text).text, load_vocabulary()) == []


@pytest.mark.parametrize(
    "text",
    ["unlimited WhatsApp messages", "mensagens ilimitadas", "mensajes sin límite",
     "הודעות ללא הגבלה", "अनलिमिटेड मैसेज", "kirim pesan tanpa batas"],
)  # fmt: skip
def test_unlimited_messages_are_a_capacity(text: str) -> None:
    made = reading(text)
    assert len(made.unlimited) == 1
    assert made.unlimited[0] in text
    assert reading("unlimited patience").unlimited == ()


def test_domain_inside_another_word_is_no_contact() -> None:
    assert find_contacts("exemplo.comércio and sends.In bulk, chat.me-too.") == {}
    assert "direct" not in find_contacts("chatbit.me/shop")
    assert find_contacts("write to shop.example/order")["sites"] == ("shop.example",)
    assert find_contacts("https://wa.me/5511")["direct"] == ("wa.me/5511",)


def calls_of(work: Callable[[], object]) -> int:
    """How many functions some work calls: a measure of it that no busy machine changes."""
    count = 0

    def seen(_frame: object, event: str, _given: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


NASTY = {
    "numbers": "48213 907 15000 ",
    "prices": "$40 5000 ",
    "limits": "at most 5 a limit of 7 ",
    "number words": "ten thousand twenty million ",
    "mixed scripts": "५००० 5000 ٥٠٠٠ ",
    "zero-width": "5\u200b0\u200b0\u200b0\u200b ",
    "apostrophes": f"5{chr(39) * 60} ",
    "one long run": "7",
    "commas": "1,1,1,1,1,1,",
}


@pytest.mark.parametrize("kind", NASTY)
def test_work_on_numbers_grows_with_the_text_alone(kind: str) -> None:
    words = load_vocabulary()

    def work(size: int) -> int:
        text = fold((NASTY[kind] * size)[:size]).text

        def both() -> None:
            find_capacities(text, words)
            find_prices(text, words)

        both()
        return calls_of(both)

    few, many = work(2_000), work(8_000)
    assert many <= 5 * few + 1_000
    assert many <= 40 * 8_000


def test_page_of_numbers_is_read_up_to_a_bound() -> None:
    most = load_limits().reading.figures
    text = fold("send 5000 messages a day. " * (most + 500)).text
    assert len(find_capacities(text, load_vocabulary())) == most


def test_archive_of_many_pages_is_read_in_part_and_says_so() -> None:
    body = ("<html><p>" + "4821 " * 25_000 + "</p></html>").encode()
    headers = Message()
    headers["Content-Type"] = "text/html"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
    pages = [
        Exchange(f"https://a.example/{n}", AT, "192.0.2.7", b"GET / HTTP/1.1\r\n\r\n",
                 head + body, 200, headers, body)
        for n in range(9)
    ]  # fmt: skip
    documents = parse_file(encode_warc(pages, {"software": "test"}, AT))
    assert sum(len(d.text) for d in documents) < 2 * load_limits().reading.together
    assert {d.left_out for d in documents} == {9 - len(documents)}
    small = parse_text("Nothing is offered here.")
    small.left_out = 6
    made = read(small, AT)
    assert made.verdict == "unsure"
    assert made.reasons[0].name == "6 further pages of the archive, not read: for a person"
