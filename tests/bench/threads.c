/*
 * Whether a second thread doubles what the cache does: lookups of which nine in ten are hits (Zipf
 * over keys stored beforehand) and one is a miss that is filled and stored, in a cache that is
 * full, so that each miss also evicts.
 *
 * Started by threads.py. Two threads, each on its own core from beginning to end, are let go
 * together or one at a time, in four ways by turns: the first alone, the second alone, both on one
 * cache, and each on a cache of its own. The last is the control: what two threads reach that share
 * nothing but the machine and the allocator. A run in which a thread had to wait for its core is
 * repeated; of several the least disturbed counts. It is told as one line of JSON for each thread;
 * the ratios are threads.py's. Before and after two threads share a cache it is measured how long a
 * line of memory takes from one core to the other: of a virtual machine that changes as its host
 * moves the cores about, and sharing costs so much more or less.
 */
#include "cache_load.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define THREADS 2
#define KEYS 100000
#define BODY_BYTES 1024
#define SAMPLES (1u << 20) /* of the Zipf distribution, drawn beforehand */
#define ZIPF_EXPONENT 0.99
#define MISS_EACH 10
#define MEMORY ((uint64_t)256 << 20)
#define TOUCHES 3 /* as often as the eviction counts: none of the keys is evicted afterwards */
#define BATCH 64  /* operations between two looks at the stop flag */
#define DISTURBED 0.05
#define PASSES 200
#define PASSES_AT_ONCE 100
#define KEYS_AT "http://api.example.com/v1/items/"

static const char block[] = "Date: Mon, 23 Nov 2026 15:12:07 GMT\r\n"
                            "Content-Type: application/json; charset=utf-8\r\n"
                            "Cache-Control: public, max-age=3600\r\n"
                            "ETag: \"9e3779b97f4a7c15\"\r\n";

/* Of one thread in one run. */
struct outcome {
    uint64_t operations, hits;
    uint64_t failed; /* memory was out */
    int64_t wall_ns, cpu_ns;
    int64_t delay_ns; /* it could have run, but another program had the core */
    long waits;       /* times it has slept, which only a lock makes it do */
};

/* Of every run. */
struct plan {
    int tries; /* at most, for a quiet one */
    int64_t ns;
};

struct runner {
    pthread_t thread;
    int number;            /* fixed: its core too */
    const char *misses_at; /* fixed: where its new keys begin */
    uint32_t *ranks;       /* fixed, owned: SAMPLES keys to ask for */
    /* owner thread only */
    uint64_t next_rank, next_new, sum;
    /* written by the main thread between two runs */
    struct cache *cache; /* NULL: stays out of this run */
    struct outcome outcome;
};

static struct runner runners[THREADS] = {{.misses_at = "http://api.example.com/v1/first/"},
                                         {.misses_at = "http://api.example.com/v1/other/"}};
static pthread_barrier_t start_line, finish_line;
static atomic_bool stop, ended, passing;
/* Passed to and fro; on a line of its own. */
static _Alignas(128) atomic_uint ball;
static _Alignas(128) double pass_ns;

static int64_t thread_cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static int64_t thread_delay_ns(void)
{
    long long delay;
    FILE *schedstat = fopen("/proc/thread-self/schedstat", "r");
    if (schedstat == NULL || fscanf(schedstat, "%*u %lld", &delay) != 1)
        bench_die("reading /proc/thread-self/schedstat");
    fclose(schedstat);
    return delay;
}

