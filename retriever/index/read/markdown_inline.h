// markdown_inline: what stands in a line of Markdown, reduced to what a reader sees.
#ifndef RL_MARKDOWN_INLINE_H
#define RL_MARKDOWN_INLINE_H

#include "buf.h"

// Appends the text without its marks: links and images become their words, emphasis and HTML tags
// go, entities and escapes become their characters, inline code keeps its backticks.
void rl_markdown_inline(const char *text, size_t size, rl_buf_t *out);

#endif
