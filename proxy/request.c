/*
 * The request machine: one exchange with a client, from a complete head to its log line.
 *
 *   ROUTE -> [AWAIT_CONTENT] ->
 *            LOOKUP -+-hit------------------------------> DELIVER <-> AWAIT_CLIENT
 *                    +-join------> AWAIT_HEAD -> DELIVER <-> AWAIT_BODY        \
 *                    +-lead, pass-> FETCH -> AWAIT_HEAD ...                      FINISH
 *                                                     \-> TUNNEL (101) --------/
 *
 * A state function returns the next state, REQUEST_WAIT, or REQUEST_DONE; only run() assigns. WAIT
 * means that one thing will wake the machine: news of the fill (AWAIT_HEAD, AWAIT_BODY), the sink
 * (AWAIT_CLIENT), or the tunnel's end. Every response, Weir's own included, is delivered from an
 * object or from a fill. Everything here is on the worker's thread; a transport embeds the request
 * and calls in.
 */
#include "proxy/proxy.h"

#include <stdlib.h>

#define REQUEST_MAGIC 0x52455155u
#define ARENA_BYTES 2048
#define BODY_PIECES 55 /* what a sink adds makes 64 with them */
#define EXTRA_BYTES (256 + TRACE_FIELDS_BYTES)

typedef enum request_state state_function(struct request *request);

static void run(struct request *request);
static void on_wait_due(struct wheel_timer *timer, int64_t now_ms);
/* Out of the way of GET and HEAD. */
static enum request_state begin_other(struct request *request) __attribute__((noinline));

/* ---- small helpers ---- */

static bool is_get_or_head(const struct request *request)
{
    return request->head->method == METHOD_GET || request->head->method == METHOD_HEAD;
}

/* All of it: the request can be looked up by it. */
static inline bool holds_content(const struct request *request)
{
    return weir_unlikely(request->content != NULL) && content_is_whole(request->content);
}

static bool accepts_json(const struct request *request)
{
    const struct field *accept = fields_first(http1_fields(request->head), FIELD_ACCEPT);

    return accept && memmem(accept->value, accept->value_len, "json", 4) != NULL;
}

/* The answer is Weir's own. Takes the object; NULL: memory is out. */
static enum request_state answer_object(struct request *request, struct cache_object *object,
                                        const char *detail)
{
    weir_assert(!request->head_sent);
    cache_object_release(&request->object);
    request->object = object;
    request->outcome = OUTCOME_LOCAL;
    request->detail = detail;
    request->stored = request->collapsed = false;
    request->forward_status = 0;
    if (!request->object) {
        request->client_gone = true;
        return REQUEST_FINISH;
    }
    return REQUEST_DELIVER;
}

static enum request_state answer(struct request *request, unsigned status, const char *detail,
                                 const char *text)
{
    return answer_object(
        request, local_object(status, text, accepts_json(request), worker_wall_s()), detail);
}

static enum request_state answer_local(struct request *request, enum local local)
{
    const struct local_row *row = local_row(local);

    if (local == LOCAL_OVERLOADED)
        worker_lacks_memory(request->worker, "while answering a request; it gets 503");
    return answer(request, row->status, row->detail, row->text);
}

/* A fill that failed names its row by the detail text. */
static enum request_state answer_failed_fill(struct request *request, const struct cache_view *view,
                                             enum stale_given given)
{
    /* RFC 9111 §5.2.2.2: not the stale one, but an error, and a 504 is best. */
    if (stale_makes_504(given, view->abort_detail))
        return answer(request, 504, view->abort_detail,
                      "the origin has to be asked, and cannot be");
    for (int i = LOCAL_NONE + 1; i < LOCALS; i++)
        if (local_row((enum local)i)->detail == view->abort_detail)
            return answer_local(request, (enum local)i);
    return answer(request, view->abort_status ? view->abort_status : 502, view->abort_detail,
                  "the origin failed");
}

/* A waiter waits no longer for another's fetch than a fetch of its own could have taken. */
static void start_waiting(struct request *request)
{
    const struct conf_upstream *upstream = request->route->upstream;
    struct net_loop *loop = &request->worker->loop;

    request->waiter = true;
    request->since_us = base_clock_mono_us();
    cell_add(&request->worker->stats.waiters, 1);
    wheel_timer_init(&request->wait_deadline, on_wait_due);
    wheel_set(&loop->wheel, &request->wait_deadline,
              loop->now_ms + upstream->pool.queue_timeout_ms + upstream->timeouts.connect_ms +
                  upstream->timeouts.first_byte_ms);
}

static void add_elapsed(const struct request *request, uint64_t *to)
{
    int64_t now_us = base_clock_mono_us();

    *to += now_us > request->since_us ? (uint64_t)(now_us - request->since_us) : 0;
}

/* The head of what a waiter waits for is there, or never comes. */
static void stop_waiting(struct request *request)
{
    if (!request->waiter || request->head_sent || !request->since_us)
        return;
    add_elapsed(request, &request->wait_us);
    request->since_us = 0;
    request->wait_deadline.due_ms = WHEEL_NEVER;
}

