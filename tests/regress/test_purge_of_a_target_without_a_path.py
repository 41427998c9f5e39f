"""A target without a path ("http://host?q") was stored under a key of its own: no purge found it, and "/?q" was fetched again."""

from weirtest import cacheable


def test_it_is_stored_as_the_one_with_a_slash(start):
    origin = start.origin(cacheable())
    weir = start.weir(origin)
    weir.get("http://a.test?q", host="a.test")
    assert weir.get("/?q", host="a.test").cache_status()["hit"] is True
    assert weir.purge("http://a.test?q") == 1
    weir.wait_cache(objects=0, purged=1)
