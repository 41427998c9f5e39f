/*
 * /debug/pprof/: profiles, in the form that `go tool pprof` reads, as text, and as flame graphs.
 *
 * Called by admin.c on the main thread. A heap profile is one call. A CPU profile, one at a time,
 * runs while the main thread goes on with everything else:
 *
 *   idle -> running (pending, fd; the profiler writes into the unlinked file) -> idle, by whatever
 *   comes first: its time is up, its client has left, weir drains, the file is large
 *
 * A tick looks for these. But for the client who has left, all of them answer with what was sampled.
 */
#include "proxy/admin/admin.h"
#include "proxy/admin/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PPROF_MAGIC 0x5050524fu
#define SECONDS_DEFAULT 30
#define SECONDS_MOST 300
#define TICK_US 50000
#define FILE_MOST (64 << 20)
#define ARENA_BYTES (256 * 1024)

enum form {
    FORM_PROTO,
    FORM_TEXT,
    FORM_SVG
};

struct admin_pprof {
    unsigned magic;
    struct weir *weir;              /* borrowed */
    struct event *tick;             /* pending while a profile runs */
    struct symbols *symbols;        /* owned; NULL before the first question */
    struct evhttp_request *pending; /* to be answered at the end; NULL: idle */
    enum form form;
    struct profile_time time;
    int64_t began_us, ends_us;
    int fd; /* what the profiler writes to */
};

/* ---- parameters ---- */

struct parameter {
    const char *name;
    uint64_t least, most, value; /* value: the default at first */
    bool given;
};

static bool read_parameter(struct evhttp_request *req, struct parameter *list, size_t count,
                           const struct evkeyval *from)
{
    for (size_t i = 0; i < count; i++) {
        struct parameter *to = &list[i];

        if (strcmp(to->name, from->key) != 0)
            continue;
        if (to->given || !str_to_u64(str_from(from->value), to->most, &to->value) ||
            to->value < to->least) {
            admin_reply_error(req, 400,
                              "%s must be a number from %" PRIu64 " to %" PRIu64 ", given once",
                              to->name, to->least, to->most);
            return false;
        }
        to->given = true;
        return true;
    }
    admin_reply_error(
        req, 400, "unknown parameter %s; GET /debug/pprof/ tells what each page takes", from->key);
    return false;
}

/* False when a 400 has been sent. */
static bool read_parameters(struct evhttp_request *req, struct parameter *list, size_t count)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
    struct evkeyvalq pairs;
    bool good = true;

    if (!query || !*query)
        return true;
    if (evhttp_parse_query_str(query, &pairs) != 0) {
        admin_reply_error(req, 400, "the query cannot be read; write it as ?seconds=10");
        return false;
    }
    for (const struct evkeyval *pair = pairs.tqh_first; pair && good; pair = pair->next.tqe_next)
        good = read_parameter(req, list, count, pair);
    evhttp_clear_headers(&pairs);
    return good;
}

/* ---- files ---- */

/* All of it; ptr is NULL when that fails or it is too large. Lies in the buffer. */
static struct str slurp(int fd, struct evbuffer *into)
{
    int got = 0;

    while (evbuffer_get_length(into) <= FILE_MOST && (got = evbuffer_read(into, fd, -1)) > 0)
        ;
    if (got != 0 || evbuffer_expand(into, 1) != 0)
        return str_of(NULL, 0);
    return str_of((const char *)evbuffer_pullup(into, -1), evbuffer_get_length(into));
}

static struct str slurp_path(const char *path, struct evbuffer *into)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct str text = fd < 0 ? str_of(NULL, 0) : slurp(fd, into);

    if (fd >= 0)
        close(fd);
    return text;
}

/* ---- forms ---- */

static const struct symbols *find_symbols(struct admin_pprof *pprof, const char **why)
{
    if (!pprof->symbols)
        pprof->symbols = symbols_open(why);
    return pprof->symbols;
}

static const char *name_of(void *symbols, uint64_t pc)
{
    const char *name = symbols_find(symbols, pc);

    return name ? name : "[unknown]";
}

static bool write_proto(struct arena *arena, const struct profile *profile,
                        struct profile_time time, struct evbuffer *out)
{
    struct evbuffer *file = evbuffer_new();
    struct str maps = file ? slurp_path("/proc/self/maps", file) : str_of(NULL, 0);
    bool good = maps.ptr && profile_write_proto(arena, profile, maps, time, out);