/* What the sink had queued has been taken, or is given up. */
static void unblock(struct request *request)
{
    if (request->blocked)
        add_elapsed(request, &request->client_us);
    request->blocked = false;
}

/* Leaves the fill and whoever fills it. */
static void leave_source(struct request *request)
{
    if (request->fetch)
        fetch_leave(&request->fetch);
    cache_reader_leave(&request->reader);
    if (!request->waiter)
        return;
    stop_waiting(request);
    request->waiter = false;
    cell_sub(&request->worker->stats.waiters, 1);
    wheel_cancel(&request->worker->loop.wheel, &request->wait_deadline);
}

/* ---- ROUTE, AWAIT_CONTENT ---- */

/* Max-Forwards: 0 makes Weir the one that answers OPTIONS and TRACE (RFC 9110 §7.6.2). */
static bool ends_here(const struct request *request)
{
    unsigned at = 0;
    const struct field *f;
    uint64_t left;

    if (request->head->method != METHOD_OPTIONS && request->head->method != METHOD_TRACE)
        return false;
    f = fields_next(http1_fields(request->head), STR("Max-Forwards"), &at);
    return f && str_to_u64(field_value(f), UINT32_MAX, &left) && left == 0;
}

static enum request_state purge(struct request *request)
{
    enum local local;
    struct cache_object *object = purge_answer(request, &local);

    return local == LOCAL_PURGED ? answer_object(request, object, local_row(local)->detail)
                                 : answer_local(request, local);
}

/* A QUERY's content is part of its key, so it has to come first; the client that would wait for a
 * word of the origin's gets Weir's (RFC 9110 §10.1.1). What is announced as too large passes by. */
static enum request_state begin_content(struct request *request)
{
    const struct http1_head *head = request->head;
    const struct conf_route_cache *cache = &request->route->cache;
    bool empty = head->body == HTTP1_BODY_NONE ||
                 (head->body == HTTP1_BODY_LENGTH && head->content_length == 0);

    if (!cache->enabled || cache->query_body == 0 || head->upgrade)
        return REQUEST_LOOKUP;
    if (head->body == HTTP1_BODY_LENGTH && head->content_length > cache->query_body)
        return REQUEST_LOOKUP;
    request->content = content_new(request->worker->cache, cache->query_body);
    if (!request->content)
        return answer_local(request, LOCAL_OVERLOADED);
    if (empty) {
        content_end(request->content);
        return REQUEST_LOOKUP;
    }
    if (head->expect_continue)
        request->sink->ops->interim(request->sink, 100, str_of(NULL, 0));
    return REQUEST_AWAIT_CONTENT;
}

static enum request_state await_content(struct request *request)
{
    bool complete = content_is_whole(request->content) || content_is_too_large(request->content);

    return complete ? REQUEST_LOOKUP : REQUEST_WAIT;
}

/* What an unsafe request invalidates, and what a POST's answer is stored as, is found by GETs, which
 * may take another route. */
static void find_key_rules_of_get(struct request *request)
{
    const struct http1_head *head = request->head;
    struct str unused;
    const struct conf_route *route =
        route_match(request->worker->conf, METHOD_GET, STR("GET"), head->authority,
                    head->path_query, &request->arena, &unused);

    if (route)
        request->key_rules = &route->cache.key;
}

static enum request_state begin_other(struct request *request)
{
    if (request->head->method == METHOD_QUERY)
        return begin_content(request);
    find_key_rules_of_get(request);
    if (request->head->method == METHOD_OTHER && purge_is_meant(request))
        return purge(request);
    return REQUEST_LOOKUP;
}

static enum request_state route(struct request *request)
{
    const struct http1_head *head = request->head;

    if (weir_unlikely(head->method == METHOD_CONNECT))
        return answer_local(request, LOCAL_CONNECT_REFUSED_METHOD);
    request->route =
        route_match(request->worker->conf, head->method, head->method_name, head->authority,
                    head->path_query, &request->arena, &request->target_sent);
    if (weir_unlikely(!request->route))
        return answer_local(request, LOCAL_NO_ROUTE);
    if (weir_unlikely(ends_here(request)))
        return answer_local(request, LOCAL_MAX_FORWARDS);
    cell_add(&request->worker->stats.routes[request->route->index].requests, 1);
    request->key_rules = &request->route->cache.key;
    return weir_likely(is_get_or_head(request)) ? REQUEST_LOOKUP : begin_other(request);
}

/* ---- LOOKUP ---- */

/* Fields that Connection names do not reach the origin, so Vary could not tell what they selected. */
static inline bool names_fields(struct fields fields)
{
    unsigned at = 0;
    const struct field *f;
    struct str rest, option;

    if (!fields_first(fields, FIELD_CONNECTION))
        return false;
    while ((f = fields_next(fields, STR("Connection"), &at)))
        for (rest = field_value(f); str_tokens_next(&rest, &option);)
            if (!str_equal_nocase(option, STR("close")) &&
                !str_equal_nocase(option, STR("keep-alive")) &&
                !str_equal_nocase(option, STR("te")))
                return true;
    return false;
}

