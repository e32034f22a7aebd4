#include "framework/base/list.h"
#include "tests/support/test.h"

struct item {
    int value;
    struct eddy_link link;
};

static struct item *item_of(struct eddy_link *l)
{
    return EDDY_CONTAINER_OF(l, struct item, link);
}

/* Forwards in ret, and the same backwards, as decimal digits. */
static long digits(const struct eddy_link *head)
{
    long forwards = 0, backwards = 0, place = 1;

    for (struct eddy_link *l = head->next; l != head; l = l->next)
        forwards = forwards * 10 + item_of(l)->value;
    for (struct eddy_link *l = head->prev; l != head; l = l->prev) {
        backwards += place * item_of(l)->value;
        place *= 10;
    }
    CHECK_INT(forwards, backwards);
    return forwards;
}

static struct item items[10];

static void fill(struct eddy_link *head, int from, int to)
{
    eddy_list_init(head);
    for (int i = from; i <= to; i++) {
        items[i] = (struct item){.value = i};
        eddy_list_append(head, &items[i].link);
    }
}

static void members_keep_their_order(void)
{
    struct eddy_link head;

    fill(&head, 1, 0);
    CHECK(eddy_list_empty(&head));
    CHECK_INT(digits(&head), 0);
    fill(&head, 1, 4);
    CHECK(!eddy_list_empty(&head));
    CHECK_INT(digits(&head), 1234);
}

static void members_can_be_removed_anywhere(void)
{
    struct eddy_link head;

    fill(&head, 1, 5);
    eddy_link_remove(&items[3].link);
    CHECK_INT(digits(&head), 1245);
    CHECK(!eddy_link_is_member(&items[3].link));
    CHECK(eddy_link_is_member(&items[4].link));
    eddy_link_remove(&items[1].link);
    eddy_link_remove(&items[5].link);
    CHECK_INT(digits(&head), 24);
    eddy_link_remove(&items[2].link);
    eddy_link_remove(&items[4].link);
    CHECK(eddy_list_empty(&head));
}

static void removing_a_stranger_is_harmless(void)
{
    struct eddy_link head, zeroed = {0};

    fill(&head, 1, 2);
    eddy_link_remove(&zeroed);
    eddy_link_remove(&items[1].link);
    eddy_link_remove(&items[1].link);
    CHECK_INT(digits(&head), 2);
}

static void removed_members_can_come_back(void)
{
    struct eddy_link head;

    fill(&head, 1, 3);
    eddy_link_remove(&items[1].link);
    eddy_list_append(&head, &items[1].link);
    CHECK_INT(digits(&head), 231);
}

static void pop_takes_the_first(void)
{
    struct eddy_link head;

    fill(&head, 1, 2);
    CHECK(eddy_list_pop(&head) == &items[1].link);
    CHECK(!eddy_link_is_member(&items[1].link));
    CHECK(eddy_list_pop(&head) == &items[2].link);
    CHECK(eddy_list_pop(&head) == NULL);
    CHECK(eddy_list_empty(&head));
}

static void splice_moves_all_to_the_end(void)
{
    struct eddy_link to, from;

    fill(&to, 1, 2);
    fill(&from, 3, 5);
    eddy_list_splice(&to, &from);
    CHECK_INT(digits(&to), 12345);
    CHECK(eddy_list_empty(&from));
    eddy_list_splice(&to, &from);
    CHECK_INT(digits(&to), 12345);
    eddy_list_splice(&from, &to);
    CHECK_INT(digits(&from), 12345);
    CHECK(eddy_list_empty(&to));
}

const struct test_case test_cases[] = {
    TEST(members_keep_their_order),
    TEST(members_can_be_removed_anywhere),
    TEST(removing_a_stranger_is_harmless),
    TEST(removed_members_can_come_back),
    TEST(pop_takes_the_first),
    TEST(splice_moves_all_to_the_end),
    TEST_END,
};
