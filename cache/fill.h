/*
 * cache/fill: a response that is arriving. fill.c is its writer's side, reader.c its readers'
 * side.
 */
#ifndef WEIR_CACHE_FILL_H
#define WEIR_CACHE_FILL_H

#include "cache/body.h"
#include "cache/cache.h"

#include <pthread.h>

/* How far the writer of a pass may be ahead of its slowest reader. */
#define CACHE_PASS_WINDOW ((uint64_t)256 << 10)
#define CACHE_PASS_CHUNK_MOST ((size_t)64 << 10)

struct cache_fill {
    uint32_t magic;
    /* fixed */
    bool private; /* never findable, never stored */
    struct cache *cache;
    struct cache_key key; /* its text is behind the struct */
    /* writer's thread only: the room at the end of what is filled */
    char *tail;
    uint64_t tail_end; /* offset in the body */
    /* guarded by the shard's lock */
    struct cache_fill *next;
    bool findable;
    bool vary_known; /* head.vary may be looked at by lookups */
    /* guarded by lock; the writer's thread, which alone changes them, also reads phase, pass, head,
       body and object without it */
    pthread_mutex_t lock;
    enum cache_fill_phase phase;
    bool has_head, pass;
    bool window_full;            /* the writer has been told so */
    bool writer_mail_sent;       /* a reference is held by the mail */
    struct cache_fill_head head; /* its spans lie in text or in object */
    char *text;                  /* owned: block and vary, when no object has them */
    /* what it becomes: made at the head, when the body is small and its length known, and filled in
       place; or at the end. Or, REPLACED, what it was replaced by. Reference */
    struct cache_object *object;
    struct cache_body *body; /* reference */
    char *trailers;          /* owned */
    size_t trailers_len;
    unsigned abort_status;
    const char *abort_detail;
    /* of cache_reader.link; waiting ones are only in the latter */
    struct list_link readers, waiting;
    uint64_t slowest;               /* pass: no reader needs what is before */
    unsigned at_slowest;            /* how many readers are there */
    struct mailbox *writer_mailbox; /* borrowed */
    void *writer;
    void (*on_readers)(void *writer);
    struct mail writer_mail;
    /* atomics */
    _Atomic uint32_t refs;
    _Atomic uint32_t reader_count, waiting_count;
    _Atomic bool purged;     /* set under the shard's lock: not to be stored any more */
    _Atomic uint64_t filled; /* written by the writer: bytes of body that may be read */
    /* written by the writer: one more for each thing a reader may want to see */
    _Atomic uint64_t news;
    char key_text[];
};

/* Findable once it is in the index; key NULL: private. NULL when memory is out. */
struct cache_fill *cache_fill_new(struct cache *cache, const struct cache_key *key);

/* ---- reader.c, for the writer's side ---- */

/* All waiting readers become POSTED; post the list after unlocking. */
struct mail *cache_fill_take_waiting_locked(struct cache_fill *fill);
void cache_fill_post(struct mail *readers);
/* Counts anew what the slowest reader has taken, and forgets what all have. */
void cache_fill_measure_locked(struct cache_fill *fill);

#endif