/* Some origins would be asked for another method or URL than the key has. */
static bool means_something_else(const struct request *request)
{
    return weir_unlikely(request->directives.overrides) &&
           !policy_override_is_keyed(http1_fields(request->head), request->key_rules);
}

/* What makes a request pass the cache by, as Cache-Status's fwd; NULL when it is to be looked up.
 */
static const char *passes_by(struct request *request)
{
    const struct http1_head *head = request->head;
    struct fields fields = http1_fields(head);
    bool has_content = holds_content(request);

    if (!request->route->cache.enabled)
        return "bypass";
    if (!is_get_or_head(request) && !has_content) {
        if (head->method == METHOD_QUERY && request->route->cache.query_body > 0)
            request->detail = "query-body";
        return "method";
    }
    if ((head->body != HTTP1_BODY_NONE && !has_content) || head->upgrade || names_fields(fields) ||
        fields_first(fields, FIELD_IF_MATCH) || fields_first(fields, FIELD_IF_UNMODIFIED_SINCE))
        return "request";
    if (means_something_else(request)) {
        request->detail = "method-override";
        return "request";
    }
    if (weir_unlikely(request->route->cache.bypass.any)) {
        request->detail = policy_bypass(fields, &request->route->cache.bypass);
        return request->detail ? "bypass" : NULL;
    }
    return NULL;
}

void request_write_key(const struct request *request, struct appender *out)
{
    const struct http1_head *head = request->head;

    cache_key_write(out, head->scheme.len ? head->scheme : request->scheme, head->authority,
                    head->path_query, request->key_rules);
    if (weir_unlikely(request->key_rules->any))
        cache_key_add_fields(out, http1_fields(head), request->key_rules);
    if (weir_unlikely(holds_content(request)))
        cache_key_add_content(out, request->worker->cache, http1_fields(head),
                              content_bytes(request->content));
    weir_assert(!out->overflow);
}

void request_make_query(const struct request *request, struct cache_query *query)
{
    const struct http1_head *head = request->head;
    struct worker *worker = request->worker;
    struct appender key = appender_on(worker->scratch, worker->scratch_bytes);

    request_write_key(request, &key);
    query->key.text = str_of(key.ptr, key.len);
    cache_key_hash(worker->cache, &query->key);
    query->fields = http1_fields(head);
    query->request = &request->directives;
    query->now_ms = worker->loop.now_ms;
}

static enum request_state lead(struct request *request, struct fetch_order *order)
{
    struct cache_fill *read = cache_fill_ref(order->fill);

    order->request = request;
    order->cacheable = request->outcome != OUTCOME_PASS;
    if (!cache_reader_attach(&request->reader, &read)) {
        cache_fill_abort(order->fill, 503, local_row(LOCAL_OVERLOADED)->detail);
        cache_fill_end_writer(&order->fill);
        cache_object_release(&order->stored);
        return answer_local(request, LOCAL_OVERLOADED);
    }
    if (!fetch_start(request->worker, order)) {
        leave_source(request);
        return answer_local(request, LOCAL_OVERLOADED);
    }
    return REQUEST_AWAIT_HEAD;
}

/* What is not going to be stored need not be fetched whole: the client's Range goes on as it is,
 * but for one with conditions, which Weir answers itself before it (RFC 9110 §13.2.2). */
static bool forwards_range(const struct request *request)
{
    struct fields fields = http1_fields(request->head);

    return request->directives.range && request->head->method == METHOD_GET &&
           !fields_first(fields, FIELD_IF_NONE_MATCH) &&
           !fields_first(fields, FIELD_IF_MODIFIED_SINCE);
}

/* Alone at the origin: nobody else reads this, and it is not stored. What a HEAD is told may be news
 * of what is (RFC 9111 §4.3.5). */
static enum request_state fetch_alone(struct request *request)
{
    struct cache_fill *fill = cache_fill_private(request->worker->cache);
    struct fetch_order order = {.fill = fill};
    struct cache_query query;

    if (!fill)
        return answer_local(request, LOCAL_OVERLOADED);
    request->alone = true;
    request->collapsed = false;
    request->range_forwarded = forwards_range(request);
    if (request->head->method == METHOD_HEAD && request->outcome != OUTCOME_PASS) {
        request_make_query(request, &query);
        order.key = &query.key;
    }
    return lead(request, &order);
}

static enum request_state hit(struct request *request, const struct cache_query *query,
                              struct cache_find *found)
{
    if (weir_unlikely(found->stale)) {
        stale_deliver(request, query, found);
        return REQUEST_DELIVER;
    }
    request->object = weir_take(&found->object);
    request->outcome = OUTCOME_HIT;
    return REQUEST_DELIVER;
}

/* RFC 9211 §2.2. */
static const char *why_forwarded(const struct cache_find *found)
{
    if (found->stale)
        return "stale";
    if (found->unwanted)
        return "request";
    return found->vary_miss ? "vary-miss" : "uri-miss";
}

