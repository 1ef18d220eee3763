// change_log_private: the layout of the log, for the modules that write and read it.
#ifndef CHANGE_LOG_PRIVATE_H
#define CHANGE_LOG_PRIVATE_H

#include "change_log.h"
#include "files.h"

extern const char changes_magic[8]; // of a segment
extern const char changes_frame_magic[4];

typedef struct changes_head {
    char magic[8];
    uint64_t first;
} changes_head_t;

typedef struct changes_frame {
    char magic[4];
    uint32_t count;
    uint64_t first, size, checksum;
} changes_frame_t;

_Static_assert(sizeof(changes_head_t) == 16 && sizeof(changes_frame_t) == 32, "the file's layout");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little endian, as written");

// The numbers of a folder's segments, in order; the caller frees them. NULL with *size 0 if there
// are none.
uint64_t *changes_segments(const char *folder, size_t *size);

int changes_path(char path[FILE_PATH_MAX], const char *folder, uint64_t first);

typedef enum changes_found {
    CHANGES_FRAME,  // a whole frame with the number that was expected
    CHANGES_TAIL,   // none: the end of the file, or what a killed writer has left there
    CHANGES_BROKEN, // none, but there is a whole one behind it
    CHANGES_ERROR,  // cannot be read; errno
} changes_found_t;

// Reads the frame at `at` of a segment whose size is `end`, which should begin with change `first`,
// into *data_p, which is grown to *room_p. *frame gets its head.
changes_found_t changes_read_frame(int fd, uint64_t at, uint64_t end, uint64_t first,
                                   changes_frame_t *frame, char **data_p, size_t *room_p);

// Whether the file is a segment that begins with change `first`.
bool changes_is_segment(int fd, uint64_t first);

#endif
