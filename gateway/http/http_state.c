// http_state: the server's lists: which state a connection is in and since when, which connections
// have something to send, and when the next one's time is up.
#include "http_private.h"

#include "clock.h"

void http_state_arm_timer(http_server_t *self, uint64_t at_us)
{
    if (self->armed_us > 0 && self->armed_us <= at_us)
        return;
    uint64_t now = rl_now_us();
    uint64_t left = at_us > now ? at_us - now : 0;
    self->armed_us = at_us;
    rl_timer_after(self->timer, left);
}

void http_state_resume_accepting(http_server_t *self)
{
    if (self->counts.open_connections >= self->max_connections || !self->paused || !self->accepting)
        return;
    self->paused = false;
    event_add(self->accepting, NULL);
}

void http_state_leave(http_conn_t *conn)
{
    http_list_t *list = &conn->server->lists[conn->state];
    *(conn->prev ? &conn->prev->next : &list->first) = conn->next;
    *(conn->next ? &conn->next->prev : &list->last) = conn->prev;
    list->size--;
}

void http_state_enter(http_conn_t *conn, http_state_t state)
{
    http_list_t *list = &conn->server->lists[state];
    conn->state = state;
    conn->since_us = rl_now_us();
    conn->next = NULL;
    conn->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = conn;
    list->last = conn;
    list->size++;
    if (list->limit_us > 0)
        http_state_arm_timer(conn->server, conn->since_us + list->limit_us);
}

void http_state_set(http_conn_t *conn, http_state_t state)
{
    http_state_leave(conn);
    http_state_enter(conn, state);
}

void http_state_mark(http_conn_t *conn)
{
    http_server_t *server = conn->server;
    if (conn->dirty)
        return;
    if (!server->dirty_first)
        rl_proc_request_turn(server->proc); // in case this turn's hooks have run already
    conn->dirty = true;
    conn->dirty_next = NULL;
    conn->dirty_prev = server->dirty_last;
    *(server->dirty_last ? &server->dirty_last->dirty_next : &server->dirty_first) = conn;
    server->dirty_last = conn;
}

void http_state_unmark(http_conn_t *conn)
{
    http_server_t *server = conn->server;
    if (!conn->dirty)
        return;
    conn->dirty = false;
    *(conn->dirty_prev ? &conn->dirty_prev->dirty_next : &server->dirty_first) = conn->dirty_next;
    *(conn->dirty_next ? &conn->dirty_next->dirty_prev : &server->dirty_last) = conn->dirty_prev;
}