/* Reads along what another request fetches. */
static enum request_state join(struct request *request, struct cache_find *found)
{
    request->outcome = OUTCOME_COALESCED;
    request->forward = why_forwarded(found);
    request->collapsed = true;
    if (!cache_reader_attach(&request->reader, &found->fill))
        return answer_local(request, LOCAL_OVERLOADED);
    start_waiting(request);
    return REQUEST_AWAIT_HEAD;
}

/* HEAD and only-if-cached never fill the cache; the latter does not wait for a fill either. */
static enum request_state look_without_filling(struct request *request,
                                               const struct cache_query *query)
{
    bool only_if_cached = request->directives.only_if_cached;
    struct cache_find found = {0};
    enum cache_found result = cache_peek(request->worker->cache, query, !only_if_cached, &found);

    if (result == CACHE_HIT)
        return hit(request, query, &found);
    if (only_if_cached)
        return answer_local(request, LOCAL_NOT_CACHED);
    if (result == CACHE_JOIN)
        return join(request, &found);
    request->outcome = OUTCOME_MISS;
    request->forward = why_forwarded(&found);
    return fetch_alone(request);
}

static enum request_state lookup(struct request *request)
{
    struct cache_query query;
    struct cache_find found = {0};

    policy_read_request(http1_fields(request->head), &request->directives);
    request->forward = passes_by(request);
    if (request->forward) {
        request->outcome = OUTCOME_PASS;
        return REQUEST_FETCH;
    }
    request_make_query(request, &query);
    if (weir_unlikely(request->head->method == METHOD_HEAD || request->directives.only_if_cached))
        return look_without_filling(request, &query);
    request->outcome = OUTCOME_MISS;
    request->collapsed = false;
    switch (cache_lookup(request->worker->cache, &query, &found)) {
    case CACHE_HIT:
        return hit(request, &query, &found);
    case CACHE_LEAD:
        request->forward = why_forwarded(&found);
        request->range_forwarded = found.hit_for_miss && !found.object && forwards_range(request);
        return lead(request, &(struct fetch_order){.fill = found.fill,
                                                   .stored = found.object,
                                                   .key = &query.key,
                                                   .findable = true,
                                                   .vary_miss = found.vary_miss});
    case CACHE_JOIN:
        return join(request, &found);
    case CACHE_ALONE:
        request->forward = why_forwarded(&found);
        return fetch_alone(request);
    case CACHE_OUT_OF_MEMORY:
        return answer_local(request, LOCAL_OVERLOADED);
    }
    weir_assert(!"an outcome of cache_lookup");
    return REQUEST_FINISH;
}

/* RFC 9110 §9.3.3: what a POST is answered may be good for GETs of its target. */
static bool may_answer_gets(const struct request *request)
{
    const struct conf_route_cache *cache = &request->route->cache;
    struct fields fields = http1_fields(request->head);

    return request->head->method == METHOD_POST && cache->enabled && !request->head->upgrade &&
           !names_fields(fields) && !means_something_else(request) &&
           !policy_bypass(fields, &cache->bypass);
}

/* Alone at the origin, too; but what is answered may be stored as the target's. */
static enum request_state fetch_for_target(struct request *request)
{
    struct cache_query query;
    struct cache_fill *fill;

    request_make_query(request, &query);
    fill = cache_fill_apart(request->worker->cache, &query.key);
    if (!fill)
        return answer_local(request, LOCAL_OVERLOADED);
    request->alone = true;
    return lead(request, &(struct fetch_order){.fill = fill, .key = &query.key, .findable = true});
}

static enum request_state start_fetch(struct request *request)
{
    return may_answer_gets(request) ? fetch_for_target(request) : fetch_alone(request);
}

/* ---- AWAIT_HEAD ---- */

/* Whether a joined request may be given what another one asked for (RFC 9111 §4). */
static bool may_share(const struct request *request, const struct cache_view *view,
                      const struct cache_meta *meta)
{
    if (request->fetch || request->alone || !request->collapsed)
        return true;
    return (!view->pass || view->outgrew) && !view->missed &&
           policy_may_share(meta, &request->directives, request->worker->loop.now_ms) &&
           (view->vary.len == 0 || cache_vary_matches(view->vary, http1_fields(request->head)));
}

/* The head shows that the response is not for this request: to the origin by itself, at once. */
static enum request_state leave_and_fetch_alone(struct request *request)
{
    leave_source(request);
    request->outcome = OUTCOME_MISS;
    return fetch_alone(request);
}

static enum request_state take_replacement(struct request *request, const struct cache_view *view)
{
    struct cache_meta meta = cache_object_meta(view->object);

    if (!may_share(request, view, &meta))
        return leave_and_fetch_alone(request);
    if (!request->collapsed) {
        request->outcome = OUTCOME_REVALIDATED;
        request->forward_status = 304;
    }
    request->stored = view->reason == POLICY_STORE;
    if (!request->stored)
        request->detail = policy_reason_text(view->reason);
    request->object = cache_object_ref(view->object);
    leave_source(request);
    return REQUEST_DELIVER;
}

