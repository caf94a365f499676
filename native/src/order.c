/* Sorting rows by key within their partitions: stable, by eight bytes of the keys at a time. */
#include "gomr_native.h"

#define FEW 24 /* rows that are sorted by insertion */

typedef struct {
    const Store *store;
    Slot *spare;             /* as many as there are rows */
    uint64_t work;           /* bytes looked at */
    uint32_t counts[8][256]; /* of one radix sort; here, since the recursion may be deep */
} Sorter;

static inline const char *slot_key(const Sorter *sorter, const Slot *slot)
{
    return key_of(sorter->store, slot->row);
}

int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_from(const Sorter *sorter, const Slot *a, const Slot *b, size_t depth)
{
    return compare_bytes(slot_key(sorter, a) + depth, a->size - depth, slot_key(sorter, b) + depth,
                         b->size - depth);
}

static void insertion_sort(const Sorter *sorter, Slot *slots, size_t count, size_t depth)
{
    for (size_t i = 1; i < count; i++) {
        Slot moved = slots[i];
        size_t j = i;
        while (j && compare_from(sorter, &slots[j - 1], &moved, depth) > 0) {
            slots[j] = slots[j - 1];
            j--;
        }
        slots[j] = moved;
    }
}

/* How many bytes from `depth` on all keys share, at most `most`. */
static size_t shared_within(Sorter *sorter, const Slot *slots, size_t count, size_t depth,
                            size_t most)
{
    const char *first = slot_key(sorter, &slots[0]) + depth;
    size_t shared = slots[0].size - depth < most ? slots[0].size - depth : most;
    for (size_t i = 1; i < count && shared; i++) {
        const char *key = slot_key(sorter, &slots[i]) + depth;
        size_t left = slots[i].size - depth;
        sorter->work += shared;
        if (left < shared || memcmp(first, key, shared) != 0) {
            size_t same = 0;
            while (same < shared && same < left && first[same] == key[same]) {
                same++;
            }
            shared = same;
        }
    }
    return shared;
}

/* The same without a bound. More is only looked at behind what is shared, so that what is looked at in
 * vain is never much more than what is passed over for good. */
static size_t shared_bytes(Sorter *sorter, const Slot *slots, size_t count, size_t depth)
{
    for (size_t shared = 0, most = 16;; most *= 2) {
        size_t more = shared_within(sorter, slots, count, depth + shared, most);
        shared += more;
        if (more < most) {
            return shared;
        }
    }
}

static void radix_sort(Sorter *sorter, Slot *slots, size_t count)
{
    memset(sorter->counts, 0, sizeof sorter->counts);
    for (size_t i = 0; i < count; i++) {
        for (int byte = 0; byte < 8; byte++) {
            sorter->counts[byte][slots[i].prefix >> (8 * byte) & 255]++;
        }
    }
    Slot *from = slots, *to = sorter->spare;
    for (int byte = 0; byte < 8; byte++) {
        uint32_t *counts = sorter->counts[byte];
        if (counts[from[0].prefix >> (8 * byte) & 255] == count) {
            continue; /* all the same */
        }
        uint32_t at = 0;
        for (int b = 0; b < 256; b++) {
            uint32_t n = counts[b];
            counts[b] = at;
            at += n;
        }
        for (size_t i = 0; i < count; i++) {
            to[counts[from[i].prefix >> (8 * byte) & 255]++] = from[i];
        }
        Slot *other = from;
        from = to;
        to = other;
    }
    if (from != slots) {
        memcpy(slots, from, count * sizeof *slots);
    }
}

/* Of keys with the same 8 bytes at `depth` (padded with zeros), those that end within them come
 * first, the shorter ones before. Returns how many. */
