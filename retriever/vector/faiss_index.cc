// faiss_index: what FAISS's C API does not have.
#include "faiss_index.h"

#include <faiss/IVFlib.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFastScan.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/index_io.h>
#include <faiss/invlists/OnDiskInvertedLists.h>
#include <faiss/utils/distances.h>
#include <memory>
#include <stdexcept>

#include "faiss_guard.h"

namespace
{

// FAISS does not check the lists' sizes that the file names: a list that ends behind the end of the
// mapped file would end the process (SIGBUS) in some later search.
void check_lists(const faiss::OnDiskInvertedLists &lists)
{
    size_t entry = lists.code_size + sizeof(faiss::Index::idx_t);
    for (const auto &list : lists.lists)
        if (list.offset > lists.totsize || list.size > (lists.totsize - list.offset) / entry)
            throw std::runtime_error("its lists end behind the end of the file");
}

} // namespace

int faiss_index_read(const char *path, FaissIndex **index, bool *mapped, char *why, size_t why_size)
{
    *index = nullptr;
    *mapped = false;
    return guard_call(why, why_size, [&] {
        std::unique_ptr<faiss::Index> read(
            faiss::read_index(path, faiss::IO_FLAG_MMAP | faiss::IO_FLAG_READ_ONLY));
        faiss::IndexIVF *file = faiss::ivflib::try_extract_index_ivf(read.get());
        auto lists = file ? dynamic_cast<faiss::OnDiskInvertedLists *>(file->invlists) : nullptr;
        if (lists) {
            check_lists(*lists);
            lists->prefetch_nthread = 0; // no threads of its own: the kernel reads ahead
            *mapped = true;
        }
        *index = reinterpret_cast<FaissIndex *>(read.release());
    });
}

effort_kind_t faiss_index_effort(FaissIndex *index, size_t *most)
{
    if (auto graph = dynamic_cast<faiss::IndexHNSW *>(index_of(index))) {
        *most = static_cast<size_t>(graph->ntotal);
        return EFFORT_EF_SEARCH;
    }
    faiss::IndexIVF *file = faiss::ivflib::try_extract_index_ivf(index_of(index));
    if (!file || dynamic_cast<faiss::IndexIVFFastScan *>(file))
        return EFFORT_NONE; // the fast scan's lists know no parameters of a search
    *most = file->nlist;
    return EFFORT_NPROBE;
}

int faiss_index_search(FaissIndex *index, const float *query, size_t k, effort_kind_t kind,
                       size_t effort, float *scores, int64_t *labels, char *why, size_t why_size)
{
    return guard_call(why, why_size, [&] {
        auto wanted = static_cast<int64_t>(k);
        if (kind == EFFORT_NPROBE) {
            faiss::SearchParametersIVF how;
            how.nprobe = effort;
            faiss::ivflib::search_with_parameters(index_of(index), 1, query, wanted, scores, labels,
                                                  &how);
        } else if (kind == EFFORT_EF_SEARCH) {
            faiss::SearchParametersHNSW how;
            how.efSearch = static_cast<int>(effort);
            index_of(index)->search(1, query, wanted, scores, labels, &how);
        } else {
            index_of(index)->search(1, query, wanted, scores, labels);
        }
    });
}

void faiss_index_share_lists(FaissIndex *index)
{
    faiss::IndexIVF *file = faiss::ivflib::try_extract_index_ivf(index_of(index));
    if (file)
        file->parallel_mode = 1; // see IndexIVF.h
}

int faiss_index_search_rows(const float *rows, size_t size, size_t dimension, size_t first,
                            const float *queries, size_t count, size_t k, float *scores,
                            int64_t *labels)
{
    char ignored[64];
    return guard_call(ignored, sizeof ignored, [&] {
        faiss::float_minheap_array_t best = {count, k, labels, scores};
        faiss::knn_inner_product(queries, rows, dimension, count, size, &best);
        for (size_t at = 0; at < count * k; at++)
            if (labels[at] >= 0)
                labels[at] += static_cast<int64_t>(first);
    });
}

const float *faiss_index_rows(FaissIndex *index)
{
    faiss::Index *at = index_of(index);
    if (auto graph = dynamic_cast<faiss::IndexHNSW *>(at))
        at = graph->storage;
    auto flat = dynamic_cast<faiss::IndexFlat *>(at);
    return flat ? flat->get_xb() : nullptr;
}

bool faiss_index_is_flat(FaissIndex *index)
{
    return dynamic_cast<faiss::IndexFlat *>(index_of(index)) != nullptr;
}

bool faiss_index_lists(FaissIndex *index, size_t *lists)
{
    const faiss::IndexIVF *file = faiss::ivflib::try_extract_index_ivf(index_of(index));
    if (file)
        *lists = file->nlist;
    return file != nullptr;
}

int faiss_index_map_lists(FaissIndex *index)
{
    try {
        faiss::IndexIVF *file = faiss::ivflib::try_extract_index_ivf(index_of(index));
        if (file)
            file->make_direct_map(true);
        return file ? 0 : -1;
    } catch (...) {
        return -1;
    }
}

int faiss_index_search_lists(FaissIndex *index, const float *query, size_t k, size_t probes,
                             const selection_t *selection, float *scores, int64_t *labels,
                             char *why, size_t why_size)
{
    return guard_call(why, why_size, [&] {
        faiss::IDSelectorBitmap kept(selection_words(selection) * sizeof *selection->bits,
                                     reinterpret_cast<const uint8_t *>(selection->bits));
        faiss::SearchParametersIVF how;
        how.sel = &kept;
        how.nprobe = probes;
        faiss::ivflib::search_with_parameters(index_of(index), 1, query, static_cast<int64_t>(k),
                                              scores, labels, &how);
    });
}
