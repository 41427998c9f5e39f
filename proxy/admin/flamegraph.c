/*
 * A named profile as a flame graph: one self-contained SVG. Called by pprof.c; pure.
 *
 * Each box is a function under the one that called it, as wide as its share of the weight; the
 * whole is at the top, so what is read first is in sight first. Siblings lie in the order of their
 * names, and a box's colour comes from its name alone: two profiles can be compared by eye. A click
 * makes a box as wide as the picture; without scripts it is merely not so.
 */
#include "proxy/admin/profile.h"

#include <stdarg.h>
#include <stdio.h>

#define WIDTH 1180.0 /* of all boxes, as in the script */
#define MARGIN 10
#define ROW 18
#define TOP 46
#define BOTTOM 12
#define NARROWEST 0.3 /* nothing to be seen, or to be hit with a mouse, below this */
#define LETTER 6.7
#define DEPTH_MOST 256u

struct node {
    const char *name;
    uint64_t weight;
    unsigned index;            /* of its name */
    struct node *child, *next; /* the next sibling's index is larger */
};

struct drawing {
    const struct profile *profile;
    const struct node *root;
    struct evbuffer *out;
    bool failed; /* memory was out */
};

static struct node *add_node(struct arena *arena, struct node **at, unsigned index,
                             const char *name)
{
    struct node *node;

    while (*at && (*at)->index < index)
        at = &(*at)->next;
    if (*at && (*at)->index == index)
        return *at;
    node = arena_alloc(arena, sizeof(*node));
    if (node) {
        *node = (struct node){.name = name, .index = index, .next = *at};
        *at = node;
    }
    return node;
}

/* NULL when memory is out. */
static struct node *make_tree(struct arena *arena, const struct profile *profile)
{
    struct node *root = arena_alloc(arena, sizeof(*root));

    if (!root)
        return NULL;
    *root = (struct node){.name = "all"};
    for (size_t i = 0; i < profile->samples_count; i++) {
        const struct profile_sample *sample = &profile->samples[i];
        struct node *node = root;

        root->weight += sample->weight;
        for (unsigned d = sample->depth, drawn = 0; d-- > 0 && drawn < DEPTH_MOST; drawn++) {
            unsigned index = profile_frame(profile, sample, d);

            node = add_node(arena, &node->child, index, profile->names[index]);
            if (!node)
                return NULL;
            node->weight += sample->weight;
        }
    }
    return root;
}

/* ---- the picture ---- */

static void put(struct drawing *drawing, const char *text, size_t len)
{
    drawing->failed |= evbuffer_add(drawing->out, text, len) != 0;
}

static void __attribute__((format(printf, 2, 3)))
put_fmt(struct drawing *drawing, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    drawing->failed |= evbuffer_add_vprintf(drawing->out, format, args) < 0;
    va_end(args);
}

static double width_of(const struct node *node, const struct node *root)
{
    return root->weight > 0 ? WIDTH * (double)node->weight / (double)root->weight : 0;
}

static unsigned rows_of(const struct node *node, const struct node *root)
{
    unsigned most = 0;

    for (const struct node *child = node->child; child; child = child->next) {
        unsigned rows = width_of(child, root) < NARROWEST ? 0 : rows_of(child, root);

        most = rows > most ? rows : most;
    }
    return most + 1;
}

/* XML's text and attributes; what is no printable ASCII has no place in a function's name. */
static void add_escaped(struct drawing *drawing, const char *text, size_t len)
{
    for (size_t i = 0; i < len && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '&')
            put(drawing, "&amp;", 5);
        else if (c == '<')
            put(drawing, "&lt;", 4);
        else if (c == '>')
            put(drawing, "&gt;", 4);
        else if (c == '"')
            put(drawing, "&quot;", 6);
        else
            put(drawing, c < ' ' || c > '~' ? "?" : text + i, 1);
    }
}

/* Warm for functions with a name, grey for what is only known by its library. */
static void add_colour(struct drawing *drawing, const char *name)
{
    uint32_t hash = 2166136261u;

    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    hash ^= hash >> 15;
    if (*name == '[')
        put_fmt(drawing, "hsl(210,12%%,%u%%)", 76 + hash % 10);
    else
        put_fmt(drawing, "hsl(%u,%u%%,%u%%)", 12 + hash % 42, 78 + hash / 64 % 14,
                66 + hash / 4096 % 10);
}

static void add_weight(struct drawing *drawing, uint64_t weight)
{
    if (drawing->profile->kind == PROFILE_CPU)
        put_fmt(drawing, "%.2f s", (double)weight * (double)drawing->profile->period / 1e6);
    else
        put_fmt(drawing, "%.1f KiB", (double)weight / 1024);
}

