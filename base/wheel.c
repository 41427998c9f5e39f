/*
 * The deadline wheel: all deadlines of one thread, each a timer embedded in what has it.
 *
 * A ring of slots, one a tick; a timer lies in the slot of its tick, one that is further away than
 * the ring reaches in the last. `slot_ms` is when its slot comes up: never after `due_ms`, often
 * long before it, because a deadline that moves later is only stored. When a slot comes up, what is
 * not due yet goes where it now belongs. Nothing is owned: whoever frees a timer cancels it first.
 * One thread, that of the wheel.
 *
 * A timer: out → wheel_set → in a slot → (slot comes up, not due) → in a later slot
 *          in a slot → (slot comes up, due) → gathered → on_due, out
 *          in a slot or gathered → wheel_cancel, or slot comes up with WHEEL_NEVER → out
 */
#include "base/base.h"

#define SLOT_GATHERED                                                                              \
    INT64_MIN /* no deadline is earlier, so that a gathered timer is never moved */

_Static_assert((WHEEL_SLOTS & (WHEEL_SLOTS - 1)) == 0, "slots are found by mask");

void wheel_init(struct wheel *wheel, int64_t now_ms)
{
    weir_assert(now_ms >= 0);
    wheel->now_ms = now_ms;
    wheel->timers = 0;
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        list_init(&wheel->slots[i]);
}

void wheel_timer_init(struct wheel_timer *timer, void (*on_due)(struct wheel_timer *, int64_t))
{
    list_init(&timer->link);
    timer->due_ms = WHEEL_NEVER;
    timer->slot_ms = WHEEL_NEVER;
    timer->on_due = on_due;
}

static struct list_link *slot_at(struct wheel *wheel, int64_t tick)
{
    return &wheel->slots[(uint64_t)tick & (WHEEL_SLOTS - 1)];
}

/* The tick in whose slot a deadline lies, seen from now: that of now when it has passed. */
static int64_t tick_of(const struct wheel *wheel, int64_t due_ms)
{
    int64_t now_tick = wheel->now_ms / WHEEL_TICK_MS;
    int64_t tick = due_ms / WHEEL_TICK_MS;
    if (tick < now_tick)
        return now_tick;
    if (tick - now_tick >= (int64_t)WHEEL_SLOTS)
        return now_tick + WHEEL_SLOTS - 1;
    return tick;
}

/* The timer is in no list. */
static void place(struct wheel *wheel, struct wheel_timer *timer)
{
    int64_t tick = tick_of(wheel, timer->due_ms);
    timer->slot_ms = tick * WHEEL_TICK_MS;
    list_push_back(slot_at(wheel, tick), &timer->link);
}

void wheel_set(struct wheel *wheel, struct wheel_timer *timer, int64_t due_ms)
{
    timer->due_ms = due_ms;
    if (weir_likely(list_linked(&timer->link))) {
        if (weir_likely(due_ms >= timer->slot_ms))
            return;
        list_remove(&timer->link);
    } else {
        if (due_ms == WHEEL_NEVER)
            return;
        wheel->timers++;
    }
    place(wheel, timer);
}

static void unlink_timer(struct wheel *wheel, struct wheel_timer *timer)
{
    list_remove(&timer->link);
    weir_assert(wheel->timers > 0);
    wheel->timers--;
}

void wheel_cancel(struct wheel *wheel, struct wheel_timer *timer)
{
    timer->due_ms = WHEEL_NEVER;
    if (list_linked(&timer->link))
        unlink_timer(wheel, timer);
}

/* Moves the due timers of a slot to the list `due`, and the others to their own slots. */
static void gather_slot(struct wheel *wheel, struct list_link *slot, struct list_link *due)
{
    struct list_link *next;
    for (struct list_link *link = slot->next; link != slot; link = next) {
        struct wheel_timer *timer = weir_container(link, struct wheel_timer, link);
        next = link->next;
        if (timer->due_ms == WHEEL_NEVER) {
            unlink_timer(wheel, timer);
        } else if (timer->due_ms <= wheel->now_ms) {
            list_remove(link);
            list_push_back(due, link);
            timer->slot_ms = SLOT_GATHERED;
        } else if (slot_at(wheel, tick_of(wheel, timer->due_ms)) != slot) {
            list_remove(link);
            place(wheel, timer);
        } else {
            timer->slot_ms = tick_of(wheel, timer->due_ms) * WHEEL_TICK_MS;
        }
    }
}

/* Callbacks may set and cancel any timer, those of the list too, so each is looked at again. */
static unsigned call_due(struct wheel *wheel, struct list_link *due)
{
    int64_t now_ms = wheel->now_ms;
    unsigned called = 0;
    while (!list_empty(due)) {
        struct wheel_timer *timer = weir_container(due->next, struct wheel_timer, link);
        if (timer->due_ms > now_ms && timer->due_ms != WHEEL_NEVER) {
            list_remove(&timer->link);
            place(wheel, timer);
            continue;
        }
        unlink_timer(wheel, timer);
        if (timer->due_ms == WHEEL_NEVER)
            continue;
        timer->due_ms = WHEEL_NEVER;
        called++;
        timer->on_due(timer, now_ms);
    }
    return called;
}

unsigned wheel_advance(struct wheel *wheel, int64_t now_ms)
{
    int64_t tick = wheel->now_ms / WHEEL_TICK_MS;
    if (now_ms > wheel->now_ms)
        wheel->now_ms = now_ms;
    if (wheel->timers == 0)
        return 0;

    /* The slot of the tick that is not over yet is visited now and next time. */
    int64_t last_tick = wheel->now_ms / WHEEL_TICK_MS;
    if (last_tick - tick >= (int64_t)WHEEL_SLOTS)
        last_tick = tick + WHEEL_SLOTS - 1;
    struct list_link due;
    list_init(&due);
    for (; tick <= last_tick; tick++)
        gather_slot(wheel, slot_at(wheel, tick), &due);
    return call_due(wheel, &due);
}
