/*
 * What a small object costs beyond its own bytes (key, head and body): objects with bodies of 500
 * bytes are stored through the cache's own interface, and what the cache has counted and what the
 * process has grown by are divided among them.
 *
 * Started by object_memory.py. The lengths of heads are spread evenly over HEAD_SPREAD bytes, so
 * that no size class fits all of them by luck. What a shard's table costs per object depends on how
 * full it happens to be, so the greatest cost on the way from half of the objects to all of them is
 * told beside that of all.
 */
#include "cache_load.h"

#include "cache/shard.h"

#include <math.h>

#define BODY_BYTES 500
#define HEAD_SPREAD 192
#define MEMORY ((uint64_t)2 << 30)
#define WORKERS 2
#define CHECKPOINTS 20 /* between half of the objects and all */

struct cost {
    double accounted, resident; /* bytes of each object, beside its own */
};

static uint64_t own_bytes; /* of the keys, heads and bodies stored so far */

static uint64_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%*u %lu", &pages) != 1)
        bench_die("reading /proc/self/statm");
    fclose(statm);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t accounted_bytes(const struct cache *cache)
{
    struct cache_stats stats;
    cache_read_stats(cache, &stats);
    return stats.bytes;
}

/* A head such as an API sends; `number` decides its length. */
static struct str make_block(char *out, size_t size, uint64_t number)
{
    static const char padding[] =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    _Static_assert(sizeof(padding) > HEAD_SPREAD, "as long as the longest");
    unsigned extra = (unsigned)((number * 0x9e3779b97f4a7c15u >> 40) % HEAD_SPREAD);
    int len = snprintf(out, size,
                       "Date: Mon, 23 Nov 2026 15:12:07 GMT\r\n"
                       "Server: gunicorn/20.1.0\r\n"
                       "Content-Type: application/json; charset=utf-8\r\n"
                       "Cache-Control: public, max-age=3600\r\n"
                       "ETag: \"%016llx\"\r\n"
                       "Last-Modified: Mon, 23 Nov 2026 09:00:00 GMT\r\n"
                       "X-Request-Id: %.*s\r\n",
                       (unsigned long long)(number * 0xd1342543de82ef95u), (int)extra, padding);
    if (len < 0 || (size_t)len >= size)
        bench_die("writing a head");
    return str_of(out, (size_t)len);
}

static void store(struct cache *cache, uint64_t number)
{
    char url_bytes[128], block_bytes[1024];
    struct str url = load_url(url_bytes, "http://api.example.com/v1/items/", number);
    struct str block = make_block(block_bytes, sizeof(block_bytes), number);
    struct cache_find found;
    if (load_lookup(cache, url, &found) != CACHE_LEAD)
        bench_die("looking up a new key");
    if (!load_store(&found, block, BODY_BYTES))
        bench_die("storing");
    own_bytes += url.len + block.len + BODY_BYTES;
}

static struct cost measure(const struct cache *cache, uint64_t objects, uint64_t empty,
                           uint64_t resident_before)
{
    double own = (double)own_bytes / (double)objects;
    return (struct cost){
        .accounted = (double)(accounted_bytes(cache) - empty) / (double)objects - own,
        .resident = (double)(resident_bytes() - resident_before) / (double)objects - own,
    };
}

static uint64_t count_buckets(const struct cache *cache)
{
    uint64_t buckets = 0;
    for (uint32_t i = 0; i < cache->shard_count; i++)
        buckets += cache->shards[i].mask + 1;
    return buckets;
}

int main(int argc, char **argv)
{
    uint64_t objects = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    if (objects < 2 * CHECKPOINTS) {
        fprintf(stderr, "usage: object_memory OBJECTS\n");
        return 1;
    }
    /* Code, stdio and the allocator's first pages are there before the count begins. */
    struct cache *first = cache_new(MEMORY, MEMORY, WORKERS, 0);
    for (uint64_t i = 0; i < 100; i++)
        store(first, i);
    cache_free(&first);
    own_bytes = 0;

    uint64_t resident_before = resident_bytes();
    struct cache *cache = cache_new(MEMORY, MEMORY, WORKERS, 0);
    uint64_t empty = accounted_bytes(cache);
    struct cost cost = {0}, worst = {0};
    for (uint64_t i = 1; i <= objects; i++) {
        store(cache, i);
        if (i < objects / 2 || (objects - i) % (objects / 2 / CHECKPOINTS) != 0)
            continue;
        cost = measure(cache, i, empty, resident_before);
        worst.accounted = fmax(worst.accounted, cost.accounted);
        worst.resident = fmax(worst.resident, cost.resident);
    }
    struct cache_stats stats;
    cache_read_stats(cache, &stats);
    if (stats.objects != objects)
        bench_die("keeping all objects");
    printf("{\"objects\": %llu, \"own_bytes\": %.1f, \"accounted\": %.1f, \"resident\": %.1f, "
           "\"worst_accounted\": %.1f, \"worst_resident\": %.1f, \"shards\": %u, \"load\": %.3f}\n",
           (unsigned long long)objects, (double)own_bytes / (double)objects, cost.accounted,
           cost.resident, worst.accounted, worst.resident, cache->shard_count,
           (double)objects / (double)count_buckets(cache));
    cache_free(&cache);
    return 0;
}
