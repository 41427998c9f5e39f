/*
 * A named profile in pprof's own form: the protobuf message perftools.profiles.Profile
 * (proto/profile.proto of github.com/google/pprof), not compressed. The names are in it: whoever
 * reads it needs neither the program nor this port. Called by pprof.c; pure.
 *
 * A field is a varint of its number and type, then either a varint, or a length and as many bytes:
 * a string or another message. Mappings, locations (places) and functions (names) refer to each
 * other by their index plus one, 0 being none; all texts are indices of one table of strings, which
 * has the words below first, then the names, then the mapped files.
 */
#include "proxy/admin/profile.h"

#include <inttypes.h>
#include <stdio.h>

#define MESSAGE_BYTES 8192 /* a sample of the deepest stack: 1024 frames of 6 bytes at most */
#define VARINT 0u
#define BYTES 2u

enum profile_field {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE,
    PROFILE_MAPPING,
    PROFILE_LOCATION,
    PROFILE_FUNCTION,
    PROFILE_STRING,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS,
    PROFILE_PERIOD_TYPE,
    PROFILE_PERIOD,
    PROFILE_DEFAULT_SAMPLE_TYPE = 14
};
enum value_type_field {
    VALUE_TYPE = 1,
    VALUE_UNIT
};
enum sample_field {
    SAMPLE_LOCATION = 1,
    SAMPLE_VALUE
};
enum mapping_field {
    MAPPING_ID = 1,
    MAPPING_START,
    MAPPING_LIMIT,
    MAPPING_OFFSET,
    MAPPING_FILE,
    MAPPING_HAS_FUNCTIONS = 7
};
enum location_field {
    LOCATION_ID = 1,
    LOCATION_MAPPING,
    LOCATION_ADDRESS,
    LOCATION_LINE
};
enum line_field {
    LINE_FUNCTION = 1
};
enum function_field {
    FUNCTION_ID = 1,
    FUNCTION_NAME,
    FUNCTION_SYSTEM_NAME
};

#define WORD_TABLE(X)                                                                              \
    X(NONE, "")                                                                                    \
    X(SAMPLES, "samples")                                                                          \
    X(COUNT, "count")                                                                              \
    X(CPU, "cpu")                                                                                  \
    X(NANOSECONDS, "nanoseconds")                                                                  \
    X(INUSE_OBJECTS, "inuse_objects")                                                              \
    X(INUSE_SPACE, "inuse_space")                                                                  \
    X(SPACE, "space")                                                                              \
    X(BYTES, "bytes")

enum word {
#define WORD(symbol, text) WORD_##symbol,
    WORD_TABLE(WORD)
#undef WORD
    WORDS
};

static const char *const words[] = {
#define WORD(symbol, text) text,
    WORD_TABLE(WORD)
#undef WORD
};

struct mapping {
    uint64_t start, limit, offset;
    const char *file;
};

struct writer {
    const struct profile *profile;
    struct mapping *mappings; /* executable ones, by address */
    size_t mappings_count;
    struct evbuffer *out;
    bool failed;
};

/* ---- the wire format ---- */

static void put_varint(struct appender *to, uint64_t value)
{
    char byte;

    for (; value >= 0x80; value >>= 7) {
        byte = (char)(value | 0x80);
        append(to, &byte, 1);
    }
    byte = (char)value;
    append(to, &byte, 1);
}

static void put_number(struct appender *to, unsigned field, uint64_t value)
{
    put_varint(to, field << 3 | VARINT);
    put_varint(to, value);
}

static void add_number(struct writer *writer, enum profile_field field, uint64_t value)
{
    char bytes[16];
    struct appender to = appender_on(bytes, sizeof(bytes));

    put_number(&to, field, value);
    writer->failed |= evbuffer_add(writer->out, bytes, to.len) != 0;
}

