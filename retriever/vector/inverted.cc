// inverted: an inverted file, list by list on disk.
//
// FAISS's file of an inverted file ends with its lists ("ilar": how many, bytes of a code, sizes;
// then of each list the codes and the ids, FAISS 1.7.3 impl/index_write.cpp, write_InvertedLists).
// So FAISS writes all in front of them, and the lists are written here: their sizes are known when
// every vector is assigned, and with them the place of each code.
#include "inverted.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/index_io.h>
#include <faiss/invlists/InvertedLists.h>
#include <fcntl.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <unistd.h>
#include <vector>

#include "faiss_guard.h"

namespace
{

enum : size_t {
    BLOCK = 16384,        // vectors that are assigned or encoded at a time
    WINDOW = 128UL << 20, // bytes of codes that are sorted by list before they are laid down
    // Rows that FAISS's matrix products take at a time, between which it asks whether to go on.
    ROWS = 4096,
};

faiss::IndexIVF *file_of(faiss::Index *index)
{
    if (auto chain = dynamic_cast<faiss::IndexPreTransform *>(index))
        index = chain->index;
    return dynamic_cast<faiss::IndexIVF *>(index);
}

[[noreturn]] void throw_errno(const std::string &what)
{
    throw std::runtime_error(what + ": " + strerror(errno));
}

// Counts how often FAISS asks whether to go on, which it does after every ROWS rows that were
// compared with the centroids, and after each of k-means' iterations.
struct training_progress : faiss::InterruptCallback {
    inverted_progress_fn *progress;
    void *arg;
    uint64_t asked = 0, total;

    training_progress(inverted_progress_fn *to, void *with, uint64_t steps)
        : progress(to), arg(with), total(steps)
    {
    }
    bool want_interrupt() override
    {
        asked++;
        if (progress)
            progress(arg, "training", asked < total ? asked : total, total);
        return false;
    }
};

struct descriptor {
    int fd;
    explicit descriptor(int opened) : fd(opened)
    {
    }
    ~descriptor()
    {
        if (fd >= 0)
            ::close(fd);
    }
};

class list_writer
{
    faiss::Index *index;
    faiss::IndexIVF *file;
    uint64_t count;
    const char *path;
    inverted_read_fn *read;
    void *read_arg;
    inverted_progress_fn *progress;
    void *arg;
    std::vector<uint32_t> list;    // of each vector
    std::vector<size_t> sizes;     // of each list
    std::vector<uint64_t> begins;  // where a list begins in the file
    std::vector<uint64_t> written; // vectors of a list that are laid down
    std::vector<float> block;

    void write_at(int fd, const void *data, size_t size, uint64_t at) const
    {
        auto from = static_cast<const char *>(data);
        while (size > 0) {
            ssize_t wrote = pwrite(fd, from, size, static_cast<off_t>(at));
            if (wrote < 0 && errno == EINTR)
                continue;
            if (wrote <= 0)
                throw_errno(path);
            from += wrote;
            at += static_cast<uint64_t>(wrote);
            size -= static_cast<size_t>(wrote);
        }
    }

    // A block of vectors as the inverted file sees them: behind the transformations.
    const float *read_block(uint64_t first, size_t size, std::unique_ptr<const float[]> &owned)
    {
        if (read(read_arg, first, size, block.data()) != 0)
            throw_errno("the vectors that were gathered cannot be read");
        auto chain = dynamic_cast<const faiss::IndexPreTransform *>(index);
        if (!chain)
            return block.data();
        const float *at = chain->apply_chain(static_cast<int64_t>(size), block.data());
        if (at != block.data())
            owned.reset(at);
        return at;
    }

