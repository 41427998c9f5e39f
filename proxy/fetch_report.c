/*
 * What a fetch tells of itself: where its time went, to the request that leads it and to the
 * upstream's histograms; why it failed, to the error log. Called by the machine (fetch.c) on its
 * worker's thread.
 */
#include "proxy/fetch.h"

#include <inttypes.h>
#include <stdio.h>

#define LINE_SHOWN 200 /* of a request's first line, in the error log */
#define LIMIT_BYTES 160

const char *phase_name(enum fetch_phase phase)
{
    static const char *const names[PHASES] = {
#define X(symbol, name) [PHASE_##symbol] = name,
        PHASE_TABLE(X)
#undef X
    };

    weir_assert((unsigned)phase < PHASES);
    return names[phase];
}

/* ---- phases: from one wake-up of the loop to another ---- */

static void add_elapsed(const struct fetch *fetch, int64_t now_us, struct phases *to)
{
    if (fetch->phase != PHASES && now_us > fetch->since_us)
        to->us[fetch->phase] += (uint64_t)(now_us - fetch->since_us);
}

int64_t fetch_enter_phase(struct fetch *fetch, enum fetch_phase phase)
{
    int64_t now_us = fetch->worker->loop.now_us;

    add_elapsed(fetch, now_us, &fetch->phases);
    fetch->phase = phase;
    fetch->since_us = now_us;
    if (phase != PHASES)
        fetch->entered |= 1u << phase;
    return now_us;
}

void fetch_count_phases(struct fetch *fetch)
{
    struct upstream_stats *stats = &fetch->worker->stats.upstreams[fetch->upstream->index];

    for (unsigned left = fetch->entered, i; left > 0; left &= left - 1) {
        i = (unsigned)__builtin_ctz(left);
        histogram_add(&stats->phases_us[i], fetch->phases.us[i]);
    }
    fetch->entered = 0;
}

void fetch_report(struct fetch *fetch)
{
    struct request *leader = weir_take(&fetch->leader);
    struct fetch_report out;

    if (!leader)
        return;
    out = (struct fetch_report){
        .retries = fetch->retries, .address = fetch_address(fetch), .phases = fetch->phases};
    if (fetch->phase != PHASES) /* what it leaves before the end may be what was slow */
        add_elapsed(fetch, fetch->worker->loop.now_us, &out.phases);
    request_on_fetch_end(leader, &out);
}

/* ---- failures ---- */

/* Which setting a request has met, and its value; "" when it was none. */
static void write_limit(const struct fetch *fetch, char out[LIMIT_BYTES])
{
    const struct conf_upstream *upstream = fetch->upstream;
    int64_t after_ms = fetch->deadline_after_ms;
    const char *name;

    *out = '\0';
    if (fetch->failure == LOCAL_QUEUE_FULL) {
        snprintf(out, LIMIT_BYTES, " (upstreams.%s.pool.queue: %u)", upstream->name,
                 upstream->pool.queue);
        return;
    }
    if (fetch->failure == LOCAL_QUEUE_TIMEOUT)
        name = "pool.queue_timeout", after_ms = upstream->pool.queue_timeout_ms;
    else if (fetch->failure == LOCAL_CONNECT_TIMEOUT)
        name = "timeouts.connect", after_ms = upstream->timeouts.connect_ms;
    else if (fetch->failure == LOCAL_FIRST_BYTE_TIMEOUT &&
             after_ms == upstream->timeouts.first_byte_ms)
        name = "timeouts.first_byte";
    else if (fetch->failure == LOCAL_FIRST_BYTE_TIMEOUT || /* the head does not go on */
             fetch->failure == LOCAL_BETWEEN_BYTES_TIMEOUT)
        name = "timeouts.between_bytes";
    else
        return;
    snprintf(out, LIMIT_BYTES, " (upstreams.%s.%s: %" PRId64 " ms)", upstream->name, name,
             after_ms);
}

/* As far as its leader is concerned, or who asked when that one has left: others who wait may have
 * asked for something else. */
static enum stale_given foresee(const struct fetch *fetch)
{
    struct cache_meta meta;

    if (fetch->leader)
        return stale_foresee(fetch->leader);
    if (!fetch->stored)
        return STALE_NONE;
    meta = cache_object_meta(fetch->stored);
    return policy_use_on_error(&meta, &fetch->directives, fetch->worker->loop.now_ms) ? STALE_GIVEN
                                                                                      : STALE_NONE;
}

static void write_answer(const struct fetch *fetch, char *out, size_t bytes)
{
    const struct local_row *row = local_row(fetch->failure);
    enum stale_given given = foresee(fetch);

    if (given == STALE_GIVEN)
        snprintf(out, bytes, "answered with what is stored");
    else
        snprintf(out, bytes, "answered %u",
                 stale_makes_504(given, row->detail) ? 504 : row->status);
}

void fetch_tell_failure(const struct fetch *fetch)
{
    static struct log_kind kinds[LOCALS] = {
#define X(symbol, status, detail, text)                                                            \
    [LOCAL_##symbol] = {.what = "asking origins: " text, .level = LOG_WARN_LEVEL},
        LOCAL_TABLE(X)
#undef X
    };
    const struct local_row *row = local_row(fetch->failure);
    struct str head = fetch->request_head; /* empty when memory was out */
    const char *line_end = head.len > 0 ? memchr(head.ptr, '\r', head.len) : NULL;
    size_t line_len = line_end ? (size_t)(line_end - head.ptr) : 0;
    char follows[32], because[LIMIT_BYTES];

    if (fetch->refresh)
        snprintf(follows, sizeof(follows), "what is stored is not refreshed");
    else if (fetch->head_given)
        snprintf(follows, sizeof(follows), "the response is cut");
    else
        write_answer(fetch, follows, sizeof(follows));
    if (fetch->why)
        snprintf(because, sizeof(because), " (%s)", fetch->why);
    else
        write_limit(fetch, because);
    log_write_paced(&kinds[fetch->failure], fetch->worker->loop.now_ms,
                    "asking %s of upstream %s, route %s, for request %.*s, trace %.*s, \"%.*s\": "
                    "%s%s; %s",
                    fetch_address(fetch), fetch->upstream->name, fetch->route->name,
                    (int)fetch->request_id.len, fetch->request_id.ptr, TRACE_ID_BYTES,
                    fetch->trace_id, (int)(line_len < LINE_SHOWN ? line_len : LINE_SHOWN), head.ptr,
                    row->text, because, follows);
}
