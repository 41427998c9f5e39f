/*
 * Field lines of a head or of a trailer section (RFC 9112 §5), and what the fields say that decide
 * over the message.
 *
 * Called by the parsers of requests, responses and trailers, once a call, with the cursor behind
 * the start line. A line is read in two steps, NAME and VALUE, so that one which comes byte by byte
 * is looked at once. Fields of the framing are judged when their line is whole (RFC 9112 §6); the
 * framing itself follows in http1_request.c and http1_response.c. Owns nothing; any thread.
 */
#include "net/http1_parse.h"
#include "net/http1_scan.h"

_Static_assert(FIELD_IDS <= 64, "ids are bits of a mask below");

#define BIT(symbol) (UINT64_C(1) << FIELD_##symbol)

/* Fields that note_field() must see. */
static const uint64_t noted_ids[] = {
    [HTTP1_REQUEST] = BIT(HOST) | BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(CONNECTION) |
                      BIT(UPGRADE) | BIT(EXPECT) | BIT(TE),
    [HTTP1_RESPONSE] =
        BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(CONNECTION) | BIT(UPGRADE),
    [HTTP1_TRAILERS] = 0,
};

/* RFC 9112 §3.2: one, and a legal one. */
static enum http1_error note_host(struct http1_head *head, struct str value, const char *floor)
{
    if (head->seen & HTTP1_SEEN_HOST)
        return HTTP1_HOST_REPEATED;
    if (!http1_authority_valid(value, floor, false))
        return HTTP1_HOST_BAD;
    head->seen |= HTTP1_SEEN_HOST;
    /* A target that names the authority wins, RFC 9112 §3.2.2 and §3.3. */
    if (head->target_form == HTTP1_ORIGIN_FORM || head->target_form == HTTP1_ASTERISK_FORM)
        head->authority = value;
    return HTTP1_OK;
}

/* RFC 9112 §6.3, 3 to 5. A list of equal numbers is no better than a repeated field: both tell of a
 * sender that somebody else may read in another way. */
static enum http1_error note_length(struct http1_head *head, struct str value)
{
    if (head->has_content_length)
        return HTTP1_LENGTH_REPEATED;
    if (head->seen & HTTP1_SEEN_CODING)
        return HTTP1_LENGTH_AND_CODING;
    if (!str_to_u64(value, INT64_MAX, &head->content_length))
        return memchr(value.ptr, ',', value.len) ? HTTP1_LENGTH_REPEATED : HTTP1_LENGTH_BAD;
    head->has_content_length = true;
    return HTTP1_OK;
}

/* RFC 9112 §6.1: Weir takes no other coding than chunked, and that one once. */
static enum http1_error note_coding(struct http1_head *head, struct str value)
{
    if (head->minor == 0)
        return HTTP1_CODING_IN_HTTP10;
    if (head->has_content_length)
        return HTTP1_LENGTH_AND_CODING;
    if (head->seen & HTTP1_SEEN_CODING || !str_equal_nocase(value, STR("chunked")))
        return HTTP1_CODING_UNKNOWN;
    head->seen |= HTTP1_SEEN_CODING;
    return HTTP1_OK;
}

static void note_connection(struct http1_head *head, struct str value)
{
    struct str option;
    /* What most clients send, without a walk over a list. */
    if (str_equal(value, STR("keep-alive"))) {
        head->keep_alive = true;
        return;
    }
    while (str_tokens_next(&value, &option)) {
        if (str_equal_nocase(option, STR("close")))
            head->close = true;
        else if (str_equal_nocase(option, STR("keep-alive")))
            head->keep_alive = true;
        else if (str_equal_nocase(option, STR("upgrade")))
            head->seen |= HTTP1_SEEN_UPGRADE_OPTION;
    }
}

static bool lists(struct str value, struct str what)
{
    struct str element;
    while (str_list_next(&value, &element)) {
        if (str_equal_nocase(element, what))
            return true;
    }
    return false;
}

static void note_upgrade(struct http1_head *head, struct str value)
{
    struct str protocol;
    head->seen |= HTTP1_SEEN_UPGRADE;
    while (str_tokens_next(&value, &protocol)) {
        if (str_equal_nocase(protocol, STR("h2c")))
            head->seen |= HTTP1_SEEN_H2C;
    }
}