/* The origin has failed: what is stored takes the place of its answer where it may. */
static enum stale_given give_stale(struct request *request, unsigned status, const char *detail)
{
    enum stale_given given = stale_on_error(request, status, detail);

    if (given == STALE_GIVEN) {
        if (request->fetch)
            fetch_leave_satisfied(&request->fetch);
        leave_source(request);
    }
    return given;
}

static enum request_state take_failure(struct request *request, const struct cache_view *view)
{
    enum stale_given given = give_stale(request, 0, view->abort_detail);

    return given == STALE_GIVEN ? REQUEST_DELIVER : answer_failed_fill(request, view, given);
}

/* Its leader left before this request, which had found the fill, was attached. */
static bool was_given_up(const struct request *request, const struct cache_view *view)
{
    return request->collapsed && view->abort_detail == local_row(LOCAL_CLIENT_GONE)->detail;
}

static enum request_state await_head(struct request *request)
{
    struct cache_view view;

    do {
        if (!cache_reader_has_news(&request->reader))
            continue;
        cache_reader_view(&request->reader, &view);
        if (view.has_head) {
            stop_waiting(request);
            if (policy_is_error(view.meta.status) &&
                give_stale(request, view.meta.status, policy_reason_text(POLICY_STALE_IF_ERROR)) ==
                    STALE_GIVEN)
                return REQUEST_DELIVER;
            return may_share(request, &view, &view.meta) ? REQUEST_DELIVER
                                                         : leave_and_fetch_alone(request);
        }
        if (view.phase == CACHE_FILL_REPLACED)
            return take_replacement(request, &view);
        if (view.phase == CACHE_FILL_ABORTED) {
            leave_source(request);
            return was_given_up(request, &view) ? REQUEST_LOOKUP : take_failure(request, &view);
        }
    } while (!cache_reader_wait(&request->reader));
    return REQUEST_WAIT;
}

/* ---- DELIVER ---- */

/* A 304's field lines: what the 200 would have had, less what describes content (RFC 9110 §15.4.5).
 */
static bool is_kept_in_304(struct str name, unsigned how)
{
    (void)how;
    return name.len <= 8 || !str_equal_nocase(str_of(name.ptr, 8), STR("content-")) ||
           str_equal_nocase(name, STR("content-location"));
}

static struct str not_modified_block(struct request *request, struct str block)
{
    struct appender out;

    if (!deliver_filter_block(&request->arena, block, is_kept_in_304, 0, 1, &out))
        return str_of(NULL, 0);
    return str_of(out.ptr, out.len);
}

struct source {
    struct cache_meta meta;
    struct str block, trailers;
    int64_t content_length;
    bool bodiless, complete, aborted;
    uint64_t length; /* of what is there of the body */
};

static void look_at_object(const struct request *request, struct source *source)
{
    source->meta = cache_object_meta(request->object);
    source->block = cache_object_block(request->object);
    source->length = cache_object_length(request->object);
    source->content_length = (int64_t)source->length;
    source->bodiless = source->aborted = false;
    source->complete = true;
    source->trailers = str_of(NULL, 0);
}

static void look_at_fill(struct request *request, struct source *source)
{
    struct cache_view view;

    cache_reader_view(&request->reader, &view);
    source->meta = view.meta;
    source->block = view.block;
    source->length = view.filled;
    source->content_length = view.content_length;
    source->bodiless = view.bodiless;
    source->complete = view.phase == CACHE_FILL_COMPLETE;
    source->aborted = view.phase == CACHE_FILL_ABORTED;
    source->trailers = view.trailers;
    if (!request->head_sent) {
        request->stored = !view.pass;
        if (view.pass && request->outcome != OUTCOME_PASS && view.reason != POLICY_METHOD)
            request->detail = policy_reason_text(view.reason);
    }
}

/* Of what passes by the origin has decided; Weir's own answers know no conditions. */
static bool is_selected_here(const struct request *request)
{
    return request->outcome != OUTCOME_PASS && request->outcome != OUTCOME_LOCAL;
}

static bool answered_by_304(const struct request *request, const struct source *source)
{
    return request->directives.conditions && is_selected_here(request) &&
           source->meta.status == 200 &&
           policy_not_modified(http1_fields(request->head), request->head->method,
                               source->meta.status, source->block, worker_wall_s());
}

/* A range of what arrives without a length cannot be told before it is whole (RFC 9110 §14.4): then
 * the client is sent all of it. False when memory is out. */
static bool apply_range(struct request *request, const struct source *source,
                        struct response_head *head)
{
    struct policy_selected selected = {
        .status = source->meta.status,
        .block = source->block,
        .length = source->content_length >= 0 ? (uint64_t)source->content_length : source->length,
        .arriving = !request->object,
    };

    if (!is_selected_here(request) || (request->range_forwarded && !request->object) ||
        (source->content_length < 0 && !source->complete))
        return true;
    return range_prepare(request, &selected, head);
}

