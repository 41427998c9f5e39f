/*
 * Addresses as users write them: host:port, [::1]:port, unix:/path, and the URLs of servers.
 *
 * Called by values.c and load.c, and by others through conf_address_parse(); any thread. Nothing is
 * resolved here: a name stays a name. An address is written back in its canonical form, so that
 * equal ones look equal. What is wrong is told as the end of a sentence that begins with the quoted
 * text.
 */
#include "conf/keys.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#define HOST_BYTES 254 /* a name of 253 bytes, the limit of DNS */
#define HTTP_PORT 80

static bool parse_unix(struct arena *arena, struct str path, struct conf_address *out,
                       const char **why)
{
    struct sockaddr_un socket = {.sun_family = AF_UNIX};
    if (path.len == 0 || path.ptr[0] != '/') {
        *why = "has no absolute path; write it as unix:/run/name.sock";
        return false;
    }
    if (path.len >= sizeof(socket.sun_path)) {
        *why = "is too long for a unix socket; use a path of at most 107 bytes";
        return false;
    }
    if (memchr(path.ptr, '\0', path.len)) {
        *why = "holds a zero byte; remove it";
        return false;
    }
    memcpy(socket.sun_path, path.ptr, path.len);
    *out = (struct conf_address){.kind = CONF_ADDRESS_UNIX};
    memcpy(&out->socket, &socket, sizeof(socket));
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
    out->host = conf_arena_text(arena, path);
    char text[CONF_ADDRESS_TEXT];
    int len = snprintf(text, sizeof(text), "unix:%s", out->host);
    out->text = conf_arena_text(arena, str_of(text, (size_t)len));
    return true;
}

static bool parse_port(struct str text, uint16_t *port, const char **why)
{
    uint64_t value;
    if (!str_to_u64(text, UINT16_MAX, &value)) {
        *why = "has a port that is not a number from 0 to 65535; correct it";
        return false;
    }
    *port = (uint16_t)value;
    return true;
}

static void set_ip(struct arena *arena, struct conf_address *out, int family, const void *ip,
                   uint16_t port)
{
    char host[INET6_ADDRSTRLEN], text[INET6_ADDRSTRLEN + 16];
    *out = (struct conf_address){.kind = CONF_ADDRESS_IP, .port = port};
    if (family == AF_INET) {
        struct sockaddr_in socket = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&socket.sin_addr, ip, sizeof(socket.sin_addr));
        memcpy(&out->socket, &socket, sizeof(socket));
        out->len = sizeof(socket);
    } else {
        struct sockaddr_in6 socket = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&socket.sin6_addr, ip, sizeof(socket.sin6_addr));
        memcpy(&out->socket, &socket, sizeof(socket));
        out->len = sizeof(socket);
    }
    inet_ntop(family, ip, host, sizeof(host));
    snprintf(text, sizeof(text), family == AF_INET ? "%s:%u" : "[%s]:%u", host, port);
    out->host = conf_arena_text(arena, str_from(host));
    out->text = conf_arena_text(arena, str_from(text));
}

static bool parse_ipv6(struct arena *arena, struct str text, struct conf_address *out,
                       const char **why)
{
    const char *close = memchr(text.ptr, ']', text.len);
    char host[INET6_ADDRSTRLEN];
    struct in6_addr ip;
    size_t host_len = close ? (size_t)(close - text.ptr) - 1 : 0;
    if (!close || host_len >= sizeof(host)) {
        *why = "is not an IPv6 address and port; write it as \"[::1]:8080\"";
        return false;
    }
    memcpy(host, text.ptr + 1, host_len);
    host[host_len] = '\0';
    struct str rest = str_of(close + 1, text.len - host_len - 2);
    if (memchr(host, '\0', host_len) || inet_pton(AF_INET6, host, &ip) != 1) {
        *why = "is not an IPv6 address and port; write it as \"[::1]:8080\"";
        return false;
    }
    uint16_t port;
    if (rest.len == 0 || rest.ptr[0] != ':') {
        *why = "has no port; write it as \"[::1]:8080\"";
        return false;
    }
    if (!parse_port(str_of(rest.ptr + 1, rest.len - 1), &port, why))
        return false;
    set_ip(arena, out, AF_INET6, &ip, port);
    return true;
}

/* Labels of letters, digits, - and _; the name is lower-cased into host. */
static bool copy_name(struct str text, char host[HOST_BYTES])
{
    if (text.len == 0 || text.len >= HOST_BYTES)
        return false;
    size_t label = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.ptr[i]);
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (c == '.' ? label == 0 : !good || label == 63)
            return false;
        label = c == '.' ? 0 : label + 1;
        host[i] = c;
    }
    host[text.len] = '\0';
    return true;
}

