// markdown_inline: what stands in a line of Markdown, reduced to what a reader sees.
#ifndef MARKDOWN_INLINE_H
#define MARKDOWN_INLINE_H

#include "buf.h"

// Appends the text without its marks: links and images become their words, emphasis and HTML tags
// go, entities and escapes become their characters, inline code keeps its backticks.
void markdown_inline(const char *text, size_t size, rl_buf_t *out);

#endif