static enum http1_error note_field(struct http1_head *head, const struct field *field,
                                   const char *floor)
{
    struct str value = field_value(field);
    switch (field->id) {
    case FIELD_HOST:
        return note_host(head, value, floor);
    case FIELD_CONTENT_LENGTH:
        return note_length(head, value);
    case FIELD_TRANSFER_ENCODING:
        return note_coding(head, value);
    case FIELD_CONNECTION:
        note_connection(head, value);
        break;
    case FIELD_UPGRADE:
        note_upgrade(head, value);
        break;
    case FIELD_EXPECT:
        /* An HTTP/1.0 client does not wait, RFC 9110 §10.1.1. */
        head->expect_continue |= head->minor > 0 && lists(value, STR("100-continue"));
        break;
    case FIELD_TE:
        head->te_trailers |= lists(value, STR("trailers"));
        break;
    }
    return HTTP1_OK;
}

/* Lines as they are read: a copy of the caller's cursor and of the head's next row, which the
 * compiler keeps in registers because no address of it leaves this file. */
struct lines {
    struct http1_cursor c;
    struct field *row, *rows_end;
};

/* The cursor stands on a byte that does not continue a name; not at the end. */
static int refuse_name(struct http1_cursor c)
{
    bool white = *c.at == ' ' || *c.at == '\t';
    /* At the start of the first line too, RFC 9112 §2.2. */
    if (white && c.at == c.mark)
        return -HTTP1_OBS_FOLD;
    return white ? -HTTP1_SPACE_BEFORE_COLON : http1_refuse(c, HTTP1_BAD_FIELD_NAME);
}

/* A line begins that no row is left for. */
static int refuse_line(struct http1_cursor c)
{
    return http1_classes[(unsigned char)*c.at] & HTTP1_CLASS_TOKEN || *c.at == ':'
               ? -HTTP1_TOO_MANY_FIELDS
               : refuse_name(c);
}

/* Up to the colon and over it. */
static inline int pass_name(struct lines *l)
{
    struct http1_cursor *c = &l->c;
    if (weir_unlikely(l->row == l->rows_end))
        return c->at == c->end ? 0 : refuse_line(*c);
    c->at = http1_scan_token(c->at, c->end, c->floor);
    if (weir_unlikely(c->at == c->end))
        return 0;
    size_t len = (size_t)(c->at - c->mark);
    if (weir_unlikely(*c->at != ':' || len == 0))
        return refuse_name(*c);
    if (weir_unlikely(len > UINT16_MAX))
        return -HTTP1_HEAD_TOO_LARGE;
    l->row->name = c->mark;
    l->row->name_len = (uint16_t)len;
    l->row->id = (uint16_t)field_identify(c->mark, len);
    c->mark = ++c->at;
    return 1;
}

/* Over the line's end; the row is whole then. */
static inline int pass_value(struct lines *l)
{
    struct http1_cursor *c = &l->c;
    c->at = http1_scan_value(c->at, c->end, c->floor);
    const char *first = c->mark, *last = c->at;
    int step = http1_pass_line_end(c, HTTP1_BAD_FIELD_VALUE);
    if (weir_unlikely(step <= 0))
        return step;
    while (first < last && (*first == ' ' || *first == '\t'))
        first++;
    while (first < last && (last[-1] == ' ' || last[-1] == '\t'))
        last--;
    l->row->value = first;
    l->row->value_len = (uint32_t)(last - first);
    c->mark = c->at;
    return 1;
}

int http1_pass_fields(struct http1_head *head, struct http1_cursor *cursor,
                      const struct http1_limits *limits, enum http1_kind kind)
{
    unsigned max = limits->fields < head->capacity ? limits->fields : head->capacity;
    struct lines l = {*cursor, head->list + head->count, head->list + max};
    const uint64_t noted = noted_ids[kind];
    bool named = head->phase == HTTP1_VALUE;
    int step;
    for (;; named = false) {
        if (!named) {
            bool empty = l.c.at == l.c.mark && l.c.at < l.c.end && *l.c.at == '\r';
            step = empty ? http1_pass_line_end(&l.c, HTTP1_BAD_FIELD_NAME) : pass_name(&l);
            if (step <= 0 || empty)
                break;
        }
        named = true;
        step = pass_value(&l);
        if (weir_unlikely(step <= 0))
            break;
        const struct field *row = l.row++;
        if (noted >> row->id & 1) {
            step = -(int)note_field(head, row, l.c.floor);
            if (weir_unlikely(step < 0))
                break;
        }
    }
    *cursor = l.c;
    head->count = (unsigned)(l.row - head->list);
    head->phase = named ? HTTP1_VALUE : HTTP1_NAME;
    return step;
}