    if (file)
        evbuffer_free(file);
    return good;
}

/* False with *why. */
static bool write_form(struct admin_pprof *pprof, struct arena *arena, enum form form,
                       const struct profile *profile, struct profile_time time,
                       struct evbuffer *out, const char **why)
{
    const struct profile *named;

    if (!find_symbols(pprof, why))
        return false;
    *why = "the profile does not fit into memory";
    named = profile_name(arena, profile, name_of, pprof->symbols);
    if (!named)
        return false;
    switch (form) {
    case FORM_PROTO:
        return write_proto(arena, named, time, out);
    case FORM_TEXT:
        return profile_write_text(arena, named, out);
    case FORM_SVG:
        return profile_write_flamegraph(arena, named, out);
    }
    return false;
}

static const char *type_of(enum form form)
{
    switch (form) {
    case FORM_PROTO:
        return "application/octet-stream";
    case FORM_TEXT:
        return ADMIN_TEXT;
    case FORM_SVG:
        return "image/svg+xml";
    }
    return ADMIN_TEXT;
}

/* ---- the heap ---- */

static bool write_heap(struct admin_pprof *pprof, struct arena *arena, int fd, enum form form,
                       struct evbuffer *out, const char **why)
{
    const struct symbols *symbols = find_symbols(pprof, why);
    const struct profile_time time = {.began_ns = (uint64_t)base_clock_wall_us() * 1000};
    struct evbuffer *dump = evbuffer_new();
    const struct profile *profile;
    struct str text;
    bool good = false;

    if (symbols && dump && heap_profiler_dump(fd, why)) {
        *why = "the heap profile cannot be read back";
        text = lseek(fd, 0, SEEK_SET) == 0 ? slurp(fd, dump) : str_of(NULL, 0);
        profile = text.ptr ? profile_read_heap(arena, text,
                                               symbols_module(symbols, heap_profiler_code()), why)
                           : NULL;
        good = profile && write_form(pprof, arena, form, profile, time, out, why);
    }
    if (dump)
        evbuffer_free(dump);
    return good;
}

static void reply_heap(struct admin *admin, struct evhttp_request *req, enum form form)
{
    struct evbuffer *out;
    struct arena arena;
    const char *why;
    int fd;

    if (!heap_profiler_built(&why)) {
        admin_reply_error(req, 501, "%s", why);
        return;
    }
    why = "there is no descriptor or memory for a heap profile";
    out = evbuffer_new();
    fd = memfd_create("weir-heap", MFD_CLOEXEC);
    arena_init(&arena, ARENA_BYTES);
    if (out && fd >= 0 && write_heap(admin->pprof, &arena, fd, form, out, &why))
        admin_reply_buffer(req, 200, type_of(form), out);
    else
        admin_reply_error(req, 500, "%s", why);
    arena_destroy(&arena);
    if (fd >= 0)
        close(fd);
    if (out)
        evbuffer_free(out);
}

void admin_pprof_heap(struct admin *admin, struct evhttp_request *req)
{
    struct parameter debug = {"debug", 0, 1, 0, false};

    if (read_parameters(req, &debug, 1))
        reply_heap(admin, req, debug.value ? FORM_TEXT : FORM_PROTO);
}

/* ---- the CPU ---- */

static void reply_cpu(struct admin_pprof *pprof, struct evhttp_request *req, int fd)
{
    struct evbuffer *file = evbuffer_new(), *out = evbuffer_new();
    const char *why = "the CPU profile cannot be read back";
    struct str data =
        file && out && lseek(fd, 0, SEEK_SET) == 0 ? slurp(fd, file) : str_of(NULL, 0);
    const struct profile *profile;
    struct arena arena;

    arena_init(&arena, ARENA_BYTES);
    profile = data.ptr ? profile_read_cpu(&arena, data, &why) : NULL;
    if (profile && write_form(pprof, &arena, pprof->form, profile, pprof->time, out, &why))
        admin_reply_buffer(req, 200, type_of(pprof->form), out);
    else
        admin_reply_error(req, 500, "%s", why);
    arena_destroy(&arena);
    if (file)
        evbuffer_free(file);
    if (out)
        evbuffer_free(out);
}

/* A client that only ends its own direction counts as well: nobody waits so for a profile. evhttp
 * itself does not look before it answers. */