/* No name ends in a label of digits, so that "10.0.0.300" is a wrong IPv4 address. */
static bool looks_like_ipv4(const char *host)
{
    const char *last = strrchr(host, '.');
    last = last ? last + 1 : host;
    return *last != '\0' && strspn(last, "0123456789") == strlen(last);
}

bool conf_address_parse(struct arena *arena, const char *address, struct conf_address *out,
                        const char **why)
{
    struct str text = str_from(address);
    if (text.len >= 5 && memcmp(text.ptr, "unix:", 5) == 0)
        return parse_unix(arena, str_of(text.ptr + 5, text.len - 5), out, why);
    if (text.len > 0 && text.ptr[0] == '[')
        return parse_ipv6(arena, text, out, why);
    const char *colon = memrchr(text.ptr, ':', text.len);
    if (!colon) {
        *why = "has no port; write host:port, such as 127.0.0.1:8080";
        return false;
    }
    size_t host_len = (size_t)(colon - text.ptr);
    char host[HOST_BYTES];
    uint16_t port;
    if (memchr(text.ptr, ':', host_len)) {
        *why = "is not host:port; write an IPv6 address as \"[::1]:8080\"";
        return false;
    }
    if (host_len == 0 || (host_len == 1 && text.ptr[0] == '*')) {
        *why = "names no address; write 0.0.0.0:8080 for every IPv4 one, \"[::]:8080\" for IPv6";
        return false;
    }
    if (!copy_name(str_of(text.ptr, host_len), host)) {
        *why = "is not an address; write host:port, \"[::1]:8080\" or unix:/path";
        return false;
    }
    if (!parse_port(str_of(colon + 1, text.len - host_len - 1), &port, why))
        return false;
    struct in_addr ip;
    if (inet_pton(AF_INET, host, &ip) == 1) {
        set_ip(arena, out, AF_INET, &ip, port);
        return true;
    }
    if (looks_like_ipv4(host)) {
        *why = "is not an IPv4 address; write four numbers from 0 to 255";
        return false;
    }
    char canonical[HOST_BYTES + 8];
    snprintf(canonical, sizeof(canonical), "%s:%u", host, port);
    *out = (struct conf_address){.kind = CONF_ADDRESS_NAME, .port = port};
    out->host = conf_arena_text(arena, str_from(host));
    out->text = conf_arena_text(arena, str_from(canonical));
    return true;
}

bool address_parse_local(struct arena *arena, struct str text, struct conf_address *out,
                         const char **why)
{
    struct conf_address address;
    if (!conf_address_parse(arena, text.ptr, &address, why))
        return false;
    if (address.kind == CONF_ADDRESS_NAME) {
        *why = "is a name; write the IP address, such as 127.0.0.1:8080 for this machine alone";
        return false;
    }
    *out = address;
    return true;
}

bool address_is_loopback(const struct conf_address *address)
{
    if (address->socket.ss_family == AF_INET) {
        struct sockaddr_in socket;
        memcpy(&socket, &address->socket, sizeof(socket));
        return ntohl(socket.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (address->socket.ss_family == AF_INET6) {
        struct sockaddr_in6 socket;
        memcpy(&socket, &address->socket, sizeof(socket));
        const uint8_t *ip = socket.sin6_addr.s6_addr;
        return IN6_IS_ADDR_LOOPBACK(&socket.sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&socket.sin6_addr) && ip[12] == IN_LOOPBACKNET);
    }
    return address->kind == CONF_ADDRESS_UNIX;
}

bool address_equal(const struct conf_address *a, const struct conf_address *b)
{
    return a->kind == b->kind && strcmp(a->text, b->text) == 0;
}

/* ---- networks ---- */

/* Whether all bits behind the first `bits` are 0. */
static bool ends_in_zeros(const uint8_t *address, unsigned len, unsigned bits)
{
    for (unsigned i = 0; i < len; i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8 && (address[i] & (0xffu >> kept)) != 0)
            return false;
    }
    return true;
}

bool address_parse_network(struct arena *arena, struct str text, struct conf_network *out,
                           const char **why)
{
    const char *slash = memchr(text.ptr, '/', text.len);
    size_t len = slash ? (size_t)(slash - text.ptr) : text.len;
    struct conf_network network = {.text = conf_arena_text(arena, text)};
    char host[INET6_ADDRSTRLEN];
    uint64_t bits;
    *why = "is neither an address nor a network; write 10.0.0.0/8, 192.0.2.7, \"::1\" or "
           "\"2001:db8::/32\"";
    if (len == 0 || len >= sizeof(host) || memchr(text.ptr, '\0', len))
        return false;
    memcpy(host, text.ptr, len);
    host[len] = '\0';
    if (inet_pton(AF_INET, host, network.address) == 1)
        network.family = AF_INET;
    else if (inet_pton(AF_INET6, host, network.address) == 1)
        network.family = AF_INET6;
    else
        return false;
    unsigned most = network.family == AF_INET ? 32 : 128;
    bits = most;
    if (slash && !str_to_u64(str_of(slash + 1, text.len - len - 1), most, &bits)) {
        *why = network.family == AF_INET
                   ? "has no length that works here; write 0 to 32 behind the slash"
                   : "has no length that works here; write 0 to 128 behind the slash";
        return false;
    }
    network.bits = (unsigned)bits;
    if (!ends_in_zeros(network.address, most / 8, network.bits)) {
        *why = "names one address in the network, and not the network; write its first address, "
               "such as 10.0.0.0/8, or leave the length out";
        return false;
    }
    *out = network;
    return true;
}

