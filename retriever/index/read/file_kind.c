// file_kind: a table of the bytes that formats begin with.
#include "file_kind.h"

#include <stdbool.h>
#include <string.h>

typedef struct signature {
    size_t at; // offset of the bytes
    size_t size;
    const char *bytes, *words;
} signature_t;

#define SIGNATURE(at, bytes, words)                                                                \
    {                                                                                              \
        at, sizeof(bytes) - 1, bytes, words                                                        \
    }

static const signature_t signatures[] = {
    SIGNATURE(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document (before 2007)"),
    SIGNATURE(0, "{\\rtf", "a Rich Text document"),
    SIGNATURE(0, "%!PS", "a PostScript document"),
    SIGNATURE(0, "AT&TFORM", "a DjVu document"),
    SIGNATURE(60, "BOOKMOBI", "a Mobipocket book"),
    SIGNATURE(0, "ITSF", "a compiled HTML help file"),
    SIGNATURE(0, "\x89PNG\r\n", "a PNG image"),
    SIGNATURE(0, "GIF8", "a GIF image"),
    SIGNATURE(0, "\xff\xd8\xff", "a JPEG image"),
    SIGNATURE(0, "II*\0", "a TIFF image"),
    SIGNATURE(0, "MM\0*", "a TIFF image"),
    SIGNATURE(8, "WEBP", "a WebP image"),
    SIGNATURE(0, "\0\0\1\0", "an icon"),
    SIGNATURE(0, "8BPS", "a Photoshop image"),
    SIGNATURE(0, "wOFF", "a font"),
    SIGNATURE(0, "wOF2", "a font"),
    SIGNATURE(0, "OTTO", "a font"),
    SIGNATURE(0, "\0\1\0\0\0", "a font"),
    SIGNATURE(4, "ftyp", "a film or sound"),
    SIGNATURE(0, "OggS", "a film or sound"),
    SIGNATURE(0, "ID3", "a sound"),
    SIGNATURE(0, "fLaC", "a sound"),
    SIGNATURE(0, "RIFF", "a film or sound"),
    SIGNATURE(0, "\x1a\x45\xdf\xa3", "a film"),
    SIGNATURE(0,
              "\x7f"
              "ELF",
              "a program"),
    SIGNATURE(0, "MZ\x90", "a program"),
    SIGNATURE(0, "\xca\xfe\xba\xbe", "a program"),
    SIGNATURE(0, "\xcf\xfa\xed\xfe", "a program"),
    SIGNATURE(0, "\0asm", "a program"),
    SIGNATURE(0, "!<arch>\n", "an archive (ar)"),
    SIGNATURE(257, "ustar", "an archive (tar)"),
    SIGNATURE(0, "BZh", "compressed by bzip2"),
    SIGNATURE(0,
              "\xfd"
              "7zXZ",
              "compressed by xz"),
    SIGNATURE(0, "\x28\xb5\x2f\xfd", "compressed by zstd"),
    SIGNATURE(0, "\x1f\x8b", "compressed by gzip twice"), // once is undone before
    SIGNATURE(0, "7z\xbc\xaf\x27\x1c", "an archive (7z)"),
    SIGNATURE(0, "Rar!\x1a", "an archive (rar)"),
    SIGNATURE(0, "SQLite format 3", "an SQLite database"),
    SIGNATURE(0, "\x80\2", "a Python pickle"),
    SIGNATURE(0, "\x93NUMPY", "an array of NumPy"),
    SIGNATURE(0, "PAR1", "a Parquet table"),
    SIGNATURE(0, "-----BEGIN PGP MESSAGE", "encrypted by OpenPGP"),
};

enum {
    PDF_WITHIN = 1024 // bytes in which readers of PDF look for its mark
};

// What a zip archive is, by the names of its first members.
static const signature_t packed[] = {
    SIGNATURE(0, "mimetypeapplication/vnd.oasis", "an OpenDocument document"),
    SIGNATURE(0, "mimetypeapplication/epub", "an EPUB book"),
    SIGNATURE(0, "word/", "a Word document"),
    SIGNATURE(0, "xl/", "an Excel document"),
    SIGNATURE(0, "ppt/", "a PowerPoint document"),
    SIGNATURE(0, "[Content_Types].xml", "an Office document"),
};

static const char *zip_kind(const char *head, size_t size)
{
    for (size_t at = 0; at < sizeof packed / sizeof *packed; at++)
        if (memmem(head, size, packed[at].bytes, packed[at].size))
            return packed[at].words;
    return "an archive (zip)";
}

static bool begins_with(const char *head, size_t size, const signature_t *signature)
{
    return size >= signature->at + signature->size &&
           memcmp(head + signature->at, signature->bytes, signature->size) == 0;
}

const char *file_kind_of(const char *head, size_t size)
{
    if (memmem(head, size < PDF_WITHIN ? size : PDF_WITHIN, "%PDF-", 5)) {
        // a text may speak of the mark; a PDF has it at a line's beginning, and a version behind it
        const char *mark = memmem(head, size, "%PDF-", 5);
        bool begins = mark == head || mark[-1] == '\n' || mark[-1] == '\r';
        bool version =
            mark + 6 < head + size && (mark[5] == '1' || mark[5] == '2') && mark[6] == '.';
        if (begins && version)
            return "a PDF document";
    }
    if (size >= 4 && memcmp(head, "PK\3\4", 4) == 0)
        return zip_kind(head, size);
    for (size_t at = 0; at < sizeof signatures / sizeof *signatures; at++)
        if (begins_with(head, size, &signatures[at]))
            return signatures[at].words;
    return NULL;
}
