/*
 * cache/fill: a response that is arriving. fill.c is its writer's side, reader.c its readers'
 * side.
 */
#ifndef WEIR_CACHE_FILL_H
#define WEIR_CACHE_FILL_H

#include "cache/body.h"
#include "cache/cache.h"
#include "cache/tags.h"

#include <pthread.h>

/* How far the writer of a pass may be ahead of its slowest reader, and how large its chunks are;
   the lesser ones while memory is short. */
#define CACHE_PASS_WINDOW ((uint64_t)256 << 10)
#define CACHE_PASS_WINDOW_SHORT ((uint64_t)32 << 10)
#define CACHE_PASS_CHUNK_MOST ((size_t)64 << 10)
#define CACHE_PASS_CHUNK_SHORT ((size_t)16 << 10)

/* Nobody, or nobody whose place matters. */
#define CACHE_TAKEN_ALL UINT64_MAX

enum cache_crowd_state {
    CACHE_CROWD_QUIET,   /* nobody waits */
    CACHE_CROWD_WAITING, /* at least one has seen all there is */
    CACHE_CROWD_POSTED   /* the message is under way */
};

/* The readers of a fill on one thread. They are woken by one message, and it is their thread that
   goes through them, without a lock. */
struct cache_crowd {
    /* fixed once it is in the fill's list */
    struct cache_fill *fill;  /* borrowed: it is a part of it */
    struct cache_crowd *next; /* all are freed with the fill */
    struct mailbox *mailbox;  /* the thread's */
    /* that thread's only, but for the posting */
    struct mail mail;
    struct list_link readers;        /* of cache_reader.link */
    struct list_link waiting, woken; /* of cache_reader.wait_link */
    bool measured;                   /* the two below are known */
    uint64_t least_taken;            /* of its readers */
    unsigned at_least;               /* how many have taken no more than that */
    /* guarded by the fill's lock: least_taken as the others know it */
    uint64_t slowest;
    /* to WAITING by its thread, to POSTED by whoever posts, to QUIET by its thread */
    _Atomic unsigned state;
};

struct cache_fill {
    uint32_t magic;
    /* fixed */
    bool private; /* never findable, never stored */
    struct cache *cache;
    struct cache_key key; /* its text is behind the struct */
    /* writer's thread only: the room at the end of what is filled */
    char *tail;
    uint64_t tail_end;   /* offset in the body */
    uint64_t held_below; /* there was no room: readers that have taken less hold it */
    bool hidden;         /* not findable, and never will be again */
    bool owns_tags;      /* no object has them yet */
    /* guarded by the shard's lock */
    struct list_link link; /* in its shard, while it is findable */
    bool findable;
    bool solo;              /* hit-for-miss: not findable before its head is to be stored */
    bool refresh;           /* of what is delivered stale meanwhile; fixed before it is findable */
    uint64_t purges_before; /* of its shard's, when it began */
    bool vary_known;        /* head.vary may be looked at by lookups */
    uint64_t log_number;    /* the log of purges, when it began, or was compared with its tags */
    /* guarded by lock; the writer's thread, which alone changes them, also reads phase, pass, head,
       body, object and on_readers without it */
    pthread_mutex_t lock;
    enum cache_fill_phase phase;
    bool has_head, pass, outgrew;
    bool window_full;            /* the writer waits for on_readers */
    bool writer_mail_sent;       /* a reference is held by the mail */
    struct cache_fill_head head; /* its spans lie in text or in object */
    char *text;                  /* owned: block and vary, when no object has them */
    /* what it becomes: made at the head, when the body is small and its length known, and filled in
       place; or at the end. Or, REPLACED, what it was replaced by. Reference */
    struct cache_object *object;
    struct cache_body *body; /* reference */
    char *spare; /* owned: a chunk that a pass has forgotten, for its next; so it always has one */
    size_t spare_size;
    char *trailers; /* owned */
    size_t trailers_len;
    unsigned abort_status;
    const char *abort_detail;
    uint64_t slowest;               /* of all crowds: no reader needs what is before */
    struct mailbox *writer_mailbox; /* borrowed; this and what follows NULL once it is over */
    void *writer;
    void (*on_readers)(void *writer);
    struct mail writer_mail;
    struct cache_crowd first; /* of the thread that attached first */
    /* fixed from the head on; its own, or its object's */
    struct cache_tags *tags;
    /* atomics */
    _Atomic enum cache_fill_tagged {
        CACHE_FILL_TAGS_UNKNOWN, /* no head yet */
        CACHE_FILL_UNTAGGED,
        CACHE_FILL_TAGGED
    } tagged;                             /* written by the writer: lookups may look at tags */
    _Atomic(struct cache_crowd *) crowds; /* added to under lock, never taken from */
    _Atomic uint32_t refs;
    _Atomic uint32_t reader_count;
    _Atomic bool purged;        /* set under the shard's lock: not to be stored any more */
    _Atomic bool forgets;       /* a pass in chunks: what its readers have taken matters */
    _Atomic uint64_t cut_below; /* readers that have taken less are too slow */
    _Atomic uint64_t filled;    /* written by the writer: bytes of body that may be read */
    /* written by the writer: one more for each thing a reader may want to see */
    _Atomic uint64_t news;
    char key_text[];
};

static inline bool cache_fill_is_over(enum cache_fill_phase phase)
{
    return phase != CACHE_FILL_AWAITS_HEAD && phase != CACHE_FILL_STREAMING;
}

/* Not findable yet. key NULL: private. NULL when memory is out. */
struct cache_fill *cache_fill_new(struct cache *cache, const struct cache_key *key);

/* ---- reader.c, for the writer's side; no lock may be held ---- */

/* Wakes the crowds in which somebody waits. */
void cache_fill_wake(struct cache_fill *fill);
/* Makes all crowds look at what the fill wants of them: what they have taken, whom to cut. */
void cache_fill_poke(struct cache_fill *fill);
/* Whether a reader has seen all there is and waits for more. */
bool cache_fill_is_awaited(const struct cache_fill *fill);

#endif