    void assign_lists()
    {
        std::vector<int64_t> found(BLOCK);
        // The centroids are of length 1 (k-means is spherical), so the nearest one is the same by
        // distance as by inner product, and by distance FAISS finds it sooner.
        auto flat = dynamic_cast<const faiss::IndexFlat *>(file->quantizer);
        faiss::IndexFlatL2 nearest(file->d);
        if (flat && file->cp.spherical)
            nearest.add(flat->ntotal, flat->get_xb());
        const faiss::Index *quantizer = nearest.ntotal > 0 ? &nearest : file->quantizer;
        list.resize(count);
        sizes.assign(file->nlist, 0);
        for (uint64_t first = 0; first < count; first += BLOCK) {
            size_t size = count - first < BLOCK ? count - first : BLOCK;
            std::unique_ptr<const float[]> owned;
            const float *rows = read_block(first, size, owned);
            quantizer->assign(static_cast<int64_t>(size), rows, found.data());
            for (size_t at = 0; at < size; at++) {
                // a quantizer that is itself approximate may find nothing
                size_t to = found[at] < 0 ? 0 : static_cast<size_t>(found[at]);
                list[first + at] = static_cast<uint32_t>(to);
                sizes[to]++;
            }
            if (progress)
                progress(arg, "vectors", first + size, count);
        }
    }

    // What FAISS writes of an index without lists; returns where these go.
    uint64_t write_front(int fd)
    {
        uint32_t mark = 0;
        off_t end = lseek(fd, 0, SEEK_END);
        if (end < 4 || pread(fd, &mark, sizeof mark, end - 4) != sizeof mark ||
            memcmp(&mark, "il00", 4) != 0)
            throw std::runtime_error("FAISS does not write this index's lists at its file's end");
        uint64_t at = static_cast<uint64_t>(end) - 4;
        uint64_t numbers[2] = {file->nlist, file->code_size}, size = file->nlist;
        write_at(fd, "ilar", 4, at);
        write_at(fd, numbers, sizeof numbers, at + 4);
        write_at(fd, "full", 4, at + 20);
        write_at(fd, &size, sizeof size, at + 24);
        write_at(fd, sizes.data(), size * sizeof sizes[0], at + 32);
        return at + 32 + size * sizeof sizes[0];
    }

    void place_lists(uint64_t at)
    {
        begins.resize(file->nlist);
        written.assign(file->nlist, 0);
        for (size_t each = 0; each < file->nlist; each++) {
            begins[each] = at;
            at += sizes[each] * (file->code_size + sizeof(int64_t));
        }
    }

    // The codes of vectors [first, first + size), by list.
    void lay_down(int fd, uint64_t first, size_t size, const std::vector<uint8_t> &codes)
    {
        size_t code = file->code_size;
        std::vector<uint32_t> from(file->nlist + 1, 0), order(size);
        for (size_t at = 0; at < size; at++)
            from[list[first + at] + 1]++;
        for (size_t each = 0; each < file->nlist; each++)
            from[each + 1] += from[each];
        std::vector<uint32_t> next(from.begin(), from.end() - 1);
        for (size_t at = 0; at < size; at++)
            order[next[list[first + at]]++] = static_cast<uint32_t>(at);
        std::vector<uint8_t> run;
        std::vector<int64_t> ids;
        for (size_t each = 0; each < file->nlist; each++) {
            size_t some = from[each + 1] - from[each];
            if (some == 0)
                continue;
            run.resize(some * code);
            ids.resize(some);
            for (size_t at = 0; at < some; at++) {
                size_t row = order[from[each] + at];
                memcpy(run.data() + at * code, codes.data() + row * code, code);
                ids[at] = static_cast<int64_t>(first + row);
            }
            uint64_t behind = begins[each] + sizes[each] * code;
            write_at(fd, run.data(), run.size(), begins[each] + written[each] * code);
            write_at(fd, ids.data(), some * sizeof ids[0], behind + written[each] * sizeof ids[0]);
            written[each] += some;
        }
    }

