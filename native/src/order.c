/* Sorting rows by key within their partitions: stable, by eight bytes of the keys at a time. */
#include "gomr_native.h"

#define FEW 24 /* rows that are sorted by insertion */

typedef struct {
    const Store *store;
    Slot *spare;             /* as many as there are rows */
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

/* How many bytes from `depth` on all keys share. */
static size_t shared_bytes(const Sorter *sorter, const Slot *slots, size_t count, size_t depth)
{
    const char *first = slot_key(sorter, &slots[0]) + depth;
    size_t shared = slots[0].size - depth;
    for (size_t i = 1; i < count && shared; i++) {
        const char *key = slot_key(sorter, &slots[i]) + depth;
        size_t most = slots[i].size - depth < shared ? slots[i].size - depth : shared;
        size_t same = 0;
        if (most != shared || memcmp(first, key, most) != 0) {
            while (same < most && first[same] == key[same]) {
                same++;
            }
            shared = same;
        }
    }
    return shared;
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

static void sort_slots(Sorter *sorter, Slot *slots, size_t count, size_t depth)
{
    if (count <= FEW) {
        insertion_sort(sorter, slots, count, depth);
        return;
    }
    depth += shared_bytes(sorter, slots, count, depth);
    for (size_t i = 0; i < count; i++) {
        uint64_t word = load_upto8(slot_key(sorter, &slots[i]) + depth, slots[i].size - depth);
        slots[i].prefix = __builtin_bswap64(word);
    }
    radix_sort(sorter, slots, count);
    for (size_t start = 0, end; start < count; start = end) {
        end = start + 1;
        while (end < count && slots[end].prefix == slots[start].prefix) {
            end++;
        }
        if (end - start > 1) {
            size_t ended = place_ended(sorter, slots + start, end - start, depth);
            if (end - start - ended > 1) {
                sort_slots(sorter, slots + start + ended, end - start - ended, depth + 8);
            }
        }
    }
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
    place_rows(store, where, partitions, bounds);
    for (uint32_t p = 0; p < partitions; p++) {
        if (bounds[p + 1] - bounds[p] > 1) {
            sort_slots(sorter, store->order + bounds[p], bounds[p + 1] - bounds[p], 0);
        }
    }
    free(sorter);
    free(spare);
    return 0;
}