static bool network_has(const struct conf_network *network, sa_family_t family,
                        const uint8_t *address)
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    return network->family == family && memcmp(network->address, address, whole) == 0 &&
           (rest == 0 || (network->address[whole] ^ address[whole]) >> (8 - rest) == 0);
}

bool conf_network_contains(const struct conf_network *networks, unsigned count,
                           const struct sockaddr *address)
{
    uint8_t bytes[16], *from = bytes;
    sa_family_t family = address->sa_family;
    if (family == AF_INET) {
        memcpy(bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else if (family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)address)->sin6_addr;
        memcpy(bytes, ip, sizeof(bytes));
        if (IN6_IS_ADDR_V4MAPPED(ip)) {
            family = AF_INET;
            from += 12;
        }
    } else {
        return false;
    }
    for (unsigned i = 0; i < count; i++)
        if (network_has(&networks[i], family, from))
            return true;
    return false;
}

/* ---- servers ---- */

/* Splits what follows "http://" and fills in the port. */
static bool parse_authority(struct arena *arena, struct str authority, struct conf_server *out,
                            const char **why)
{
    char text[HOST_BYTES + 16];
    if (authority.len == 0 || authority.len >= sizeof(text) - 8) {
        *why = "names no host; write \"http://host:port\"";
        return false;
    }
    if (memchr(authority.ptr, '@', authority.len)) {
        *why = "holds a user name; remove it";
        return false;
    }
    const char *close = memchr(authority.ptr, ']', authority.len);
    const char *from = close ? close : authority.ptr;
    bool has_port = memchr(from, ':', authority.len - (size_t)(from - authority.ptr)) != NULL;
    snprintf(text, sizeof(text), "%.*s%s", (int)authority.len, authority.ptr,
             has_port ? "" : ":80");
    if (!conf_address_parse(arena, text, &out->address, why))
        return false;
    if (out->address.port == 0) {
        *why = "has port 0; write the port that the server listens on";
        return false;
    }
    out->authority = out->address.text;
    if (out->address.port == HTTP_PORT)
        out->authority = conf_arena_text(
            arena, str_of(out->authority, strlen(out->authority) - sizeof(":80") + 1));
    return true;
}

/* Path segments of a URL, without the final slash (RFC 3986 §3.3: unreserved, escaped, sub-delims,
 * ":" and "@"). */
static bool judge_prefix(struct str path, const char **why)
{
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c <= 0x20 || c == 0x7f || strchr("\"<>\\^`{|}", c)) {
            *why = "has a path with a character that must be percent-encoded; encode it";
            return false;
        }
        if (c == '?' || c == '#') {
            *why = "has a query or a fragment; remove it";
            return false;
        }
    }
    return true;
}

bool address_parse_server(struct arena *arena, struct str text, struct conf_server *out,
                          const char **path_prefix, const char **why)
{
    struct conf_server server = {.url = conf_arena_text(arena, text)};
    struct str path = {NULL, 0};
    if (text.len >= 5 && memcmp(text.ptr, "unix:", 5) == 0) {
        if (!conf_address_parse(arena, text.ptr, &server.address, why))
            return false;
        server.authority = "localhost";
    } else if (text.len >= 7 && str_equal_nocase(str_of(text.ptr, 7), STR("http://"))) {
        struct str rest = str_of(text.ptr + 7, text.len - 7);
        size_t len = 0;
        while (len < rest.len && !strchr("/?#", rest.ptr[len]))
            len++;
        path = str_of(rest.ptr + len, rest.len - len);
        if (!parse_authority(arena, str_of(rest.ptr, len), &server, why) ||
            !judge_prefix(path, why))
            return false;
    } else if (text.len >= 8 && str_equal_nocase(str_of(text.ptr, 8), STR("https://"))) {
        *why = "is https; only http:// and unix: work, write \"http://host:port\" or "
               "\"unix:/path\"";
        return false;
    } else {
        *why = "is not a server's URL; write \"http://host:port\" or \"unix:/path\"";
        return false;
    }
    while (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (path.len > 0 && !path_prefix) {
        *why = "has a path, and paths are sent as the client wrote them; remove it";
        return false;
    }
    if (path_prefix)
        *path_prefix = conf_arena_text(arena, path);
    *out = server;
    return true;
}
