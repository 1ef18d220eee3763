// faiss_guard: what the C++ files over FAISS share: its objects behind the C API's handles, and the
// place where exceptions end.
#ifndef FAISS_GUARD_H
#define FAISS_GUARD_H

#include <cstddef>
#include <cstdio>
#include <exception>
#include <faiss/Index.h>
#include <faiss/c_api/Index_c.h>

inline faiss::Index *index_of(FaissIndex *handle)
{
    return reinterpret_cast<faiss::Index *>(handle);
}

// Runs `call`. Returns 0, or -1 with what it threw as `why`.
template <typename Call> int guard_call(char *why, size_t why_size, Call call)
{
    try {
        call();
        return 0;
    } catch (const std::exception &error) {
        snprintf(why, why_size, "%s", error.what());
    } catch (...) {
        snprintf(why, why_size, "unknown error");
    }
    return -1;
}

#endif