static long thread_waits(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

/* What an answer from memory takes of the cache; or the miss that it turned out to be. */
static void operate(struct runner *r, struct str url)
{
    struct cache_find found;
    enum cache_found result = load_lookup(r->cache, url, &found);
    if (result == CACHE_HIT) {
        struct iovec piece;
        r->sum += cache_object_meta(found.object).status + cache_object_block(found.object).len;
        if (cache_object_pieces(found.object, 0, &piece, 1) == 1)
            r->sum += piece.iov_len;
        r->outcome.hits++;
    } else if (result == CACHE_LEAD) {
        r->outcome.failed += !load_store(&found, str_of(block, sizeof(block) - 1), BODY_BYTES);
    } else {
        r->outcome.failed += result != CACHE_JOIN;
    }
    cache_object_release(&found.object);
    cache_fill_release(&found.fill);
}

static void operate_next(struct runner *r)
{
    char bytes[128];
    struct str url = r->outcome.operations++ % MISS_EACH == 0
                         ? load_url(bytes, r->misses_at, r->next_new++)
                         : load_url(bytes, KEYS_AT, r->ranks[r->next_rank++ % SAMPLES]);
    operate(r, url);
}

static void run(struct runner *r)
{
    struct outcome *o = &r->outcome;
    *o = (struct outcome){0};
    long waits = thread_waits();
    int64_t delay = thread_delay_ns(), wall = bench_now_ns(), cpu = thread_cpu_ns();
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        for (unsigned i = 0; i < BATCH; i++)
            operate_next(r);
    o->cpu_ns = thread_cpu_ns() - cpu;
    o->wall_ns = bench_now_ns() - wall;
    o->delay_ns = thread_delay_ns() - delay;
    o->waits = thread_waits() - waits;
}

/* One way, of the quickest of many exchanges. */
static void pass_ball(int number)
{
    int64_t best = INT64_MAX;
    for (unsigned batch = 0; batch < PASSES; batch++) {
        int64_t start = bench_now_ns();
        for (unsigned i = 0; i < PASSES_AT_ONCE; i++) {
            while (atomic_load_explicit(&ball, memory_order_acquire) % 2 != (unsigned)number)
                continue;
            atomic_fetch_add_explicit(&ball, 1, memory_order_release);
        }
        int64_t took = bench_now_ns() - start;
        best = took < best ? took : best;
    }
    if (number == 0)
        pass_ns = (double)best / PASSES_AT_ONCE / 2;
}

static void *runner_main(void *argument)
{
    struct runner *r = argument;
    for (;;) {
        pthread_barrier_wait(&start_line);
        if (atomic_load(&ended))
            return NULL;
        if (atomic_load(&passing))
            pass_ball(r->number);
        else if (r->cache != NULL)
            run(r);
        pthread_barrier_wait(&finish_line);
    }
}

/* Both fill and warm the same keys; nothing that is evicted later is one of them. */
static struct cache *make_cache(void)
{
    struct cache *cache = cache_new(MEMORY, MEMORY, THREADS, 0);
    struct runner filler = {.cache = cache, .misses_at = "http://api.example.com/v1/filler/"};
    char bytes[128];
    for (unsigned touch = 0; touch <= TOUCHES; touch++)
        for (uint32_t key = 0; key < KEYS; key++)
            operate(&filler, load_url(bytes, KEYS_AT, key));
    struct cache_stats stats = {0};
    for (uint64_t round = 0; stats.evicted < KEYS; round++) {
        operate(&filler, load_url(bytes, filler.misses_at, round));
        if (round % 1000 == 0)
            cache_read_stats(cache, &stats);
    }
    return cache;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void draw_ranks(struct runner *r)
{
    static double below[KEYS]; /* the chance of this rank or a lower one */
    double sum = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        below[i] = sum += 1 / pow(i + 1, ZIPF_EXPONENT);
    uint64_t state = 0x9e3779b97f4a7c15u + (uint64_t)r->number;
    r->ranks = malloc(SAMPLES * sizeof(*r->ranks));
    if (r->ranks == NULL)
        bench_die("drawing keys");
    for (uint32_t i = 0; i < SAMPLES; i++) {
        double at = (double)(next_random(&state) >> 11) * 0x1p-53 * sum;
        uint32_t low = 0, high = KEYS - 1;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (below[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        r->ranks[i] = low;
    }
}

static void start_runner(struct runner *r, int number)
{
    pthread_attr_t attributes;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(number, &cores);
    r->number = number;
    draw_ranks(r);
    if (pthread_attr_init(&attributes) ||
        pthread_attr_setaffinity_np(&attributes, sizeof(cores), &cores) ||
        pthread_create(&r->thread, &attributes, runner_main, r))
        bench_die("starting a thread");
    pthread_attr_destroy(&attributes);
}

/* One run. The longest that a thread of it waited for its core, in parts of the time. */
static double let_run_once(int64_t ns)
{
    struct timespec time = bench_timespec(ns);
    double disturbed = 0;
    atomic_store(&stop, false);
    pthread_barrier_wait(&start_line);
    nanosleep(&time, NULL);
    atomic_store(&stop, true);
    pthread_barrier_wait(&finish_line);
    for (int i = 0; i < THREADS; i++) {
        const struct outcome *o = &runners[i].outcome;
        if (runners[i].cache != NULL)
            disturbed = fmax(disturbed, (double)o->delay_ns / (double)o->wall_ns);
    }
    return disturbed;
}

static void let_run(const char *kind, struct cache *first, struct cache *second,
                    const struct plan *plan, int round)
{
    struct outcome best[THREADS] = {0};
    double least = 2;
    runners[0].cache = first;
    runners[1].cache = second;
    for (int try = 0; try < plan->tries && least > DISTURBED; try++) {
        double disturbed = let_run_once(plan->ns);
        if (disturbed >= least)
            continue;
        least = disturbed;
        for (int i = 0; i < THREADS; i++)
            best[i] = runners[i].outcome;
    }
    for (int i = 0; i < THREADS; i++) {
        const struct outcome *o = &best[i];
        if (runners[i].cache != NULL)
            printf("{\"round\": %d, \"kind\": \"%s\", \"operations\": %llu, \"hits\": %llu, "
                   "\"failed\": %llu, \"wall_ns\": %lld, \"cpu_ns\": %lld, \"delay_ns\": %lld, "
                   "\"waits\": %ld}\n",
                   round, kind, (unsigned long long)o->operations, (unsigned long long)o->hits,
                   (unsigned long long)o->failed, (long long)o->wall_ns, (long long)o->cpu_ns,
                   (long long)o->delay_ns, o->waits);
    }
}

static void measure_pass(int round)
{
    atomic_store(&passing, true);
    pthread_barrier_wait(&start_line);
    pthread_barrier_wait(&finish_line);
    atomic_store(&passing, false);
    printf("{\"round\": %d, \"kind\": \"pass\", \"pass_ns\": %.1f}\n", round, pass_ns);
}

int main(int argc, char **argv)
{
    int rounds = argc == 4 ? atoi(argv[1]) : 0;
    struct plan plan = {argc == 4 ? atoi(argv[2]) : 0, argc == 4 ? atoll(argv[3]) * 1000000 : 0};
    if (rounds <= 0 || plan.tries <= 0 || plan.ns <= 0) {
        fprintf(stderr, "usage: threads ROUNDS TRIES MS\n");
        return 1;
    }
    struct cache *one = make_cache(), *other = make_cache();
    if (pthread_barrier_init(&start_line, NULL, THREADS + 1) ||
        pthread_barrier_init(&finish_line, NULL, THREADS + 1))
        bench_die("making the barriers");
    for (int i = 0; i < THREADS; i++)
        start_runner(&runners[i], i);
    /* In round 0 the threads' own objects take the place of the main thread's. */
    for (int round = 0; round <= rounds; round++) {
        let_run("alone", one, NULL, &plan, round);
        measure_pass(round);
        let_run("shared", one, one, &plan, round);
        measure_pass(round);
        let_run("alone", NULL, one, &plan, round);
        let_run("separate", one, other, &plan, round);
    }
    atomic_store(&ended, true);
    pthread_barrier_wait(&start_line);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(runners[i].thread, NULL);
        free(runners[i].ranks);
    }
    cache_free(&one);
    cache_free(&other);
    return 0;
}
