// openai_finish: what a server's finish_reason means. Servers have names of their own for it;
// OpenAI's clients know stop, length, content_filter, tool_calls and function_call only.
#ifndef OPENAI_FINISH_H
#define OPENAI_FINISH_H

// OpenAI's name for it, "error" for an answer that the server could not finish, NULL for text that
// says that there is no reason yet ("", "null", "None"). An unknown reason is a "stop". Static.
const char *openai_finish(const char *said);

#endif
