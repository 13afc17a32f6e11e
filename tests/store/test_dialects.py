"""How endpoints want to be asked: kept for every job of a store."""

from __future__ import annotations

from agent.store import Store


def test_a_dialect_is_read_as_it_was_kept_last(store: Store) -> None:
    assert store.dialect("http://here/v1", "m") is None
    store.keep_dialect("http://here/v1", "m", {"without": ["temperature"]})
    store.keep_dialect("http://here/v1", "m", {"without": ["temperature", "system"]})
    assert store.dialect("http://here/v1", "m") == {"without": ["temperature", "system"]}


def test_each_endpoint_and_model_has_its_own(store: Store) -> None:
    store.keep_dialect("http://here/v1", "m", {"without": []})
    assert store.dialect("http://here/v1", "n") is None
    assert store.dialect("http://there/v1", "m") is None
