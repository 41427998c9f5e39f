/*
 * Who may ask the admin port for what: pure functions over field values and addresses.
 *
 * Called by admin.c for each request. Without a token, a client on this machine is trusted, but not
 * a web page that its browser shows: a page elsewhere can make the browser send a POST, yet it can
 * choose neither Host nor Origin.
 */
#include "proxy/admin/admin.h"

#include <arpa/inet.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <stdlib.h>

#define DIGITS "0123456789"

/* An empty text, or a colon and digits. */
static bool is_port(const char *text)
{
    return *text == '\0' ||
           (*text == ':' && text[1] != '\0' && text[1 + strspn(text + 1, DIGITS)] == '\0');
}

/* Four decimal numbers that begin with 127; a name that only begins so is somebody's domain. */
static bool is_loopback_ipv4(const char *text, size_t len)
{
    char host[INET_ADDRSTRLEN];
    struct in_addr ip;

    if (len >= sizeof(host))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    return inet_pton(AF_INET, host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool admin_host_is_loopback(const char *host)
{
    size_t len;

    if (!host)
        return false;
    if (strncmp(host, "[::1]", 5) == 0)
        return is_port(host + 5);
    len = strcspn(host, ":");
    if (!is_port(host + len))
        return false;
    return str_equal_nocase(str_of(host, len), STR("localhost")) || is_loopback_ipv4(host, len);
}

bool admin_origin_is_own(const char *origin, const char *host)
{
    return host && strncmp(origin, "http://", 7) == 0 &&
           str_equal_nocase(str_from(origin + 7), str_from(host));
}

bool admin_token_matches(const char *authorization, const char *token)
{
    const char *given;
    size_t given_len, len = strlen(token);
    unsigned char differs;

    if (!authorization ||
        !str_equal_nocase(str_of(authorization, strnlen(authorization, 7)), STR("Bearer ")))
        return false;
    given = authorization + 7;
    given += strspn(given, " ");
    given_len = strlen(given);
    differs = given_len != len || len == 0;
    for (size_t i = 0; i < given_len; i++)
        differs |= (unsigned char)(given[i] ^ token[len > 0 ? i % len : 0]);
    return !differs;
}

bool admin_peer_is_local(const struct sockaddr *peer)
{
    if (!peer)
        return false;
    if (peer->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)peer)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (peer->sa_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)peer)->sin6_addr;

        return IN6_IS_ADDR_LOOPBACK(ip) ||
               (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == IN_LOOPBACKNET);
    }
    return peer->sa_family == AF_UNIX;
}

char *admin_only_parameter(const char *query, const char *name, const char **why)
{
    struct evkeyvalq parameters;
    const char *text;
    char *value = NULL;

    *why = "is missing";
    if (!query || *query == '\0')
        return NULL;
    *why = "holds an encoded zero byte";
    if (strstr(query, "%00"))
        return NULL;
    *why = "cannot be read";
    if (evhttp_parse_query_str(query, &parameters) != 0)
        return NULL;
    text = evhttp_find_header(&parameters, name);
    *why = !text                                 ? "is missing"
           : parameters.tqh_first->next.tqe_next ? "is not the only parameter"
           : *text == '\0'                       ? "is empty"
                                                 : NULL;
    if (!*why && !(value = strdup(text)))
        *why = "does not fit into memory";
    evhttp_clear_headers(&parameters);
    return value;
}

/* ---- what a purge names ---- */

static const char *const purge_words[] = {[ADMIN_PURGE_URL] = "url",
                                          [ADMIN_PURGE_PREFIX] = "prefix",
                                          [ADMIN_PURGE_TAG] = "tag",
                                          [ADMIN_PURGE_ALL] = "all"};

const char *admin_purge_word(enum admin_purge_what what)
{
    return purge_words[what];
}

/* NULL: nothing is wrong with it. */
static const char *read_purge_parameter(const char *name, const char *value,
                                        struct admin_purge_order *out)
{
    if (*value == '\0')
        return "a parameter is empty";
    if (strcmp(name, "soft") == 0) {
        out->soft = strcmp(value, "1") == 0;
        return out->soft || strcmp(value, "0") == 0 ? NULL : "soft is neither 1 nor 0";
    }
    for (unsigned i = 0; i < weir_count(purge_words); i++) {
        if (strcmp(name, purge_words[i]) != 0)
            continue;
        if (out->value)
            return "more than one thing to purge is named";
        if (i == ADMIN_PURGE_ALL && strcmp(value, "1") != 0)
            return "all takes nothing but 1";
        out->what = (enum admin_purge_what)i;
        out->value = strdup(value);
        return out->value ? NULL : "the query does not fit into memory";
    }
    return "there is no such parameter";
}

bool admin_purge_read(const char *query, struct admin_purge_order *out, const char **why)
{
    struct evkeyvalq parameters;
    unsigned soft = 0;

    *out = (struct admin_purge_order){.value = NULL};
    *why = "nothing to purge is named";
    if (!query || *query == '\0')
        return false;
    *why = "the query holds an encoded zero byte";
    if (strstr(query, "%00"))
        return false;
    *why = "the query cannot be read";
    if (evhttp_parse_query_str(query, &parameters) != 0)
        return false;
    *why = NULL;
    for (const struct evkeyval *p = parameters.tqh_first; p && !*why; p = p->next.tqe_next) {
        *why = read_purge_parameter(p->key, p->value, out);
        if (!*why && strcmp(p->key, "soft") == 0 && ++soft > 1)
            *why = "soft is given twice";
    }
    evhttp_clear_headers(&parameters);
    if (!*why && !out->value)
        *why = "nothing to purge is named";
    if (!*why)
        return true;
    free(out->value);
    out->value = NULL;
    return false;
}
