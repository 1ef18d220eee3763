// page: the pages for people, embedded in the program.
#ifndef PAGE_H
#define PAGE_H

#include "http.h"

typedef enum page {
    PAGE_ASK,  // "/": questions and answers
    PAGE_LIVE, // "/live": what the gateway does right now
} page_t;

// Answers with the page.
void page_send(http_req_t **req_p, page_t page);

#endif
