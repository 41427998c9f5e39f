/*
 * What is stored, though stale (RFC 9111 §4.2.4, RFC 5861): delivered at once while a fetch that
 * nobody waits for refreshes it, or in the place of an answer that the origin has failed to give.
 * Called by the request machine on its worker's thread; whether it may be is the cache's to say
 * (policy_use_stored(), policy_use_on_error()).
 *
 * A refresh is a fetch without a leader: it takes what it needs of the request before that is
 * answered. Its fill is found by those who may not be given the stale response; what becomes of it
 * nobody is told. While Weir stops, none begins.
 */
#include "proxy/proxy.h"

/* Nothing is due, or memory is out: what is stored stays as it is. */
static void refresh(struct request *request, const struct cache_query *query)
{
    struct worker *worker = request->worker;
    struct cache_find found;
    struct fetch_order order;

    if (worker->draining || request->directives.no_store ||
        cache_lead_refresh(worker->cache, query, &found) != CACHE_LEAD)
        return;
    order = (struct fetch_order){
        .request = request,
        .fill = found.fill,
        .stored = found.object,
        .key = &query->key,
        .findable = true,
        .cacheable = true,
        .refresh = true,
    };
    cell_add(&worker->stats.refreshes, 1);
    if (!fetch_start(worker, &order))
        cell_add(&worker->stats.refreshes_failed, 1);
}

static void take(struct request *request, struct cache_object **object, const char *detail)
{
    struct cache_meta meta = cache_object_meta(*object);

    request->object = weir_take(object);
    request->outcome = OUTCOME_STALE;
    request->stored = false;
    request->detail = detail;
    request->ttl_s = (int64_t)meta.lifetime_s - policy_age_s(&meta, request->worker->loop.now_ms);
}

void stale_deliver(struct request *request, const struct cache_query *query,
                   struct cache_find *found)
{
    take(request, &found->object, found->refresh ? "stale-while-revalidate" : "max-stale");
    if (found->refresh)
        refresh(request, query);
}

/* found->object: what may be given, or what must not. */
static enum stale_given look(const struct request *request, struct cache_find *found)
{
    struct cache_query query;

    found->object = NULL;
    if (request->outcome == OUTCOME_PASS || request->outcome == OUTCOME_LOCAL)
        return STALE_NONE;
    request_make_query(request, &query);
    if (cache_peek_on_error(request->worker->cache, &query, found) == CACHE_HIT)
        return STALE_GIVEN;
    if (found->object && (cache_object_meta(found->object).flags & CACHE_MUST_REVALIDATE) != 0)
        return STALE_FORBIDDEN;
    return STALE_NONE;
}

enum stale_given stale_foresee(const struct request *request)
{
    struct cache_find found;
    enum stale_given given = look(request, &found);

    cache_object_release(&found.object);
    return given;
}

enum stale_given stale_on_error(struct request *request, unsigned status, const char *detail)
{
    struct cache_find found;
    enum stale_given given = look(request, &found);

    if (given == STALE_GIVEN) {
        take(request, &found.object, detail);
        request->forward_status = status;
    }
    cache_object_release(&found.object);
    return given;
}

bool stale_makes_504(enum stale_given given, const char *detail)
{
    return given == STALE_FORBIDDEN && (detail == local_row(LOCAL_CONNECT_FAILED)->detail ||
                                        detail == local_row(LOCAL_NO_ADDRESS)->detail);
}
