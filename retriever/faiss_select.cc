// faiss_select: searches among some of an index's vectors.
#include "faiss_select.h"

#include <cstdio>
#include <exception>
#include <faiss/IVFlib.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/impl/IDSelector.h>

namespace
{

faiss::Index *real(FaissIndex *index)
{
    return reinterpret_cast<faiss::Index *>(index);
}

} // namespace

const float *rl_faiss_rows(FaissIndex *index)
{
    faiss::Index *at = real(index);
    if (auto graph = dynamic_cast<faiss::IndexHNSW *>(at))
        at = graph->storage;
    auto flat = dynamic_cast<faiss::IndexFlat *>(at);
    return flat ? flat->get_xb() : nullptr;
}

bool rl_faiss_is_flat(FaissIndex *index)
{
    return dynamic_cast<faiss::IndexFlat *>(real(index)) != nullptr;
}

bool rl_faiss_lists(FaissIndex *index, size_t *lists, size_t *probes)
{
    const faiss::IndexIVF *file = faiss::ivflib::try_extract_index_ivf(real(index));
    if (!file)
        return false;
    *lists = file->nlist;
    *probes = file->nprobe;
    return true;
}

int rl_faiss_map_lists(FaissIndex *index)
{
    try {
        faiss::IndexIVF *file = faiss::ivflib::try_extract_index_ivf(real(index));
        if (file)
            file->make_direct_map(true);
        return file ? 0 : -1;
    } catch (...) {
        return -1;
    }
}

int rl_faiss_search_lists(FaissIndex *index, const float *query, size_t k, size_t probes,
                          const rl_selection_t *among, float *scores, int64_t *labels, char *why,
                          size_t why_size)
{
    try {
        faiss::IDSelectorBitmap kept(rl_selection_words(among) * sizeof *among->bits,
                                     reinterpret_cast<const uint8_t *>(among->bits));
        faiss::SearchParametersIVF how;
        how.sel = &kept;
        how.nprobe = probes;
        faiss::ivflib::search_with_parameters(real(index), 1, query, static_cast<int64_t>(k),
                                              scores, labels, &how);
        return 0;
    } catch (const std::exception &error) {
        snprintf(why, why_size, "%s", error.what());
    } catch (...) {
        snprintf(why, why_size, "unknown error");
    }
    return -1;
}