static bool has_left(struct evhttp_request *req)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(req);
    struct pollfd peer = {.events = POLLRDHUP};

    if (!connection)
        return true;
    peer.fd = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    return poll(&peer, 1, 0) > 0;
}

static void finish(struct admin_pprof *pprof)
{
    struct evhttp_request *req = weir_take(&pprof->pending);
    bool left = has_left(req);
    int fd = pprof->fd;

    event_del(pprof->tick);
    cpu_profiler_stop();
    pprof->time.lasted_ns = (uint64_t)(base_clock_mono_us() - pprof->began_us) * 1000;
    pprof->fd = -1;
    log_info("admin: the CPU profile has ended%s", left ? ": its client has left" : "");
    if (left)
        admin_reply_error(req, 400, "the connection was closed before the profile was complete");
    else
        reply_cpu(pprof, req, fd);
    close(fd);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct admin_pprof *pprof = arg;
    struct stat stat;

    (void)fd, (void)what;
    weir_check_magic(pprof, PPROF_MAGIC);
    if (base_clock_mono_us() >= pprof->ends_us || has_left(pprof->pending) ||
        atomic_load(&pprof->weir->phase) >= WEIR_DRAINING || fstat(pprof->fd, &stat) != 0 ||
        stat.st_size > FILE_MOST / 2)
        finish(pprof);
}

static void start_cpu(struct admin *admin, struct evhttp_request *req, enum form form,
                      uint64_t seconds)
{
    struct admin_pprof *pprof = admin->pprof;
    const char *why;
    int fd;

    if (!cpu_profiler_built(&why)) {
        admin_reply_error(req, 501, "%s", why);
        return;
    }
    if (pprof->pending) {
        admin_reply_error(req, 409, "a CPU profile is being taken already; try again in %d s",
                          (int)((pprof->ends_us - base_clock_mono_us()) / 1000000) + 1);
        return;
    }
    if (atomic_load(&admin->weir->phase) >= WEIR_DRAINING) {
        admin_reply_error(req, 503, "weir is stopping");
        return;
    }
    fd = memfd_create("weir-profile", MFD_CLOEXEC);
    if (fd < 0)
        why = strerrordesc_np(errno);
    if (fd < 0 || !cpu_profiler_start(fd, &why)) {
        admin_reply_error(req, 500, "a CPU profile cannot be taken: %s", why);
        if (fd >= 0)
            close(fd);
        return;
    }
    pprof->pending = req;
    pprof->form = form;
    pprof->fd = fd;
    pprof->time.began_ns = (uint64_t)base_clock_wall_us() * 1000;
    pprof->began_us = base_clock_mono_us();
    pprof->ends_us = pprof->began_us + (int64_t)seconds * 1000000;
    event_add(pprof->tick, &(struct timeval){0, TICK_US});
    log_info("admin: a CPU profile of %" PRIu64 " s begins", seconds);
}

void admin_pprof_profile(struct admin *admin, struct evhttp_request *req)
{
    struct parameter list[] = {{"seconds", 1, SECONDS_MOST, SECONDS_DEFAULT, false},
                               {"debug", 0, 1, 0, false}};

    if (read_parameters(req, list, weir_count(list)))
        start_cpu(admin, req, list[1].value ? FORM_TEXT : FORM_PROTO, list[0].value);
}

void admin_pprof_flamegraph(struct admin *admin, struct evhttp_request *req)
{
    struct parameter list[] = {{"seconds", 1, SECONDS_MOST, SECONDS_DEFAULT, false},
                               {"heap", 0, 1, 0, false}};

    if (!read_parameters(req, list, weir_count(list)))
        return;
    if (list[1].value)
        reply_heap(admin, req, FORM_SVG);
    else
        start_cpu(admin, req, FORM_SVG, list[0].value);
}

/* ---- what tools ask besides ---- */

/* The program and its arguments, with zero bytes between. */
void admin_pprof_cmdline(struct admin *admin, struct evhttp_request *req)
{
    struct evbuffer *file = evbuffer_new(), *out = evbuffer_new();
    struct str text = file && out ? slurp_path("/proc/self/cmdline", file) : str_of(NULL, 0);

    (void)admin;
    if (text.len > 0 && evbuffer_add(out, text.ptr, text.len - 1) == 0)
        admin_reply_buffer(req, 200, ADMIN_TEXT, out);
    else
        admin_reply_error(req, 500, "/proc/self/cmdline cannot be read");
    if (file)
        evbuffer_free(file);
    if (out)
        evbuffer_free(out);
}

