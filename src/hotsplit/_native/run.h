/* Adjacent pages that were read and verified together. */
#ifndef HOTSPLIT_RUN_H
#define HOTSPLIT_RUN_H

#include "record.h"

/* Why a walk over leaves stops; see record_py.py. */
enum { HS_END, HS_OUTSIDE, HS_REFUSED, HS_MET, HS_FULL, HS_SEEK };

typedef struct {
    const uint8_t *data, *states; /* pages; one byte a page */
    uint32_t page_size, first, count;
    uint32_t good;  /* the state of a page that can be used */
    uint32_t objid; /* of the tree that pages must belong to */
} hs_run;

static int hs_in_run(const hs_run *run, uint32_t pgno)
{
    return pgno >= run->first && pgno - run->first < run->count;
}

/* Returns 0, or -1 if page `pgno` of the run is damaged or no leaf of the tree. */
static int hs_open_leaf(const hs_run *run, uint32_t pgno, hs_page *page)
{
    size_t i = pgno - run->first;
    if (run->states[i] != run->good ||
        hs_open_page(page, run->data + i * run->page_size, run->page_size) ||
        !(page->flags & 2) || page->objid != run->objid)
        return -1;
    return 0;
}

#endif
