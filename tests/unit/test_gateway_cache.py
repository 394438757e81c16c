"""What was made lately is kept, up to a number of bytes."""

from gateway.cache import Cache


def test_what_was_put_is_had():
    cache = Cache(100)
    cache.put("a", b"1")
    assert (cache.get("a"), cache.get("b")) == (b"1", None)


def test_the_one_asked_for_longest_ago_makes_way():
    cache = Cache(30)
    for key in "abc":
        cache.put(key, bytes(7))
    cache.get("a")
    for key in "de":
        cache.put(key, bytes(7))
    assert [key for key in "abcde" if cache.get(key)] == ["a", "c", "d", "e"]


def test_what_is_put_again_counts_once():
    cache = Cache(30)
    for _ in range(20):
        cache.put("a", bytes(7))
    cache.put("b", bytes(7))
    assert cache.get("a") and cache.get("b")


def test_what_is_too_large_is_not_kept():
    cache = Cache(30)
    cache.put("a", bytes(8))
    assert cache.get("a") is None