static void add_bytes(struct writer *writer, enum profile_field field, const char *from, size_t len)
{
    char bytes[16];
    struct appender head = appender_on(bytes, sizeof(bytes));

    put_varint(&head, (unsigned)field << 3 | BYTES);
    put_varint(&head, len);
    writer->failed |= evbuffer_add(writer->out, bytes, head.len) != 0 ||
                      evbuffer_add(writer->out, from, len) != 0;
}

static void add_message(struct writer *writer, enum profile_field field,
                        const struct appender *message)
{
    weir_assert(!message->overflow);
    add_bytes(writer, field, message->ptr, message->len);
}

/* ---- the messages ---- */

static void add_value_type(struct writer *writer, enum profile_field field, enum word type,
                           enum word unit)
{
    char bytes[64];
    struct appender message = appender_on(bytes, sizeof(bytes));

    put_number(&message, VALUE_TYPE, type);
    put_number(&message, VALUE_UNIT, unit);
    add_message(writer, field, &message);
}

/* What is said of all samples. */
static void add_head(struct writer *writer, struct profile_time time)
{
    if (writer->profile->kind == PROFILE_CPU) {
        add_value_type(writer, PROFILE_SAMPLE_TYPE, WORD_SAMPLES, WORD_COUNT);
        add_value_type(writer, PROFILE_SAMPLE_TYPE, WORD_CPU, WORD_NANOSECONDS);
        add_value_type(writer, PROFILE_PERIOD_TYPE, WORD_CPU, WORD_NANOSECONDS);
        add_number(writer, PROFILE_PERIOD, writer->profile->period * 1000);
        add_number(writer, PROFILE_DURATION_NANOS, time.lasted_ns);
    } else {
        add_value_type(writer, PROFILE_SAMPLE_TYPE, WORD_INUSE_OBJECTS, WORD_COUNT);
        add_value_type(writer, PROFILE_SAMPLE_TYPE, WORD_INUSE_SPACE, WORD_BYTES);
        add_value_type(writer, PROFILE_PERIOD_TYPE, WORD_SPACE, WORD_BYTES);
        add_number(writer, PROFILE_PERIOD, writer->profile->period);
        add_number(writer, PROFILE_DEFAULT_SAMPLE_TYPE, WORD_INUSE_SPACE);
    }
    add_number(writer, PROFILE_TIME_NANOS, time.began_ns);
}

static void add_sample(struct writer *writer, const struct profile_sample *sample)
{
    bool cpu = writer->profile->kind == PROFILE_CPU;
    char bytes[MESSAGE_BYTES];
    struct appender message = appender_on(bytes, sizeof(bytes));

    for (unsigned d = 0; d < sample->depth; d++)
        put_number(&message, SAMPLE_LOCATION, (uint64_t)sample->places[d] + 1);
    put_number(&message, SAMPLE_VALUE, sample->count);
    put_number(&message, SAMPLE_VALUE,
               cpu ? sample->weight * writer->profile->period * 1000 : sample->weight);
    add_message(writer, PROFILE_SAMPLE, &message);
}

static void add_mapping(struct writer *writer, size_t index)
{
    const struct mapping *mapping = &writer->mappings[index];
    char bytes[128];
    struct appender message = appender_on(bytes, sizeof(bytes));

    put_number(&message, MAPPING_ID, index + 1);
    put_number(&message, MAPPING_START, mapping->start);
    put_number(&message, MAPPING_LIMIT, mapping->limit);
    put_number(&message, MAPPING_OFFSET, mapping->offset);
    put_number(&message, MAPPING_FILE, WORDS + writer->profile->names_count + index);
    put_number(&message, MAPPING_HAS_FUNCTIONS, true);
    add_message(writer, PROFILE_MAPPING, &message);
}

static uint64_t mapping_id(const struct writer *writer, uint64_t pc)
{
    for (size_t i = 0; i < writer->mappings_count; i++)
        if (pc >= writer->mappings[i].start && pc < writer->mappings[i].limit)
            return i + 1;
    return 0;
}