/* Fills in the head of the response; false when memory is out. */
static bool prepare_head(struct request *request, const struct source *source,
                         struct response_head *head, struct appender *extra)
{
    request->status = source->meta.status;
    request->bodiless = source->bodiless || request->head->method == METHOD_HEAD ||
                        request->status == 204 || request->status == 304;
    *head = (struct response_head){.status = request->status,
                                   .block = source->block,
                                   .content_length = source->content_length};
    if (weir_unlikely(answered_by_304(request, source))) {
        request->status = head->status = 304;
        request->not_modified = request->bodiless = true;
        head->content_length = -1;
        head->block = not_modified_block(request, source->block);
        if (!head->block.ptr)
            return false;
    } else if (weir_unlikely(request->directives.range) && !apply_range(request, source, head)) {
        return false;
    }
    if (request->outcome == OUTCOME_HIT)
        request->ttl_s = (int64_t)source->meta.lifetime_s -
                         policy_age_s(&source->meta, request->worker->loop.now_ms);
    deliver_extra(request, &source->meta, request->worker->loop.now_ms, extra);
    weir_assert(!extra->overflow);
    head->extra = str_of(extra->ptr, extra->len);
    head->bodiless = request->bodiless;
    return true;
}

static enum request_state sent(struct request *request, enum net_sent how, uint64_t bytes, bool end)
{
    request->whole_sent = end;
    request->in_flight = bytes;
    if (how == NET_SENT_FAILED) {
        request->client_gone = true;
        return REQUEST_FINISH;
    }
    if (how == NET_SENT_QUEUED) {
        request->blocked = true;
        request->since_us = base_clock_mono_us();
        return REQUEST_AWAIT_CLIENT;
    }
    request->offset += bytes;
    request->sent_bytes = request->offset;
    if (end)
        return REQUEST_FINISH;
    if (request->object)
        return REQUEST_DELIVER;
    if (!request->ranges)
        cache_reader_take(&request->reader, request->offset);
    return REQUEST_AWAIT_BODY;
}

/* What comes next of the body into `part`; returns how many bytes. */
static uint64_t take_body(struct request *request, const struct source *source,
                          struct iovec pieces[BODY_PIECES], struct response_part *part)
{
    uint64_t bytes = 0;

    part->body_count =
        weir_unlikely(request->ranges != NULL) ? range_pieces(request, pieces, BODY_PIECES)
        : request->object
            ? cache_object_pieces(request->object, request->offset, pieces, BODY_PIECES)
            : cache_reader_pieces(&request->reader, request->offset, pieces, BODY_PIECES);
    for (unsigned i = 0; i < part->body_count; i++)
        bytes += pieces[i].iov_len;
    if (weir_unlikely(request->ranges != NULL)) {
        part->end = request->offset + bytes == range_length(request->ranges);
        return bytes;
    }
    part->end = source->complete && request->offset + bytes == source->length;
    part->trailers = source->trailers;
    return bytes;
}

static enum request_state deliver(struct request *request)
{
    struct iovec pieces[BODY_PIECES];
    char extra_bytes[EXTRA_BYTES];
    struct appender extra = appender_on(extra_bytes, sizeof(extra_bytes));
    struct response_head head;
    struct response_part part = {.body = pieces};
    struct source source;
    uint64_t bytes = 0;

    if (request->object)
        look_at_object(request, &source);
    else
        look_at_fill(request, &source);
    if (!request->head_sent) {
        if (!prepare_head(request, &source, &head, &extra)) {
            request->client_gone = true;
            return REQUEST_FINISH;
        }
        part.head = &head;
        request->head_sent = true;
    }
    if (request->bodiless)
        part.end = true;
    else
        bytes = take_body(request, &source, pieces, &part);
    if (!part.head && bytes == 0 && !part.end)
        return REQUEST_AWAIT_BODY;
    return sent(request, request->sink->ops->send(request->sink, &part), bytes, part.end);
}

static enum request_state await_body(struct request *request)
{
    struct cache_view view;
    uint64_t next = request->ranges ? range_next_byte(request) : request->offset;

    do {
        cache_reader_view(&request->reader, &view);
        if (request->ranges) /* what lies before them is passed over */
            cache_reader_take(&request->reader, next < view.filled ? next : view.filled);
        if (view.filled > next || view.phase == CACHE_FILL_COMPLETE)
            return REQUEST_DELIVER;
        if (view.phase == CACHE_FILL_ABORTED) {
            request->detail = view.abort_detail; /* for the log: the head is out */
            return REQUEST_FINISH;
        }
    } while (!cache_reader_wait(&request->reader));
    return REQUEST_WAIT;
}

static enum request_state await_client(struct request *request)
{
    if (request->blocked)
        return REQUEST_WAIT;
    return sent(request, NET_SENT_ALL, request->in_flight, request->whole_sent);
}

/* ---- TUNNEL, FINISH ---- */

static enum request_state tunnel(struct request *request)
{
    return request->tunnel_ended ? REQUEST_FINISH : REQUEST_WAIT;
}

/* Of its route and outcome; made when it is needed first. NULL without a route, or when memory is
 * out: then this request is missing in it. */
