/* A circular doubly-linked list of links embedded in its members (struct eddy_link). */
#ifndef EDDY_BASE_LIST_H
#define EDDY_BASE_LIST_H

#include <eddy/base.h>

static inline void eddy_list_init(struct eddy_link *head)
{
    head->next = head->prev = head;
}

static inline bool eddy_list_empty(const struct eddy_link *head)
{
    return head->next == head;
}

/* True while the link is a member of a list. (Links start zeroed.) */
static inline bool eddy_link_is_member(const struct eddy_link *l)
{
    return l->next != NULL;
}

/* Makes l the last member. */
static inline void eddy_list_append(struct eddy_link *head, struct eddy_link *l)
{
    l->next = head;
    l->prev = head->prev;
    head->prev->next = l;
    head->prev = l;
}

/* Harmless on a link that is no member. */
static inline void eddy_link_remove(struct eddy_link *l)
{
    if (l->next == NULL)
        return;
    l->next->prev = l->prev;
    l->prev->next = l->next;
    l->next = l->prev = NULL;
}

/* Takes the first member out; NULL when empty. */
static inline struct eddy_link *eddy_list_pop(struct eddy_link *head)
{
    struct eddy_link *l = head->next;

    if (l == head)
        return NULL;
    head->next = l->next;
    l->next->prev = head;
    l->next = NULL; /* the mark of no member; prev may stay */
    return l;
}

/* Moves all members of `from` to the end of `to`. */
static inline void eddy_list_splice(struct eddy_link *to, struct eddy_link *from)
{
    if (eddy_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    eddy_list_init(from);
}

#endif
