"""Page tokens: they come back as they went out, and only for the same request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rpc.paging import PageTokenInvalid, after_token, page_token

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)


@given(after=texts, bound=st.lists(texts, max_size=3))
def test_a_token_leads_back_to_its_id(after: str, bound: list[str]) -> None:
    assert after_token(page_token(after, *bound), *bound) == after


@given(after=texts, bound=st.lists(texts, max_size=3), other=st.lists(texts, max_size=3))
def test_a_token_of_another_request_is_refused(
    after: str, bound: list[str], other: list[str]
) -> None:
    if bound == other:
        return
    with pytest.raises(PageTokenInvalid):
        after_token(page_token(after, *bound), *other)


@given(after=texts, data=st.data())
def test_a_damaged_token_is_refused(after: str, data: st.DataObject) -> None:
    token = page_token(after, "list")
    position = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCDEFGHabcdefgh01234567-_"))
    damaged = data.draw(
        st.sampled_from((token[:position], token[:position] + letter + token[position + 1 :]))
    )
    try:
        assert damaged in ("", token) or after_token(damaged, "list") == after
    except PageTokenInvalid:
        return
    # The last letter of base64 has bits that mean nothing, and an empty token is the first page.
    assert damaged[:-1] == token[:-1] or not damaged


@given(token=st.text(min_size=1, max_size=60))
def test_a_token_that_was_never_made_is_refused(token: str) -> None:
    with pytest.raises(PageTokenInvalid):
        after_token(token, "list")
