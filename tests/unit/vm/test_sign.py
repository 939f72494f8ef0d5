"""A sign in a stream is seen as soon as it is certain, and never sooner."""

import re

from hypothesis import given
from hypothesis import strategies as st

from bpfcompat.vm.sign import Sign


def test_a_match_is_seen_across_parts():
    sign = Sign(r"listening on port \d+")
    assert not sign.shows(b"listening on ")
    assert sign.shows(b"port 80")


def test_the_end_of_what_came_is_not_the_end_of_a_line():
    sign = Sign("ready$")
    assert not sign.shows(b"ready")
    assert sign.shows_now()
    assert not sign.shows(b" soon")
    assert not sign.shows_now()
    assert sign.shows(b"\nready\n")


def test_a_word_may_go_on():
    sign = Sign(r"\bup\b")
    assert not sign.shows(b"up")
    assert not sign.shows(b"stairs ")
    assert sign.shows(b"up ")


def test_characters_are_put_together():
    sign = Sign("ä")
    assert not sign.shows("ä".encode()[:1])
    assert sign.shows("ä".encode()[1:])


@given(st.text("ab\n", max_size=60), st.integers(0, 60), st.sampled_from(["^a+b$", "ab", "b\na", "a\\b"]))
def test_what_is_seen_early_stands_in_the_whole(text, cut, pattern):
    sign = Sign(pattern)
    early = sign.shows(text[:cut].encode())
    late = sign.shows(text[cut:].encode())
    whole = re.search(pattern, text, re.MULTILINE) is not None
    assert whole or not (early or late)
    assert sign.shows_now() == whole
