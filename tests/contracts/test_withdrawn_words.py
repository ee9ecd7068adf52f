"""Words that the project withdrew do not come back into source, documentation or the README."""

from __future__ import annotations

from support.withdrawn_words import ROOT, WITHDRAWN, files, in_text, occurrences


def test_withdrawn_words_occur_nowhere() -> None:
    assert [str(one) for one in occurrences()] == []


def test_withdrawn_word_in_a_text_is_found() -> None:
    found = [
        (one.line, one.word) for one in in_text("docs/a.md", "Run\nthe `doctor` as told_at.\n")
    ]
    assert found == [(2, "told"), (2, "doctor")]


def test_withdrawn_words_cover_source_and_docs() -> None:
    checked = {path.relative_to(ROOT).parts[0] for path in files([ROOT / "src", ROOT / "docs"])}
    assert checked == {"src", "docs"}
    assert len(WITHDRAWN) > 20