    void encode_codes(int fd)
    {
        size_t room = WINDOW / file->code_size / BLOCK * BLOCK;
        if (room < BLOCK)
            room = BLOCK;
        if (room > count)
            room = count;
        std::vector<uint8_t> codes(room * file->code_size);
        std::vector<int64_t> lists(BLOCK);
        for (uint64_t first = 0; first < count; first += room) {
            size_t some = count - first < room ? count - first : room;
            for (size_t done = 0; done < some; done += BLOCK) {
                size_t size = some - done < BLOCK ? some - done : BLOCK;
                std::unique_ptr<const float[]> owned;
                const float *rows = read_block(first + done, size, owned);
                for (size_t at = 0; at < size; at++)
                    lists[at] = list[first + done + at];
                file->encode_vectors(static_cast<int64_t>(size), rows, lists.data(),
                                     codes.data() + done * file->code_size, false);
                if (progress)
                    progress(arg, "lists", first + done + size, count);
            }
            lay_down(fd, first, some, codes);
        }
    }

    void write_without_lists()
    {
        faiss::InvertedLists *lists = file->invlists;
        file->invlists = nullptr;
        index->ntotal = file->ntotal = static_cast<int64_t>(count);
        try {
            faiss::write_index(index, path);
        } catch (...) {
            file->invlists = lists;
            index->ntotal = file->ntotal = 0;
            throw;
        }
        file->invlists = lists;
        index->ntotal = file->ntotal = 0;
    }

  public:
    list_writer(faiss::Index *of, uint64_t vectors, const char *to, inverted_read_fn *source,
                void *source_arg, inverted_progress_fn *tell, void *with)
        : index(of), file(file_of(of)), count(vectors), path(to), read(source),
          read_arg(source_arg), progress(tell), arg(with), block(BLOCK * static_cast<size_t>(of->d))
    {
    }

    void write_all()
    {
        assign_lists();
        write_without_lists();
        descriptor out(open(path, O_RDWR | O_CLOEXEC));
        if (out.fd < 0)
            throw_errno(path);
        place_lists(write_front(out.fd));
        encode_codes(out.fd);
        int fd = out.fd;
        out.fd = -1;
        if (::close(fd) != 0)
            throw_errno(path);
    }
};

} // namespace

bool inverted_suits(FaissIndex *index)
{
    const faiss::IndexIVF *file = file_of(index_of(index));
    if (!file)
        return false;
    // exactly these: what is derived from them writes more behind the lists, or packs them
    const std::type_info &kind = typeid(*file);
    return kind == typeid(faiss::IndexIVFFlat) || kind == typeid(faiss::IndexIVFPQ) ||
           kind == typeid(faiss::IndexIVFScalarQuantizer);
}

size_t inverted_lists(FaissIndex *index)
{
    const faiss::IndexIVF *file = file_of(index_of(index));
    return file ? file->nlist : 0;
}

int inverted_train(FaissIndex *index, const float *vectors, size_t count,
                   inverted_progress_fn *progress, void *arg, char *why, size_t why_size)
{
    return guard_call(why, why_size, [&] {
        faiss::IndexIVF *file = file_of(index_of(index));
        uint64_t steps = 1;
        faiss::IndexFlatL2 nearest(file->d); // see assign_lists
        if (!file->clustering_index && file->quantizer_trains_alone != 1 && file->cp.spherical)
            file->clustering_index = &nearest;
        steps += static_cast<uint64_t>(file->cp.niter) * ((count + ROWS - 1) / ROWS + 1);
        auto counting = std::make_unique<training_progress>(progress, arg, steps);
        faiss::InterruptCallback::instance = std::move(counting);
        try {
            index_of(index)->train(static_cast<int64_t>(count), vectors);
        } catch (...) {
            faiss::InterruptCallback::clear_instance();
            file->clustering_index = nullptr;
            throw;
        }
        faiss::InterruptCallback::clear_instance();
        file->clustering_index = nullptr;
    });
}

int inverted_write(FaissIndex *index, uint64_t count, const char *path, inverted_read_fn *read,
                   void *read_arg, inverted_progress_fn *progress, void *arg, char *why,
                   size_t why_size)
{
    return guard_call(why, why_size, [&] {
        list_writer(index_of(index), count, path, read, read_arg, progress, arg).write_all();
    });
}
