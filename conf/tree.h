/*
 * The YAML text as a tree of nodes that know their place, and the problems found in it.
 * Used while a file is read, by conf/ only; everything lives in the caller's scratch arena.
 */
#ifndef WEIR_CONF_TREE_H
#define WEIR_CONF_TREE_H

#include "base/base.h"

/* Counted from 1; line 0: no place in a file. */
struct mark {
    unsigned line, column;
};

/* ---- problems ---- */

#define PROBLEMS_MAX 200

struct problem {
    struct mark mark;
    unsigned order;
    char *text; /* owned */
};

/* What was found wrong so far; zeroed at the start. */
struct problems {
    struct problem *list; /* owned */
    unsigned count;
    bool more;   /* there were more than PROBLEMS_MAX */
    bool syntax; /* the text is not YAML: the one problem listed says where, and nothing is added */
};

struct conf_errors;

/* "what; what to do" */
void problem_add(struct problems *problems, struct mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sorts by place, writes "name:line:column: text" lines into *errors and frees the list. */
void problems_finish(struct problems *problems, const char *name, struct conf_errors *errors);

/* The user's own text for a message: shortened, without control characters. A value to be passed to
 * %s. */
#define QUOTED_BYTES 96
const char *quoted(char buffer[QUOTED_BYTES], struct str text);
#define QUOTED(text) quoted((char[QUOTED_BYTES]){""}, (text))

/* The candidate with the fewest edits away that is near enough to have been meant, or NULL. Call
 * nearest_offer() with each candidate; names are borrowed. */
struct nearest {
    struct str wanted;
    const char *found;
    unsigned distance;
};
struct nearest nearest_start(struct str wanted);
void nearest_offer(struct nearest *nearest, const char *candidate);

/* ---- nodes ---- */

enum node_kind {
    NODE_SCALAR,
    NODE_SEQUENCE,
    NODE_MAPPING,
    NODE_BAD /* a problem was added; readers pass over it in silence */
};

struct node;

struct node_entry {
    struct node_entry *next;
    struct node *key; /* NULL in a sequence */
    struct node *value;
    bool skip; /* duplicate or impossible; a problem was added */
};

/* An alias leads to the anchored node itself. */
struct node {
    enum node_kind kind;
    struct mark mark;
    struct str text; /* of a scalar: variables replaced, terminated, no control characters */
    struct node_entry *first, **last;
    unsigned count;  /* entries */
    unsigned weight; /* nodes beneath and this one, aliases followed */
    bool open;       /* its end has not been read yet */
};

#define TREE_MAX_NODES 100000u
#define TREE_MAX_DEPTH 32u
#define TREE_MAX_ANCHORS 1000u
#define TREE_MAX_SCALAR 4096u

/* NULL when the text is not YAML or holds no document; otherwise the root, whatever problems were
 * added. */
struct node *tree_parse(struct arena *arena, const char *text, size_t len,
                        struct problems *problems);

/* The memory of a configuration: ends the program when there is none. */
void *conf_arena_alloc(struct arena *arena, size_t bytes);
/* A terminated copy. */
const char *conf_arena_text(struct arena *arena, struct str text);

#endif
