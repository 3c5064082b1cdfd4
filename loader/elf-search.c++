// Debian 13's libelf.a (elfutils 0.192) uses two functions that are in no archive of the package, only in its shared library. They keep
// the chunks of a file that elf_getdata_rawchunk was asked for, which libbpf never does: the tree stays empty. Linked only where missing.
#include <search.h>

namespace {

struct SearchTree {
  void* root;  // a lock may follow, in a thread-safe libelf; the loader has one thread
};

}  // namespace

extern "C" void eu_search_tree_init(SearchTree* tree) { tree->root = nullptr; }

extern "C" void eu_search_tree_fini(SearchTree* tree, void (*release)(void*)) {
  tdestroy(tree->root, release);
  tree->root = nullptr;
}
