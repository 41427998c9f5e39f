/* Line by line over what is there, again from the start each time: simple before fast. */
#include "tests/fuzz/http_check.h"

static bool take_line(struct str *rest, struct str *line)
{
    const char *end = rest->len > 0 ? memmem(rest->ptr, rest->len, "\r\n", 2) : NULL;
    if (end == NULL)
        return false;
    *line = str_of(rest->ptr, (size_t)(end - rest->ptr));
    *rest = str_of(end + 2, rest->len - line->len - 2);
    return true;
}

static bool is_clean(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool take_word(struct str *line, struct str *word)
{
    const char *space = line->len > 0 ? memchr(line->ptr, ' ', line->len) : NULL;
    if (space == NULL || space == line->ptr)
        return false;
    *word = str_of(line->ptr, (size_t)(space - line->ptr));
    *line = str_of(space + 1, line->len - word->len - 1);
    return true;
}

static bool lists(struct str value, struct str wanted)
{
    struct str member;
    while (str_list_next(&value, &member)) {
        if (str_equal_nocase(member, wanted))
            return true;
    }
    return false;
}

static bool split_field(struct str line, struct str *name, struct str *value)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL || colon == line.ptr || !is_clean(line))
        return false;
    *name = str_of(line.ptr, (size_t)(colon - line.ptr));
    *value = str_trim(str_of(colon + 1, line.len - name->len - 1));
    for (size_t i = 0; i < name->len; i++) {
        if (name->ptr[i] <= ' ' || strchr("\"(),/;<=>?@[\\]{}", name->ptr[i]) != NULL)
            return false;
    }
    return true;
}

static bool read_field(struct str line, struct check_message *out)
{
    struct str name, value;
    if (!split_field(line, &name, &value))
        return false;
    if (str_equal_nocase(name, STR("Content-Length"))) {
        if (out->has_length || !str_to_u64(value, INT64_MAX, &out->length))
            return false;
        out->has_length = true;
    } else if (str_equal_nocase(name, STR("Transfer-Encoding"))) {
        if (out->chunked || !str_equal_nocase(value, STR("chunked")))
            return false;
        out->chunked = true;
    } else if (str_equal_nocase(name, STR("Host"))) {
        out->hosts++;
    } else if (str_equal_nocase(name, STR("Via"))) {
        out->vias++;
    } else if (str_equal_nocase(name, STR("Connection"))) {
        out->close |= lists(value, STR("close"));
        out->upgrade |= lists(value, STR("upgrade"));
    }
    return true;
}

static enum check_result read_fields(struct str *rest, struct check_message *out)
{
    struct str line;
    while (take_line(rest, &line)) {
        if (line.len == 0)
            return out->chunked && out->has_length ? CHECK_WRONG : CHECK_GOOD;
        if (!read_field(line, out))
            return CHECK_WRONG;
    }
    return CHECK_INCOMPLETE;
}

static enum check_result read_trailers(struct str *rest)
{
    struct str line, name, value;
    while (take_line(rest, &line)) {
        if (line.len == 0)
            return CHECK_GOOD;
        if (!split_field(line, &name, &value))
            return CHECK_WRONG;
    }
    return CHECK_INCOMPLETE;
}

static int hex(char c)
{
    c = ascii_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns CHECK_INCOMPLETE with all of *rest taken when its end is missing. */
static enum check_result read_chunks(struct str *rest)
{
    struct str line;
    while (take_line(rest, &line)) {
        uint64_t size = 0;
        size_t digits = 0;
        for (; digits < line.len && hex(line.ptr[digits]) >= 0; digits++) {
            if (digits == 15)
                return CHECK_WRONG;
            size = size * 16 + (uint64_t)hex(line.ptr[digits]);
        }
        if (digits == 0)
            return CHECK_WRONG;
        if (size == 0)
            return read_trailers(rest);
        if (rest->len < size + 2)
            break;
        if (memcmp(rest->ptr + size, "\r\n", 2) != 0)
            return CHECK_WRONG;
        *rest = str_of(rest->ptr + size + 2, rest->len - (size_t)size - 2);
    }
    rest->len = 0;
    return CHECK_INCOMPLETE;
}

static enum check_result read_body(struct str in, struct str rest, bool none, bool until_close,
                                   struct check_message *out)
{
    size_t before = rest.len;
    enum check_result result;
    out->head_len = in.len - rest.len;
    out->whole = true;
    out->body_len = 0;
    if (none)
        return CHECK_GOOD;
    if (out->chunked) {
        result = read_chunks(&rest);
        out->body_wrong = result == CHECK_WRONG;
        out->whole = result == CHECK_GOOD;
        out->body_len = out->whole ? before - rest.len : before;
    } else if (out->has_length) {
        out->whole = before >= out->length;
        out->body_len = out->whole ? (size_t)out->length : before;
    } else if (until_close) {
        out->whole = false;
        out->body_len = before;
    }
    return CHECK_GOOD;
}

enum check_result check_request(struct str in, struct check_message *out)
{
    struct str rest = in, line;
    enum check_result result;
    *out = (struct check_message){.whole = false};
    do {
        if (!take_line(&rest, &line))
            return CHECK_INCOMPLETE;
    } while (line.len == 0);
    if (!is_clean(line) || !take_word(&line, &out->method) || !take_word(&line, &out->target) ||
        line.len != 8 || memcmp(line.ptr, "HTTP/1.", 7) != 0)
        return CHECK_WRONG;
    out->http10 = line.ptr[7] == '0';
    result = read_fields(&rest, out);
    if (result != CHECK_GOOD)
        return result;
    return read_body(in, rest, false, false, out);
}

enum check_result check_response(struct str in, bool bodiless, struct check_message *out)
{
    struct str rest = in, line;
    enum check_result result;
    uint64_t status;
    *out = (struct check_message){.whole = false};
    if (!take_line(&rest, &line))
        return CHECK_INCOMPLETE;
    if (!is_clean(line) || line.len < 13 || memcmp(line.ptr, "HTTP/1.1 ", 9) != 0 ||
        line.ptr[12] != ' ' || !str_to_u64(str_of(line.ptr + 9, 3), 599, &status) || status < 100)
        return CHECK_WRONG;
    out->status = (unsigned)status;
    result = read_fields(&rest, out);
    if (result != CHECK_GOOD)
        return result;
    if (status < 200 || status == 204) {
        if (out->chunked || out->has_length)
            return CHECK_WRONG;
        bodiless = true;
    }
    return read_body(in, rest, bodiless || status == 304, true, out);
}

struct str check_path(struct str method, struct str target, bool *needs_slash)
{
    const char *at = target.len > 0 ? memmem(target.ptr, target.len, "://", 3) : NULL;
    *needs_slash = false;
    if (target.len == 0 || target.ptr[0] == '/' || at == NULL)
        return target;
    for (at += 3; at < target.ptr + target.len && *at != '/' && *at != '?';)
        at++;
    struct str path = str_of(at, target.len - (size_t)(at - target.ptr));
    if (path.len == 0)
        return str_equal(method, STR("OPTIONS")) ? STR("*") : STR("/");
    *needs_slash = path.ptr[0] == '?';
    return path;
}
