/*
 * Freelists: structures of one size that a thread uses again and again (connections, requests,
 * fetches).
 *
 * The last one put back is the first one given out, while it is still in the processor's cache. An
 * idle one holds the link to the next in its first bytes; the rest of it is poison: unreadable
 * under AddressSanitizer, and in a debug build (WEIR_DEBUG) a pattern that must be unbroken when it
 * is given out again. The list owns its idle ones only; those in use are their users'. One thread.
 */
#include "base/base.h"

#include <stdlib.h>

#include "base/poison.h"

struct idle_item {
    struct idle_item *next;
    char rest[];
};

static size_t rest_bytes(const struct freelist *list)
{
    return list->bytes - sizeof(struct idle_item);
}

#ifdef WEIR_DEBUG
#define POISON_BYTE 0xdb

static void write_pattern(void *ptr, size_t bytes)
{
    memset(ptr, POISON_BYTE, bytes);
}

static void check_pattern(const struct idle_item *item, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        weir_assert((unsigned char)item->rest[i] == POISON_BYTE);
}
#else
static void write_pattern(void *ptr, size_t bytes)
{
    (void)ptr, (void)bytes;
}

static void check_pattern(const struct idle_item *item, size_t bytes)
{
    (void)item, (void)bytes;
}
#endif

void freelist_init(struct freelist *list, size_t bytes, unsigned keep)
{
    if (bytes < sizeof(struct idle_item))
        bytes = sizeof(struct idle_item);
    *list = (struct freelist){.bytes = bytes, .keep = keep};
}

static struct idle_item *take_idle(struct freelist *list)
{
    struct idle_item *item = list->head;
    list->head = item->next;
    __builtin_prefetch(list->head, 1); /* when it is wanted it may have been long unused */
    list->idle--;
    unpoison_region(item->rest, rest_bytes(list));
    check_pattern(item, rest_bytes(list));
    return item;
}

void *freelist_get(struct freelist *list)
{
    void *item;
    if (weir_likely(list->head != NULL)) {
        item = take_idle(list);
        list->reused++;
    } else {
        item = malloc(list->bytes);
        if (!item)
            return NULL;
        list->created++;
    }
    write_pattern(item, list->bytes);
    return item;
}

void freelist_put(struct freelist *list, void *ptr)
{
    struct idle_item *item = ptr;
    weir_assert(item != NULL && ptr != list->head);
    if (list->idle >= list->keep) {
        free(item);
        return;
    }
    write_pattern(item->rest, rest_bytes(list));
    poison_region(item->rest, rest_bytes(list));
    item->next = list->head;
    list->head = item;
    list->idle++;
}

void freelist_destroy(struct freelist *list)
{
    while (list->head)
        free(take_idle(list));
}