static struct histogram *latency_histogram(const struct request *request)
{
    struct histogram *latency;
    _Atomic(struct histogram *) *place;

    if (!request->route)
        return NULL;
    place = &request->worker->stats.routes[request->route->index].latency_us[request->outcome];
    latency = atomic_load_explicit(place, memory_order_relaxed);
    if (weir_unlikely(!latency)) {
        latency = calloc(1, sizeof(*latency));
        atomic_store_explicit(place, latency, memory_order_release);
    }
    return latency;
}

static void count(struct request *request, int64_t now_us)
{
    struct worker_stats *stats = &request->worker->stats;
    struct histogram *latency = latency_histogram(request);

    /* In the order of worker_stats: whoever sees the outcome sees what comes before it. */
    if (latency)
        histogram_add(latency,
                      now_us > request->started_us ? (uint64_t)(now_us - request->started_us) : 0);
    cell_add(&stats->finished, 1);
    cell_add(
        &stats->status[request->head_sent && request->status < 600 ? request->status / 100 : 0], 1);
    cell_add(&stats->outcomes[request->outcome], 1);
    if (request->client_gone)
        cell_add(&stats->client_gone, 1);
}

/* The memory is the transport's again. */
static void release(struct request *request)
{
    arena_destroy(&request->arena);
    request->magic = 0;
    request->on_freed(request);
}

static enum request_state finish(struct request *request)
{
    int64_t now_us = base_clock_mono_us();
    bool cut = request->client_gone || !request->whole_sent;

    if (request->fetch && request->whole_sent && !request->client_gone)
        fetch_leave_satisfied(&request->fetch);
    leave_source(request);
    count(request, now_us);
    if (cut && !request->client_gone && request->head_sent && !request->tunnel_ended)
        cell_add(&request->worker->stats.cut, 1);
    if (now_us - request->started_us >= request->worker->log_from_us)
        access_log_write(request->worker, request, now_us);
    if (request->sink)
        request->sink->ops->done(request->sink, cut);
    cache_object_release(&request->object);
    if (weir_unlikely(request->content != NULL))
        content_release(&request->content);
    release(request);
    return REQUEST_DONE;
}

/* ---- the machine ---- */

static state_function *const states[] = {
    [REQUEST_ROUTE] = route,           [REQUEST_AWAIT_CONTENT] = await_content,
    [REQUEST_LOOKUP] = lookup,         [REQUEST_FETCH] = start_fetch,
    [REQUEST_AWAIT_HEAD] = await_head, [REQUEST_DELIVER] = deliver,
    [REQUEST_AWAIT_BODY] = await_body, [REQUEST_AWAIT_CLIENT] = await_client,
    [REQUEST_TUNNEL] = tunnel,         [REQUEST_FINISH] = finish,
};

static void run(struct request *request)
{
    weir_check_magic(request, REQUEST_MAGIC);
    weir_assert(!request->running);
    request->running = true;
    for (;;) {
        enum request_state next = states[request->state](request);

        if (next == REQUEST_DONE)
            return; /* the memory may be gone */
        if (next == REQUEST_WAIT)
            break;
        request->state = next;
    }
    request->running = false;
}

/* Goes on in another state than the one that waited: a fault or a 101 that came from outside. */
static void divert(struct request *request, enum request_state state)
{
    weir_assert(!request->running);
    request->state = state;
    run(request);
}

static void on_news(struct cache_reader *reader)
{
    struct request *request = weir_container(reader, struct request, reader);

    if (!reader->cut) {
        run(request);
        return;
    }
    /* Its client is too slow for the others who read the same: what is queued for it will not be
     * sent. One that had no turn yet has lost nothing. */
    unblock(request);
    request->whole_sent = false;
    divert(request, request->head_sent ? REQUEST_FINISH : leave_and_fetch_alone(request));
}

static void on_wait_due(struct wheel_timer *timer, int64_t now_ms)
{
    static struct log_kind kind = {.level = LOG_WARN_LEVEL,
                                   .what = "waiting for other requests' answers"};
    struct request *request = weir_container(timer, struct request, wait_deadline);
    struct request_ids ids;
    enum stale_given given;

    weir_check_magic(request, REQUEST_MAGIC);
    weir_assert(request->state == REQUEST_AWAIT_HEAD);
    ids = trace_ids(request);
    leave_source(request);
    given = give_stale(request, 0, local_row(LOCAL_COALESCE_TIMEOUT)->detail);
    log_write_paced(&kind, now_ms,
                    "waiting for another request's answer from upstream %s, route %s, for request "
                    "%.*s, trace %.*s: none came in time; answered %s",
                    request->route->upstream->name, request->route->name, (int)ids.request_id.len,
                    ids.request_id.ptr, (int)ids.trace_id.len, ids.trace_id.ptr,
                    given == STALE_GIVEN ? "with what is stored" : "504");
    divert(request,
           given == STALE_GIVEN ? REQUEST_DELIVER : answer_local(request, LOCAL_COALESCE_TIMEOUT));
}

/* ---- called by the transport ---- */