static void add_location(struct writer *writer, size_t index)
{
    const struct profile_place *place = &writer->profile->places[index];
    char bytes[128], line_bytes[16];
    struct appender message = appender_on(bytes, sizeof(bytes)),
                    line = appender_on(line_bytes, sizeof(line_bytes));

    put_number(&line, LINE_FUNCTION, (uint64_t)place->name + 1);
    put_number(&message, LOCATION_ID, index + 1);
    put_number(&message, LOCATION_MAPPING, mapping_id(writer, place->pc));
    put_number(&message, LOCATION_ADDRESS, place->pc);
    put_varint(&message, LOCATION_LINE << 3 | BYTES);
    put_varint(&message, line.len);
    append(&message, line.ptr, line.len);
    add_message(writer, PROFILE_LOCATION, &message);
}

static void add_function(struct writer *writer, size_t index)
{
    char bytes[64];
    struct appender message = appender_on(bytes, sizeof(bytes));

    put_number(&message, FUNCTION_ID, index + 1);
    put_number(&message, FUNCTION_NAME, WORDS + index);
    put_number(&message, FUNCTION_SYSTEM_NAME, WORDS + index);
    add_message(writer, PROFILE_FUNCTION, &message);
}

static void add_strings(struct writer *writer)
{
    for (size_t i = 0; i < WORDS; i++)
        add_bytes(writer, PROFILE_STRING, words[i], strlen(words[i]));
    for (size_t i = 0; i < writer->profile->names_count; i++)
        add_bytes(writer, PROFILE_STRING, writer->profile->names[i],
                  strlen(writer->profile->names[i]));
    for (size_t i = 0; i < writer->mappings_count; i++)
        add_bytes(writer, PROFILE_STRING, writer->mappings[i].file,
                  strlen(writer->mappings[i].file));
}

/* ---- /proc/self/maps ---- */

/* "5000-7000 r-xp 00001000 08:01 123   /usr/bin/weir"; false when nothing is executed there. */
static bool read_mapping(char *line, struct mapping *mapping)
{
    static const char deleted[] = " (deleted)"; /* a newer program has its place */
    char rights[5], *mark;
    int path = 0;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &mapping->start,
               &mapping->limit, rights, &mapping->offset, &path) != 4 ||
        path == 0 || rights[2] != 'x')
        return false;
    mark = strstr(line + path, deleted);
    if (mark && mark[sizeof(deleted) - 1] == '\0')
        *mark = '\0';
    mapping->file = line + path;
    return true;
}

static bool read_mappings(struct arena *arena, struct str maps, struct writer *writer)
{
    char *text = arena_alloc(arena, maps.len + 1), *end;
    size_t lines = 0;

    if (!text)
        return false;
    memcpy(text, maps.ptr, maps.len);
    text[maps.len] = '\0';
    for (size_t i = 0; i < maps.len; i++)
        lines += text[i] == '\n';
    writer->mappings = arena_alloc(arena, (lines + 1) * sizeof(*writer->mappings));
    if (!writer->mappings)
        return false;
    for (; (end = strchr(text, '\n')); text = end + 1) {
        *end = '\0';
        writer->mappings_count += read_mapping(text, &writer->mappings[writer->mappings_count]);
    }
    return true;
}

bool profile_write_proto(struct arena *arena, const struct profile *profile, struct str maps,
                         struct profile_time time, struct evbuffer *out)
{
    struct writer writer = {.profile = profile, .out = out};

    if (!read_mappings(arena, maps, &writer))
        return false;
    add_head(&writer, time);
    for (size_t i = 0; i < profile->samples_count; i++)
        if (profile->samples[i].depth > 0)
            add_sample(&writer, &profile->samples[i]);
    for (size_t i = 0; i < writer.mappings_count; i++)
        add_mapping(&writer, i);
    for (size_t i = 0; i < profile->places_count; i++)
        add_location(&writer, i);
    for (size_t i = 0; i < profile->names_count; i++)
        add_function(&writer, i);
    add_strings(&writer);
    return !writer.failed;
}