/* "0x1f+0x2e"; false when it is not such a list. */
static bool add_names(const struct symbols *symbols, const char *text, struct evbuffer *out)
{
    for (const char *at = text; *at; at += *at == '+') {
        char *end;
        uint64_t pc;
        const char *name;

        if (strncmp(at, "0x", 2) != 0)
            return false;
        pc = strtoull(at, &end, 16);
        if (*end != '+' && *end != '\0')
            return false;
        name = symbols_find(symbols, pc);
        if (name)
            evbuffer_add_printf(out, "%.*s %s\n", (int)(end - at), at, name);
        at = end;
    }
    return true;
}

/* The addresses are in the query of a GET, in the body of a POST. */
void admin_pprof_symbol(struct admin *admin, struct evhttp_request *req)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(req), *out;
    const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req)), *why;
    const struct symbols *symbols = find_symbols(admin->pprof, &why);

    if (!symbols) {
        bool built = cpu_profiler_built(&why);

        admin_reply_error(req, built ? 500 : 501, "%s", why);
        return;
    }
    if (evhttp_request_get_command(req) == EVHTTP_REQ_POST)
        text = evbuffer_add(in, "", 1) == 0 ? (const char *)evbuffer_pullup(in, -1) : NULL;
    out = evbuffer_new();
    if (out && evbuffer_add_printf(out, "num_symbols: 1\n") > 0 &&
        add_names(symbols, text ? text : "", out))
        admin_reply_buffer(req, 200, ADMIN_TEXT, out);
    else
        admin_reply_error(req, 400,
                          "send addresses as 0x1234+0x5678, in the query or as a POST's body");
    if (out)
        evbuffer_free(out);
}

void admin_pprof_index(struct admin *admin, struct evhttp_request *req)
{
    (void)admin;
    admin_reply(
        req, 200, "text/html; charset=utf-8",
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Weir: profiles</title>\n"
        "<style>body{font:15px/1.5 sans-serif;margin:2em;max-width:50em}"
        "td{padding:.2em 1.5em .2em 0;vertical-align:top}</style>\n"
        "<h1>Profiles</h1>\n<table>\n"
        "<tr><td><a href=\"/debug/pprof/flamegraph?seconds=5\">flamegraph</a><td>where CPU time "
        "goes, as a picture: <code>seconds=1</code> to <code>300</code>, by default 30; or "
        "<a href=\"/debug/pprof/flamegraph?heap=1\">heap=1</a>: who holds memory\n"
        "<tr><td><a href=\"/debug/pprof/profile?seconds=5&amp;debug=1\">profile</a><td>the same "
        "for <code>go tool pprof</code>, or with <code>debug=1</code> as text; takes "
        "<code>seconds</code> too\n"
        "<tr><td><a href=\"/debug/pprof/heap?debug=1\">heap</a><td>memory in use by who "
        "allocated it, for <code>go tool pprof</code>, or with <code>debug=1</code> as text\n"
        "<tr><td><a href=\"/debug/pprof/cmdline\">cmdline</a><td>the program and its arguments\n"
        "<tr><td><a href=\"/debug/pprof/symbol\">symbol</a><td>names of addresses, for tools "
        "that ask\n"
        "</table></html>\n");
}

/* ---- life ---- */

struct admin_pprof *admin_pprof_new(struct weir *weir)
{
    struct admin_pprof *pprof = base_alloc_zero(sizeof(*pprof));

    pprof->magic = PPROF_MAGIC;
    pprof->weir = weir;
    pprof->fd = -1;
    pprof->tick = event_new(weir->base, -1, EV_PERSIST, on_tick, pprof);
    weir_assert(pprof->tick != NULL);
    return pprof;
}

void admin_pprof_free(struct admin_pprof **pprof)
{
    struct admin_pprof *gone = weir_take(pprof);

    if (!gone)
        return;
    weir_check_magic(gone, PPROF_MAGIC);
    if (gone->pending) {
        finish(gone);
        event_base_loop(gone->weir->base, EVLOOP_NONBLOCK); /* sends what the socket takes */
    }
    event_free(gone->tick);
    symbols_close(&gone->symbols);
    gone->magic = 0;
    free(gone);
}