void request_init(struct request *request, void (*on_freed)(struct request *request))
{
    request->magic = 0;
    arena_init(&request->arena, ARENA_BYTES);
    request->on_freed = on_freed;
}

void request_destroy(struct request *request)
{
    arena_destroy(&request->arena);
}

static void prepare(struct request *request, struct worker *worker, struct sink *sink,
                    const struct http1_head *head, const struct request_client *client,
                    int64_t now_us)
{
    struct arena arena = request->arena;
    void (*on_freed)(struct request *) = request->on_freed;

    memset(request, 0, sizeof(*request));
    request->magic = REQUEST_MAGIC;
    request->arena = arena;
    request->on_freed = on_freed;
    request->worker = worker;
    request->sink = sink;
    request->head = head;
    request->scheme = client->scheme;
    request->peer = client->peer;
    request->started_us = now_us;
    request->reader.mailbox = &worker->loop.mailbox;
    request->reader.on_news = on_news;
    cell_add(&worker->stats.started, 1);
}

void request_start(struct request *request, struct worker *worker, struct sink *sink,
                   const struct http1_head *head, const struct request_client *client,
                   int64_t now_us)
{
    prepare(request, worker, sink, head, client, now_us);
    request->state = REQUEST_ROUTE;
    run(request);
}

void request_start_local(struct request *request, struct worker *worker, struct sink *sink,
                         const struct http1_head *head, const struct request_client *client,
                         unsigned status, const char *detail, const char *text, int64_t now_us)
{
    prepare(request, worker, sink, head, client, now_us);
    request->state = answer(request, status, detail, text);
    run(request);
}

void request_head_moved(struct request *request, const char *from, size_t len, const char *to)
{
    if (request->target_sent.ptr >= from && request->target_sent.ptr < from + len)
        request->target_sent.ptr = to + (request->target_sent.ptr - from);
}

void request_writable(struct request *request)
{
    weir_assert(request->blocked);
    unblock(request);
    run(request);
}

void request_abandon(struct request *request, uint64_t untaken)
{
    if (request->blocked && untaken < request->in_flight)
        request->sent_bytes = request->offset + request->in_flight - untaken;
    request->sink = NULL;
    request->client_gone = true;
    unblock(request);
    divert(request, REQUEST_FINISH);
}

bool request_wants_body(const struct request *request)
{
    return request->state == REQUEST_AWAIT_CONTENT ||
           (request->fetch && fetch_wants_body(request->fetch));
}

/* The request may have ended behind this. */
static enum net_sent take_content(struct request *request, struct str bytes)
{
    if (!content_add(request->content, bytes))
        divert(request, answer_local(request, LOCAL_OVERLOADED));
    else
        run(request);
    return NET_SENT_QUEUED;
}

enum net_sent request_body(struct request *request, struct str bytes)
{
    if (weir_unlikely(request->state == REQUEST_AWAIT_CONTENT))
        return take_content(request, bytes);
    return request->fetch ? fetch_body(request->fetch, bytes) : NET_SENT_ALL;
}

enum net_sent request_body_end(struct request *request, struct str trailers)
{
    if (weir_unlikely(request->state == REQUEST_AWAIT_CONTENT)) {
        content_end(request->content); /* trailers may be dropped (RFC 9110 §6.5.1) */
        run(request);
        return NET_SENT_ALL;
    }
    return request->fetch ? fetch_body_end(request->fetch, trailers) : NET_SENT_ALL;
}

void request_body_failed(struct request *request, unsigned status, const char *detail,
                         const char *text)
{
    if (request->whole_sent)
        return; /* answered early: what is queued still goes out */
    leave_source(request);
    if (request->head_sent) {
        unblock(request);
        divert(request, REQUEST_FINISH);
        return;
    }
    divert(request, answer(request, status, detail, text));
}

/* ---- called by the fetch that this request leads ---- */

void request_on_interim(struct request *request, unsigned status, struct str block)
{
    if (request->sink && !request->head_sent)
        request->sink->ops->interim(request->sink, status, block);
}

void request_on_want_body(struct request *request)
{
    if (request->sink)
        request->sink->ops->want_body(request->sink);
}

struct net_conn *request_on_tunnel(struct request *request, struct str block)
{
    struct net_conn *client = request->sink->ops->tunnel(request->sink);

    if (!client)
        return NULL;
    request->sink->ops->interim(request->sink, 101, block);
    request->status = 101;
    request->head_sent = true;
    request->detail = NULL;
    request->state = REQUEST_TUNNEL;
    return client;
}

void request_on_tunnel_end(struct request *request, uint64_t sent_bytes)
{
    request->fetch = NULL;
    request->sent_bytes = sent_bytes;
    request->tunnel_ended = true;
    run(request);
}

void request_on_fetch_end(struct request *request, const struct fetch_report *report)
{
    struct appender out =
        appender_on(request->upstream_address, sizeof(request->upstream_address) - 1);

    append_str(&out, str_from(report->address));
    request->upstream_address[out.len] = '\0';
    request->retries = report->retries;
    request->phases = report->phases;
    request->fetch = NULL;
}
