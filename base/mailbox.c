/*
 * Mailboxes: how a thread is given work, by itself for after the present callback, or by other
 * threads.
 *
 * Mail is embedded in what is to be run and owned by whoever posts it; deliver() may post it again
 * or free it. Own mail goes to a queue that no other thread sees. Foreign mail is pushed on a stack
 * with a compare and exchange, taken whole by the owner with one exchange, and reversed, so that it
 * is delivered in the order of posting. The eventfd is written by the push that finds the stack
 * empty: once for a burst. The owner empties the eventfd *before* it takes the stack, so that a
 * push in between leaves it readable.
 */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Thread_local struct mailbox *current;

void mailbox_init(struct mailbox *mailbox)
{
    mailbox->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->event_fd < 0) {
        log_error("making a thread's mailbox: eventfd: %s; ending", strerror(errno));
        exit(2);
    }
    atomic_init(&mailbox->foreign, NULL);
    mailbox->local_head = NULL;
    mailbox->local_tail = &mailbox->local_head;
}

void mailbox_destroy(struct mailbox *mailbox)
{
    if (current == mailbox)
        current = NULL;
    close(mailbox->event_fd);
    mailbox->event_fd = -1;
}

void mailbox_adopt(struct mailbox *mailbox)
{
    weir_assert(current == NULL || current == mailbox);
    current = mailbox;
}

void mailbox_disown(struct mailbox *mailbox)
{
    weir_assert(current == mailbox);
    current = NULL;
}

struct mailbox *mailbox_current(void)
{
    return current;
}

/* Once the mail is pushed it may be delivered, and freed, at any moment. */
static void post_foreign(struct mailbox *mailbox, struct mail *mail)
{
    struct mail *head = atomic_load_explicit(&mailbox->foreign, memory_order_relaxed);
    do {
        mail->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->foreign, &head, mail,
                                                    memory_order_release, memory_order_relaxed));
    if (head != NULL)
        return;
    uint64_t one = 1;
    ssize_t written = write(mailbox->event_fd, &one, sizeof one);
    /* EAGAIN: its counter is full, so it is readable. */
    weir_assert(written == sizeof one || errno == EAGAIN);
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    if (current != mailbox) {
        post_foreign(mailbox, mail);
        return;
    }
    mail->next = NULL;
    *mailbox->local_tail = mail;
    mailbox->local_tail = &mail->next;
}

void mailbox_post_later(struct mailbox *mailbox, struct mail *mail)
{
    weir_assert(current == mailbox);
    post_foreign(mailbox, mail);
}

bool mailbox_withdraw(struct mailbox *mailbox, struct mail *mail)
{
    struct mail **at = &mailbox->local_head;

    weir_assert(current == mailbox);
    while (*at && *at != mail)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = mail->next;
    if (!*at)
        mailbox->local_tail = at;
    return true;
}

void mailbox_run_local(struct mailbox *mailbox)
{
    weir_assert(current == mailbox);
    struct mail *mail;
    while ((mail = mailbox->local_head) != NULL) {
        mailbox->local_head = mail->next;
        if (mail->next == NULL)
            mailbox->local_tail = &mailbox->local_head;
        mail->deliver(mail);
    }
}

static struct mail *reverse(struct mail *newest)
{
    struct mail *oldest = NULL;
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

void mailbox_run_foreign(struct mailbox *mailbox)
{
    weir_assert(current == mailbox);
    uint64_t count;
    ssize_t got = read(mailbox->event_fd, &count, sizeof count);
    weir_assert(got == sizeof count || errno == EAGAIN);

    struct mail *newest = atomic_exchange_explicit(&mailbox->foreign, NULL, memory_order_acquire);
    struct mail *next;
    for (struct mail *mail = reverse(newest); mail; mail = next) {
        next = mail->next;
        mail->deliver(mail);
    }
}
