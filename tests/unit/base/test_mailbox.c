/* base/mailbox.c: order, one wake-up a burst, mail that is posted again or freed, several threads.
 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static struct mailbox box;

static int make_box(void **state)
{
    (void)state;
    mailbox_init(&box);
    mailbox_adopt(&box);
    return 0;
}

static int destroy_box(void **state)
{
    (void)state;
    mailbox_destroy(&box);
    return mailbox_current() != NULL;
}

static bool readable(int timeout_ms)
{
    struct pollfd poll_fd = {.fd = box.event_fd, .events = POLLIN};
    return poll(&poll_fd, 1, timeout_ms) == 1;
}

/* A mail that writes its letter down, and posts itself again so many times. */
struct letter {
    struct mail mail;
    char letter;
    unsigned again;
    struct letter *also; /* posted by the delivery */
};

static char delivered[64];
static size_t delivered_len;

static void on_letter(struct mail *mail)
{
    struct letter *letter = weir_container(mail, struct letter, mail);
    delivered[delivered_len++] = letter->letter;
    if (letter->again > 0) {
        letter->again--;
        mailbox_post(&box, mail);
    }
    if (letter->also)
        mailbox_post(&box, &letter->also->mail);
}

static void assert_delivered(const char *expected)
{
    delivered[delivered_len] = '\0';
    assert_string_equal(delivered, expected);
    delivered_len = 0;
}

static void test_local(void **state)
{
    (void)state;
    assert_ptr_equal(mailbox_current(), &box);
    struct letter c = {.mail.deliver = on_letter, .letter = 'c'};
    struct letter a = {.mail.deliver = on_letter, .letter = 'a', .again = 2};
    struct letter b = {.mail.deliver = on_letter, .letter = 'b', .also = &c};
    mailbox_run_local(&box);
    assert_delivered("");
    mailbox_post(&box, &a.mail);
    mailbox_post(&box, &b.mail);
    assert_false(readable(0)); /* no system call */
    assert_delivered("");      /* not from within mailbox_post() */
    mailbox_run_local(&box);
    assert_delivered("abaca");
    mailbox_post(&box, &c.mail);
    mailbox_run_local(&box);
    assert_delivered("c");
}

static struct letter posted[3];

static void *post_three(void *nothing)
{
    assert_null(mailbox_current());
    for (unsigned i = 0; i < 3; i++) {
        posted[i] = (struct letter){.mail.deliver = on_letter, .letter = (char)('x' + i)};
        posted[i].again = i == 1; /* y once more */
        mailbox_post(&box, &posted[i].mail);
    }
    return nothing;
}

static void test_foreign(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        assert_false(readable(0));
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, post_three, NULL), 0);
        pthread_join(thread, NULL);
        assert_true(readable(0));
        uint64_t writes;
        assert_int_equal(read(box.event_fd, &writes, sizeof writes), sizeof writes);
        assert_int_equal(writes, 1); /* one for the burst */
        mailbox_run_foreign(&box);
        assert_false(readable(0));
        assert_delivered("xyz");
        mailbox_run_local(&box); /* what a delivery posts is the owner's own mail */
        assert_delivered("y");
        mailbox_run_foreign(&box); /* harmless with nothing there */
        assert_delivered("");
    }
}

/* ---- several threads ---- */

#define POSTERS 4
#define EACH 20000

struct numbered {
    struct mail mail;
    unsigned poster, number;
};

static unsigned next_number[POSTERS], received;

static void on_numbered(struct mail *mail)
{
    struct numbered *numbered = weir_container(mail, struct numbered, mail);
    assert_int_equal(numbered->number, next_number[numbered->poster]);
    next_number[numbered->poster]++;
    received++;
    free(numbered);
}

static void *post_many(void *argument)
{
    unsigned poster = *(unsigned *)argument;
    for (unsigned i = 0; i < EACH; i++) {
        struct numbered *numbered = base_alloc(sizeof *numbered);
        *numbered = (struct numbered){{NULL, on_numbered}, poster, i};
        mailbox_post(&box, &numbered->mail);
    }
    return NULL;
}

/* Waits on the eventfd only: a wake-up that is lost shows as a time-out. */
static void test_many_posters(void **state)
{
    (void)state;
    pthread_t threads[POSTERS];
    unsigned numbers[POSTERS];
    received = 0;
    memset(next_number, 0, sizeof next_number);
    for (unsigned i = 0; i < POSTERS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &numbers[i]), 0);
    }
    while (received < POSTERS * EACH) {
        assert_true(readable(20000));
        mailbox_run_foreign(&box);
    }
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(received, POSTERS * EACH);
}

/* One mail goes to and fro between two threads; what it carries is guarded by nothing else. */
static struct mailbox far_box;
static struct ball {
    struct mail mail;
    unsigned passes;
} ball;

static void on_ball(struct mail *mail)
{
    ball.passes++;
    mailbox_post(mailbox_current() == &box ? &far_box : &box, mail);
}

#define PASSES 4000

static bool play(struct mailbox *own)
{
    struct pollfd poll_fd = {.fd = own->event_fd, .events = POLLIN};
    for (unsigned i = 0; i < PASSES; i++) {
        if (poll(&poll_fd, 1, 20000) != 1)
            return false;
        mailbox_run_foreign(own);
    }
    return true;
}

static void *play_far(void *result)
{
    mailbox_adopt(&far_box);
    *(bool *)result = play(&far_box);
    return NULL;
}

static void test_to_and_fro(void **state)
{
    (void)state;
    bool good = false;
    pthread_t thread;
    mailbox_init(&far_box);
    ball.mail.deliver = on_ball;
    assert_int_equal(pthread_create(&thread, NULL, play_far, &good), 0);
    mailbox_post(&far_box, &ball.mail);
    assert_true(play(&box));
    pthread_join(thread, NULL);
    assert_true(good);
    assert_int_equal(ball.passes, 2 * PASSES);
    mailbox_destroy(&far_box);
}

#define BOX_TEST(test) cmocka_unit_test_setup_teardown(test, make_box, destroy_box)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOX_TEST(test_local),
        BOX_TEST(test_foreign),
        BOX_TEST(test_many_posters),
        BOX_TEST(test_to_and_fro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
