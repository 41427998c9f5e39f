"""Workers share one cache: it does not matter on which of them a client lands."""

import threading

import pytest

from weirtest import cacheable, patterned, wait_for


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_response_stored_by_one_is_a_hit_on_all(start, workers):
    origin = start.origin(cacheable(b"hello"))
    weir = start.weir(origin, workers=workers)
    assert weir.stats()["workers"] == workers
    for _ in range(40):
        assert weir.get("/a").body == b"hello"
    assert len(origin.requests) == 1
    weir.wait_cache(hits=39, misses=1)


def test_workers_auto(start):
    weir = start.weir(start.origin([]), workers="auto")
    assert weir.stats()["workers"] >= 1


def test_side_by_side_for_a_while(start):
    """Hits, misses, evictions, purges and clients that leave, on both workers at once."""
    def script(request, connection):
        cacheable(patterned(20000, seed=int(request.target[1:])))(request, connection)

    origin = start.origin(script)
    weir = start.weir(origin, cache={"memory": "8MiB"})
    failures = []

    def run(seed):
        import random
        chooser = random.Random(seed)
        try:
            client = weir.client()
            for _ in range(250):
                number = min(int(chooser.expovariate(0.01)), 900)
                client.request("GET", f"/{number}")
                if chooser.random() < 0.03:
                    client.reset()
                    client = weir.client()
                    continue
                response = client.read_response()
                if response.status != 200 or response.body != patterned(20000, number):
                    failures.append(f"{number}: {response}")
            client.close()
        except Exception as error:  # shown by the test, never lost in a thread
            failures.append(repr(error))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        weir.purge("http://example.test/1")
        assert weir.stats()["cache"]["bytes"] <= 8 << 20
    for thread in threads:
        thread.join()
    assert not failures
    wait_for("no request in flight", lambda: weir.stats()["requests"]["in_flight"] == 0)
