// page: the page for people, embedded in the program.
#ifndef PAGE_H
#define PAGE_H

#include "http.h"

// Answers with the page.
void page_send(http_req_t **req_p);

#endif
