// conf_help: the help text and the sample file, made from the table.
#include "conf.h"

#include <string.h>

#include "options.h"

static void print_type(const rl_option_t *option, FILE *out)
{
    switch (option->type) {
    case RL_INT:
    case RL_NUMBER:
        fprintf(out, "%.15g to %.15g", option->min, option->max);
        break;
    case RL_BOOL:
        fputs("true or false", out);
        break;
    case RL_CHOICE:
        fprintf(out, "one of: %s", option->choices);
        break;
    case RL_LIST:
        fputs("list, separated by commas", out);
        break;
    case RL_SECRET:
        fputs("secret; better as KEY_file = a file that holds it", out);
        break;
    case RL_FILE:
        fputs("file", out);
        break;
    case RL_STRING:
    case RL_FLAG:
    case RL_GONE:
        break;
    }
}

static void print_option(const rl_option_t *option, FILE *out)
{
    char name[200];
    snprintf(name, sizeof name, "%s", option->name);
    if (option->type != RL_FLAG)
        for (char *p = name; *p; p++)
            *p = *p == '.' || *p == '_' ? '-' : *p;
    fprintf(out, "  --%s%s\n      %s", name, option->type == RL_FLAG ? "" : " VALUE", option->help);
    if (option->type != RL_STRING && option->type != RL_FLAG) {
        fputs(" (", out);
        print_type(option, out);
        fputc(')', out);
    }
    if (*option->value)
        fprintf(out, " [%s]", option->value);
    fputc('\n', out);
}

void rl_conf_help(unsigned program, const char *usage, FILE *out)
{
    fprintf(out, "%s\n", usage);
    fputs("Options (section.key in a file is --section-key here and RAGLINE_SECTION_KEY in the\n"
          "environment; the command line wins over the environment, that over the file):\n\n"
          "  --config FILE\n      configuration file [$RAGLINE_CONFIG]\n"
          "  --check-config\n      check the configuration, say what is wrong, and end\n"
          "  --sample-config\n      print a complete sample file\n"
          "  --version, -V\n  --help, -h\n",
          out);
    for (size_t at = 0; at < rl_options_size; at++)
        if ((rl_options[at].users & program) && !strchr(rl_options[at].name, '*') &&
            rl_options[at].type != RL_GONE)
            print_option(&rl_options[at], out);
    for (size_t at = 0; at < rl_options_size; at++)
        if ((rl_options[at].users & program) && strchr(rl_options[at].name, '*'))
            fprintf(out, "  %s (file only: [%.*s NAME])\n      %s\n", rl_options[at].name,
                    (int)strcspn(rl_options[at].name, "."), rl_options[at].name,
                    rl_options[at].help);
}

// Whether an option before `at` has this section already.
static bool section_seen(size_t at, const char *name, size_t size)
{
    for (size_t before = 0; before < at; before++)
        if (strncmp(rl_options[before].name, name, size) == 0 &&
            rl_options[before].name[size] == '.' && rl_options[before].type != RL_FLAG)
            return true;
    return false;
}

static void print_sample(const rl_option_t *option, FILE *out)
{
    fprintf(out, "\n# %s", option->help);
    if (option->type != RL_STRING) {
        fputs(" (", out);
        print_type(option, out);
        fputc(')', out);
    }
    fprintf(out, "\n#%s = %s\n", strrchr(option->name, '.') + 1, option->value);
}

void rl_conf_sample(FILE *out)
{
    fputs("# ragline: every option with its default; take the # away to set one.\n", out);
    for (size_t at = 0; at < rl_options_size; at++) {
        const char *name = rl_options[at].name;
        size_t size = strcspn(name, ".");
        if (rl_options[at].type == RL_FLAG || section_seen(at, name, size))
            continue;
        bool named = strchr(name, '*') != NULL;
        fprintf(out, "\n%s[%.*s%s]\n", named ? "#" : "", (int)size, name, named ? " NAME" : "");
        for (size_t each = at; each < rl_options_size; each++)
            if (strncmp(rl_options[each].name, name, size) == 0 &&
                rl_options[each].name[size] == '.' && rl_options[each].type != RL_FLAG &&
                rl_options[each].type != RL_GONE)
                print_sample(&rl_options[each], out);
    }
}
