/*
 * A tunnel: after a 101, bytes pass both ways unseen (RFC 9110 §7.8), each end's close shuts down
 * the other's reading only when what was sent before has been taken.
 *
 * It takes over the events of both connections, which stay embedded in the session and the fetch
 * that own them. Each direction reads only while the other side takes: at most one read buffer
 * waits. It ends when both directions have, when one side breaks, or when nothing moves for
 * limits.idle_timeout; the owner is told by mail, outside of any event of the two.
 */
#include "proxy/proxy.h"

#include <stdlib.h>

#define TUNNEL_MAGIC 0x54554e4eu
#define BYTES_PER_WAKE_UP (1024 * 1024)

struct tunnel {
    unsigned magic;
    struct worker *worker;
    struct net_conn *client, *origin; /* borrowed */
    void *owner;
    void (*on_end)(void *owner, uint64_t to_client_bytes);
    struct wheel_timer idle;
    struct mail mail; /* its end */
    struct mail turn; /* more after others had theirs */
    bool mail_posted, turn_posted, ended, client_ended, origin_ended;
    uint64_t to_client_bytes;
};

static void on_mail(struct mail *mail)
{
    struct tunnel *tunnel = weir_container(mail, struct tunnel, mail);

    weir_check_magic(tunnel, TUNNEL_MAGIC);
    tunnel->mail_posted = false;
    tunnel->on_end(tunnel->owner, tunnel->to_client_bytes);
}

static void end(struct tunnel *tunnel)
{
    if (tunnel->ended)
        return;
    tunnel->ended = tunnel->mail_posted = true;
    mailbox_post(&tunnel->worker->loop.mailbox, &tunnel->mail);
}

static void touch(struct tunnel *tunnel)
{
    wheel_set(&tunnel->worker->loop.wheel, &tunnel->idle,
              tunnel->worker->loop.now_ms + tunnel->worker->conf->limits.idle_timeout_ms);
}

static void take_next_turn(struct tunnel *tunnel)
{
    if (tunnel->turn_posted)
        return;
    tunnel->turn_posted = true;
    net_loop_later(&tunnel->worker->loop, &tunnel->turn);
}

/* Moves what there is from one side to the other. */
static void pump(struct tunnel *tunnel, struct net_conn *from, struct net_conn *to,
                 bool *from_ended)
{
    char *buffer = tunnel->worker->loop.read_buffer;
    size_t moved = 0;

    while (!tunnel->ended && !*from_ended && !to->queued) {
        ssize_t n = (ssize_t)net_conn_take_input(from, buffer, NET_READ_BUFFER);
        struct net_piece piece;

        if (n == 0)
            n = net_conn_recv(from, buffer, NET_READ_BUFFER);
        if (n == NET_AGAIN)
            return;
        if (n == NET_BROKEN) {
            end(tunnel);
            return;
        }
        if (n == 0) {
            *from_ended = true;
            net_conn_shutdown(to);
            if (tunnel->client_ended && tunnel->origin_ended)
                end(tunnel);
            return;
        }
        moved += (size_t)n;
        touch(tunnel);
        piece = (struct net_piece){buffer, (size_t)n, false};
        if (net_conn_send(to, &piece, 1) == NET_SENT_FAILED)
            end(tunnel);
        else if (to == tunnel->client)
            tunnel->to_client_bytes += (uint64_t)n;
        if (moved > BYTES_PER_WAKE_UP) {
            take_next_turn(tunnel);
            return;
        }
    }
}

static void on_event(struct tunnel *tunnel, enum net_event what)
{
    weir_check_magic(tunnel, TUNNEL_MAGIC);
    if (tunnel->ended)
        return;
    if (what == NET_FAILED) {
        end(tunnel);
        return;
    }
    pump(tunnel, tunnel->client, tunnel->origin, &tunnel->client_ended);
    pump(tunnel, tunnel->origin, tunnel->client, &tunnel->origin_ended);
}

static void on_turn(struct mail *mail)
{
    struct tunnel *tunnel = weir_container(mail, struct tunnel, turn);

    tunnel->turn_posted = false;
    on_event(tunnel, NET_READABLE);
}

static void on_conn(struct net_conn *conn, enum net_event what)
{
    on_event(conn->owner, what);
}

static void on_idle(struct wheel_timer *timer, int64_t now_ms)
{
    struct tunnel *tunnel = weir_container(timer, struct tunnel, idle);

    (void)now_ms;
    end(tunnel);
}

struct tunnel *tunnel_new(struct worker *worker, struct net_conn *origin, void *owner,
                          void (*on_end)(void *owner, uint64_t to_client_bytes))
{
    struct tunnel *tunnel = calloc(1, sizeof(*tunnel));

    if (!tunnel)
        return NULL;
    tunnel->magic = TUNNEL_MAGIC;
    tunnel->worker = worker;
    tunnel->origin = origin;
    tunnel->owner = owner;
    tunnel->on_end = on_end;
    tunnel->mail.deliver = on_mail;
    tunnel->turn.deliver = on_turn;
    wheel_timer_init(&tunnel->idle, on_idle);
    return tunnel;
}

void tunnel_start(struct tunnel *tunnel, struct net_conn *client)
{
    struct net_conn *origin = tunnel->origin;

    tunnel->client = client;
    client->owner = origin->owner = tunnel;
    client->on_event = origin->on_event = on_conn;
    touch(tunnel);
    on_event(tunnel, client->error ? NET_FAILED : NET_READABLE); /* of sending the 101 */
}

void tunnel_free(struct tunnel **taken)
{
    struct tunnel *tunnel = weir_take(taken);

    if (!tunnel)
        return;
    if (tunnel->mail_posted)
        net_loop_withdraw(&tunnel->worker->loop, &tunnel->mail);
    if (tunnel->turn_posted)
        net_loop_withdraw(&tunnel->worker->loop, &tunnel->turn);
    wheel_cancel(&tunnel->worker->loop.wheel, &tunnel->idle);
    tunnel->magic = 0;
    free(tunnel);
}