static void add_box(struct drawing *drawing, const struct node *node, double x, double width,
                    unsigned row)
{
    size_t room = width > 8 ? (size_t)((width - 8) / LETTER) : 0, len = strlen(node->name);

    put_fmt(drawing, "<svg class=\"b\" x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%u\">", x,
            TOP + row * ROW, width, ROW - 1);
    put_fmt(drawing, "<title>");
    add_escaped(drawing, node->name, len);
    put_fmt(drawing, " (");
    add_weight(drawing, node->weight);
    put_fmt(drawing, ", %.2f%%)</title><rect width=\"100%%\" height=\"100%%\" rx=\"2\" fill=\"",
            drawing->profile->weight > 0
                ? 100 * (double)node->weight / (double)drawing->profile->weight
                : 0.0);
    add_colour(drawing, node->name);
    put_fmt(drawing, "\"/><text x=\"4\" y=\"12.5\">");
    if (len <= room) {
        add_escaped(drawing, node->name, len);
    } else if (room >= 3) {
        add_escaped(drawing, node->name, room - 2);
        put_fmt(drawing, "..");
    }
    put_fmt(drawing, "</text></svg>\n");
}

/* As deep as the tree: DEPTH_MOST. */
static void add_boxes(struct drawing *drawing, const struct node *node, double x, unsigned row)
{
    double width = width_of(node, drawing->root);

    if (width < NARROWEST)
        return;
    add_box(drawing, node, x, width, row);
    for (const struct node *child = node->child; child; child = child->next) {
        add_boxes(drawing, child, x, row + 1);
        x += width_of(child, drawing->root);
    }
}

/* Zoom: the box that is clicked gets the whole width; those above it too, and all others move. */
static const char script[] =
    "<script><![CDATA[\n"
    "const boxes = [...document.querySelectorAll('.b')].map(box => {\n"
    "  const text = box.querySelector('text'), title = box.querySelector('title').textContent;\n"
    "  return {box, text, name: title.slice(0, title.lastIndexOf(' (')),\n"
    "          x: +box.getAttribute('x'), w: +box.getAttribute('width')};\n"
    "});\n"
    "function zoom(to) {\n"
    "  for (const b of boxes) {\n"
    "    const left = Math.max(0, (b.x - to.x) * 1180 / to.w);\n"
    "    const right = Math.min(1180, (b.x + b.w - to.x) * 1180 / to.w);\n"
    "    const room = Math.floor((right - left - 8) / 6.7);\n"
    "    b.box.style.display = right - left < 0.3 ? 'none' : '';\n"
    "    b.box.setAttribute('x', left);\n"
    "    b.box.setAttribute('width', Math.max(0, right - left));\n"
    "    b.text.textContent = b.name.length <= room ? b.name\n"
    "      : room >= 3 ? b.name.slice(0, room - 2) + '..' : '';\n"
    "  }\n"
    "}\n"
    "for (const b of boxes) b.box.addEventListener('click', () => zoom(b));\n"
    "]]></script>\n";

static void add_frame(struct drawing *drawing, unsigned rows)
{
    unsigned height = TOP + rows * ROW + BOTTOM;

    put_fmt(drawing,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%u\" "
            "viewBox=\"0 0 %.0f %u\">\n"
            "<style>text{font:11px ui-monospace,monospace;fill:#222}"
            ".b{cursor:pointer}.b:hover rect{stroke:#222}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fffdf8\"/>\n"
            "<text x=\"%d\" y=\"20\" style=\"font:bold 14px sans-serif\">%s</text>\n"
            "<text x=\"%d\" y=\"36\">",
            WIDTH + 2 * MARGIN, height, WIDTH + 2 * MARGIN, height, MARGIN,
            drawing->profile->kind == PROFILE_CPU ? "Weir: where CPU time goes"
                                                  : "Weir: who holds memory",
            MARGIN);
    add_weight(drawing, drawing->profile->weight);
    put_fmt(drawing,
            " %s. Callers above, callees below; a click widens a box.</text>\n<g "
            "transform=\"translate(%d)\">\n",
            drawing->profile->kind == PROFILE_CPU ? "of CPU time, sampled"
                                                  : "in use, estimated from samples",
            MARGIN);
}

bool profile_write_flamegraph(struct arena *arena, const struct profile *profile,
                              struct evbuffer *out)
{
    const struct node *root = make_tree(arena, profile);
    struct drawing drawing = {.profile = profile, .root = root, .out = out};

    if (!root)
        return false;
    add_frame(&drawing, rows_of(root, root));
    add_boxes(&drawing, root, 0, 0);
    put_fmt(&drawing, "</g>\n%s</svg>\n", script);
    return !drawing.failed;
}