static size_t place_ended(Sorter *sorter, Slot *slots, size_t count, size_t depth)
{
    size_t of_size[10] = {0}; /* 9: goes on */
    for (size_t i = 0; i < count; i++) {
        size_t left = slots[i].size - depth;
        of_size[left > 8 ? 9 : left]++;
    }
    size_t going_on = of_size[9], at = 0;
    int sizes = 0;
    for (int s = 0; s < 10; s++) {
        size_t n = of_size[s];
        sizes += n != 0;
        of_size[s] = at;
        at += n;
    }
    if (sizes > 1) {
        memcpy(sorter->spare, slots, count * sizeof *slots);
        for (size_t i = 0; i < count; i++) {
            size_t left = sorter->spare[i].size - depth;
            slots[of_size[left > 8 ? 9 : left]++] = sorter->spare[i];
        }
    }
    return count - going_on;
}

/* Sort by eight bytes at `depth`, or behind what all keys share from there on. */
static void sort_by_prefix(Sorter *sorter, Slot *slots, size_t count, size_t depth)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t word = load_upto8(slot_key(sorter, &slots[i]) + depth, slots[i].size - depth);
        slots[i].prefix = __builtin_bswap64(word);
    }
    radix_sort(sorter, slots, count);
    sorter->work += 8 * count;
}

/* The largest group of equal prefixes is the next round of the loop: so the recursion, into groups of
 * at most half the slots, is never deep. */
static void sort_slots(Sorter *sorter, Slot *slots, size_t count, size_t depth)
{
    while (count > FEW) {
        depth += shared_bytes(sorter, slots, count, depth);
        sort_by_prefix(sorter, slots, count, depth);
        depth += 8;
        Slot *rest = slots, *largest = slots;
        size_t left = count, most = 0;
        for (size_t end; left; left -= end, rest += end) {
            end = 1;
            while (end < left && rest[end].prefix == rest->prefix) {
                end++;
            }
            size_t ended = end > 1 ? place_ended(sorter, rest, end, depth - 8) : 1;
            Slot *others = rest + ended;
            size_t other_count = end - ended;
            if (other_count > most) {
                Slot *swapped = largest;
                size_t swapped_count = most;
                largest = others;
                most = other_count;
                others = swapped;
                other_count = swapped_count;
            }
            if (other_count > 1) {
                sort_slots(sorter, others, other_count, depth);
            }
        }
        slots = largest;
        count = most;
    }
    insertion_sort(sorter, slots, count, depth);
}

/* Rows into slots by partition, in row order; bounds as in order_rows. */
static void place_rows(Store *store, const uint32_t *where, uint32_t partitions, uint32_t *bounds)
{
    memset(bounds, 0, (partitions + 1) * sizeof *bounds);
    for (uint32_t row = 0; row < store->count; row++) {
        bounds[(where ? where[row] : 0) + 1]++;
    }
    for (uint32_t p = 0; p < partitions; p++) {
        bounds[p + 1] += bounds[p];
    }
    for (uint32_t row = 0; row < store->count; row++) {
        uint32_t at = bounds[where ? where[row] : 0]++;
        store->order[at] = (Slot){0, row, store->rows[row].key.size};
    }
    memmove(bounds + 1, bounds, partitions * sizeof *bounds);
    bounds[0] = 0;
}

int order_rows(Store *store, const uint32_t *where, uint32_t partitions, uint32_t *bounds)
{
    size_t slots = store->count ? store->count : 1;
    Sorter *sorter = malloc(sizeof *sorter);
    Slot *spare = malloc(slots * sizeof *spare);
    Slot *order = realloc(store->order, slots * sizeof *order);
    if (order) {
        store->order = order;
    }
    if (!sorter || !spare || !order) {
        free(sorter);
        free(spare);
        return -1;
    }
    sorter->store = store;
    sorter->spare = spare;
    sorter->work = 0;
    place_rows(store, where, partitions, bounds);
    for (uint32_t p = 0; p < partitions; p++) {
        if (bounds[p + 1] - bounds[p] > 1) {
            sort_slots(sorter, store->order + bounds[p], bounds[p + 1] - bounds[p], 0);
        }
    }
    store->work = sorter->work;
    free(sorter);
    free(spare);
    return 0;
}
