// page: the pages for people, embedded in the program.
#ifndef PAGE_H
#define PAGE_H

#include "http.h"

typedef enum page {
    PAGE_ASK,  // "/": questions and answers
    PAGE_LIVE, // "/live": the gateway's live view
} page_t;

// Answers with the page.
void page_send(http_req_t **req_p, page_t page);

#endif
