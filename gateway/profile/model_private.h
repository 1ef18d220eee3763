// model_private: what the files of a model share; for them alone.
#ifndef MODEL_PRIVATE_H
#define MODEL_PRIVATE_H

#include "model.h"

// calloc that cannot fail, of one element more than asked.
void *model_room(size_t count, size_t size);

#endif
